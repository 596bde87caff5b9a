//! Bytes to and from a stream.
//!
//! Its rules:
//! - a request goes out in as few writes as the stream allows, head and body together;
//! - a read fills the buffer, and the buffer grows while the peer fills it. An idle connection
//!   keeps a small buffer or none;
//! - a future here may be dropped at any time. What was written or read is in the struct.

use std::io::{self, IoSlice};

use bytes::BytesMut;
use client_core::{CloseReason, Outgoing, io_model};
use futures::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::consume_budget,
};

use crate::transport::{Reader, Writer};

/// Bytes of a small response. An idle connection keeps no larger buffer than this.
const SMALL: usize = 1024;
/// The most bytes that are read at once.
const LARGE: usize = 16 * 1024;

/// The write half of a stream, and how much of the current request it has taken.
pub(crate) struct Outbound {
    stream: Writer,
    /// The number of the connection, for recordings.
    number: u64,
    /// Bytes of the request that the stream has taken.
    pub(crate) written: usize,
    /// How sending ended: the stream has taken the whole request, or refused the rest of it.
    result: Option<io::Result<()>>,
}

impl Outbound {
    pub(crate) fn new(stream: Writer, number: u64) -> Self {
        Outbound { stream, number, written: 0, result: None }
    }

    /// Begins the next request.
    pub(crate) fn begin(&mut self) {
        (self.written, self.result) = (0, None);
    }

    /// Sends more of a request. Resolves when the stream has taken bytes, and when sending has
    /// ended, well or not: see [`Outbound::is_sending`].
    ///
    /// # Cancel safety
    ///
    /// The next call continues where this one was dropped.
    pub(crate) async fn send(&mut self, request: &Outgoing) {
        match self.write(request).await {
            Ok(()) if self.written < request.len() => {}
            result => self.result = Some(result),
        }
    }

    /// Writes once, at least one byte. Flushes the stream if nothing is left to write.
    async fn write(&mut self, request: &Outgoing) -> io::Result<()> {
        if self.written < request.len() {
            let taken = match request.rest(self.written) {
                [head, []] => self.stream.write(head).await?,
                both => self.stream.write_vectored(&both.map(IoSlice::new)).await?,
            };
            if taken == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            io_model!(write, connection = self.number, bytes = taken);
            self.written += taken;
        }
        if self.written == request.len() {
            self.stream.flush().await?;
        }
        Ok(())
    }

    /// Whether sending has not ended: the stream neither has the whole request nor refused it.
    pub(crate) fn is_sending(&self) -> bool {
        self.result.is_none()
    }

    /// Whether the stream has taken the whole request.
    pub(crate) fn is_sent(&self) -> bool {
        matches!(self.result, Some(Ok(())))
    }

    /// Why the stream refused the rest of the request, if it did.
    pub(crate) fn refused(&self) -> Option<CloseReason> {
        self.result.as_ref()?.as_ref().err().map(CloseReason::of)
    }

    /// Takes the error by which the stream refused the rest of the request, if it is `wanted`. Only
    /// for a call that fails with this error, since sending would begin again.
    pub(crate) fn take_refusal_if(
        &mut self,
        wanted: impl FnOnce(&io::Error) -> bool,
    ) -> Option<io::Error> {
        self.result.take_if(|result| result.as_ref().is_err_and(wanted))?.err()
    }

    /// Shuts this half down, and drops it. TLS sends `close_notify`, unless the stream would have to
    /// wait for that.
    pub(crate) fn shut_down(mut self) {
        _ = self.stream.shutdown().now_or_never();
        self.close();
    }

    /// Drops this half.
    pub(crate) fn close(self) {
        if let Writer::Tcp(half) = self.stream {
            half.forget(); // no `shutdown`: dropping the other half closes the socket
        }
    }
}

/// The read half of a stream, and the bytes that are not decoded yet.
pub(crate) struct Inbound {
    stream: Reader,
    /// The number of the connection, for recordings.
    number: u64,
    pub(crate) buffer: BytesMut,
    /// Bytes that the buffer has space for after it has grown.
    read_size: usize,
    /// Bytes that have come since the exchange began.
    pub(crate) received: u64,
}

impl Inbound {
    pub(crate) fn new(stream: Reader, number: u64) -> Self {
        Inbound { stream, number, buffer: BytesMut::new(), read_size: SMALL, received: 0 }
    }

    /// Reads once into the buffer, at least one byte.
    ///
    /// # Errors
    ///
    /// The end of the stream: `None`, or the error that ended it.
    ///
    /// # Cancel safety
    ///
    /// No byte is lost: what was read is in the buffer.
    pub(crate) async fn read(&mut self) -> Result<(), Option<io::Error>> {
        if self.buffer.capacity() - self.buffer.len() < SMALL {
            self.buffer.reserve(self.read_size);
        }
        let space = self.buffer.capacity() - self.buffer.len();
        let bytes = match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => return Err(None),
            Ok(bytes) => bytes,
            Err(error) => return Err(Some(error)),
        };
        io_model!(read, connection = self.number, bytes);
        self.received += bytes as u64;
        if bytes == space {
            self.read_size = (self.read_size * 2).min(LARGE);
        }
        Ok(())
    }

    /// Watches a stream on which no bytes are expected. Resolves when bytes or the end come. The
    /// stream must then be closed, since a byte that came is lost.
    pub(crate) async fn unsolicited(&mut self) -> CloseReason {
        if !self.buffer.is_empty() {
            return CloseReason::Unsolicited;
        }
        match self.stream.read(&mut [0]).await {
            Ok(0) => CloseReason::PeerClosed,
            Ok(_) => CloseReason::Unsolicited,
            Err(error) => CloseReason::of(&error),
        }
    }

    /// Watches the stream after a response, while the rest of the request is sent. Resolves when
    /// the stream ends, not when bytes come: the server may still read. If bytes come, one of them
    /// stays in the buffer, so the connection is closed when sending is over.
    pub(crate) async fn ended(&mut self) -> CloseReason {
        loop {
            if let Err(error) = self.read().await {
                return error.as_ref().map_or(CloseReason::PeerClosed, CloseReason::of);
            }
            self.buffer.truncate(1);
            consume_budget().await;
        }
    }

    /// Frees the buffer if it has grown.
    pub(crate) fn free_buffer(&mut self) {
        if self.read_size > SMALL {
            self.read_size = SMALL;
            self.buffer = BytesMut::new();
        }
    }
}
