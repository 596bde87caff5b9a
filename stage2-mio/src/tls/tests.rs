//! TLS against a server in memory: no socket, no loop, and each byte where the test wants it.

use std::{
    collections::VecDeque,
    sync::{LazyLock, Mutex, MutexGuard},
};

use client_core::{Error, Roots, tls::TlsClient};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, ServerConnection, crypto::ring};

use super::*;

/// One certificate for all cases, which vouches for itself.
static CERTIFIED: LazyLock<CertifiedKey<rcgen::KeyPair>> =
    LazyLock::new(|| generate_simple_self_signed(["host".into()]).unwrap());

/// A socket: what lies in it in both directions, and what it does when it is asked for more.
#[derive(Default)]
struct Wire {
    to_client: VecDeque<u8>,
    to_server: VecDeque<u8>,
    /// How many more bytes it takes from the client; `None` is any number.
    room: Option<usize>,
    /// What it says beyond: `WouldBlock` if nothing else.
    write_error: Option<io::ErrorKind>,
    /// The server has closed it.
    closed: bool,
}

/// The client's end of it.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<Wire>>);

impl Socket {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap()
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.wire();
        match wire.to_client.read(buffer)? {
            0 if !wire.closed => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.wire();
        let n = wire.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if n == 0 {
            return Err(wire.write_error.unwrap_or(io::ErrorKind::WouldBlock).into());
        }
        wire.room = wire.room.map(|room| room - n);
        wire.to_server.extend(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Socket {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket {}

/// Both ends of a session.
struct Session {
    client: TlsStream<Socket>,
    server: ServerConnection,
    socket: Socket,
    /// What the server has sent, and the socket has not been given yet.
    under_way: VecDeque<u8>,
}

impl Session {
    /// Before the first byte.
    fn new() -> Self {
        Session::asking_for("host")
    }

    fn asking_for(name: &str) -> Self {
        let provider = Arc::new(ring::default_provider());
        let certificate = CERTIFIED.cert.der().clone();
        let key = CERTIFIED.signing_key.serialize_der().try_into().unwrap();
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let roots = client_core::Tls::new().roots(Roots::from_pem(&pem()).unwrap());
        let config = TlsClient::new(roots).config().unwrap();
        let socket = Socket::default();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Session {
            client: TlsStream::new(socket.clone(), config, name).unwrap(),
            server: ServerConnection::new(Arc::new(server)).unwrap(),
            socket,
            under_way: VecDeque::new(),
        }
    }

    /// After the handshake.
    fn ready() -> Self {
        let mut session = Session::new();
        session.shake_hands(usize::MAX).unwrap();
        session.deliver(usize::MAX);
        session
    }

    /// Drives the handshake; each side gets so many bytes at a time.
    fn shake_hands(&mut self, piece: usize) -> io::Result<()> {
        loop {
            self.socket.wire().room = Some(piece);
            match self.client.handshake() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    self.socket.wire().room = None;
                    return done;
                }
            }
            self.deliver(piece);
        }
    }

    /// Gives the server what the client sent, and the socket what the server says: so many bytes
    /// at a time.
    fn deliver(&mut self, piece: usize) {
        let mut wire = self.socket.wire();
        while !wire.to_server.is_empty() {
            self.server.read_tls(&mut wire.to_server).unwrap();
            // Its alert is what the client is to see of an error.
            let _ = self.server.process_new_packets();
        }
        while self.server.wants_write() {
            self.server.write_tls(&mut self.under_way).unwrap();
        }
        let n = self.under_way.len().min(piece);
        wire.to_client.extend(self.under_way.drain(..n));
    }

    /// The server says this.
    fn say(&mut self, text: &[u8]) {
        self.server.writer().write_all(text).unwrap();
        self.deliver(usize::MAX);
    }

    /// What the server has received so far.
    fn heard(&mut self) -> Vec<u8> {
        self.deliver(usize::MAX);
        let mut heard = Vec::new();
        let _ = self.server.reader().read_to_end(&mut heard);
        heard
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = [0; 1024];
        self.client.read(&mut buffer).map(|n| buffer[..n].to_vec())
    }
}

fn pem() -> Vec<u8> {
    CERTIFIED.cert.pem().into_bytes()
}

fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().expect("an error").kind()
}

#[test]
fn a_handshake_may_be_cut_at_every_byte() {
    for piece in 1..40 {
        let mut session = Session::new();
        session.shake_hands(piece).unwrap();
        session.client.write_all(b"hello").unwrap();
        session.client.flush().unwrap();
        assert_eq!(session.heard(), b"hello", "in pieces of {piece} bytes");
    }
}

#[test]
fn a_handshake_with_a_server_of_another_name_fails_and_says_so_to_it() {
    let mut session = Session::asking_for("other");
    let error = Error::handshake(session.shake_hands(usize::MAX).unwrap_err());
    assert_eq!(error.kind(), client_core::ErrorKind::Tls);
    assert!(error.to_string().contains("other"), "{error}");
    assert!(!session.socket.wire().to_server.is_empty(), "expected an alert");
}

#[test]
fn a_handshake_that_the_peer_leaves_is_an_error_at_every_byte() {
    let mut whole = 0;
    for cut in 0.. {
        let mut session = Session::new();
        assert_eq!(kind(session.client.handshake()), io::ErrorKind::WouldBlock);
        session.deliver(cut);
        session.socket.wire().closed = true;
        match session.client.handshake() {
            Ok(()) => break,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "at {cut}"),
        }
        whole = cut;
    }
    assert!(whole > 500, "expected a server's flight, found {whole} bytes");
}

#[test]
fn what_was_decrypted_before_an_error_is_read_before_it() {
    let mut session = Session::ready();
    session.say(b"hello");
    session.socket.wire().to_client.extend(b"no record of TLS");
    session.socket.wire().closed = true;
    assert_eq!(session.read().unwrap(), b"hello");
    for _ in 0..2 {
        assert_eq!(kind(session.read()), io::ErrorKind::InvalidData);
    }
    assert!(!session.socket.wire().to_server.is_empty(), "expected an alert");
}

#[test]
fn only_an_end_that_is_announced_is_an_end() {
    for announced in [true, false] {
        let mut session = Session::ready();
        session.say(b"hello");
        if announced {
            session.server.send_close_notify();
            session.deliver(usize::MAX);
        }
        session.socket.wire().closed = true;
        assert_eq!(session.read().unwrap(), b"hello");
        match session.read() {
            Ok(end) => assert!(announced && end.is_empty()),
            Err(error) => assert!(!announced && error.kind() == io::ErrorKind::UnexpectedEof),
        }
    }
}

#[test]
fn a_read_sends_what_waits_and_waits_for_whichever_comes_first() {
    let mut session = Session::ready();
    assert_eq!(kind(session.read()), io::ErrorKind::WouldBlock);
    assert_eq!(session.client.blocked(), Some(Blocked::Read));

    session.socket.wire().room = Some(3);
    assert_eq!(session.client.write(b"hello").unwrap(), 5);
    assert_eq!(kind(session.read()), io::ErrorKind::WouldBlock);
    assert_eq!(session.client.blocked(), Some(Blocked::Either));

    session.socket.wire().room = None;
    assert_eq!(kind(session.read()), io::ErrorKind::WouldBlock);
    assert_eq!(session.client.blocked(), Some(Blocked::Read));
    assert_eq!(session.heard(), b"hello");
}

#[test]
fn no_more_is_accepted_while_a_record_waits() {
    let mut session = Session::ready();
    session.socket.wire().room = Some(3);
    assert_eq!(session.client.write(b"hello").unwrap(), 5);
    assert_eq!(kind(session.client.write(b" world")), io::ErrorKind::WouldBlock);
    assert_eq!(session.client.blocked(), Some(Blocked::Write));
    assert_eq!(kind(session.client.flush()), io::ErrorKind::WouldBlock);
    session.socket.wire().room = None;
    assert_eq!(session.client.write(b" world").unwrap(), 6);
    session.client.flush().unwrap();
    assert_eq!(session.heard(), b"hello world");
}

#[test]
fn a_write_that_fails_says_whether_the_peer_may_have_seen_any_of_it() {
    for (room, seen) in [(0, false), (3, true)] {
        let mut session = Session::ready();
        session.socket.wire().room = Some(room);
        session.socket.wire().write_error = Some(io::ErrorKind::ConnectionReset);
        match session.client.write(b"hello") {
            Ok(n) => assert!(seen && n == 5),
            Err(error) => assert!(!seen && error.kind() == io::ErrorKind::ConnectionReset),
        }
        assert_eq!(kind(session.client.flush()), io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_stream_that_has_failed_gets_no_goodbye() {
    let mut session = Session::ready();
    session.socket.wire().write_error = Some(io::ErrorKind::ConnectionReset);
    session.socket.wire().room = Some(0);
    assert_eq!(kind(session.client.write(b"hello")), io::ErrorKind::ConnectionReset);
    session.socket.wire().write_error = None;
    session.socket.wire().room = None;
    session.client.close();
    session.deliver(usize::MAX);
    assert_eq!(kind(session.server.reader().read(&mut [0; 8])), io::ErrorKind::WouldBlock);
}

#[test]
fn a_goodbye_is_one_attempt() {
    for room in [None, Some(0)] {
        let mut session = Session::ready();
        session.socket.wire().room = room;
        session.client.close();
        session.deliver(usize::MAX);
        let end = session.server.reader().read(&mut [0; 8]);
        assert_eq!(end.is_ok(), room.is_none());
    }
}

/// The system tells a failure once, to whichever operation comes first.
#[test]
fn an_end_behind_a_write_that_failed_is_that_failure() {
    let mut session = Session::ready();
    session.socket.wire().room = Some(0);
    assert_eq!(session.client.write(b"hello").unwrap(), 5);
    session.socket.wire().write_error = Some(io::ErrorKind::ConnectionReset);
    session.socket.wire().closed = true;
    assert_eq!(kind(session.read()), io::ErrorKind::ConnectionReset);
}
