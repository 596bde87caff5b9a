//! A request as the bytes that go out (RFC 9112 sections 3 and 5).

use std::borrow::Cow;

use bytes::{BufMut, Bytes};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version, header, request::Parts};
use http_body_util::Full;

use crate::{Error, Origin};

/// A checked request: where it goes, and its bytes. A clone increments reference counts and copies
/// no bytes, so a request can be kept for a second attempt.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where it goes.
    pub origin: Origin,
    /// Its method. The framing of the response depends on it, and whether a retry is allowed.
    pub method: Method,
    /// Request line and fields, the empty line included.
    pub head: Bytes,
    /// The body, which may be empty.
    pub body: Bytes,
    /// The caller sent `Connection: close`: the connection is not used again.
    pub close: bool,
}

impl Outgoing {
    /// Checks a request and encodes its head.
    ///
    /// Adds `host` (RFC 9112 section 3.2) and `content-length` (RFC 9110 section 8.6) if the caller
    /// did not. The types of `http` let no line break into the names and values of fields.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] if the URL has no usable [`Origin`], the method is CONNECT, the
    /// version is not HTTP/1.1, or a field contradicts what is sent: `content-length` that is not
    /// the body's, any `transfer-encoding`, `upgrade`, or more than one `host`.
    pub fn new(request: Request<Full<Bytes>>) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let body = whole(body);
        let origin = Origin::of(&parts.uri)?;
        let fields = check(&parts, body.len())?;
        let head = encode_head(&parts, &fields, &origin, body.len());
        Ok(Outgoing { origin, method: parts.method, head, body, close: fields.close })
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Never true: there is always a request line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is still to be written after the first `written` bytes: two slices for one vectored
    /// write, of which the first may be empty.
    pub fn rest(&self, written: usize) -> [&[u8]; 2] {
        let head = self.head.get(written..).unwrap_or_default();
        let body = self.body.get(written.saturating_sub(self.head.len())..).unwrap_or_default();
        [head, body]
    }
}

/// The bytes of a `Full`, which holds them as its one frame.
fn whole(body: Full<Bytes>) -> Bytes {
    use http_body::Body;
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(body).poll_frame(&mut context) {
        std::task::Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    }
}

/// What the caller's fields say about the message.
#[derive(Default)]
struct Fields {
    host: bool,
    content_length: bool,
    close: bool,
}

fn check(parts: &Parts, body: usize) -> Result<Fields, Error> {
    if parts.method == Method::CONNECT {
        return Err(Error::invalid(
            "CONNECT is not supported: expected a method with a response",
        ));
    }
    if parts.version != Version::HTTP_11 {
        return Err(Error::invalid(format!("expected HTTP/1.1, found {:?}", parts.version)));
    }
    let mut fields = Fields::default();
    // One pass costs less than a look-up of each name.
    for (name, value) in &parts.headers {
        match name.as_str() {
            "host" if fields.host => {
                return Err(Error::invalid("expected at most one host field"));
            }
            "host" => fields.host = true,
            "content-length" => {
                fields.content_length = true;
                if value.to_str().ok().and_then(|v| v.parse().ok()) != Some(body) {
                    return Err(Error::invalid(format!(
                        "expected content-length to be {body}"
                    )));
                }
            }
            "connection" => fields.close |= has_token([value], "close"),
            "transfer-encoding" | "upgrade" => {
                return Err(Error::invalid(format!(
                    "the field {name} is not supported in a request"
                )));
            }
            _ => {}
        }
    }
    Ok(fields)
}

/// Request line and fields.
fn encode_head(parts: &Parts, found: &Fields, origin: &Origin, body: usize) -> Bytes {
    let target = target(&parts.uri);
    let host = (!found.host).then(|| origin.authority().as_str());
    let length = (body > 0 || found.content_length || expects_body(&parts.method))
        .then(|| body.to_string());
    // The length is written below, once, even if the caller repeated it.
    let fields = || parts.headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH);

    // The exact capacity: `Bytes` keeps such a buffer without another allocation.
    let method = parts.method.as_str();
    let line = method.len() + 1 + target.len() + " HTTP/1.1\r\n".len();
    let size = |name: &HeaderName, value: usize| name.as_str().len() + value + ": \r\n".len();
    let added = host.map_or(0, |host| size(&header::HOST, host.len()))
        + length.as_ref().map_or(0, |length| size(&header::CONTENT_LENGTH, length.len()));
    let given: usize = fields().map(|(name, value)| size(name, value.len())).sum();
    let mut out = Vec::with_capacity(line + added + given + 2);

    for part in [method, " ", &target, " HTTP/1.1\r\n"] {
        out.put_slice(part.as_bytes());
    }
    if let Some(host) = host {
        put_field(&mut out, &header::HOST, host.as_bytes());
    }
    for (name, value) in fields() {
        put_field(&mut out, name, value.as_bytes());
    }
    if let Some(length) = length {
        put_field(&mut out, &header::CONTENT_LENGTH, length.as_bytes());
    }
    out.put_slice(b"\r\n");
    debug_assert_eq!(out.len(), out.capacity());
    Bytes::from(out)
}

/// The target in origin form (RFC 9112 section 3.2.1). `Uri` accepts bytes that no target may hold:
/// these are percent-encoded, bytes beyond ASCII as UTF-8 (RFC 3987 section 3.1). All others are
/// sent as the caller wrote them.
fn target(uri: &Uri) -> Cow<'_, str> {
    let written = uri.path_and_query().map_or("/", |target| target.as_str());
    if written.starts_with('/') && written.bytes().all(may_stand_in_target) {
        return Cow::Borrowed(written);
    }
    let mut target = String::with_capacity(3 * written.len() + 1);
    if !written.starts_with('/') {
        target.push('/'); // `http://host?query`
    }
    for byte in written.bytes() {
        match may_stand_in_target(byte) {
            true => target.push(byte.into()),
            false => target.push_str(&format!("%{byte:02X}")),
        }
    }
    Cow::Owned(target)
}

/// The bytes of a path and a query (RFC 3986 sections 3.3 and 3.4), and the percent sign of what is
/// encoded already.
fn may_stand_in_target(byte: u8) -> bool {
    matches!(byte, b'!' | b'$'..=b';' | b'=' | b'?'..=b'Z' | b'_' | b'a'..=b'z' | b'~')
}

/// Whether an empty body is announced too: by methods that define a meaning for one (RFC 9110
/// section 8.6).
fn expects_body(method: &Method) -> bool {
    matches!(method.as_str(), "POST" | "PUT" | "PATCH")
}

fn put_field(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.put_slice(name.as_str().as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Whether a field that is a list of tokens has this one, in any case.
pub(crate) fn has_token<'a>(
    values: impl IntoIterator<Item = &'a HeaderValue>,
    token: &str,
) -> bool {
    tokens(values.into_iter()).any(|found| found.eq_ignore_ascii_case(token))
}

/// The members of a field that is a comma-separated list (RFC 9110 section 5.6.1). A member that is
/// not UTF-8 becomes an empty one.
pub(crate) fn tokens<'a>(
    values: impl Iterator<Item = &'a HeaderValue>,
) -> impl Iterator<Item = &'a str> {
    let members = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    members.map(|member| str::from_utf8(member.trim_ascii()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &'static str,
    ) -> Request<Full<Bytes>> {
        let mut builder = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Full::from(body)).unwrap()
    }

    fn head(request: Request<Full<Bytes>>) -> String {
        String::from_utf8(Outgoing::new(request).unwrap().head.to_vec()).unwrap()
    }

    #[test]
    fn a_get_has_a_host_and_no_length() {
        let text = head(request("GET", "http://Host:81/a?b=c#d", &[("accept", "*/*")], ""));
        assert_eq!(text, "GET /a?b=c HTTP/1.1\r\nhost: Host:81\r\naccept: */*\r\n\r\n");
    }

    #[test]
    fn an_empty_path_becomes_a_slash() {
        assert!(head(request("GET", "http://h", &[], "")).starts_with("GET / HTTP/1.1\r\n"));
        assert!(
            head(request("GET", "http://h?q", &[], "")).starts_with("GET /?q HTTP/1.1\r\n")
        );
    }

    #[test]
    fn what_no_target_may_hold_is_percent_encoded() {
        for (url, target) in [
            (
                "http://h/caf\u{e9}/\u{20ac}?q=\u{fc}&r=%C3%BC",
                "/caf%C3%A9/%E2%82%AC?q=%C3%BC&r=%C3%BC",
            ),
            ("http://h?\u{e9}", "/?%C3%A9"),
            ("http://h/{\"a\"}|\\^?b[]=`c`", "/%7B%22a%22%7D%7C%5C%5E?b%5B%5D=%60c%60"),
            ("http://h/a-._~!$&'()*+,;=:@/?/?%zz", "/a-._~!$&'()*+,;=:@/?/?%zz"),
        ] {
            let text = head(request("GET", url, &[], ""));
            let line = text.lines().next().unwrap();
            assert_eq!(line, format!("GET {target} HTTP/1.1"), "{url}");
        }
    }

    #[test]
    fn a_body_is_announced_once_and_an_empty_one_where_the_method_expects_it() {
        assert!(
            head(request("POST", "http://h/", &[], "abc")).contains("content-length: 3\r\n")
        );
        assert!(head(request("POST", "http://h/", &[], "")).contains("content-length: 0\r\n"));
        let text = head(request("PUT", "http://h/", &[("content-length", "3")], "abc"));
        assert_eq!(text.matches("content-length").count(), 1);
    }

    #[test]
    fn the_callers_host_replaces_ours() {
        let text = head(request("GET", "http://h/", &[("host", "other")], ""));
        assert_eq!(text, "GET / HTTP/1.1\r\nhost: other\r\n\r\n");
    }

    #[test]
    fn what_contradicts_the_message_is_refused() {
        let bad: [(&str, &[(&str, &str)]); 6] = [
            ("CONNECT", &[]),
            ("GET", &[("transfer-encoding", "chunked")]),
            ("GET", &[("upgrade", "websocket")]),
            ("GET", &[("content-length", "4")]),
            ("GET", &[("content-length", "0"), ("content-length", "1")]),
            ("GET", &[("host", "a"), ("host", "b")]),
        ];
        for (method, headers) in bad {
            let error = Outgoing::new(request(method, "http://h/", headers, "")).unwrap_err();
            assert!(matches!(error, Error::InvalidRequest(_)), "{method} {headers:?}: {error}");
        }
        let mut old = request("GET", "http://h/", &[], "");
        *old.version_mut() = Version::HTTP_2;
        assert!(Outgoing::new(old).is_err());
    }

    #[test]
    fn the_rest_is_cut_anywhere() {
        let out = Outgoing::new(request("POST", "http://h/", &[], "body")).unwrap();
        let all = out.rest(0).concat();
        for written in 0..=out.len() {
            assert_eq!(out.rest(written).concat(), all[written..]);
        }
        assert_eq!(out.rest(out.len() + 1).concat(), b"");
    }
}
