//! The chunked transfer coding (RFC 9112 section 7.1).
//!
//! `httparse` reads the size. Before that, a line must be whole, begin with a digit and end with
//! CR LF, since `httparse` takes an empty line for the last chunk, and a lone LF for part of an
//! extension. Where two readers differ, an attacker can smuggle a message past one of them.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::{Limits, head, take};
use crate::Error;

/// The most digits of a size.
const DIGITS: usize = 16;

/// One part of a chunked body.
pub(super) enum Piece {
    Data(Bytes),
    End(Option<HeaderMap>),
}

/// Removes the chunked coding.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of size lines beyond the chunks' data: see [`Limits::CHUNK_OVERHEAD`].
    overhead: usize,
}

#[derive(Debug)]
enum State {
    Size,
    Data {
        left: u64,
    },
    /// The CR LF after a chunk's data.
    DataEnd,
    /// After the last chunk: either its empty line, or trailers.
    Last,
    /// Trailers. This many of their bytes are known to hold no end.
    Trailers {
        scanned: usize,
    },
}

impl Chunked {
    pub(super) fn new() -> Self {
        Chunked { state: State::Size, overhead: 0 }
    }

    /// The next piece, or `None` if more bytes are needed for one.
    pub(super) fn decode(
        &mut self,
        buffer: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Option<Piece>, Error> {
        loop {
            match &mut self.state {
                State::Size => match self.take_size(buffer)? {
                    None => return Ok(None),
                    Some(0) => self.state = State::Last,
                    Some(left) => self.state = State::Data { left },
                },
                State::Data { left: 0 } => self.state = State::DataEnd,
                State::Data { left } => {
                    let Some(piece) = take(buffer, *left) else { return Ok(None) };
                    *left -= piece.len() as u64;
                    return Ok(Some(Piece::Data(piece)));
                }
                State::DataEnd => match buffer[..] {
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(None),
                    _ => return Err(Error::protocol("expected CR LF after a chunk's data")),
                },
                State::Last => match head::take_empty_line(buffer) {
                    None => return Ok(None),
                    Some(true) => return Ok(Some(Piece::End(None))),
                    Some(false) => self.state = State::Trailers { scanned: 0 },
                },
                State::Trailers { scanned } => {
                    let end = head::find_end(buffer, scanned);
                    if end.unwrap_or(buffer.len()) > limits.head {
                        let limit = limits.head as u64;
                        return Err(Error::TooLarge { what: "trailers in bytes", limit });
                    }
                    let Some(end) = end else { return Ok(None) };
                    let block = buffer.split_to(end).freeze();
                    let trailers = head::parse_trailers(block, limits.headers)?;
                    return Ok(Some(Piece::End(Some(trailers))));
                }
            }
        }
    }

    /// The size of the next chunk, if its line is whole.
    fn take_size(&mut self, buffer: &mut BytesMut) -> Result<Option<u64>, Error> {
        const BAD: &str = "expected a chunk size in hexadecimal digits, ended by CR LF";
        if !buffer.first().is_none_or(u8::is_ascii_hexdigit) {
            return Err(Error::protocol(BAD));
        }
        let window = &buffer[..buffer.len().min(Limits::CHUNK_LINE)];
        let Some(end) = memchr::memchr(b'\n', window) else {
            if window.len() == Limits::CHUNK_LINE {
                let limit = Limits::CHUNK_LINE as u64;
                return Err(Error::TooLarge { what: "size line of a chunk in bytes", limit });
            }
            return Ok(None);
        };
        let line = &buffer[..=end];
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        // `httparse` takes no more digits than that, even if they are zeros.
        let (surplus, rest) = line.split_at(digits.saturating_sub(DIGITS));
        let size = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((length, size)))
                if length == rest.len() && surplus.iter().all(|digit| *digit == b'0') =>
            {
                size
            }
            _ => return Err(Error::protocol(BAD)),
        };
        // Extensions, blanks, and zeros that no size needs.
        let extra = line.len() - digits.min(DIGITS) - 2;
        self.charge(extra, size)?;
        buffer.advance(end + 1);
        Ok(Some(size))
    }

    /// Counts the bytes of a size line that are not its size. A chunk allows as many of them as it
    /// has data. A later chunk cannot use what one leaves: otherwise one long chunk would allow a
    /// million extensions of short ones.
    fn charge(&mut self, extra: usize, size: u64) -> Result<(), Error> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let paid = size.saturating_add(Limits::CHUNK_LINE_FREE);
        self.overhead = (self.overhead + extra).saturating_sub(paid);
        if self.overhead > Limits::CHUNK_OVERHEAD {
            let limit = Limits::CHUNK_OVERHEAD as u64;
            return Err(Error::TooLarge {
                what: "chunk extensions beyond the data in bytes",
                limit,
            });
        }
        Ok(())
    }
}
