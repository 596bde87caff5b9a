//! What the kernel and the parser cost alone: no pool, no types, no timeouts, no queue.
//!
//! No client can be cheaper, and none that keeps a contract comes here. Both read answers whose
//! head says their length, and nothing else.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use http::StatusCode;
use mio::{Events, Interest, Poll, Token};

use super::{Check, Load, Subject};
use crate::Failure;

/// Bytes read at once.
const BUFFER: usize = 64 * 1024;

/// Fields of a head at most: the server sends three.
const FIELDS: usize = 16;

/// The request, as the clients write it.
fn request(load: &Load) -> Vec<u8> {
    format!("GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", load.path, load.addr).into_bytes()
}

/// One answer as it comes.
struct Answer<'a> {
    check: Check<'a>,
    /// Once the head is parsed: the status, and the bytes of the body that are still to come.
    body: Option<(StatusCode, usize)>,
}

impl<'a> Answer<'a> {
    fn to(load: &'a Load) -> Self {
        Answer { check: load.check(), body: None }
    }

    /// Takes in what was read so far; `true` once the answer is whole. Before the head is, the
    /// next bytes have to follow these in the buffer; then they replace them.
    fn take(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        let piece = match &self.body {
            Some(_) => bytes,
            None => match parse(bytes)? {
                Some((head, status, length)) => {
                    self.body = Some((status, length));
                    &bytes[head..]
                }
                None => return Ok(false),
            },
        };
        let Some((_, left)) = &mut self.body else { return Ok(false) };
        self.check.update(piece);
        *left = left.checked_sub(piece.len()).ok_or("expected no byte after the body")?;
        Ok(*left == 0)
    }

    fn end(self) -> Result<(), Failure> {
        let (status, _) = self.body.ok_or("expected a whole head")?;
        self.check.end(status)
    }
}

/// The head's length, the status, and the body's length, if the head is whole.
fn parse(bytes: &[u8]) -> Result<Option<(usize, StatusCode, usize)>, Failure> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes)? else { return Ok(None) };
    let status = StatusCode::from_u16(head.code.unwrap_or_default())?;
    let field = head.headers.iter().find(|f| f.name.eq_ignore_ascii_case("content-length"));
    let body = std::str::from_utf8(field.ok_or("expected a length")?.value)?.parse()?;
    Ok(Some((length, status, body)))
}

// ===== a blocking socket =====

/// One socket that blocks, for one caller.
struct Blocking {
    load: Load,
    request: Vec<u8>,
    buffer: Vec<u8>,
    /// `None` where each call makes a connection.
    kept: Option<TcpStream>,
}

/// One socket that blocks.
pub(super) fn blocking(load: &Load) -> Result<Box<dyn Subject>, Failure> {
    let kept = if load.is_cold() { None } else { Some(connect(load)?) };
    let (request, buffer) = (request(load), vec![0; BUFFER]);
    Ok(Box::new(Blocking { load: load.clone(), request, buffer, kept }))
}

fn connect(load: &Load) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(load.addr)?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

impl Subject for Blocking {
    fn run(&mut self, calls: u64) -> Result<(), Failure> {
        for _ in 0..calls {
            match &self.kept {
                Some(socket) => exchange(socket, &self.load, &self.request, &mut self.buffer)?,
                None => {
                    let socket = connect(&self.load)?;
                    exchange(&socket, &self.load, &self.request, &mut self.buffer)?;
                }
            }
        }
        Ok(())
    }
}

fn exchange(
    mut socket: &TcpStream,
    load: &Load,
    request: &[u8],
    buffer: &mut [u8],
) -> Result<(), Failure> {
    socket.write_all(request)?;
    let mut answer = Answer::to(load);
    let mut filled = 0;
    loop {
        let read = socket.read(&mut buffer[filled..])?;
        if read == 0 {
            return Err("expected the rest of the answer".into());
        }
        filled += read;
        if answer.take(&buffer[..filled])? {
            return answer.end();
        }
        if answer.body.is_some() {
            filled = 0;
        }
    }
}

// ===== a bare loop =====

/// Sockets in one loop, registered once and edge-triggered.
struct Bare {
    load: Load,
    request: Vec<u8>,
    poll: Poll,
    events: Events,
    sockets: Vec<Socket>,
}

struct Socket {
    stream: mio::net::TcpStream,
    buffer: Vec<u8>,
    /// How much of `buffer` is filled.
    filled: usize,
    next: Next,
}

/// What a socket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nothing: every call is made.
    Nothing,
    /// Its connection, and then room for the request.
    Room,
    /// The rest of the answer.
    Answer,
}

/// A loop with nothing around it.
pub(super) fn bare(load: &Load) -> Result<Box<dyn Subject>, Failure> {
    let poll = Poll::new()?;
    let sockets = (0..load.connections).map(|index| Socket::open(load, &poll, index));
    let sockets = sockets.collect::<io::Result<_>>()?;
    let (request, events) = (request(load), Events::with_capacity(1024));
    Ok(Box::new(Bare { load: load.clone(), request, poll, events, sockets }))
}

impl Subject for Bare {
    fn run(&mut self, calls: u64) -> Result<(), Failure> {
        let Bare { load, request, poll, events, sockets } = self;
        let mut answers: Vec<_> = sockets.iter().map(|_| Answer::to(load)).collect();
        let (mut unasked, mut unanswered) = (calls, calls);
        for socket in sockets.iter_mut().take(calls.try_into().unwrap_or(usize::MAX)) {
            unasked -= 1;
            socket.send(request)?;
        }
        while unanswered > 0 {
            poll.poll(events, None)?;
            for Token(index) in events.iter().map(|event| event.token()) {
                let (socket, answer) = (&mut sockets[index], &mut answers[index]);
                if socket.next == Next::Room {
                    socket.send(request)?;
                }
                if socket.next != Next::Answer || !socket.receive(answer)? {
                    continue;
                }
                std::mem::replace(answer, Answer::to(load)).end()?;
                unanswered -= 1;
                if load.is_cold() {
                    socket.reopen(load, poll, index)?;
                }
                if unasked > 0 {
                    unasked -= 1;
                    socket.send(request)?;
                }
            }
        }
        Ok(())
    }
}

impl Socket {
    fn open(load: &Load, poll: &Poll, index: usize) -> io::Result<Self> {
        let stream = open(load, poll, index)?;
        Ok(Socket { stream, buffer: vec![0; BUFFER], filled: 0, next: Next::Nothing })
    }

    /// Another connection in the place of this one, which the server closes.
    fn reopen(&mut self, load: &Load, poll: &Poll, index: usize) -> io::Result<()> {
        self.stream = open(load, poll, index)?;
        Ok(())
    }

    /// Writes the request, unless the connection is not there yet: then an event will come.
    fn send(&mut self, request: &[u8]) -> Result<(), Failure> {
        self.next = match self.stream.write(request) {
            Ok(written) if written == request.len() => Next::Answer,
            Ok(_) => return Err("expected room for a whole request".into()),
            Err(error) if would_block(&error) => Next::Room,
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }

    /// Reads what is there; `true` once the answer is whole. A read that does not fill the buffer
    /// has emptied the socket: the next bytes make an event.
    fn receive(&mut self, answer: &mut Answer<'_>) -> Result<bool, Failure> {
        loop {
            let read = match self.stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Err("expected the rest of the answer".into()),
                Ok(read) => read,
                Err(error) if would_block(&error) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            self.filled += read;
            let full = self.filled == self.buffer.len();
            let whole = answer.take(&self.buffer[..self.filled])?;
            if answer.body.is_some() {
                self.filled = 0;
            }
            if whole {
                self.next = Next::Nothing;
            }
            if whole || !full {
                return Ok(whole);
            }
        }
    }
}

fn open(load: &Load, poll: &Poll, index: usize) -> io::Result<mio::net::TcpStream> {
    let mut stream = mio::net::TcpStream::connect(load.addr)?;
    let interest = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut stream, Token(index), interest)?;
    Ok(stream)
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}
