//! A well-formed response, in one of the many ways in which it can be written.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::request::{Field, Text, body, field};

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// 1xx responses before it.
    interim: Vec<u16>,
    /// HTTP/1.0.
    pub(crate) old: bool,
    pub(crate) status: u16,
    /// Fields that mean nothing.
    pub(crate) fields: Vec<Field>,
    /// `Connection` or `Keep-Alive`.
    special: Option<(&'static str, &'static str)>,
    framing: Framing,
    pub(crate) body: Text,
    /// The end of a line in heads.
    newline: &'static str,
    /// White space around the values of fields.
    padding: &'static str,
}

/// What marks the body's end.
#[derive(Clone, Debug)]
enum Framing {
    Length { twice: bool },
    Chunked { size: usize, zeros: usize, extension: &'static str, trailers: Vec<Field> },
    Close,
}

impl Reply {
    /// The bytes that answer a request with this method.
    pub(crate) fn bytes(&self, method: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for status in &self.interim {
            self.head(&mut bytes, *status, &[(b"x-interim", b"yes")]);
        }
        let length = self.body.0.len().to_string();
        let mut fields: Vec<(&[u8], &[u8])> =
            self.fields.iter().map(|(name, value)| (name.as_bytes(), &value.0[..])).collect();
        fields.extend(self.special.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        match self.framing {
            Framing::Length { twice } => {
                fields.push((b"Content-Length", length.as_bytes()));
                fields.extend(twice.then_some((&b"content-length"[..], length.as_bytes())));
            }
            Framing::Chunked { .. } => fields.push((b"Transfer-Encoding", b"Chunked")),
            Framing::Close => {}
        }
        self.head(&mut bytes, self.status, &fields);
        if self.has_body(method) {
            self.write_body(&mut bytes);
        }
        bytes
    }

    /// What the caller gets of the body.
    pub(crate) fn body(&self, method: &str) -> &[u8] {
        if self.has_body(method) { &self.body.0 } else { &[] }
    }

    /// The trailers that the caller gets.
    pub(crate) fn trailers(&self, method: &str) -> &[Field] {
        match &self.framing {
            Framing::Chunked { trailers, .. } if self.has_body(method) => trailers,
            _ => &[],
        }
    }

    /// Whether it ends only with the connection.
    pub(crate) fn is_until_close(&self, method: &str) -> bool {
        matches!(self.framing, Framing::Close) && self.has_body(method)
    }

    /// HTTP/1.0 knows no chunks, so that a response with them could be read in two ways.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.old && matches!(self.framing, Framing::Chunked { .. })
    }

    fn has_body(&self, method: &str) -> bool {
        method != "HEAD" && ![204, 304].contains(&self.status)
    }

    fn head(&self, bytes: &mut Vec<u8>, status: u16, fields: &[(&[u8], &[u8])]) {
        let (newline, padding) = (self.newline.as_bytes(), self.padding.as_bytes());
        let version = if self.old { "1.0" } else { "1.1" };
        bytes.extend_from_slice(format!("HTTP/{version} {status} Its reason").as_bytes());
        bytes.extend_from_slice(newline);
        for (name, value) in fields {
            for part in [*name, b":", padding, value, padding, newline] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(newline);
    }

    fn write_body(&self, bytes: &mut Vec<u8>) {
        let Framing::Chunked { size, zeros, extension, trailers } = &self.framing else {
            bytes.extend_from_slice(&self.body.0);
            return;
        };
        let zeros = "0".repeat(*zeros);
        for chunk in self.body.0.chunks(*size) {
            let line = format!("{zeros}{:X}{extension}\r\n", chunk.len());
            for part in [line.as_bytes(), chunk, b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(format!("{zeros}0{extension}\r\n").as_bytes());
        for (name, value) in trailers {
            for part in [name.as_bytes(), b": ", &value.0, b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(b"\r\n");
    }
}

pub(crate) fn any() -> impl Strategy<Value = Reply> {
    const STATUS: &[u16] = &[200, 200, 200, 201, 204, 304, 299, 404, 413, 500, 503, 599];
    const SPECIAL: &[(&str, &str)] = &[
        ("Connection", "close"),
        ("connection", "x, Close"),
        ("CONNECTION", "Keep-Alive"),
        ("Keep-Alive", "timeout=60, max=2"),
        ("keep-alive", "max=1"),
        ("keep-alive", "max=0"),
        ("Keep-Alive", "max=5, timeout=60"),
    ];
    let interim = vec(select(&[100, 102, 103, 199][..]), 0..3);
    let old = prop::bool::weighted(0.15);
    let special = option::weighted(0.3, select(SPECIAL));
    let newline = prop_oneof![5 => Just("\r\n"), 1 => Just("\n")];
    let padding = prop_oneof![5 => Just(" "), 1 => Just(""), 1 => Just("\t  ")];
    let head = (interim, old, select(STATUS), vec(field(), 0..6), special);
    (head, framing(), body(), newline, padding).prop_map(
        |((interim, old, status, fields, special), framing, body, newline, padding)| Reply {
            interim,
            old,
            status,
            fields,
            special,
            framing,
            body,
            newline,
            padding,
        },
    )
}

fn framing() -> impl Strategy<Value = Framing> {
    let size = prop_oneof![3 => 1..50_usize, 1 => 50..20_000_usize];
    let extension = select(&["", "", ";a", ";a=b", " ; a=\"b c\"", ";\t"][..]);
    prop_oneof![
        4 => prop::bool::ANY.prop_map(|twice| Framing::Length { twice }),
        4 => (size, 0..3_usize, extension, vec(field(), 0..3)).prop_map(
            |(size, zeros, extension, trailers)| Framing::Chunked { size, zeros, extension, trailers }
        ),
        1 => Just(Framing::Close),
    ]
}
