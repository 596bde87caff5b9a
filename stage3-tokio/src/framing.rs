//! Bytes to and from a stream.
//!
//! Its rules: a request goes out in as few writes as the stream allows, head and body together; a
//! read fills what room there is, and the room grows while the peer fills it; an idle connection
//! keeps a small buffer or none. While there is nothing to read, what the stream has to say by
//! itself is flushed: TLS may owe its peer an alert that nobody here has asked for.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::BytesMut;
use client_core::{CloseReason, Outgoing, io_model};
use tokio::io::ReadBuf;
use tokio_util::io::poll_read_buf;

use crate::transport::Transport;

/// Room for a small response; an idle connection keeps no more than this.
const SMALL: usize = 1024;
/// The most that is read at once.
const LARGE: usize = 16 * 1024;

/// A stream, and what was read from it and not yet decoded.
pub(crate) struct Framing<T> {
    io: T,
    /// The number of the connection, for recordings.
    number: u64,
    pub(crate) buffer: BytesMut,
    /// Room to make for the next read.
    room: usize,
}

impl<T: Transport> Framing<T> {
    pub(crate) fn new(io: T, number: u64) -> Self {
        Framing { io, number, buffer: BytesMut::new(), room: SMALL }
    }

    /// Writes what is left of a request. `written` counts the bytes that the stream has taken.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        request: &Outgoing,
        written: &mut usize,
    ) -> Poll<io::Result<()>> {
        while *written < request.len() {
            let io = Pin::new(&mut self.io);
            let taken = ready!(match request.rest(*written) {
                [head, []] => io.poll_write(cx, head),
                both => io.poll_write_vectored(cx, &both.map(IoSlice::new)),
            })?;
            io_model!(write, connection = self.number, bytes = taken);
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += taken;
        }
        self.poll_flush(cx)
    }

    /// Sends what the stream holds back, asked for or not.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Reads once; 0 is the end.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() - self.buffer.len() < SMALL {
            self.buffer.reserve(self.room);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let bytes = ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut self.buffer))?;
        io_model!(read, connection = self.number, bytes = bytes);
        if bytes == room {
            self.room = (self.room * 2).min(LARGE);
        }
        Poll::Ready(Ok(bytes))
    }

    /// Watches a stream on which nothing may come. Ready with what came.
    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        if !self.buffer.is_empty() {
            return Poll::Ready(CloseReason::Unsolicited);
        }
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let Poll::Ready(result) = Pin::new(&mut self.io).poll_read(cx, &mut buffer) else {
            // If it fails for good, so will the read.
            _ = self.poll_flush(cx);
            return Poll::Pending;
        };
        Poll::Ready(match result {
            Err(error) => broken(&error),
            Ok(()) if buffer.filled().is_empty() => CloseReason::PeerClosed,
            Ok(()) => CloseReason::Unsolicited,
        })
    }

    /// Says goodbye, as far as that goes without waiting, and closes the stream.
    pub(crate) fn close(mut self) {
        _ = Pin::new(&mut self.io).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }

    /// Gives a grown buffer back.
    pub(crate) fn shrink(&mut self) {
        if self.room > SMALL {
            self.room = SMALL;
            self.buffer = BytesMut::new();
        }
    }
}

/// Why a connection is closed whose stream has failed like this.
pub(crate) fn broken(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::InvalidData => CloseReason::ProtocolError,
        io::ErrorKind::UnexpectedEof => CloseReason::PeerClosed,
        _ => CloseReason::Reset,
    }
}
