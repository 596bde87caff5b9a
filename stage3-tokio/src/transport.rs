//! The stream under a connection: TCP, and all other streams.
//!
//! Its rules:
//! - every type that reads and writes asynchronously is a transport. None of them says which readiness
//!   an operation waits for: a `poll_read` that must write first leaves the waker with the writer;
//! - TCP is called directly. All other streams are foreign code behind a pointer: a panic in one fails
//!   one request, not the client.

use std::{
    io::{self, IoSlice},
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll, ready},
};

#[cfg(unix)]
use client_core::send_vectored;
use client_core::{catch_panic, panicked};
use futures::{FutureExt, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, ReadHalf, WriteHalf, split},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// A stream of bytes in both directions; every type that can be one is.
///
/// Errors of kind `InvalidData` are a broken protocol below HTTP's, and `UnexpectedEof` is an end
/// without that protocol's own. Before the client drops a stream it polls its shutdown, once,
/// unless the stream has failed.
///
/// A stream that has something of its own to send must send it in `poll_read`, as TLS does when it
/// refuses a renegotiation: while the client waits for a response, it polls nothing else.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Transport for T {}

/// A stream that is being opened, or put under TLS. Dropping it gives that up.
pub type Opening = BoxFuture<'static, io::Result<Box<dyn Transport>>>;

/// Calls foreign code and awaits the stream that it opens. A panic in either becomes an error.
pub(crate) async fn catch_open(
    foreign: impl FnOnce() -> Opening,
) -> io::Result<Box<dyn Transport>> {
    let opened = AssertUnwindSafe(async { foreign().await });
    opened.catch_unwind().await.unwrap_or_else(|_| Err(panicked()))
}

/// Polls foreign code. A panic of it becomes an error.
fn catch_poll<T>(foreign: impl FnOnce() -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    catch_panic(foreign).unwrap_or_else(|panic| Poll::Ready(Err(panic)))
}

/// A stream, or half of one.
pub(crate) enum Either<T, O> {
    Tcp(T),
    /// TLS, or what a user's connector made.
    Other(O),
}

/// The stream that connecting ends with.
pub(crate) type Stream = Either<TcpStream, Box<dyn Transport>>;
/// The half that is read.
pub(crate) type Reader = Either<OwnedReadHalf, ReadHalf<Box<dyn Transport>>>;
/// The half that is written.
pub(crate) type Writer = Either<OwnedWriteHalf, WriteHalf<Box<dyn Transport>>>;

impl Stream {
    /// Splits the stream for one task. The halves of TCP share no lock, all others do.
    pub(crate) fn split(self) -> (Reader, Writer) {
        match self {
            Either::Tcp(stream) => {
                let (reader, writer) = stream.into_split();
                (Either::Tcp(reader), Either::Tcp(writer))
            }
            Either::Other(stream) => {
                let (reader, writer) = split(stream);
                (Either::Other(reader), Either::Other(writer))
            }
        }
    }
}

/// Polls the one or the other; a panic of foreign code becomes an error.
macro_rules! poll {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream.get_mut() {
            Either::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Either::Other(stream) => catch_poll(|| Pin::new(stream).$method($($argument),*)),
        }
    };
}

impl<T: AsyncRead + Unpin, O: AsyncRead + Unpin> AsyncRead for Either<T, O> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        poll!(self, poll_read(cx, buffer))
    }
}

impl<T, O> AsyncWrite for Either<T, O>
where
    T: AsyncWrite + AsRef<TcpStream> + Unpin,
    O: AsyncWrite + Unpin,
{
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
        match self.get_mut() {
            Either::Tcp(stream) => poll_send((*stream).as_ref(), cx, pieces),
            Either::Other(stream) => {
                catch_poll(|| Pin::new(stream).poll_write_vectored(cx, pieces))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Its drop does it, without a system call more.
            Either::Tcp(_) => Poll::Ready(Ok(())),
            Either::Other(stream) => catch_poll(|| Pin::new(stream).poll_shutdown(cx)),
        }
    }
}

/// A vectored write that raises no SIGPIPE.
fn poll_send(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    loop {
        ready!(tcp.poll_write_ready(cx))?;
        #[cfg(unix)]
        let sent = tcp.try_io(Interest::WRITABLE, || send_vectored(tcp, pieces));
        #[cfg(not(unix))]
        let sent = tcp.try_write_vectored(pieces);
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return Poll::Ready(sent),
        }
    }
}
