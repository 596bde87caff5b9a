//! What the caller asks for.

use std::fmt;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use proptest::{collection::vec, prelude::*, sample::select};

/// Bytes that a message shows in one line.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Vec<u8>);

/// A field, as its name and value are written.
pub(crate) type Field = (String, Text);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.0.len();
        write!(f, "{length}:\"{}\"", self.0[..length.min(60)].escape_ascii())
    }
}

/// A request but for its URL.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    fields: Vec<Field>,
    body: Text,
}

impl Ask {
    pub(crate) fn request(&self, url: &str) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(self.method).uri(url);
        for (name, value) in &self.fields {
            request = request.header(name, &value.0[..]);
        }
        request.body(Full::from(self.body.0.clone())).expect("a valid request")
    }

    /// Whether it never leaves the client.
    pub(crate) fn is_refused(&self) -> bool {
        self.fields.iter().any(|(name, _)| ["transfer-encoding", "upgrade"].contains(&&**name))
    }
}

pub(crate) fn any() -> impl Strategy<Value = Ask> {
    const METHODS: &[&str] =
        &["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "X-Y"];
    let special = prop_oneof![
        12 => Just(None),
        1 => Just(Some(("connection", "close"))),
        1 => Just(Some(("connection", "keep-alive"))),
        1 => Just(Some(("transfer-encoding", "chunked"))),
        1 => Just(Some(("upgrade", "another/1"))),
    ];
    (select(METHODS), vec(field(), 0..4), special, body()).prop_map(
        |(method, mut fields, special, body)| {
            fields.extend(special.map(|(name, value)| (name.to_owned(), Text(value.into()))));
            Ask { method, fields, body }
        },
    )
}

/// A field that means nothing to anybody.
pub(crate) fn field() -> impl Strategy<Value = Field> {
    let name = "[xX]-[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,12}";
    // No white space at its ends, which is taken off on the way.
    let value = vec(prop_oneof![8 => b'!'..=b'~', 1 => 0x80..=0xff_u8], 0..20).prop_map(Text);
    (name, value)
}

/// None, some, more than one read brings, or more than a client takes.
pub(crate) fn body() -> impl Strategy<Value = Text> {
    let length = prop_oneof![4 => Just(0), 8 => 1..200_usize, 2 => 200..10_000_usize, 1 => 10_000..40_000_usize];
    (length, prop::num::u8::ANY).prop_map(|(length, first)| {
        Text((0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(first)).collect())
    })
}
