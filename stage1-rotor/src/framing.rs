//! Bytes to and from a socket that is ready or not: the read buffer, partial writes, and the
//! memory of readiness.
//!
//! Its rules:
//! - the loop says once that a socket has become ready ("edge-triggered"). That is remembered here
//!   and forgotten only when the socket itself says `WouldBlock`, or after a short read: what
//!   comes later is a new edge. With a hang-up there may be no later edge, so then a short read
//!   proves nothing;
//! - one initialised buffer per loop is read into, and what came is appended: an idle connection
//!   owns no buffer at all.

use std::io::{self, IoSlice, Read, Write};

use bytes::BytesMut;
use client_core::{Outgoing, io_model};

use crate::transport::Readiness;

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
}

/// What became of a read or a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Bytes were read; or all is written.
    Made,
    /// Not now: an edge will come.
    WouldBlock,
    /// The peer has ended its side.
    End,
}

impl Framing {
    /// `ready` is what the loop has said about the socket so far.
    pub(crate) fn new(connection: u64, ready: Readiness) -> Self {
        Framing { connection, buffer: BytesMut::new(), ready }
    }

    /// Remembers what has become possible.
    pub(crate) fn ready(&mut self, event: Readiness) {
        self.ready.readable |= event.readable;
        self.ready.writable |= event.writable;
        self.ready.hup |= event.hup;
    }

    /// Whether a read might bring something.
    pub(crate) fn is_readable(&self) -> bool {
        self.ready.readable
    }

    /// Whether the peer has ended its side, though its last bytes may still have to be read.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.ready.hup
    }

    /// Makes the next read try, whatever is remembered.
    pub(crate) fn expect_readable(&mut self) {
        self.ready.readable = true;
    }

    /// Writes what is left of a request, head and body in one call, for as long as the socket
    /// takes it.
    pub(crate) fn write<T: Write>(
        &mut self,
        io: &mut T,
        outgoing: &Outgoing,
        written: &mut usize,
    ) -> io::Result<Progress> {
        while *written < outgoing.len() {
            if !self.ready.writable {
                return Ok(Progress::WouldBlock);
            }
            match io.write_vectored(&outgoing.rest(*written).map(IoSlice::new)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    io_model!(write, connection = self.connection, bytes = count);
                    *written += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    io_model!(would_block, connection = self.connection, direction = "write");
                    self.ready.writable = false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Progress::Made)
    }

    /// Reads once, through the loop's buffer `scratch`.
    pub(crate) fn read<T: Read>(
        &mut self,
        io: &mut T,
        scratch: &mut [u8],
    ) -> io::Result<Progress> {
        loop {
            match io.read(scratch) {
                Ok(0) => return Ok(Progress::End),
                Ok(count) => {
                    io_model!(read, connection = self.connection, bytes = count);
                    self.buffer.extend_from_slice(&scratch[..count]);
                    self.ready.readable = count == scratch.len() || self.ready.hup;
                    return Ok(Progress::Made);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    io_model!(would_block, connection = self.connection, direction = "read");
                    self.ready.readable = false;
                    return Ok(Progress::WouldBlock);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
