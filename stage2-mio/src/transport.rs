//! What a connection runs over: the trait, TCP, and everything else.
//!
//! Its rules:
//! - a transport never blocks. It says `WouldBlock` instead, and [`Blocked`] says which readiness
//!   lets the operation go on. For plain sockets that goes without saying: a read waits to read.
//!   Under TLS it does not, since what the peer sends can make a read write;
//! - output that nobody asked for, such as an alert, is the transport's own affair: it goes out
//!   with the next read, write or flush. The connection flushes at every event, so it need not
//!   know whether there is any;
//! - a write never raises SIGPIPE, which would end a program that does not ignore it
//!   ([`Transport::send`]);
//! - TCP is called directly. All other transports are foreign code behind a pointer, and their
//!   panic fails one request, not the loop.

#[cfg(unix)]
use std::os::fd::AsFd;
use std::{
    fmt,
    io::{self, IoSlice, Read, Write},
};

#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token, event::Source, net::TcpStream};
#[cfg(unix)]
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

use crate::parts::guard;

/// What both directions of a socket are watched for, from its first moment to its last.
///
/// A socket is registered once. What it is ready for is remembered by its owner until a call says
/// `WouldBlock`; so a change of mind, from writing to reading and back, costs no system call.
pub(crate) const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// A stream of bytes that the loop can watch.
///
/// Both directions are registered, edge-triggered. Errors of kind `InvalidData` are a broken
/// protocol below HTTP's, and `UnexpectedEof` is an end without that protocol's own.
///
/// A `flush` that returns `Ok` says that everything written is out of the process.
pub trait Transport: Read + Write + Source + Send {
    /// Goes on with what comes before the first byte: a connect, a handshake. It is called until
    /// it returns `Ok`, at first at once, then whenever the socket has become ready for anything.
    ///
    /// # Errors
    ///
    /// `WouldBlock` as long as it is under way; any other error is its failure.
    fn handshake(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Writes some bytes of these pieces: `write_vectored`, except that it must not raise SIGPIPE
    /// when the peer has gone. The client writes by this method only.
    ///
    /// # Errors
    ///
    /// `write_vectored`'s.
    fn send(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_vectored(pieces)
    }

    /// Which readiness lets the operation go on that last said `WouldBlock`. `None` is its own: a
    /// read waits to read, a write to write.
    fn blocked(&self) -> Option<Blocked> {
        None
    }

    /// Whether a read that gives less than was asked for has emptied the socket, so that the next
    /// byte makes an event. True saves one read per response.
    fn short_read_is_last(&self) -> bool {
        false
    }

    /// Says goodbye, before the socket is closed: one attempt, without waiting.
    fn close(&mut self) {}
}

/// Which readiness lets an operation go on: the record of what blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// There is something to read.
    Read,
    /// There is room to write.
    Write,
    /// Whichever comes first.
    Either,
}

impl Blocked {
    /// The word in the recordings.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Blocked::Read => "read",
            Blocked::Write => "write",
            Blocked::Either => "either",
        }
    }
}

impl Transport for TcpStream {
    /// TCP's own handshake, which the system does: whether the connection is made.
    fn handshake(&mut self) -> io::Result<()> {
        if is_connected(self)? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    #[cfg(unix)]
    fn send(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_io(|| send(&*self, pieces))
    }

    /// On epoll and kqueue a socket that gave less than was asked for makes an edge when it has
    /// more. On Windows mio watches it again only after a `WouldBlock`.
    fn short_read_is_last(&self) -> bool {
        cfg!(unix)
    }
}

#[cfg(unix)]
fn send(socket: impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), NO_SIGNAL)?)
}

/// macOS has no such flag. There mio sets `SO_NOSIGPIPE` on each socket.
#[cfg(all(unix, not(target_vendor = "apple")))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// Whether a TCP connection that was begun is made: the order of questions that mio's
/// documentation of `TcpStream::connect` gives for all platforms.
///
/// # Errors
///
/// The one with which the attempt has failed.
fn is_connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
impl Transport for UnixStream {
    fn send(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_io(|| send(&*self, pieces))
    }

    fn short_read_is_last(&self) -> bool {
        true
    }
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn handshake(&mut self) -> io::Result<()> {
        (**self).handshake()
    }

    fn send(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        (**self).send(pieces)
    }

    fn blocked(&self) -> Option<Blocked> {
        (**self).blocked()
    }

    fn short_read_is_last(&self) -> bool {
        (**self).short_read_is_last()
    }

    fn close(&mut self) {
        (**self).close();
    }
}

/// The transport of a connection of this client.
pub(crate) enum Stream {
    Tcp(TcpStream),
    /// TLS, or what the user's parts made.
    Other(Box<dyn Transport>),
}

impl Stream {
    /// As a part gets it, to put something over it.
    pub(crate) fn into_box(self) -> Box<dyn Transport> {
        match self {
            Stream::Tcp(stream) => Box::new(stream),
            Stream::Other(stream) => stream,
        }
    }
}

/// Calls the one or the other; foreign code under [`guard`].
macro_rules! call {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream {
            Stream::Tcp(stream) => stream.$method($($argument),*),
            Stream::Other(stream) => guard(|| stream.$method($($argument),*))?,
        }
    };
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        call!(self, read(buffer))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        call!(self, write(bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        call!(self, write_vectored(pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        call!(self, flush())
    }
}

impl Source for Stream {
    fn register(&mut self, by: &Registry, token: Token, what: Interest) -> io::Result<()> {
        call!(self, register(by, token, what))
    }

    fn reregister(&mut self, by: &Registry, token: Token, what: Interest) -> io::Result<()> {
        call!(self, reregister(by, token, what))
    }

    fn deregister(&mut self, by: &Registry) -> io::Result<()> {
        call!(self, deregister(by))
    }
}

impl Transport for Stream {
    fn handshake(&mut self) -> io::Result<()> {
        call!(self, handshake())
    }

    fn send(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        call!(self, send(pieces))
    }

    fn blocked(&self) -> Option<Blocked> {
        match self {
            Stream::Tcp(_) => None,
            Stream::Other(stream) => guard(|| stream.blocked()).unwrap_or_default(),
        }
    }

    fn short_read_is_last(&self) -> bool {
        match self {
            Stream::Tcp(stream) => stream.short_read_is_last(),
            Stream::Other(stream) => guard(|| stream.short_read_is_last()).unwrap_or_default(),
        }
    }

    fn close(&mut self) {
        if let Stream::Other(stream) = self {
            // Whatever comes of it, the socket is closed next.
            let _ = guard(|| stream.close());
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stream::Tcp(_) => "Tcp",
            Stream::Other(_) => "Other",
        })
    }
}
