//! A server that accepts and reads, and does all else on command.
//!
//! Its sockets never block: the thread that plays a schedule looks after them itself.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    time::Duration,
};

use socket2::SockRef;

use crate::{
    schedule::Size,
    seen::{ConnectionSeen, RequestSeen},
};

/// One listener for each origin. Kept from schedule to schedule.
pub(crate) struct Server {
    listeners: Vec<TcpListener>,
}

/// The connections of one client.
pub(crate) struct Peers<'a> {
    server: &'a Server,
    pub(crate) peers: Vec<Peer>,
    buffer: Vec<u8>,
}

/// The server's end of a connection.
pub(crate) struct Peer {
    /// `None` once the connection has ended.
    stream: Option<TcpStream>,
    pub(crate) seen: ConnectionSeen,
    /// The head of a request, as far as it was read.
    head: Vec<u8>,
    /// Bytes of the last request's body that were not read.
    body: usize,
    /// An upload is read only then.
    pub(crate) reads_on: bool,
    /// Pieces of the body that were sent in this response.
    pub(crate) sent: usize,
    /// This response has chunks.
    pub(crate) chunked: bool,
}

impl Server {
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn start(origins: usize) -> io::Result<Self> {
        let listen = |_| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            // A fixed size, so that an upload cannot fit into it.
            SockRef::from(&listener).set_recv_buffer_size(64 * 1024)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        Ok(Server { listeners: (0..origins).map(listen).collect::<io::Result<_>>()? })
    }

    /// # Errors
    ///
    /// The system's.
    pub(crate) fn port(&self, origin: usize) -> io::Result<u16> {
        Ok(self.listeners[origin].local_addr()?.port())
    }

    pub(crate) fn peers(&self) -> Peers<'_> {
        Peers { server: self, peers: Vec::new(), buffer: vec![0; 256 * 1024] }
    }
}

impl Peers<'_> {
    /// Accepts what has come for these origins, and reads.
    pub(crate) fn look(&mut self, origins: usize) -> io::Result<()> {
        for (origin, listener) in self.server.listeners.iter().take(origins).enumerate() {
            match listener.accept() {
                Ok((stream, _)) => self.peers.push(Peer::new(stream, origin)?),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        self.peers.iter_mut().for_each(|peer| peer.look(&mut self.buffer));
        Ok(())
    }
}

impl Peer {
    fn new(stream: TcpStream, origin: usize) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        // A socket that is closed with this leaves nothing that waits for late packets, of which
        // thousands of schedules would leave too many.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        Ok(Peer {
            stream: Some(stream),
            seen: ConnectionSeen { origin, ..ConnectionSeen::default() },
            head: Vec::new(),
            body: 0,
            reads_on: false,
            sent: 0,
            chunked: false,
        })
    }

    fn look(&mut self, buffer: &mut [u8]) {
        // An upload that is not read fills the buffers between client and server.
        while self.body == 0 || self.reads_on {
            let Some(stream) = &mut self.stream else { return };
            match stream.read(buffer) {
                Ok(0) => self.end(),
                Ok(length) => self.take(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.end(),
            }
        }
    }

    fn end(&mut self) {
        self.stream = None;
        self.seen.ended = true;
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.body > 0 {
                let length = bytes.len().min(self.body);
                self.body -= length;
                bytes = &bytes[length..];
            } else {
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                if self.head.ends_with(b"\r\n\r\n") {
                    self.begin();
                }
            }
            if self.body == 0
                && let Some(last) = self.seen.requests.last_mut()
            {
                last.whole = true;
            }
        }
    }

    /// A head is whole.
    fn begin(&mut self) {
        let head = String::from_utf8_lossy(&self.head).to_ascii_lowercase();
        let mut words = head.split_whitespace();
        let method = words.next().unwrap_or_default().to_owned();
        let call = words.next().and_then(|path| path.strip_prefix('/')?.parse().ok());
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        self.body = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        self.seen.requests.push(RequestSeen {
            call: call.unwrap_or(usize::MAX),
            method,
            whole: false,
        });
        self.head.clear();
        (self.reads_on, self.sent) = (self.body <= Size::Small.bytes(), 0);
    }

    /// Writes a few bytes. If the client has gone, that shows in what is seen.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if let Some(stream) = &mut self.stream {
            let _ = stream.write_all(bytes);
        }
    }

    /// Ends the server's side.
    pub(crate) fn shut(&mut self) {
        if let Some(stream) = &self.stream {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    /// Closing a socket whose linger time is zero resets its connection.
    pub(crate) fn reset(&mut self) {
        self.end();
    }
}
