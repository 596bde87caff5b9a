//! TCP with a gate before its writes: a send buffer that is full when a test wants it, at the end
//! of a write and not somewhere in it.

use std::{
    io::{self, Read, Write},
    net::ToSocketAddrs,
    sync::{Arc, Mutex, MutexGuard},
};

use stage2_mio::{
    Connector, Origin, Socket, Transport,
    mio::{Interest, Registry, Token, event::Source, net::TcpStream},
};

/// Lets so many bytes pass, and the rest of the write that goes beyond; then none.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Mutex<State>>);

struct State {
    left: usize,
    /// Writes that came to nothing.
    refused: usize,
    /// The stream, and how it is registered.
    watched: Option<(SharedSocket, Registry, Token, Interest)>,
}

type SharedSocket = Arc<Mutex<Socket<TcpStream>>>;

/// Dials TCP, and puts the gate before it.
pub(crate) struct Gated(pub(crate) Gate);

struct Stream {
    tcp: SharedSocket,
    gate: Gate,
}

impl Gate {
    /// A gate that is shut after so many bytes.
    pub(crate) fn after(bytes: usize) -> Self {
        Gate(Arc::new(Mutex::new(State { left: bytes, refused: 0, watched: None })))
    }

    /// Lets nothing more pass.
    pub(crate) fn shut(&self) {
        self.state().left = 0;
    }

    /// Lets everything pass. The loop hears that there is room, as it would of a socket.
    pub(crate) fn open(&self) {
        let mut state = self.state();
        state.left = usize::MAX;
        if let Some((tcp, registry, token, interest)) = &state.watched {
            registry.reregister(&mut *tcp.lock().unwrap(), *token, *interest).unwrap();
        }
    }

    /// How often somebody has wanted to write, and could not.
    pub(crate) fn refused(&self) -> usize {
        self.state().refused
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Connector for Gated {
    fn connect(&self, origin: &Origin) -> io::Result<Box<dyn Transport>> {
        let address = (origin.host(), origin.port()).to_socket_addrs()?.next();
        let tcp = TcpStream::connect(address.ok_or(io::ErrorKind::NotFound)?)?;
        Ok(Box::new(Stream { tcp: Arc::new(Mutex::new(tcp.into())), gate: self.0.clone() }))
    }
}

impl Transport for Stream {
    fn handshake(&mut self) -> io::Result<()> {
        self.tcp.lock().unwrap().handshake()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.lock().unwrap().read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.gate.state();
        if state.left == 0 {
            state.refused += 1;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = self.tcp.lock().unwrap().write(bytes)?;
        state.left = state.left.saturating_sub(n);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Stream {
    fn register(&mut self, by: &Registry, token: Token, what: Interest) -> io::Result<()> {
        let mut state = self.gate.state();
        state.watched = Some((self.tcp.clone(), by.try_clone()?, token, what));
        self.tcp.lock().unwrap().register(by, token, what)
    }

    fn reregister(&mut self, by: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.tcp.lock().unwrap().reregister(by, token, what)
    }

    fn deregister(&mut self, by: &Registry) -> io::Result<()> {
        self.gate.state().watched = None;
        self.tcp.lock().unwrap().deregister(by)
    }
}
