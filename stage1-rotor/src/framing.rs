//! Bytes to and from a socket that is ready or not: the read buffer, partial writes, the memory of
//! readiness, and the record of what blocked.
//!
//! Its rules:
//! - the loop says once that a socket has become ready ("edge-triggered"). That is remembered here
//!   and forgotten only when the transport says `WouldBlock`, or after a short read: what comes
//!   later is a new edge. With a hang-up there may be no later edge, so then a short read proves
//!   nothing;
//! - what an operation waits for that said `WouldBlock` is recorded, since it need not be what its
//!   name says: under TLS a read may wait to write, and a write to read. Without the record the
//!   one would be tried again at the wrong event, and then never;
//! - one initialised buffer per loop is read into, and what came is appended: an idle connection
//!   owns no buffer at all.

use std::io::{self, IoSlice};

use bytes::BytesMut;
use client_core::{Outgoing, io_model};

use crate::transport::{Blocked, Readiness, Transport};

/// How much is read at once.
pub(crate) const READ_SIZE: usize = 16 * 1024;

/// What lies between a socket and its messages.
pub(crate) struct Framing {
    /// Whose this is, for recordings.
    connection: u64,
    /// What was read and is not yet a whole event of the decoder.
    pub(crate) buffer: BytesMut,
    /// What the socket can do, as far as is known.
    ready: Readiness,
    /// What the next read waits for: the record that the last one has left.
    read_on: Blocked,
    /// What the next write waits for. If that is to read, a read lifts it.
    write_on: Blocked,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// This many bytes.
    Bytes(usize),
    /// Nothing now: an edge will come.
    Blocked,
    /// The peer has ended its side.
    End,
}

impl Framing {
    /// `ready` is what the loop has said about the socket so far.
    pub(crate) fn new(connection: u64, ready: Readiness) -> Self {
        Framing {
            connection,
            buffer: BytesMut::new(),
            ready,
            read_on: Blocked::Read,
            write_on: Blocked::Write,
        }
    }

    /// Remembers what has become possible.
    pub(crate) fn ready(&mut self, event: Readiness) {
        self.ready.add(event);
    }

    /// Whether a read might bring something.
    pub(crate) fn may_read(&self) -> bool {
        match self.read_on {
            Blocked::Read => self.ready.readable,
            Blocked::Write => self.ready.writable,
            Blocked::Either => self.ready.readable || self.ready.writable,
        }
    }

    /// Whether a write might bring something out.
    pub(crate) fn may_write(&self) -> bool {
        self.write_on != Blocked::Read && self.ready.writable
    }

    /// Whether the peer has ended its side, though its last bytes may still have to be read.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.ready.hup
    }

    /// Writes what is left of a request, head and body in one call, for as long as the transport
    /// takes it. Answers whether all of it is out.
    ///
    /// # Errors
    ///
    /// The transport's. `WouldBlock` is none: it is recorded.
    pub(crate) fn write<T: Transport>(
        &mut self,
        io: &mut T,
        outgoing: &Outgoing,
        written: &mut usize,
    ) -> io::Result<bool> {
        while *written < outgoing.len() {
            if !self.may_write() {
                return Ok(false);
            }
            match io.write_vectored(&outgoing.rest(*written).map(IoSlice::new)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    io_model!(write, connection = self.connection, bytes = count);
                    *written += count;
                }
                Err(error) => self.write_failed(error, io)?,
            }
        }
        self.flush(io)
    }

    /// Sends what the transport holds back, asked for or not. Answers whether all of it is out.
    ///
    /// # Errors
    ///
    /// The transport's. `WouldBlock` is none: it is recorded.
    pub(crate) fn flush<T: Transport>(&mut self, io: &mut T) -> io::Result<bool> {
        while self.may_write() {
            match io.flush() {
                Ok(()) => return Ok(true),
                Err(error) => self.write_failed(error, io)?,
            }
        }
        Ok(false)
    }

    /// Records what a write waits for, if that is why it failed.
    fn write_failed<T: Transport>(&mut self, error: io::Error, io: &T) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::WouldBlock => {
                self.write_on = io.blocked().unwrap_or(Blocked::Write);
                self.would_block("write", Blocked::Write, self.write_on);
                // Whether there is something to read is for a read to find out.
                self.ready.writable &= self.write_on == Blocked::Read;
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Reads once, through the loop's buffer `scratch`.
    ///
    /// # Errors
    ///
    /// The transport's. `WouldBlock` is none: it is recorded.
    pub(crate) fn read<T: Transport>(
        &mut self,
        io: &mut T,
        scratch: &mut [u8],
    ) -> io::Result<Input> {
        loop {
            let result = io.read(scratch);
            self.lift_write();
            match result {
                Ok(0) => return Ok(Input::End),
                Ok(count) => {
                    io_model!(read, connection = self.connection, bytes = count);
                    self.buffer.extend_from_slice(&scratch[..count]);
                    self.read_on = Blocked::Read;
                    let short = count < scratch.len() && !self.ready.hup;
                    self.ready.readable = !(short && io.short_read_is_last());
                    return Ok(Input::Bytes(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.read_on = io.blocked().unwrap_or(Blocked::Read);
                    self.would_block("read", Blocked::Read, self.read_on);
                    self.ready.readable &= self.read_on == Blocked::Write;
                    self.ready.writable &= self.read_on == Blocked::Read;
                    return Ok(Input::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A read was made: a write that waits for one may be tried again, whatever came of it.
    fn lift_write(&mut self) {
        if self.write_on != Blocked::Write {
            self.write_on = Blocked::Write;
            self.ready.writable = true;
        }
    }

    /// Tells the recording what an operation waits for, above all if that is not its own kind.
    fn would_block(&self, direction: &'static str, own: Blocked, on: Blocked) {
        io_model!(would_block, connection = self.connection, direction);
        if on != own {
            let why = on.as_str();
            io_model!(blocked_on, connection = self.connection, direction, why);
        }
    }
}
