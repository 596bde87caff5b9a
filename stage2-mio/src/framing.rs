//! Bytes to messages and back, on a socket that may stop at any byte.
//!
//! Its rules:
//! - readiness comes as an edge: the loop hears of it once. So it is remembered here, and
//!   forgotten only when the socket says `WouldBlock`, or gives less than was asked for: then it
//!   has no more, and will say so again when it has. That saves one call per response;
//! - a peer that has hung up sends no further edge. Then a short read proves nothing, and one
//!   reads on to the end;
//! - input is read into the loop's one buffer and appended here, so that a connection that waits
//!   owns no buffer.

use std::io::{self, IoSlice, Read, Write};

use bytes::BytesMut;
use client_core::{
    Decoder, Error, Outgoing,
    decode::{Event, KeepAlive, Limits},
    io_model,
};
use http::Method;

/// What the loop was told about a socket, or what is remembered of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer sends nothing more, or the socket has failed.
    pub(crate) hung_up: bool,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// This many bytes.
    Bytes(usize),
    /// Nothing now.
    Blocked,
    /// The end.
    End,
}

/// On epoll and kqueue a socket that gave less than was asked for is empty, and makes an edge when
/// it no longer is. On Windows mio watches it again only after a `WouldBlock`.
const SHORT_READ_IS_LAST: bool = cfg!(unix);

#[derive(Debug)]
pub(crate) struct Framing {
    /// The connection's number, for the recordings.
    number: u64,
    /// What has not been used up of what the loop told.
    readiness: Readiness,
    /// Received, and not yet a whole event.
    input: BytesMut,
    /// The response that is being received.
    decoder: Decoder,
    /// Bytes of the request that the kernel has taken.
    written: usize,
    /// A byte of the response has come.
    answered: bool,
}

impl Framing {
    /// For a socket that was just connected, of which the loop was told this.
    pub(crate) fn new(number: u64, told: Readiness, limits: Limits) -> Self {
        Framing {
            number,
            readiness: Readiness { writable: true, ..told },
            input: BytesMut::new(),
            decoder: Decoder::new(&Method::GET, limits),
            written: 0,
            answered: false,
        }
    }

    /// Prepares for the next exchange.
    pub(crate) fn begin(&mut self, method: &Method, limits: Limits) {
        self.decoder = Decoder::new(method, limits);
        self.written = 0;
        self.answered = false;
    }

    /// Gives the buffer back, since the connection may now wait for long.
    pub(crate) fn rest(&mut self) {
        self.input = BytesMut::new();
    }

    /// Remembers what the loop was told.
    pub(crate) fn note(&mut self, told: Readiness) {
        self.readiness.readable |= told.readable;
        self.readiness.writable |= told.writable;
        self.readiness.hung_up |= told.hung_up;
    }

    pub(crate) fn readiness(&self) -> Readiness {
        self.readiness
    }

    /// Bytes of the request that the kernel has taken.
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    /// Whether a byte of the response has come.
    pub(crate) fn answered(&self) -> bool {
        self.answered
    }

    /// Whether bytes are left over.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Writes as much of a request as the socket takes.
    ///
    /// # Errors
    ///
    /// The socket's. `WouldBlock` is none: it is remembered.
    pub(crate) fn write(&mut self, to: &mut impl Write, request: &Outgoing) -> io::Result<()> {
        while self.readiness.writable && self.written < request.len() {
            match to.write_vectored(&request.rest(self.written).map(IoSlice::new)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    io_model!(write, connection = self.number, bytes = n);
                    self.written += n;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        io_model!(would_block, connection = self.number, direction = "write");
                        self.readiness.writable = false;
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Reads once, through the loop's buffer.
    ///
    /// # Errors
    ///
    /// The socket's. `WouldBlock` is none: it is remembered.
    pub(crate) fn read(
        &mut self,
        from: &mut impl Read,
        buffer: &mut [u8],
    ) -> io::Result<Input> {
        loop {
            match from.read(buffer) {
                Ok(0) => return Ok(Input::End),
                Ok(n) => {
                    io_model!(read, connection = self.number, bytes = n);
                    self.input.extend_from_slice(&buffer[..n]);
                    self.answered = true;
                    let short = n < buffer.len() && !self.readiness.hung_up;
                    self.readiness.readable = !(short && SHORT_READ_IS_LAST);
                    return Ok(Input::Bytes(n));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        io_model!(would_block, connection = self.number, direction = "read");
                        self.readiness.readable = false;
                        return Ok(Input::Blocked);
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    /// The next event of the response, if it is whole.
    ///
    /// # Errors
    ///
    /// [`Decoder::decode`]'s.
    pub(crate) fn decode(&mut self) -> Result<Option<Event>, Error> {
        self.decoder.decode(&mut self.input)
    }

    /// Whether the end of the input is the end of the response.
    ///
    /// # Errors
    ///
    /// [`Decoder::eof`]'s.
    pub(crate) fn eof(&mut self) -> Result<(), Error> {
        self.decoder.eof(&self.input)
    }

    /// What the peer said about the next exchange, once this one is whole: [`Decoder::keep_alive`].
    pub(crate) fn keep_alive(&self) -> Option<KeepAlive> {
        self.decoder.keep_alive()
    }
}
