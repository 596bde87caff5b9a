//! Listening sockets.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::OnceLock,
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

use super::Options;

/// Connections that may wait to be accepted: enough for a benchmark's cold start at once.
const BACKLOG: i32 = 1024;

/// How often a port that is free on one address is looked for on the others.
const TRIES: usize = 20;

/// A listening socket and its address.
pub(super) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection, with `TCP_NODELAY`.
    pub(super) fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.socket.accept()?;
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }

    /// Makes an `accept` that blocks return: on Linux a shutdown does, elsewhere a connection.
    pub(super) fn unblock(&self) {
        let shut = SockRef::from(&self.socket).shutdown(std::net::Shutdown::Both);
        if shut.is_err() || !cfg!(target_os = "linux") {
            let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        }
    }
}

/// Whether this machine has `::1`.
pub fn has_ipv6() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok())
}

/// Listens on all addresses; those with port 0 get the same port.
pub(super) fn bind(options: &Options) -> io::Result<Vec<Listener>> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "expected an address");
    for _ in 0..TRIES {
        match bind_once(options) {
            Ok(listeners) if !listeners.is_empty() => return Ok(listeners),
            Ok(_) => return Err(last),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn bind_once(options: &Options) -> io::Result<Vec<Listener>> {
    let mut listeners: Vec<Listener> = Vec::new();
    for address in &options.addresses {
        let mut address = *address;
        if address.port() == 0 {
            address.set_port(listeners.first().map_or(0, |first| first.address.port()));
        }
        listeners.push(listen(address, options)?);
    }
    Ok(listeners)
}

fn listen(address: SocketAddr, options: &Options) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A server that is started again does not wait for the old connections to be forgotten. On
    // Windows the option means something else: to take the port from another.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit the sizes; set later they would not bound what is announced.
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from(socket);
    let address = socket.local_addr()?;
    Ok(Listener { socket, address })
}
