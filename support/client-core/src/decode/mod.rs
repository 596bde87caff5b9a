//! The bytes of a response, as events, without I/O (RFC 9112 sections 4 to 8).
//!
//! A [`Decoder`] serves one exchange. The owner of the socket appends what it read to a buffer, and
//! calls [`Decoder::decode`] until that returns `None`. The buffer keeps what is not yet a whole
//! event. When the peer ends the connection, [`Decoder::eof`] says whether that ended the body.
//!
//! Its rules:
//! - how the input is cut into pieces changes neither events nor errors. Only the pieces of the
//!   body may be other ones, with the same bytes;
//! - everything that a peer controls has a limit;
//! - what two readers could understand differently is an error.

mod chunked;
mod head;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Version};

use self::{chunked::Chunked, head::Parsed};
use crate::{Config, Error};

pub use self::head::KeepAlive;

/// One part of a response.
#[derive(Debug)]
pub enum Event {
    /// The head of the final response; 1xx responses before it are skipped.
    Head(Head),
    /// Bytes of the body, transfer coding taken off.
    Data(Bytes),
    /// The response is whole. Trailers, if it had any (RFC 9112 section 7.1.2).
    End(Option<HeaderMap>),
}

/// The head of a response.
#[derive(Debug)]
pub struct Head {
    /// The status code.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The fields, in the order in which they came.
    pub headers: HeaderMap,
    /// How the end of the body is found.
    pub length: BodyLength,
}

/// How the end of a body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// After this many bytes; 0 also where the method or the status rules a body out.
    Exact(u64),
    /// After the last chunk and its trailers.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// The limits that a decoder keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a head, of all 1xx heads before it together, and of a trailer section.
    pub head: usize,
    /// Fields of a head, and of a trailer section: at most [`Limits::MOST_HEADERS`].
    pub headers: usize,
    /// Bytes of a body, if there is a limit.
    pub body: Option<u64>,
}

impl Limits {
    /// The most fields. They are parsed on the stack.
    pub const MOST_HEADERS: usize = 256;
    /// Bytes of one chunk's size line with its extensions. A line is buffered until it is whole.
    pub const CHUNK_LINE: usize = 4 * 1024;
    /// Bytes of a size line, besides the size, that are always allowed. Servers pad sizes with
    /// blanks.
    pub const CHUNK_LINE_FREE: usize = 16;
    /// Bytes by which size lines may exceed the data that comes with them. Extensions mean nothing
    /// to this client, so a peer that sends more extensions than data wastes the client's time. Size
    /// lines have no limit for the whole body, since a long body has many of them.
    pub const CHUNK_OVERHEAD: usize = 16 * 1024;
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Limits {
            head: config.max_head,
            headers: config.max_headers.min(Limits::MOST_HEADERS),
            body: config.max_body,
        }
    }
}

/// Turns the bytes of one response into events.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// The response to HEAD has no body, whatever its fields say.
    head_request: bool,
    /// What comes next.
    state: State,
    /// Bytes of 1xx responses so far.
    informational: usize,
    /// Bytes of the body so far, for `limits.body`.
    received: u64,
    /// Whether, and how long, the connection may serve another exchange.
    keep_alive: Option<KeepAlive>,
}

#[derive(Debug)]
enum State {
    /// A head. This many of its bytes are known to hold no end.
    Head {
        scanned: usize,
    },
    Exact {
        left: u64,
    },
    Chunked(Chunked),
    UntilClose,
    /// The body has reached its limit, and more has come.
    Exceeded(Error),
    Done,
}

impl Decoder {
    /// A decoder for the response to a request with this method.
    pub fn new(method: &Method, limits: Limits) -> Self {
        Decoder {
            limits,
            head_request: method == Method::HEAD,
            state: State::Head { scanned: 0 },
            informational: 0,
            received: 0,
            keep_alive: None,
        }
    }

    /// Takes the next event out of `buffer`, or `None` if more bytes are needed for one, or if the
    /// response is whole.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] and [`Error::TooLarge`]; the decoder is of no use afterwards.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, Error> {
        match &mut self.state {
            State::Head { .. } => self.decode_head(buffer),
            State::Exact { left: 0 } => Ok(self.end(None)),
            State::Exact { left } => {
                let Some(piece) = take(buffer, *left) else { return Ok(None) };
                *left -= piece.len() as u64;
                Ok(Some(Event::Data(piece)))
            }
            State::Chunked(chunked) => match chunked.decode(buffer, &self.limits)? {
                None => Ok(None),
                Some(chunked::Piece::Data(piece)) => self.count(piece),
                Some(chunked::Piece::End(trailers)) => Ok(self.end(trailers)),
            },
            State::UntilClose => match take(buffer, u64::MAX) {
                None => Ok(None),
                Some(piece) => self.count(piece),
            },
            State::Exceeded(error) => Err(error.clone()),
            State::Done => Ok(None),
        }
    }

    /// The peer ended the connection, and `decode` has taken from `buffer` all that it could.
    /// `Ok` if that was the end of the body, which then is whole.
    ///
    /// # Errors
    ///
    /// [`Error::ClosedEarly`] that says what was still to come.
    pub fn eof(&mut self, buffer: &BytesMut) -> Result<(), Error> {
        let expected = match self.state {
            State::UntilClose | State::Done | State::Exact { left: 0 } => {
                self.state = State::Done;
                return Ok(());
            }
            State::Head { .. } if buffer.is_empty() && self.informational == 0 => {
                "expected a response, no byte of it came"
            }
            State::Head { .. } => "expected the rest of the response's head",
            State::Exact { .. } => "expected the rest of the body, as content-length says",
            State::Chunked(_) => "expected the rest of the chunked body",
            State::Exceeded(ref error) => return Err(error.clone()),
        };
        Err(Error::ClosedEarly { expected, source: None })
    }

    /// Whether the response is whole.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether the head of the final response has come.
    pub fn has_head(&self) -> bool {
        !matches!(self.state, State::Head { .. })
    }

    /// Whether the connection may serve another exchange, once the response is whole, and what the
    /// server said about how long. `None`: the server asked for its end, or nothing else marks the
    /// end of the body.
    pub fn keep_alive(&self) -> Option<KeepAlive> {
        self.keep_alive.filter(|_| self.is_done())
    }

    fn decode_head(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, Error> {
        loop {
            let State::Head { scanned } = &mut self.state else { return Ok(None) };
            let Some(block) = head::take_block(buffer, scanned, self.limits.head)? else {
                return Ok(None);
            };
            let bytes = block.len();
            let parsed = head::parse(block, self.limits.headers)?;
            if parsed.status.is_informational() {
                self.skip(&parsed, bytes)?;
                continue;
            }
            let length = parsed.body_length(self.head_request)?;
            self.keep_alive = parsed.keep_alive(length);
            self.state = match length {
                BodyLength::Exact(left) => State::Exact { left },
                BodyLength::Chunked => State::Chunked(Chunked::new()),
                BodyLength::UntilClose => State::UntilClose,
            };
            if let BodyLength::Exact(length) = length {
                self.check_body(length)?;
            }
            let Parsed { status, version, headers } = parsed;
            return Ok(Some(Event::Head(Head { status, version, headers, length })));
        }
    }

    /// A 1xx response is no answer (RFC 9110 section 15.2), but 101 would change the protocol, and
    /// this client never asks for that.
    ///
    /// The limit is on bytes and not on a number: a server may report the progress of a long upload
    /// with any number of short 1xx responses.
    fn skip(&mut self, parsed: &Parsed, bytes: usize) -> Result<(), Error> {
        if parsed.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::protocol("101 Switching Protocols, which was not asked for"));
        }
        self.informational += bytes;
        if self.informational > self.limits.head {
            let limit = self.limits.head as u64;
            return Err(Error::TooLarge { what: "1xx responses in bytes", limit });
        }
        self.state = State::Head { scanned: 0 };
        Ok(())
    }

    /// Counts a piece whose body announced no length. What fits under the limit is delivered before
    /// the error, so that this too does not depend on how the input was cut.
    fn count(&mut self, mut piece: Bytes) -> Result<Option<Event>, Error> {
        let before = self.received;
        self.received += piece.len() as u64;
        if let Err(error) = self.check_body(self.received) {
            let fits = self.limits.body.map_or(0, |limit| limit - before);
            piece.truncate(usize::try_from(fits).unwrap_or(usize::MAX));
            if piece.is_empty() {
                return Err(error);
            }
            self.state = State::Exceeded(error);
        }
        Ok(Some(Event::Data(piece)))
    }

    fn check_body(&self, length: u64) -> Result<(), Error> {
        match self.limits.body {
            Some(limit) if length > limit => Err(Error::TooLarge { what: "body", limit }),
            _ => Ok(()),
        }
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Option<Event> {
        self.state = State::Done;
        Some(Event::End(trailers))
    }
}

/// At most `most` bytes off the front of the buffer, without copying; `None` if it is empty.
fn take(buffer: &mut BytesMut, most: u64) -> Option<Bytes> {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
    (length > 0).then(|| buffer.split_to(length).freeze())
}
