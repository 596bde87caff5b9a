//! Bytes to messages and back, on a socket that may stop at any byte.
//!
//! Its rules:
//! - readiness is edge-triggered: the kernel reports it once. So it is remembered here until the
//!   socket returns `WouldBlock`, or fewer bytes than the buffer has room for. The socket is then
//!   empty, and its next byte is a new event. Without this rule each response would cost a second
//!   read;
//! - an operation that returned `WouldBlock` records which readiness it waits for. Under TLS a read
//!   may wait until the socket is writable, and a write until it is readable. Without the record it
//!   would be tried again at the wrong event, and then never;
//! - a peer that has hung up causes no further event. A short read then proves nothing, and reading
//!   continues to the end;
//! - the socket is read into the loop's buffer, and what came is appended to `input`. So a
//!   connection that waits owns no buffer.

use std::io::{self, IoSlice};

use bytes::BytesMut;
use client_core::{
    Decoder, Error, Outgoing, Reply, Responder,
    decode::{KeepAlive, Limits},
    io_model,
};
use http::Method;

use crate::transport::{Blocked, Transport};

/// What a socket is ready for, as far as the loop knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer will send nothing more, or the socket has failed.
    pub(crate) hung_up: bool,
}

/// What a read returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// This many bytes.
    Bytes(usize),
    /// Nothing yet.
    Blocked,
    /// The end of the stream.
    End,
}

impl Readiness {
    /// Adds what a later event reported.
    pub(crate) fn add(&mut self, later: Readiness) {
        self.readable |= later.readable;
        self.writable |= later.writable;
        self.hung_up |= later.hung_up;
    }
}

#[derive(Debug)]
pub(crate) struct Framing {
    /// The connection's number, for the recordings.
    number: u64,
    /// What the socket is ready for and has not been used up.
    readiness: Readiness,
    /// Which readiness the next read waits for.
    read_on: Blocked,
    /// Which readiness the next write waits for. If it is that to read, any read resets it.
    write_on: Blocked,
    /// What was received and is not decoded.
    input: BytesMut,
    decoder: Decoder,
    /// Bytes of the request that the transport has taken.
    written: usize,
    /// The transport has taken the whole request, and holds nothing back.
    sent: bool,
    /// Bytes that came since the request was started.
    received: u64,
}

impl Framing {
    /// For a socket that has just connected, and so is writable.
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

    /// Frees the buffer, since the connection may be idle for long.
    pub(crate) fn free_buffer(&mut self) {
        self.input = BytesMut::new();
    }

    /// Remembers what an event reported.
    pub(crate) fn note(&mut self, readiness: Readiness) {
        self.readiness.add(readiness);
    }

    /// Whether a read may return something.
    pub(crate) fn may_read(&self) -> bool {
        match self.read_on {
            Blocked::Read => self.readiness.readable,
            Blocked::Write => self.readiness.writable,
            Blocked::Either => self.readiness.readable || self.readiness.writable,
        }
    }

    /// Whether a write may send something.
    pub(crate) fn may_write(&self) -> bool {
        self.write_on != Blocked::Read && self.readiness.writable
    }

    /// Bytes of the request that the transport has taken.
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    /// Whether the transport has taken the whole request, and holds nothing back.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent
    }

    /// Bytes that came since the request was started.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Drops what is not decoded.
    pub(crate) fn discard(&mut self) {
        self.input.clear();
    }

    /// Whether bytes are not decoded.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Writes as much of a request as the socket takes.
    ///
    /// # Errors
    ///
    /// The transport's, except for `WouldBlock`, which is recorded.
    pub(crate) fn write<T: Transport>(
        &mut self,
        to: &mut T,
        request: &Outgoing,
    ) -> io::Result<()> {
        while self.may_write() && self.written < request.len() {
            match to.write_vectored(&request.rest(self.written).map(IoSlice::new)) {
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

    /// Sends what the transport holds back, such as an alert of TLS. Returns whether it holds
    /// nothing back any more.
    ///
    /// # Errors
    ///
    /// The transport's, except for `WouldBlock`, which is recorded.
    pub(crate) fn flush<T: Transport>(&mut self, to: &mut T) -> io::Result<bool> {
        while self.may_write() {
            match to.flush() {
                Ok(()) => return Ok(true),
                Err(error) => self.write_failed(error, to)?,
            }
        }
        Ok(false)
    }

    /// Records which readiness a write waits for, if it failed with `WouldBlock`.
    fn write_failed<T: Transport>(&mut self, error: io::Error, to: &T) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::WouldBlock => {
                self.write_on = to.blocked().unwrap_or(Blocked::Write);
                self.would_block("write", self.write_on);
                // A write tells nothing about what there is to read.
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
    /// The transport's, except for `WouldBlock`, which is recorded.
    pub(crate) fn read<T: Transport>(
        &mut self,
        from: &mut T,
        buffer: &mut [u8],
    ) -> io::Result<Input> {
        loop {
            let result = from.read(buffer);
            self.resume_write();
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

    /// After a read, whatever it returned: a write that waited for one can be tried again.
    fn resume_write(&mut self) {
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

    /// Decodes what has come, for this caller: [`Responder::receive`].
    ///
    /// # Errors
    ///
    /// [`Responder::receive`]'s.
    pub(crate) fn receive<R: Reply>(
        &mut self,
        responder: &mut Responder<R>,
    ) -> Result<bool, Error> {
        responder.receive(&mut self.decoder, &mut self.input)
    }

    /// The stream has ended: whether the response ends there too.
    ///
    /// # Errors
    ///
    /// [`Decoder::eof`]'s.
    pub(crate) fn eof(&mut self) -> Result<(), Error> {
        self.decoder.eof(&self.input)
    }

    /// What the peer allows after this exchange: [`Decoder::keep_alive`].
    pub(crate) fn keep_alive(&self) -> Option<KeepAlive> {
        self.decoder.keep_alive()
    }
}
