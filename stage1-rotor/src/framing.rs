//! Between a socket and the messages on it: the read buffer, partial writes, the memory of readiness,
//! and the record of what blocked.
//!
//! Its rules:
//! - the loop reports once that a socket has become ready ("edge-triggered"). The framing remembers
//!   that until the transport returns `WouldBlock`, or until a short read: more bytes are a new
//!   edge. After a hang-up there may be no other edge, so then a short read proves nothing;
//! - an operation that returned `WouldBlock` can wait for the other kind of readiness: under TLS a
//!   read may wait to write, and a write to read. The framing records which. Without the record it
//!   would try the operation at the wrong event, and then never again;
//! - all connections read into one buffer of the loop, and what came is appended to their own. So
//!   an idle connection owns no buffer.

use std::io::{self, IoSlice};

use bytes::BytesMut;
use client_core::{Outgoing, io_model};

use crate::transport::{Blocked, Readiness, Transport};

/// How much is read at once.
pub(crate) const READ_SIZE: usize = 16 * 1024;

/// One connection's bytes, on their way in and out.
pub(crate) struct Framing {
    /// The connection's number, for recordings.
    connection: u64,
    /// Bytes that were read and are not decoded yet.
    pub(crate) buffer: BytesMut,
    /// What the socket is ready for, as far as is known.
    ready: Readiness,
    /// What the next read waits for, as the last one left it.
    read_on: Blocked,
    /// What the next write waits for. If it waits for a read, any read ends that.
    write_on: Blocked,
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// This many bytes.
    Bytes(usize),
    /// Nothing now. An event will follow.
    Blocked,
    /// The end of the stream.
    End,
}

impl Framing {
    /// `ready` is what the loop has reported about the socket so far.
    pub(crate) fn new(connection: u64, ready: Readiness) -> Self {
        Framing {
            connection,
            buffer: BytesMut::new(),
            ready,
            read_on: Blocked::Read,
            write_on: Blocked::Write,
        }
    }

    /// Remembers what the socket has become ready for.
    pub(crate) fn note(&mut self, event: Readiness) {
        self.ready.add(event);
    }

    /// Whether a read may succeed.
    pub(crate) fn may_read(&self) -> bool {
        match self.read_on {
            Blocked::Read => self.ready.readable,
            Blocked::Write => self.ready.writable,
            Blocked::Either => self.ready.readable || self.ready.writable,
        }
    }

    /// Whether a write may succeed.
    pub(crate) fn may_write(&self) -> bool {
        self.write_on != Blocked::Read && self.ready.writable
    }

    /// Writes the rest of a request, head and body in one call, until the transport takes no more.
    /// Returns whether all of it is sent.
    ///
    /// # Errors
    ///
    /// The transport's, except `WouldBlock`, which is recorded.
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

    /// Sends what the transport holds back, whatever caused it. Returns whether all of it is sent.
    ///
    /// # Errors
    ///
    /// The transport's, except `WouldBlock`, which is recorded.
    pub(crate) fn flush<T: Transport>(&mut self, io: &mut T) -> io::Result<bool> {
        while self.may_write() {
            match io.flush() {
                Ok(()) => return Ok(true),
                Err(error) => self.write_failed(error, io)?,
            }
        }
        Ok(false)
    }

    /// Records what a write waits for, if it failed because it would block.
    fn write_failed<T: Transport>(&mut self, error: io::Error, io: &T) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::WouldBlock => {
                self.write_on = io.blocked().unwrap_or(Blocked::Write);
                self.would_block("write", Blocked::Write, self.write_on);
                // `readable` stays as it is: the next read finds out.
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
    /// The transport's, except `WouldBlock`, which is recorded.
    pub(crate) fn read<T: Transport>(
        &mut self,
        io: &mut T,
        scratch: &mut [u8],
    ) -> io::Result<Input> {
        loop {
            let result = io.read(scratch);
            self.resume_write();
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

    /// After a read, whatever its result: a write that waits for a read may be tried again.
    fn resume_write(&mut self) {
        if self.write_on != Blocked::Write {
            self.write_on = Blocked::Write;
            self.ready.writable = true;
        }
    }

    /// Records that an operation would block, and on what, if that is not its own kind.
    fn would_block(&self, direction: &'static str, own: Blocked, on: Blocked) {
        io_model!(would_block, connection = self.connection, direction);
        if on != own {
            let why = on.as_str();
            io_model!(blocked_on, connection = self.connection, direction, why);
        }
    }
}
