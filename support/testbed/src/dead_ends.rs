//! Addresses at which a client gets nowhere.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::OnceLock,
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::server::has_ipv6;

/// How long the probe of [`blackhole_works`] gives a connect to be refused or let in. On loopback
/// both take microseconds.
const PROBE: Duration = Duration::from_millis(300);

/// An address that refuses every connection for as long as this lives: a socket is bound to it,
/// so that nobody else gets the port, and does not listen.
#[derive(Debug)]
pub struct Refusing {
    address: SocketAddr,
    _bound: Socket,
}

impl Refusing {
    /// A refusing port of this address, `127.0.0.1` or `::1`.
    ///
    /// # Errors
    ///
    /// The system's, such as for `::1` on a machine without it.
    pub fn on(ip: IpAddr) -> io::Result<Self> {
        let bound = bind(SocketAddr::new(ip, 0))?;
        Ok(Refusing { address: local(&bound)?, _bound: bound })
    }

    /// A refusing port of `127.0.0.1`.
    ///
    /// # Panics
    ///
    /// If the system has no port to give.
    pub fn new() -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into()).expect("a free port of 127.0.0.1")
    }

    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path there.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Default for Refusing {
    fn default() -> Self {
        Self::new()
    }
}

/// An address where connections are made, by the system, and nobody ever reads or answers.
#[derive(Debug)]
pub struct Silent {
    address: SocketAddr,
    _listener: TcpListener,
}

impl Silent {
    /// A silent port of this address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn on(ip: IpAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((ip, 0))?;
        Ok(Silent { address: listener.local_addr()?, _listener: listener })
    }

    /// A silent port of `127.0.0.1`.
    ///
    /// # Panics
    ///
    /// If the system has no port to give.
    pub fn new() -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into()).expect("a free port of 127.0.0.1")
    }

    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path there.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Default for Silent {
    fn default() -> Self {
        Self::new()
    }
}

/// An address that does not even complete a TCP handshake, as behind a firewall that drops: its
/// queue of unaccepted connections has one place, and that is taken.
///
/// Where [`blackhole_works`] is false, the platform refuses or lets in instead.
#[derive(Debug)]
pub struct Blackhole {
    address: SocketAddr,
    listener: Socket,
    /// The connection in the one place.
    _filler: TcpStream,
}

impl Blackhole {
    /// A black hole on a port of this address, `127.0.0.1` or `::1`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn on(ip: IpAddr) -> io::Result<Self> {
        Self::at(SocketAddr::new(ip, 0))
    }

    /// A black hole on this address and port.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let listener = bind(address)?;
        listener.listen(0)?;
        let address = local(&listener)?;
        let filler = TcpStream::connect(address)?;
        Ok(Blackhole { address, listener, _filler: filler })
    }

    /// Makes room for one connection. Who waits for it gets it when TCP tries again, which on Linux
    /// is a second after its first attempt.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn let_one_in(&self) -> io::Result<()> {
        self.listener.accept().map(drop)
    }

    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path there.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Whether a [`Blackhole`] stays silent on this machine, over IPv4, and over IPv6 if it has that;
/// tried once. A test that needs one says when it is skipped.
pub fn blackhole_works() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let v6 = has_ipv6().then_some(Ipv6Addr::LOCALHOST.into());
        [Ipv4Addr::LOCALHOST.into()].into_iter().chain(v6).all(is_silent)
    })
}

fn is_silent(ip: IpAddr) -> bool {
    let Ok(hole) = Blackhole::on(ip) else { return false };
    match TcpStream::connect_timeout(&hole.addr(), PROBE) {
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::TimedOut,
    }
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn local(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("a TCP socket has an IP address"))
}
