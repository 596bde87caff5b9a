//! The head of a response: status line and fields (RFC 9112 sections 4 and 5), and what they say
//! about the body (section 6.3) and the connection (section 9.3).

use std::{mem::MaybeUninit, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};

use super::{BodyLength, Limits};
use crate::{
    Error,
    outgoing::{has_token, tokens},
};

/// What a server said about a connection that it keeps open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepAlive {
    /// `Keep-Alive: timeout=N`: the longest time for which the connection may be idle here. That is
    /// N seconds less [`MARGIN`](Self::MARGIN), and never zero.
    pub timeout: Option<Duration>,
    /// `Keep-Alive: max=N`: it will serve this many further requests.
    pub max: Option<u64>,
}

impl KeepAlive {
    /// How much earlier than the server a connection is given up. The server's time starts when the
    /// response leaves it and ends when the next request arrives, and both take time to arrive. A
    /// request that comes too late is lost, and only an idempotent one can be sent again.
    pub const MARGIN: Duration = Duration::from_secs(1);

    /// Subtracts the margin. `None` if nothing is left, so that the connection must not be reused.
    fn with_margin(self) -> Option<Self> {
        let timeout = match self.timeout {
            None => None,
            Some(announced) if announced > Self::MARGIN => Some(announced - Self::MARGIN),
            Some(_) => return None,
        };
        Some(KeepAlive { timeout, ..self })
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// A head, parsed and not yet interpreted.
pub(super) struct Parsed {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
}

/// Takes a whole head out of the buffer, its empty line included.
///
/// A head is parsed once it is whole. So one that comes byte by byte is parsed once, and its errors
/// do not depend on how it was cut. Bytes that cannot begin an HTTP response are refused at once.
pub(super) fn take_block(
    buffer: &mut BytesMut,
    scanned: &mut usize,
    limit: usize,
) -> Result<Option<Bytes>, Error> {
    const START: &[u8] = b"HTTP/1.";
    let known = buffer.len().min(START.len());
    if buffer[..known] != START[..known] {
        return Err(Error::protocol("expected a response that starts with HTTP/1."));
    }
    let end = find_end(buffer, scanned);
    if end.unwrap_or(buffer.len()) > limit {
        return Err(Error::TooLarge { what: "head in bytes", limit: limit as u64 });
    }
    Ok(end.map(|end| buffer.split_to(end).freeze()))
}

/// The index after the empty line. A line may end with LF alone (RFC 9112 section 2.2).
pub(super) fn find_end(buffer: &[u8], scanned: &mut usize) -> Option<usize> {
    for at in memchr::memchr_iter(b'\n', &buffer[*scanned..]) {
        let next = *scanned + at + 1;
        match &buffer[next..] {
            [b'\n', ..] => return Some(next + 1),
            [b'\r', b'\n', ..] => return Some(next + 2),
            _ => {}
        }
    }
    // The last two bytes may be the beginning of the end.
    *scanned = buffer.len().saturating_sub(2);
    None
}

/// Parses a whole head.
pub(super) fn parse(block: Bytes, most: usize) -> Result<Parsed, Error> {
    parse_as("head", block, most)
}

/// Parses the fields after the last chunk, their empty line included.
pub(super) fn parse_trailers(block: Bytes, most: usize) -> Result<HeaderMap, Error> {
    // `httparse` knows of line foldings in a response and nowhere else: so it is given one.
    let response = Bytes::from([b"HTTP/1.1 200\r\n", &block[..]].concat());
    parse_as("trailers", response, most).map(|parsed| parsed.headers)
}

fn parse_as(what: &'static str, block: Bytes, most: usize) -> Result<Parsed, Error> {
    let mut slots = [const { MaybeUninit::uninit() }; Limits::MOST_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let mut rules = httparse::ParserConfig::default();
    rules.allow_obsolete_multiline_headers_in_responses(true);
    let parsed = rules
        .parse_response_with_uninit_headers(&mut response, &block, &mut slots[..most])
        .map_err(|error| broken(what, error, most))?;
    let whole = parsed == httparse::Status::Complete(block.len());
    let (true, Some(version), Some(code)) = (whole, response.version, response.code) else {
        return Err(Error::protocol(format!(
            "malformed {what}: expected one that ends with its empty line"
        )));
    };
    let status = StatusCode::from_u16(code).map_err(|_| {
        Error::protocol(format!("expected a status from 100 to 999, found {code}"))
    })?;
    let version = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let headers = to_map(&block, response.headers)?;
    Ok(Parsed { status, version, headers })
}

fn broken(what: &'static str, error: httparse::Error, most: usize) -> Error {
    match error {
        httparse::Error::TooManyHeaders => {
            Error::TooLarge { what: "number of fields", limit: most as u64 }
        }
        other => Error::protocol(format!("malformed {what}: {other}")),
    }
}

/// The fields as a map whose values are slices of the block.
fn to_map(block: &Bytes, fields: &[httparse::Header<'_>]) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let bad = |_| Error::protocol(format!("malformed field {}", field.name));
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| Error::protocol("malformed field name"))?;
        // A value that spans lines is refused as it is, so only such a value is copied.
        let value = HeaderValue::from_maybe_shared(block.slice_ref(field.value))
            .or_else(|_| HeaderValue::from_bytes(&unfold(field.value)))
            .map_err(bad)?;
        map.append(name, value);
    }
    Ok(map)
}

/// An obsolete line folding becomes one space (RFC 9112 section 5.2: a user agent must do so).
fn unfold(value: &[u8]) -> Vec<u8> {
    let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(&b' ')
}

impl Parsed {
    /// How the end of the body is found: the list of RFC 9112 section 6.3, in its order.
    pub(super) fn body_length(&self, head_request: bool) -> Result<BodyLength, Error> {
        // Item 1: no body, whatever the fields say. Item 2 is about CONNECT, which is never sent.
        if head_request || [204, 304].contains(&self.status.as_u16()) {
            return Ok(BodyLength::Exact(0));
        }
        let transfer = self.headers.get_all(header::TRANSFER_ENCODING);
        if transfer.iter().next().is_some() {
            // Item 3: one of two readers may go by the one field, and one by the other.
            if self.headers.contains_key(header::CONTENT_LENGTH) {
                return Err(Error::protocol("content-length together with transfer-encoding"));
            }
            return self.transfer_coding(tokens(transfer.iter())); // Item 4.
        }
        // Items 5, 6 and 8; item 7 is about requests.
        Ok(self.content_length()?.map_or(BodyLength::UntilClose, BodyLength::Exact))
    }

    /// Only `chunked`, alone. Another coding would have to be decoded, and this client asks for
    /// none (RFC 9112 section 6.1; `identity` is no coding any more).
    fn transfer_coding<'a>(
        &self,
        mut codings: impl Iterator<Item = &'a str>,
    ) -> Result<BodyLength, Error> {
        if self.version == Version::HTTP_10 {
            return Err(Error::protocol("transfer-encoding in an HTTP/1.0 response"));
        }
        match (codings.next(), codings.next()) {
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => {
                Ok(BodyLength::Chunked)
            }
            _ => Err(Error::protocol(
                "expected transfer-encoding to be chunked and nothing else",
            )),
        }
    }

    /// The announced length. Several are one if they agree (RFC 9112 section 6.3, item 5).
    fn content_length(&self) -> Result<Option<u64>, Error> {
        let mut announced = None;
        for value in self.headers.get_all(header::CONTENT_LENGTH) {
            let text = value.to_str().unwrap_or_default();
            for member in text.split(',').map(str::trim) {
                // `u64::from_str` would allow a plus sign.
                let digits = !member.is_empty() && member.bytes().all(|b| b.is_ascii_digit());
                let length = member.parse().ok().filter(|_| digits).ok_or_else(|| {
                    Error::protocol("expected content-length to be a decimal number")
                })?;
                if announced.is_some_and(|before| before != length) {
                    return Err(Error::protocol("two content-lengths that differ"));
                }
                announced = Some(length);
            }
        }
        Ok(announced)
    }

    /// Whether the connection may be kept (RFC 9112 section 9.3).
    pub(super) fn keep_alive(&self, length: BodyLength) -> Option<KeepAlive> {
        let says = |token| has_token(self.headers.get_all(header::CONNECTION), token);
        let kept = match self.version {
            Version::HTTP_10 => says("keep-alive") && !says("close"),
            _ => !says("close"),
        };
        if !kept || length == BodyLength::UntilClose {
            return None;
        }
        self.keep_alive_field().with_margin().filter(|announced| announced.max != Some(0))
    }

    fn keep_alive_field(&self) -> KeepAlive {
        let mut announced = KeepAlive::default();
        for token in tokens(self.headers.get_all(KEEP_ALIVE).iter()) {
            let Some((name, value)) = token.split_once('=') else { continue };
            let Ok(number) = value.trim().parse() else { continue };
            match name.trim().to_ascii_lowercase().as_str() {
                "timeout" => {
                    let (new, before) = (Duration::from_secs(number), announced.timeout);
                    announced.timeout = Some(before.map_or(new, |before| before.min(new)));
                }
                "max" => announced.max = Some(number),
                _ => {}
            }
        }
        announced
    }
}

/// Drops the empty line that alone ends a section without fields, if the buffer starts with it.
/// `None` if more bytes are needed to see that.
pub(super) fn take_empty_line(buffer: &mut BytesMut) -> Option<bool> {
    let length = match buffer[..] {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        [] | [b'\r'] => return None,
        _ => 0,
    };
    buffer.advance(length);
    Some(length > 0)
}
