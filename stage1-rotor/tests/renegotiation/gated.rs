//! TCP with a gate before its writes: a send buffer that is full when a test wants it, at the end
//! of a write and not somewhere in it.

use std::{
    io::{self, Read, Write},
    net::ToSocketAddrs,
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{Arc, Mutex, MutexGuard},
};

use stage1_rotor::{
    Connector, Origin, Socket, Transport,
    rotor::{
        EventSet, Evented, PollOpt,
        mio::{Selector, Token, unix::EventedFd},
    },
};

/// Lets so many bytes pass, and the rest of the write that goes beyond; then none.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Mutex<State>>);

struct State {
    left: usize,
    /// Writes that came to nothing.
    refused: usize,
    /// Two ends of a socket that is full. When the one is emptied, the other becomes writable, and
    /// nothing else. The loop takes that for TCP's: both are watched under one token.
    room: (UnixStream, UnixStream),
}

/// Dials TCP, and puts the gate before it.
pub(crate) struct Gated(pub(crate) Gate);

struct Stream {
    tcp: Socket,
    gate: Gate,
}

impl Gate {
    /// A gate that is shut after so many bytes.
    pub(crate) fn after(bytes: usize) -> Self {
        let mut room = UnixStream::pair().expect("two sockets");
        room.0.set_nonblocking(true).expect("a socket that does not block");
        room.1.set_nonblocking(true).expect("a socket that does not block");
        while room.1.write(&[0; 4096]).is_ok() {}
        Gate(Arc::new(Mutex::new(State { left: bytes, refused: 0, room })))
    }

    /// Lets nothing more pass.
    pub(crate) fn shut(&self) {
        self.state().left = 0;
    }

    /// Lets everything pass. The loop hears that there is room, as it would of a socket.
    pub(crate) fn open(&self) {
        let mut state = self.state();
        state.left = usize::MAX;
        while state.room.0.read(&mut [0; 4096]).is_ok() {}
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
        let tcp = Socket::connect(address.ok_or(io::ErrorKind::NotFound)?)?;
        Ok(Box::new(Stream { tcp, gate: self.0.clone() }))
    }
}

impl Transport for Stream {
    fn handshake(&mut self) -> io::Result<()> {
        self.tcp.handshake()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.gate.state();
        if state.left == 0 {
            state.refused += 1;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = self.tcp.write(bytes)?;
        state.left = state.left.saturating_sub(n);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
        EventedFd(&self.gate.state().room.1.as_raw_fd()).register(by, token, what, mode)?;
        self.tcp.register(by, token, what, mode)
    }

    fn reregister(
        &self,
        by: &mut Selector,
        token: Token,
        what: EventSet,
        mode: PollOpt,
    ) -> io::Result<()> {
        self.tcp.reregister(by, token, what, mode)
    }

    fn deregister(&self, by: &mut Selector) -> io::Result<()> {
        EventedFd(&self.gate.state().room.1.as_raw_fd()).deregister(by)?;
        self.tcp.deregister(by)
    }
}
