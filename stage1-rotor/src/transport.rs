//! What a connection speaks through: the trait, and TCP.
//!
//! A socket is registered once, for everything, edge-triggered, and never again. So the loop says
//! once that something has become possible, and the connection has to remember it
//! ([`Framing`](crate::framing::Framing)).

use std::{
    io::{self, IoSlice, Read, Write},
    net::{self, SocketAddr},
    os::fd::{AsRawFd, RawFd},
};

use rotor::{
    EventSet, Evented, PollOpt,
    mio::{Selector, Token, unix::EventedFd},
};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// A stream of bytes that rotor can watch, and that never blocks.
pub(crate) trait Transport: Read + Write + Evented {}

impl<T: Read + Write + Evented> Transport for T {}

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

impl From<EventSet> for Readiness {
    fn from(events: EventSet) -> Self {
        let hup = events.is_hup() || events.is_error();
        // The end and an error are read, like bytes.
        Readiness { readable: events.is_readable() || hup, writable: events.is_writable(), hup }
    }
}

/// A TCP socket.
///
/// It is std's and not mio 0.5's: that one has no vectored write, which head and body need to go
/// out together. The loop watches it by its descriptor.
pub(crate) struct TcpStream(net::TcpStream);

impl TcpStream {
    /// Begins to connect. The socket becomes writable when it is decided.
    pub(crate) fn connect(address: SocketAddr, nodelay: bool) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(nodelay)?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(TcpStream(socket.into()))
    }

    /// What came of connecting, once the socket is ready for anything.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Read for TcpStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for TcpStream {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.write(from)
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Evented for TcpStream {
    fn register(
        &self,
        selector: &mut Selector,
        token: Token,
        interest: EventSet,
        mode: PollOpt,
    ) -> io::Result<()> {
        EventedFd(&self.as_raw_fd()).register(selector, token, interest, mode)
    }

    fn reregister(
        &self,
        selector: &mut Selector,
        token: Token,
        interest: EventSet,
        mode: PollOpt,
    ) -> io::Result<()> {
        EventedFd(&self.as_raw_fd()).reregister(selector, token, interest, mode)
    }

    fn deregister(&self, selector: &mut Selector) -> io::Result<()> {
        EventedFd(&self.as_raw_fd()).deregister(selector)
    }
}
