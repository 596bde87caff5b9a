//! The server's loop: the testbed's answers, from memory.
//!
//! The testbed has a thread for each connection, and keeps a log. Here it would be slower than
//! what is measured, and then all clients would look alike. So each answer is asked of it once, and sent
//! again to whoever asks after that: the same bytes, from one thread that does little else. Its
//! rules: a request is known by its target; nobody sends a second request before the first is
//! answered; where an answer says `connection: close`, this side closes first.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    rc::Rc,
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream as Socket},
};
use slab::Slab;

use crate::Failure;

/// Where new connections come from.
const LISTENER: Token = Token(usize::MAX);

/// Bytes of requests that are read at once.
const BUFFER: usize = 16 * 1024;

/// The loop, and what it owns.
pub(crate) struct Replay {
    /// The testbed's server, for what is not known yet.
    api: testbed::Server,
    answers: HashMap<Vec<u8>, Rc<Answer>>,
    listener: TcpListener,
    poll: Poll,
    connections: Slab<Connection>,
}

/// What is sent to whoever asks for a target.
struct Answer {
    bytes: Vec<u8>,
    /// Whether the connection ends with it.
    last: bool,
}

struct Connection {
    socket: Socket,
    /// The request as far as it has come.
    request: Vec<u8>,
    /// The answer that is being sent, and how much of it has been.
    sending: Option<(Rc<Answer>, usize)>,
}

impl Replay {
    /// A loop that listens, and answers what `api` answers.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn new(api: testbed::Server) -> Result<Self, Failure> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (answers, connections) = (HashMap::new(), Slab::new());
        Ok(Replay { api, answers, listener, poll, connections })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for as long as nothing fails.
    ///
    /// # Errors
    ///
    /// The system's; not those of a connection.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; BUFFER];
        loop {
            self.poll.poll(&mut events, None)?;
            for token in events.iter().map(|event| event.token()) {
                match token {
                    LISTENER => self.accept()?,
                    Token(key) => self.drive(key, &mut buffer),
                }
            }
        }
    }

    fn accept(&mut self) -> Result<(), Failure> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            socket.set_nodelay(true)?;
            let place = self.connections.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(place.key()), interest)?;
            place.insert(Connection { socket, request: Vec::new(), sending: None });
        }
    }

    /// An event of a connection. An error ends it: then its client has something to tell.
    fn drive(&mut self, key: usize, buffer: &mut [u8]) {
        // One that was closed may have had another event in the same turn.
        let Some(connection) = self.connections.get_mut(key) else { return };
        let goes_on =
            connection.ready(buffer, |target| known(&mut self.answers, &self.api, target));
        if !goes_on.unwrap_or(false) {
            self.connections.remove(key);
        }
    }
}

impl Connection {
    /// Sends, then reads, then sends; `false` once the peer has closed.
    ///
    /// A request does not fill the buffer, so reading it has emptied the socket: what comes later,
    /// and room for the rest of an answer, make events of their own.
    fn ready(
        &mut self,
        buffer: &mut [u8],
        answer: impl FnOnce(&[u8]) -> io::Result<Rc<Answer>>,
    ) -> io::Result<bool> {
        if !self.send()? {
            return Ok(true);
        }
        match self.socket.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(read) => self.request.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        }
        if self.request.ends_with(b"\r\n\r\n") {
            let target = self.request.split(|byte| *byte == b' ').nth(1);
            self.sending = Some((answer(target.unwrap_or_default())?, 0));
            self.request.clear();
            self.send()?;
        }
        Ok(true)
    }

    /// Sends as much as there is room for; `true` once nothing is left.
    fn send(&mut self) -> io::Result<bool> {
        let Some((answer, sent)) = &mut self.sending else { return Ok(true) };
        while *sent < answer.bytes.len() {
            match self.socket.write(&answer.bytes[*sent..]) {
                Ok(written) => *sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if answer.last {
            self.socket.shutdown(Shutdown::Write)?;
        }
        self.sending = None;
        Ok(true)
    }
}

/// The answer to a request for this target: the testbed's, asked for once.
fn known(
    answers: &mut HashMap<Vec<u8>, Rc<Answer>>,
    api: &testbed::Server,
    target: &[u8],
) -> io::Result<Rc<Answer>> {
    if let Some(answer) = answers.get(target) {
        return Ok(answer.clone());
    }
    let mut socket = TcpStream::connect(api.addr())?;
    socket.write_all(&[b"GET ", target, b" HTTP/1.1\r\nconnection: close\r\n\r\n"].concat())?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes)?;
    let closes = b"\r\nconnection: close\r\n";
    let last = bytes.windows(closes.len()).any(|window| window == closes);
    let answer = Rc::new(Answer { bytes, last });
    answers.insert(target.to_owned(), answer.clone());
    Ok(answer)
}
