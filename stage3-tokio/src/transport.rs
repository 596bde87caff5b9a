//! The stream under a connection: TCP, and everything else.
//!
//! Its rules:
//! - whatever reads and writes asynchronously will do. Nothing in here says which readiness an
//!   operation waits for: a `poll_read` that must write first leaves the waker where it is needed;
//! - TCP is called directly. All other streams are foreign code behind a pointer, and their panic
//!   fails one request, not the client.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::parts::guard_poll;

/// A stream of bytes in both directions; every type that can be one is.
///
/// Errors of kind `InvalidData` are a broken protocol below HTTP's, and `UnexpectedEof` is an end
/// without that protocol's own. Before the client drops a stream it polls its shutdown, once.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Transport for T {}

/// The stream that connecting ends with.
pub(crate) enum Stream {
    Tcp(TcpStream),
    /// TLS, or what the user's parts made.
    Other(Box<dyn Transport>),
}

/// Polls the one or the other; foreign code under [`guard_poll`].
macro_rules! poll {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Other(stream) => guard_poll(|| Pin::new(stream).$method($($argument),*)),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        poll!(self, poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        poll!(self, poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll!(self, poll_write_vectored(cx, pieces))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Its drop does it, without a system call more.
            Stream::Tcp(_) => Poll::Ready(Ok(())),
            Stream::Other(stream) => guard_poll(|| Pin::new(stream).poll_shutdown(cx)),
        }
    }
}
