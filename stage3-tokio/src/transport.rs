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
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf, split},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::parts::guard_poll;

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

/// A stream, or half of one.
pub(crate) enum Either<T, O> {
    Tcp(T),
    /// TLS, or what the user's parts made.
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

/// Polls the one or the other; foreign code under [`guard_poll`].
macro_rules! poll {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream.get_mut() {
            Either::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Either::Other(stream) => guard_poll(|| Pin::new(stream).$method($($argument),*)),
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
                guard_poll(|| Pin::new(stream).poll_write_vectored(cx, pieces))
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
            Either::Other(stream) => guard_poll(|| Pin::new(stream).poll_shutdown(cx)),
        }
    }
}

/// A vectored write that raises no SIGPIPE. The standard library asks for that in plain writes
/// only. On Apple systems mio sets an option of the socket.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn poll_send(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
    use tokio::io::Interest;
    loop {
        ready!(tcp.poll_write_ready(cx))?;
        let sent = tcp.try_io(Interest::WRITABLE, || {
            let mut control = SendAncillaryBuffer::default();
            Ok(sendmsg(tcp, pieces, &mut control, SendFlags::NOSIGNAL)?)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return Poll::Ready(sent),
        }
    }
}

#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn poll_send(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    loop {
        ready!(tcp.poll_write_ready(cx))?;
        match tcp.try_write_vectored(pieces) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return Poll::Ready(sent),
        }
    }
}
