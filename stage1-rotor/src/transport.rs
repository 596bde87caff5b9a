//! What a connection runs over: the trait [`Transport`], sockets, and all other streams.
//!
//! A socket is registered once, for all events, edge-triggered. The kernel reports a change once, so
//! the connection remembers what has become possible ([`Framing`](crate::framing::Framing)).
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

use std::{
    io::{self, IoSlice, Read, Write},
    os::fd::{AsRawFd, OwnedFd},
};

use client_core::{catch_panic, send_vectored};
use rotor::{
    EventSet, Evented, PollOpt,
    mio::{Selector, Token, unix::EventedFd},
};
use rustix::io::Errno;
use socket2::{SockAddr, Type};

/// A stream of bytes that the loop can watch.
///
/// It is registered for everything, edge-triggered. Errors of kind `InvalidData` are a broken
/// protocol below HTTP's, and `UnexpectedEof` is an end without that protocol's own.
///
/// A `flush` that returns `Ok` says that everything written is out of the process. The client writes
/// by `write_vectored` only. A write to a socket whose peer has gone must not raise SIGPIPE, which
/// kills a program that has the signal at its default: [`Socket`] sees to that, std's own vectored
/// write and mio 0.5's `UnixStream` do not.
pub trait Transport: Read + Write + Evented + Send {
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

/// Everything that a socket is ever watched for; `hup` alone asks for the peer's FIN.
pub(crate) fn interest() -> EventSet {
    EventSet::readable() | EventSet::writable() | EventSet::hup()
}

/// How a socket is watched: what has become possible is said once.
pub(crate) fn mode() -> PollOpt {
    PollOpt::edge()
}

/// What has become possible on a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has ended its side, or the connection is broken.
    pub(crate) hup: bool,
}

impl Readiness {
    /// Adds what was told later.
    pub(crate) fn add(&mut self, told: Readiness) {
        self.readable |= told.readable;
        self.writable |= told.writable;
        self.hup |= told.hup;
    }
}

impl From<EventSet> for Readiness {
    fn from(events: EventSet) -> Self {
        let hup = events.is_hup() || events.is_error();
        // The end and an error are read, like bytes.
        Readiness { readable: events.is_readable() || hup, writable: events.is_writable(), hup }
    }
}

// ===== a socket =====

/// A socket as a [`Transport`], be it TCP or a Unix socket. Its writes raise no SIGPIPE.
///
/// mio 0.5's own sockets have no vectored write, which head and body need to go out together. The
/// loop watches this one by its descriptor.
#[derive(Debug)]
pub struct Socket(socket2::Socket);

impl Socket {
    /// Begins to connect, without blocking. The socket becomes writable when that is decided.
    ///
    /// # Errors
    ///
    /// The system's, if it refuses a socket or the attempt.
    pub fn connect(address: impl Into<SockAddr>) -> io::Result<Self> {
        let address = address.into();
        let socket = socket2::Socket::new(address.domain(), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address) {
            Ok(()) => {}
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Socket(socket))
    }

    /// [`Config::tcp_nodelay`](client_core::Config).
    pub(crate) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.set_tcp_nodelay(nodelay)
    }
}

/// A socket that is in non-blocking mode.
impl From<OwnedFd> for Socket {
    fn from(socket: OwnedFd) -> Self {
        Socket(socket.into())
    }
}

impl Transport for Socket {
    /// What the system does before the first byte: whether the connection is made. A socket that was
    /// refused is writable too, so its error comes first.
    fn handshake(&mut self) -> io::Result<()> {
        match (self.0.take_error()?, self.0.peer_addr()) {
            (Some(error), _) => Err(error),
            (None, Err(error)) if error.kind() == io::ErrorKind::NotConnected => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            (None, peer) => peer.map(drop),
        }
    }

    fn short_read_is_last(&self) -> bool {
        true
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Socket {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(from)])
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        send_vectored(&self.0, from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Evented for Socket {
    fn register(
        &self,
        by: &mut Selector,
        token: Token,
        what: EventSet,
        mode: PollOpt,
    ) -> io::Result<()> {
        EventedFd(&self.0.as_raw_fd()).register(by, token, what, mode)
    }

    fn reregister(
        &self,
        by: &mut Selector,
        token: Token,
        what: EventSet,
        mode: PollOpt,
    ) -> io::Result<()> {
        EventedFd(&self.0.as_raw_fd()).reregister(by, token, what, mode)
    }

    fn deregister(&self, by: &mut Selector) -> io::Result<()> {
        EventedFd(&self.0.as_raw_fd()).deregister(by)
    }
}

// ===== any stream =====

/// The stream of a connection of this client.
pub(crate) enum Stream {
    Tcp(Socket),
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
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        call!(self, read(into))?
    }
}

impl Write for Stream {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        call!(self, write(from))?
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        call!(self, write_vectored(from))?
    }

    fn flush(&mut self) -> io::Result<()> {
        call!(self, flush())?
    }
}

impl Evented for Stream {
    fn register(
        &self,
        by: &mut Selector,
        token: Token,
        what: EventSet,
        mode: PollOpt,
    ) -> io::Result<()> {
        call!(self, register(by, token, what, mode))?
    }

    fn reregister(
        &self,
        by: &mut Selector,
        token: Token,
        what: EventSet,
        mode: PollOpt,
    ) -> io::Result<()> {
        call!(self, reregister(by, token, what, mode))?
    }

    fn deregister(&self, by: &mut Selector) -> io::Result<()> {
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
