//! A request as it was received.

use std::{fmt, io};

/// The most fields that are accepted in a request's head.
const MAX_FIELDS: usize = 128;

/// The raw bytes of one request; what stands in them is looked up when it is asked for, so that a
/// request costs a server under load one allocation.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Which connection brought it, counted from 0.
    pub connection: usize,
    /// Which request of its connection it is, counted from 0.
    pub index: usize,
    /// The head as it came, its empty line included.
    pub head: Vec<u8>,
    /// The body, if [`Connection::request`](super::Connection::request) read it.
    pub body: Vec<u8>,
}

impl Request {
    /// The method; empty only for a request that was not read by a [`Connection`](super::Connection).
    pub fn method(&self) -> &str {
        self.start_line(0)
    }

    /// The request target, usually a path.
    pub fn target(&self) -> &str {
        self.start_line(1)
    }

    /// The value of the first field of this name, whose case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All fields in the order in which they came. A value that is no UTF-8 shows as empty.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut lines = self.head.split(|byte| *byte == b'\n');
        lines.next();
        lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            Some((text(name), text(value).trim()))
        })
    }

    /// The length of the body, as the head announces it.
    ///
    /// # Errors
    ///
    /// `InvalidData` for a `content-length` that is no number, and for a `transfer-encoding`: the
    /// clients of this workspace send none (decision: bodies are whole before they are sent).
    pub fn content_length(&self) -> io::Result<usize> {
        if let Some(coding) = self.header("transfer-encoding") {
            return Err(invalid(format!("expected a content-length, found coding {coding:?}")));
        }
        match self.header("content-length") {
            None => Ok(0),
            Some(digits) => digits.parse().map_err(|_| {
                invalid(format!("expected a number as content-length: {digits:?}"))
            }),
        }
    }

    fn start_line(&self, word: usize) -> &str {
        let line = self.head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        text(line.split(|byte| *byte == b' ').nth(word).unwrap_or_default())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method(), self.target())?;
        if !self.body.is_empty() {
            write!(f, " with {} bytes", self.body.len())?;
        }
        Ok(())
    }
}

/// The length of the head at the start of `bytes`, once it is whole.
///
/// # Errors
///
/// `InvalidData` if it can never become the head of a request.
pub(super) fn head_length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match httparse::Request::new(&mut fields).parse(bytes) {
        Ok(httparse::Status::Complete(length)) => Ok(Some(length)),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(error) => Err(invalid(format!(
            "expected a request's head ({error}): {:?}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(300)])
        ))),
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
