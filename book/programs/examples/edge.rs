//! One byte left unread under edge-triggered readiness: no event ever comes for it.
//!
//! `cargo run -p book-programs --example edge -- leave-one` hangs, and says so.
//! `cargo run -p book-programs --example edge -- drain` reads until the socket would block.

use std::{
    env,
    error::Error,
    io::{self, ErrorKind, Read, Write},
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

/// Reads once and goes back to the loop, with a buffer that is one byte too small.
fn leave_one(socket: &mut TcpStream, response: &mut Vec<u8>, whole: usize) -> io::Result<()> {
    let mut buffer = vec![0; whole - 1];
    let n = socket.read(&mut buffer)?;
    response.extend_from_slice(&buffer[..n]);
    Ok(())
}

/// Reads until the kernel says that there is nothing more: then, and only then, an event is due.
fn drain(socket: &mut TcpStream, response: &mut Vec<u8>, whole: usize) -> io::Result<()> {
    let mut buffer = vec![0; whole - 1];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => response.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let receive = match env::args().nth(1).as_deref() {
        Some("leave-one") => leave_one,
        Some("drain") => drain,
        _ => return Err("expected leave-one or drain".into()),
    };
    let server = book_programs::serve(book_programs::quotes)?; // keeps its connections open
    let mut socket = std::net::TcpStream::connect(server)?;
    socket.write_all(b"GET /quotes/7 HTTP/1.1\r\nhost: quotes\r\n\r\n")?;
    socket.set_nonblocking(true)?; // what is taken over from std still blocks
    let mut socket = TcpStream::from_std(socket);

    let whole = book_programs::answer("/quotes/7").len();
    let mut response = Vec::new();
    let mut events = Events::with_capacity(8);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    while response.len() < whole {
        // The server may take its time to begin. After that a real loop would wait without a limit
        // too, and this line would be its last.
        let limit = (!response.is_empty()).then_some(Duration::from_millis(300));
        poll.poll(&mut events, limit)?;
        if events.is_empty() {
            println!("no event, {} of {whole} bytes read: this loop hangs", response.len());
            let n = socket.read(&mut [0; 16])?;
            println!("read without an event: {n} byte was there all the time");
            return Err("an edge comes once".into());
        }
        receive(&mut socket, &mut response, whole)?;
    }
    println!("{whole} of {whole} bytes read");
    Ok(())
}
