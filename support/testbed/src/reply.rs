//! The bytes of well-formed responses. What is malformed a script spells out itself.

use http::StatusCode;

/// A status line and fields, and the empty line after them; no length is added.
pub fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let reason = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
    let mut bytes = format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or("")).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// A response whose `content-length` is right.
pub fn respond(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len().to_string();
    let mut all = headers.to_vec();
    all.push(("content-length", &length));
    let mut bytes = head(status, &all);
    bytes.extend_from_slice(body);
    bytes
}

/// A 200 with this body.
pub fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    respond(200, &[], body)
}

/// A 200 in chunked coding: a chunk for each piece, then the trailers.
pub fn chunked<P: AsRef<[u8]>>(pieces: &[P], trailers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = head(200, &[("transfer-encoding", "chunked")]);
    for piece in pieces {
        bytes.extend_from_slice(&chunk(piece));
    }
    bytes.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// One chunk: its size, its data. An empty one would end the body (RFC 9112 section 7.1), so it
/// comes out as nothing at all.
pub fn chunk(data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    if data.is_empty() {
        return Vec::new();
    }
    let mut bytes = format!("{:x}\r\n", data.len()).into_bytes();
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(b"\r\n");
    bytes
}
