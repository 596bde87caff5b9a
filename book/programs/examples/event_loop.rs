//! Several exchanges and one thread, which sleeps in one place: an event loop over mio 1.x.
//!
//! `cargo run -p book-programs --example event_loop [CALLS]`

use std::{
    env,
    error::Error,
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
    sync::{Arc, Barrier},
    thread,
};

use mio::{Events, Interest, Poll, Token, event::Event, net::TcpStream};

/// One exchange, and everything that must outlive the call in which it is driven.
struct Exchange {
    socket: TcpStream,
    /// What the kernel has not yet taken.
    request: Vec<u8>,
    response: Vec<u8>,
}

impl Exchange {
    fn start(poll: &Poll, server: SocketAddr, number: usize) -> io::Result<Self> {
        let mut socket = TcpStream::connect(server)?; // started, not finished
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut socket, Token(number), interest)?;
        let request = format!(
            "GET /quotes/{number} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n\r\n"
        );
        Ok(Exchange { socket, request: request.into_bytes(), response: Vec::new() })
    }

    /// Goes as far as the socket allows. True once the server has closed: the response is whole.
    fn ready(&mut self, event: &Event) -> io::Result<bool> {
        if event.is_writable() {
            if let Some(failure) = self.socket.take_error()? {
                return Err(failure);
            }
            while !self.request.is_empty() {
                match self.socket.write(&self.request) {
                    Ok(n) => drop(self.request.drain(..n)),
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
        }
        let mut buffer = [0; 4096];
        while event.is_readable() {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(n) => self.response.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(false)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let calls: usize = env::args().nth(1).map_or(Ok(3), |n| n.parse())?;
    let stops = Arc::new(Barrier::new(2));
    let server = book_programs::serve_crowd(calls, stops.clone())?;
    thread::spawn(move || (stops.wait(), stops.wait())); // the server need not wait for us

    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(64);
    let mut exchanges: Vec<Option<Exchange>> = Vec::new();
    for number in 0..calls {
        exchanges.push(Some(Exchange::start(&poll, server, number)?));
    }
    while exchanges.iter().any(Option::is_some) {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?, // the only line of this thread that sleeps
        }
        for event in &events {
            let slot = &mut exchanges[event.token().0];
            let Some(exchange) = slot else { continue };
            if exchange.ready(event)? {
                let response = String::from_utf8_lossy(&exchange.response);
                println!(
                    "token {}: {}",
                    event.token().0,
                    response.lines().last().unwrap_or("")
                );
                *slot = None; // closes the socket, which also ends its registration
            }
        }
    }
    Ok(())
}
