//! One accepted connection, in the hands of its script.
//!
//! Its rules: every call blocks the script's own thread; when the server is stopped, each of them
//! ends with an error; what happens goes into the log before the call returns.

mod secure;

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use socket2::SockRef;

use super::{
    End, Log, Request, Shared, drained,
    log::{ConnectionLog, State},
    request::head_length,
    tls::Tls,
};
use crate::BOUND;

/// Bytes read from the socket at once; a longer head makes the buffer grow.
const BUFFER: usize = 16 * 1024;

/// The longest head.
const MAX_HEAD: usize = 256 * 1024;

/// The most that one `write` is given, so that the log says how far a blocked send has come.
const WRITE: usize = 64 * 1024;

/// The server's end of a connection.
pub struct Connection {
    shared: Arc<Shared>,
    /// `None` after [`close`](Self::close) or [`reset`](Self::reset).
    socket: Option<Arc<TcpStream>>,
    /// `None` on a server without TLS, and after [`without_tls`](Self::without_tls).
    tls: Option<Tls>,
    index: usize,
    /// Requests that were read.
    requests: usize,
    buffer: Vec<u8>,
    /// The part of `buffer` that was read from the socket and not used yet.
    unread: Range<usize>,
    /// How it ended, as far as the script has seen or caused it.
    end: Option<End>,
}

impl Connection {
    pub(super) fn new(
        shared: Arc<Shared>,
        socket: Arc<TcpStream>,
        index: usize,
    ) -> io::Result<Self> {
        let tls = shared.tls.clone().map(Tls::new).transpose()?;
        Ok(Connection {
            shared,
            socket: Some(socket),
            tls,
            index,
            requests: 0,
            buffer: vec![0; BUFFER],
            unread: 0..0,
            end: None,
        })
    }

    /// Its place in the order of acceptance, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The scheme of the server's URLs.
    pub fn scheme(&self) -> &'static str {
        self.shared.scheme()
    }

    /// The socket, for options that have no method here.
    ///
    /// # Errors
    ///
    /// `NotConnected` after [`close`](Self::close) and [`reset`](Self::reset).
    pub fn socket(&self) -> io::Result<&TcpStream> {
        self.socket.as_deref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    // ===== receiving =====

    /// The next request with its whole body.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the peer closed first, `InvalidData` if it sent something else (which
    /// fails the script).
    pub fn request(&mut self) -> io::Result<Arc<Request>> {
        self.next_request()?.ok_or_else(|| eof("before a request"))
    }

    /// The next request with its whole body, or `None` if the peer closed in between: what a
    /// keep-alive loop asks.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request), which also counts a close in mid-request as an error.
    pub fn next_request(&mut self) -> io::Result<Option<Arc<Request>>> {
        let Some(mut request) = self.read_head()? else { return Ok(None) };
        request.body = self.read_exact(request.content_length()?)?;
        Ok(Some(self.record(request)))
    }

    /// The next request's head; its body is left on the socket.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn request_head(&mut self) -> io::Result<Arc<Request>> {
        let request = self.read_head()?.ok_or_else(|| eof("before a request"))?;
        Ok(self.record(request))
    }

    /// Exactly `length` bytes.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the peer closed first.
    pub fn read_exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length.min(1 << 20));
        while bytes.len() < length {
            if self.unread.is_empty() && self.fill()? == 0 {
                return Err(eof("in the middle of what was to be read"));
            }
            let take = self.unread.len().min(length - bytes.len());
            bytes.extend_from_slice(self.take(take));
        }
        Ok(bytes)
    }

    /// What the next read brings; nothing if the peer has closed its side.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn read_some(&mut self) -> io::Result<Vec<u8>> {
        if self.unread.is_empty() {
            self.fill()?;
        }
        Ok(self.take(self.unread.len()).to_vec())
    }

    /// Everything up to the peer's close.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let piece = self.read_some()?;
            if piece.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&piece);
        }
    }

    /// Reads and forgets until the peer has closed or reset the connection, or broken TLS; which of
    /// them stands in the log.
    ///
    /// # Errors
    ///
    /// Only if the server is stopped.
    pub fn wait_closed(&mut self) -> io::Result<()> {
        loop {
            self.unread = 0..0;
            match self.fill() {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(_) if matches!(self.end, Some(End::PeerReset | End::Tls(_))) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    // ===== sending =====

    /// Sends these bytes, in one write if they are at most 64 KiB. Over TLS, records are of at most
    /// 16 KiB.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        for part in bytes.as_ref().chunks(WRITE) {
            if self.tls.is_some() {
                let records = self.seal(part)?;
                self.write(&records)?;
                self.note(|connection| connection.bytes_out += part.len());
                continue;
            }
            let mut left = part;
            while !left.is_empty() {
                let written = self.socket()?.write(left);
                let written = written.map_err(|error| self.broken(error))?;
                left = &left[written..];
                self.note(|connection| connection.bytes_out += written);
            }
        }
        Ok(())
    }

    /// Sends one piece after the other. On Linux each is sent only after the peer's application
    /// has read the one before, so that the pieces arrive as pieces; elsewhere they are only
    /// written one by one.
    ///
    /// # Errors
    ///
    /// Those of the socket; `TimedOut` if the peer leaves a piece unread for
    /// [`BOUND`].
    pub fn send_in<P: AsRef<[u8]>>(
        &mut self,
        pieces: impl IntoIterator<Item = P>,
    ) -> io::Result<()> {
        for (index, piece) in pieces.into_iter().enumerate() {
            if index > 0 {
                self.wait_read()?;
            }
            self.send(piece)?;
        }
        Ok(())
    }

    /// Sends these bytes in two pieces, the first of `at` bytes.
    ///
    /// # Errors
    ///
    /// As [`send_in`](Self::send_in).
    pub fn send_split_at(&mut self, bytes: impl AsRef<[u8]>, at: usize) -> io::Result<()> {
        let (first, second) = bytes.as_ref().split_at(at);
        self.send_in([first, second])
    }

    /// Waits until the peer's application has read all that was sent (Linux; elsewhere it
    /// returns at once).
    ///
    /// # Errors
    ///
    /// `TimedOut` after [`BOUND`].
    pub fn wait_read(&mut self) -> io::Result<()> {
        drained::wait(self.socket()?, || self.shared.watched.lock().stopping)
    }

    // ===== ending =====

    /// Closes the sending side: the peer reads to its end. TLS says so first.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn half_close(&mut self) -> io::Result<()> {
        if self.tls.is_some() {
            self.close_notify()?;
        }
        self.socket()?.shutdown(Shutdown::Write)
    }

    /// Closes the connection, as the script's end does too; TLS says so first. If bytes of the
    /// peer are unread, the system sends a reset, which may overtake what was sent before: the
    /// careful way to close is [`half_close`](Self::half_close) and
    /// [`wait_closed`](Self::wait_closed).
    pub fn close(&mut self) {
        self.finish(End::Closed);
    }

    /// Resets the connection: the peer's next read fails.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn reset(&mut self) -> io::Result<()> {
        SockRef::from(self.socket()?).set_linger(Some(Duration::ZERO))?;
        self.finish(End::Reset);
        Ok(())
    }

    // ===== steps =====

    /// Waits until the test calls [`Server::open`](super::Server::open) with this name.
    ///
    /// # Errors
    ///
    /// `TimedOut` after [`BOUND`], which fails the script.
    pub fn wait(&mut self, step: &str) -> io::Result<()> {
        let opened = |state: &State| state.log.opened.contains(step);
        let over =
            self.shared.watched.wait(|state| (state.stopping || opened(state)).then_some(()));
        match over {
            Some(()) => self.unless_stopped(),
            None => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("step {step:?} was not opened within {BOUND:?}"),
            )),
        }
    }

    /// Tells whoever waits for this name that the script has come here:
    /// [`Server::wait_open`](super::Server::wait_open), or another connection's script.
    pub fn open(&mut self, step: &str) {
        self.shared.watched.change(|state| state.log.opened.insert(step.to_owned()));
    }

    /// Looks at the log of the whole server.
    pub fn look<R>(&self, look: impl FnOnce(&Log) -> R) -> R {
        look(&self.shared.watched.lock().log)
    }

    // ===== within =====

    fn read_head(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some(length) = head_length(&self.buffer[self.unread.clone()])? {
                let head = self.take(length).to_vec();
                let (connection, index) = (self.index, self.requests);
                return Ok(Some(Request { connection, index, head, body: Vec::new() }));
            }
            if self.fill()? == 0 {
                return if self.unread.is_empty() { Ok(None) } else { Err(eof("in a head")) };
            }
        }
    }

    fn take(&mut self, length: usize) -> &[u8] {
        let start = self.unread.start;
        self.unread.start += length;
        &self.buffer[start..start + length]
    }

    /// Reads once, behind what is unread. 0 is the peer's end.
    fn fill(&mut self) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.start > 0 {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        if self.unread.end == self.buffer.len() {
            if self.buffer.len() >= MAX_HEAD {
                let message = format!("expected a head of less than {MAX_HEAD} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = match self.tls {
            None => {
                let mut socket = self.socket.as_deref().ok_or(io::ErrorKind::NotConnected)?;
                let read = socket.read(&mut self.buffer[self.unread.end..]);
                read.map_err(|error| self.broken(error))?
            }
            Some(_) => self.read_decrypted()?,
        };
        self.unless_stopped()?;
        if read == 0 {
            self.end.get_or_insert(End::PeerClosed);
        }
        self.unread.end += read;
        self.note(|connection| connection.bytes_in += read);
        Ok(read)
    }

    fn record(&mut self, request: Request) -> Arc<Request> {
        self.requests += 1;
        let request = Arc::new(request);
        let recorded = self.shared.recorded;
        self.shared.watched.change(|state| {
            state.log.received += 1;
            if recorded {
                state.log.connections[request.connection].requests += 1;
                state.log.requests.push(request.clone());
            }
        });
        request
    }

    fn note(&self, change: impl FnOnce(&mut ConnectionLog)) {
        if self.shared.recorded {
            self.shared.watched.change(|state| change(&mut state.log.connections[self.index]));
        }
    }

    /// Remembers that the peer ended the connection with what made this call fail, unless our own
    /// stop did.
    fn broken(&mut self, error: io::Error) -> io::Error {
        if self.unless_stopped().is_ok() {
            if is_peers_end(&error) {
                self.end.get_or_insert(End::PeerReset);
            } else if let Some(why) = tls_failure(&error) {
                self.end.get_or_insert(End::Tls(why));
            }
        }
        error
    }

    fn unless_stopped(&self) -> io::Result<()> {
        match self.shared.watched.lock().stopping {
            true => Err(io::Error::new(io::ErrorKind::Interrupted, "the server is stopped")),
            false => Ok(()),
        }
    }

    /// Closes the socket, and puts into the log why. The first call wins.
    pub(super) fn finish(&mut self, end: End) {
        let Some(socket) = self.socket.take() else { return };
        let end = self.end.take().unwrap_or(end);
        let goodbye = self.tls.take().filter(|_| end == End::Closed || end == End::PeerClosed);
        // Counted before the peer can know: it may connect again at once, and has one open then.
        self.shared.ended(self.index, end);
        self.shared.forget(self.index);
        if let Some(tls) = goodbye {
            secure::say_goodbye(tls, &socket);
        }
        drop(socket);
    }

    /// How the connection ended, when its script is over.
    pub(super) fn verdict(&self, result: io::Result<()>) -> End {
        match result {
            _ if self.shared.watched.lock().stopping => End::Stopped,
            Ok(()) => End::Closed,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => End::PeerClosed,
            Err(error) if is_peers_end(&error) => End::PeerReset,
            Err(error) if tls_failure(&error).is_some() => End::Tls(error.to_string()),
            Err(error) => End::Failed(error.to_string()),
        }
    }
}

fn is_peers_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

/// What TLS said, if it was TLS that failed.
fn tls_failure(error: &io::Error) -> Option<String> {
    Some(error.get_ref()?.downcast_ref::<rustls::Error>()?.to_string())
}

fn eof(place: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the peer closed {place}"))
}
