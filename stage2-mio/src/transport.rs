//! What a connection runs over: the trait [`Transport`], sockets, and all other streams.
//!
//! Its rules:
//! - a transport never blocks. It says `WouldBlock` instead, and [`Blocked`] says which readiness
//!   lets the operation go on. For plain sockets that goes without saying: a read waits to read.
//!   Under TLS it does not, since what the peer sends can make a read write;
//! - output that the connection did not ask for, such as an alert, is the transport's own affair: it
//!   goes out with the next read, write or flush. The connection flushes at every event, so it need
//!   not know whether there is any;
//! - TCP is called directly. All other transports are foreign code behind a pointer, and their
//!   panic fails one request, not the loop.

#[cfg(unix)]
use std::os::fd::AsFd;
#[cfg(windows)]
use std::os::windows::io::AsSocket as AsFd;
use std::{
    fmt,
    io::{self, IoSlice, Read, Write},
    net::SocketAddr,
};

use client_core::catch_panic;
#[cfg(unix)]
use client_core::send_vectored;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token, event::Source, net::TcpStream};

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
/// A `flush` that returns `Ok` says that everything written is out of the process. The client writes
/// by `write_vectored` only. A write to a socket whose peer has gone must not raise SIGPIPE, which
/// kills a program that has the signal at its default: [`Socket`] sees to that, mio's own vectored
/// writes do not.
pub trait Transport: Read + Write + Source + Send {
    /// Continues what comes before the first byte: a connect, a handshake. The loop calls it at once,
    /// then at each event of the socket, until it returns `Ok`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` as long as it is under way; any other error is its failure.
    fn handshake(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Which readiness lets the operation continue that last returned `WouldBlock`. `None`: its own
    /// direction, so a read waits to read and a write to write.
    fn blocked(&self) -> Option<Blocked> {
        None
    }

    /// Whether a read that gives less than was asked for has emptied the socket, so that the next
    /// byte makes an event. True saves one read per response.
    fn short_read_is_last(&self) -> bool {
        false
    }

    /// Announces the end to the peer, before the socket is closed: one attempt, without waiting.
    fn close(&mut self) {}
}

/// Which readiness lets an operation continue: the record of what blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// There is something to read.
    Read,
    /// There is room to write.
    Write,
    /// Either of the two.
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

// ===== a socket =====

/// A socket of mio as a [`Transport`]. Its writes raise no SIGPIPE.
#[derive(Debug)]
pub struct Socket<S> {
    stream: S,
    /// Whether to set `TCP_NODELAY` once the connection is made. On Windows it cannot be set before.
    nodelay: bool,
}

impl<S> From<S> for Socket<S> {
    fn from(stream: S) -> Self {
        Socket { stream, nodelay: false }
    }
}

impl Socket<TcpStream> {
    /// Begins to connect. The socket becomes writable when that is decided.
    pub(crate) fn connect(address: SocketAddr, nodelay: bool) -> io::Result<Self> {
        Ok(Socket { stream: TcpStream::connect(address)?, nodelay })
    }
}

impl Transport for Socket<TcpStream> {
    /// TCP's own handshake, which the system does: whether the connection is made. The order of the
    /// questions is that of mio's documentation of `TcpStream::connect`.
    fn handshake(&mut self) -> io::Result<()> {
        match (self.stream.take_error()?, self.stream.peer_addr()) {
            (Some(error), _) => return Err(error),
            (None, Err(error)) if error.kind() == io::ErrorKind::NotConnected => {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            (None, peer) => peer?,
        };
        if self.nodelay {
            // If it fails, the socket does; the first write will find out.
            let _ = self.stream.set_nodelay(true);
        }
        Ok(())
    }

    /// On epoll and kqueue a socket that gave less than was asked for makes an edge when it has
    /// more. On Windows mio watches it again only after a `WouldBlock`.
    fn short_read_is_last(&self) -> bool {
        cfg!(unix)
    }
}

/// A Unix socket connects at once or fails.
#[cfg(unix)]
impl Transport for Socket<UnixStream> {
    fn short_read_is_last(&self) -> bool {
        true
    }
}

impl<S: Read> Read for Socket<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl<S: Write + AsFd> Write for Socket<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        #[cfg(unix)]
        return send_vectored(&self.stream, pieces);
        #[cfg(not(unix))]
        self.stream.write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<S: Source> Source for Socket<S> {
    fn register(&mut self, by: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.stream.register(by, token, what)
    }

    fn reregister(&mut self, by: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.stream.reregister(by, token, what)
    }

    fn deregister(&mut self, by: &Registry) -> io::Result<()> {
        self.stream.deregister(by)
    }
}

// ===== any stream =====

/// The stream of a connection of this client.
pub(crate) enum Stream {
    Tcp(Socket<TcpStream>),
    /// TLS, or what a user's connector made.
    Other(Box<dyn Transport>),
}

impl Stream {
    /// As a [`TlsConnector`](crate::TlsConnector) gets it.
    pub(crate) fn into_box(self) -> Box<dyn Transport> {
        match self {
            Stream::Tcp(stream) => Box::new(stream),
            Stream::Other(stream) => stream,
        }
    }
}

/// Calls the one or the other. A panic of foreign code becomes an error.
macro_rules! call {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream {
            Stream::Tcp(stream) => Ok::<_, io::Error>(stream.$method($($argument),*)),
            Stream::Other(stream) => catch_panic(|| stream.$method($($argument),*)),
        }
    };
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        call!(self, read(buffer))?
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        call!(self, write(bytes))?
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        call!(self, write_vectored(pieces))?
    }

    fn flush(&mut self) -> io::Result<()> {
        call!(self, flush())?
    }
}

impl Source for Stream {
    fn register(&mut self, by: &Registry, token: Token, what: Interest) -> io::Result<()> {
        call!(self, register(by, token, what))?
    }

    fn reregister(&mut self, by: &Registry, token: Token, what: Interest) -> io::Result<()> {
        call!(self, reregister(by, token, what))?
    }

    fn deregister(&mut self, by: &Registry) -> io::Result<()> {
        call!(self, deregister(by))?
    }
}

impl Transport for Stream {
    fn handshake(&mut self) -> io::Result<()> {
        call!(self, handshake())?
    }

    fn blocked(&self) -> Option<Blocked> {
        call!(self, blocked()).unwrap_or_default()
    }

    fn short_read_is_last(&self) -> bool {
        call!(self, short_read_is_last()).unwrap_or_default()
    }

    fn close(&mut self) {
        // A panic changes nothing: the socket is closed next.
        let _ = call!(self, close());
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
