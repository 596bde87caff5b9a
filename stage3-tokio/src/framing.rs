//! Bytes to and from a stream.
//!
//! Its rules:
//! - a request goes out in as few writes as the stream allows, head and body together;
//! - a read fills what room there is, and the room grows while the peer fills it. An idle
//!   connection keeps a small buffer or none.

use std::{
    io::{self, IoSlice},
    time::Duration,
};

use bytes::BytesMut;
use client_core::{CloseReason, Outgoing, io_model};
use futures::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    select,
    task::consume_budget,
    time::Instant,
};

use crate::{
    timer::{Timer, after},
    transport::{Reader, Writer},
};

/// Room for a small response; an idle connection keeps no more than this.
const SMALL: usize = 1024;
/// The most that is read at once.
const LARGE: usize = 16 * 1024;

/// The half of a stream that takes requests, and how much it has taken of the current one.
pub(crate) struct Outbound {
    stream: Writer,
    /// The number of the connection, for recordings.
    number: u64,
    /// Bytes of the request that the stream has taken.
    pub(crate) written: usize,
    /// How sending ended: the stream has taken all of the request, or refused the rest.
    pub(crate) sent: Option<io::Result<()>>,
    /// When the limit of sending runs out, if the stream takes nothing until then.
    until: Option<Instant>,
    timer: Timer,
}

/// The stream took nothing for too long.
pub(crate) struct Stalled;

impl Outbound {
    pub(crate) fn new(stream: Writer, number: u64) -> Self {
        let (written, sent, until, timer) = (0, None, None, Timer::default());
        Outbound { stream, number, written, sent, until, timer }
    }

    /// The next request begins.
    pub(crate) fn begin(&mut self) {
        (self.written, self.sent, self.until) = (0, None, None);
    }

    /// Sends what is left of a request. Resolves when [`Outbound::sent`] says how that ended.
    ///
    /// # Errors
    ///
    /// [`Stalled`] if the stream takes nothing for `limit`. The limit begins anew when the stream
    /// takes bytes, and after a call without a limit.
    ///
    /// # Cancel safety
    ///
    /// The next call goes on where this one was dropped. The limit goes on, too.
    pub(crate) async fn send(
        &mut self,
        request: &Outgoing,
        limit: Option<Duration>,
    ) -> Result<(), Stalled> {
        while self.sent.is_none() {
            let Outbound { stream, written, until, timer, .. } = self;
            let taken = select! {
                biased;
                taken = write(stream, request.rest(*written)) => taken,
                () = stall(timer, until, limit) => return Err(Stalled),
            };
            self.until = None;
            match taken {
                Ok(0) => self.sent = Some(Ok(())),
                Ok(taken) => {
                    io_model!(write, connection = self.number, bytes = taken);
                    self.written += taken;
                }
                Err(error) => self.sent = Some(Err(error)),
            }
        }
        Ok(())
    }

    /// Whether the stream may still take some of the request.
    pub(crate) fn is_sending(&self) -> bool {
        self.sent.is_none()
    }

    /// Whether the stream has taken all of the request.
    pub(crate) fn is_sent(&self) -> bool {
        matches!(self.sent, Some(Ok(())))
    }

    /// Why the stream refused the rest of the request, if it did.
    pub(crate) fn refused(&self) -> Option<CloseReason> {
        self.sent.as_ref()?.as_ref().err().map(CloseReason::of)
    }

    /// Drops this half. TLS says goodbye first, as far as that need not wait.
    pub(crate) fn close(mut self, goodbye: bool) {
        if goodbye {
            _ = self.stream.shutdown().now_or_never();
        }
        if let Writer::Tcp(half) = self.stream {
            half.forget(); // no `shutdown`: dropping the other half closes the socket
        }
    }
}

/// Writes once, at least one byte. If nothing is left to write, flushes and returns 0.
async fn write(stream: &mut Writer, rest: [&[u8]; 2]) -> io::Result<usize> {
    let taken = match rest {
        [[], []] => return stream.flush().await.map(|()| 0),
        [head, []] => stream.write(head).await?,
        both => stream.write_vectored(&both.map(IoSlice::new)).await?,
    };
    if taken == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(taken) }
}

/// Resolves when a limit has run out. The limit begins now, unless it has begun before.
async fn stall(timer: &mut Timer, until: &mut Option<Instant>, limit: Option<Duration>) {
    *until = limit.map(|limit| until.unwrap_or_else(|| after(limit)));
    timer.until(*until).await;
}

/// The half of a stream that brings responses, and the bytes that are not decoded yet.
pub(crate) struct Inbound {
    stream: Reader,
    /// The number of the connection, for recordings.
    number: u64,
    pub(crate) buffer: BytesMut,
    /// Room to make for the next read.
    room: usize,
    /// Bytes have come since the exchange began.
    pub(crate) answered: bool,
}

/// The stream has ended, in order or by an error.
pub(crate) struct StreamEnd(pub(crate) Option<io::Error>);

impl Inbound {
    pub(crate) fn new(stream: Reader, number: u64) -> Self {
        Inbound { stream, number, buffer: BytesMut::new(), room: SMALL, answered: false }
    }

    /// Reads once.
    ///
    /// # Errors
    ///
    /// [`StreamEnd`], also if the stream ended in order.
    ///
    /// # Cancel safety
    ///
    /// No byte is lost: what was read is in the buffer.
    pub(crate) async fn read(&mut self) -> Result<(), StreamEnd> {
        if self.buffer.capacity() - self.buffer.len() < SMALL {
            self.buffer.reserve(self.room);
        }
        let room = self.buffer.capacity() - self.buffer.len();
        let bytes = match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => return Err(StreamEnd(None)),
            Ok(bytes) => bytes,
            Err(error) => return Err(StreamEnd(Some(error))),
        };
        io_model!(read, connection = self.number, bytes);
        self.answered = true;
        if bytes == room {
            self.room = (self.room * 2).min(LARGE);
        }
        Ok(())
    }

    /// Watches a stream on which nothing is expected. Resolves when bytes or the end come.
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

    /// Watches the stream behind a response, while the rest of the request is sent. Resolves when
    /// the stream ends. Bytes do not end the sending. One of them stays in the buffer, so that the
    /// connection is closed afterwards.
    pub(crate) async fn ended(&mut self) -> CloseReason {
        loop {
            if let Err(StreamEnd(error)) = self.read().await {
                return error.as_ref().map_or(CloseReason::PeerClosed, CloseReason::of);
            }
            self.buffer.truncate(1);
            consume_budget().await;
        }
    }

    /// Frees the buffer if it has grown.
    pub(crate) fn shrink(&mut self) {
        if self.room > SMALL {
            self.room = SMALL;
            self.buffer = BytesMut::new();
        }
    }
}
