//! Bytes to messages and back, on a socket that may stop at any byte.
//!
//! Its rules:
//! - readiness comes as an edge: the loop hears of it once. So it is remembered here, and
//!   forgotten only when the socket says `WouldBlock`, or gives less than was asked for: then it
//!   has no more, and will say so again when it has. That saves one call per response;
//! - what an operation waits for that said `WouldBlock` is recorded, since it need not be what its
//!   name says: under TLS a read may wait to write, and a write to read. Without the record the
//!   one would be tried again at the wrong event, and then never;
//! - a peer that has hung up sends no further edge. Then a short read proves nothing, and one
//!   reads on to the end;
//! - input is read into the loop's one buffer and appended here, so that a connection that waits
//!   owns no buffer.

use std::io::{self, IoSlice};

use bytes::BytesMut;
use client_core::{
    Decoder, Error, Outgoing,
    decode::{Event, KeepAlive, Limits},
    io_model,
};
use http::Method;

use crate::transport::{Blocked, Transport};

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

impl Readiness {
    /// Adds what was told later.
    pub(crate) fn add(&mut self, told: Readiness) {
        self.readable |= told.readable;
        self.writable |= told.writable;
        self.hung_up |= told.hung_up;
    }
}

#[derive(Debug)]
pub(crate) struct Framing {
    /// The connection's number, for the recordings.
    number: u64,
    /// What has not been used up of what the loop told.
    readiness: Readiness,
    /// What the next read waits for: the record that the last one has left.
    read_on: Blocked,
    /// What the next write waits for. If that is to read, a read lifts it.
    write_on: Blocked,
    /// Received, and not yet a whole event.
    input: BytesMut,
    /// The response that is being received.
    decoder: Decoder,
    /// Bytes of the request that the transport has taken.
    written: usize,
    /// It has taken them all, and holds nothing back.
    sent: bool,
    /// Bytes of the response that have come.
    received: u64,
}

impl Framing {
    /// For a socket that was just connected, and so has room to write.
    pub(crate) fn new(number: u64, limits: Limits) -> Self {
        Framing {
            number,
            readiness: Readiness { writable: true, ..Readiness::default() },
            read_on: Blocked::Read,
            write_on: Blocked::Write,
            input: BytesMut::new(),
            decoder: Decoder::new(&Method::GET, limits),
            written: 0,
            sent: false,
            received: 0,
        }
    }

    /// Prepares for the next exchange.
    pub(crate) fn begin(&mut self, method: &Method, limits: Limits) {
        self.decoder = Decoder::new(method, limits);
        self.written = 0;
        self.sent = false;
        self.received = 0;
    }

    /// Gives the buffer back, since the connection may now wait for long.
    pub(crate) fn rest(&mut self) {
        self.input = BytesMut::new();
    }

    /// Remembers what the loop was told.
    pub(crate) fn note(&mut self, told: Readiness) {
        self.readiness.add(told);
    }

    /// Whether a read may bring anything.
    pub(crate) fn may_read(&self) -> bool {
        match self.read_on {
            Blocked::Read => self.readiness.readable,
            Blocked::Write => self.readiness.writable,
            Blocked::Either => self.readiness.readable || self.readiness.writable,
        }
    }

    /// Whether a write may bring anything out.
    pub(crate) fn may_write(&self) -> bool {
        self.write_on != Blocked::Read && self.readiness.writable
    }

    /// Bytes of the request that the transport has taken.
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    /// Whether the request is out: the transport has taken it all, and holds nothing back.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent
    }

    /// Bytes of the response that have come.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Drops what is left over.
    pub(crate) fn discard(&mut self) {
        self.input.clear();
    }

    /// Whether bytes are left over.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Writes as much of a request as the socket takes.
    ///
    /// # Errors
    ///
    /// The transport's. `WouldBlock` is none: it is recorded.
    pub(crate) fn write<T: Transport>(
        &mut self,
        to: &mut T,
        request: &Outgoing,
    ) -> io::Result<()> {
        while self.may_write() && self.written < request.len() {
            match to.send(&request.rest(self.written).map(IoSlice::new)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    io_model!(write, connection = self.number, bytes = n);
                    self.written += n;
                }
                Err(error) => self.write_failed(error, to)?,
            }
        }
        if self.written == request.len() {
            self.sent |= self.flush(to)?;
        }
        Ok(())
    }

    /// Sends what the transport holds back, asked for or not; whether all of it is out.
    ///
    /// # Errors
    ///
    /// The transport's. `WouldBlock` is none: it is recorded.
    pub(crate) fn flush<T: Transport>(&mut self, to: &mut T) -> io::Result<bool> {
        while self.may_write() {
            match to.flush() {
                Ok(()) => return Ok(true),
                Err(error) => self.write_failed(error, to)?,
            }
        }
        Ok(false)
    }

    /// Records what a write waits for, if that is why it failed.
    fn write_failed<T: Transport>(&mut self, error: io::Error, to: &T) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::WouldBlock => {
                self.write_on = to.blocked().unwrap_or(Blocked::Write);
                self.would_block("write", self.write_on);
                // What there is to read is for a read to find out.
                self.readiness.writable &= self.write_on == Blocked::Read;
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Reads once, through the loop's buffer.
    ///
    /// # Errors
    ///
    /// The transport's. `WouldBlock` is none: it is recorded.
    pub(crate) fn read<T: Transport>(
        &mut self,
        from: &mut T,
        buffer: &mut [u8],
    ) -> io::Result<Input> {
        loop {
            let result = from.read(buffer);
            self.lift_write();
            match result {
                Ok(0) => return Ok(Input::End),
                Ok(n) => {
                    io_model!(read, connection = self.number, bytes = n);
                    self.input.extend_from_slice(&buffer[..n]);
                    self.received += n as u64;
                    self.read_on = Blocked::Read;
                    let short = n < buffer.len() && !self.readiness.hung_up;
                    self.readiness.readable = !(short && from.short_read_is_last());
                    return Ok(Input::Bytes(n));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        self.read_on = from.blocked().unwrap_or(Blocked::Read);
                        self.would_block("read", self.read_on);
                        self.readiness.readable &= self.read_on == Blocked::Write;
                        self.readiness.writable &= self.read_on == Blocked::Read;
                        return Ok(Input::Blocked);
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    /// A read was made: a write that waits for one may be tried again, whatever came of it.
    fn lift_write(&mut self) {
        if self.write_on != Blocked::Write {
            self.write_on = Blocked::Write;
            self.readiness.writable = true;
        }
    }

    fn would_block(&self, direction: &'static str, on: Blocked) {
        io_model!(would_block, connection = self.number, direction);
        match (direction, on) {
            ("read", Blocked::Read) | ("write", Blocked::Write) => {}
            _ => io_model!(blocked_on, connection = self.number, direction, why = on.as_str()),
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
