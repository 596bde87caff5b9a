//! The other side of the book's small programs: a quotes server, and nothing that they teach.
//!
//! Its rules: it blocks, with a thread for each connection, so that no program is explained by
//! itself; it listens on the loopback only; and when it answers is decided by events and never by
//! time.

#![forbid(unsafe_code)]

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Barrier},
    thread,
};

/// Listens on a free port of the loopback and gives each connection to `each`, on its own thread.
///
/// A connection that fails ends alone: what it showed, the program on the other side has seen.
///
/// # Errors
///
/// Those of binding a socket.
pub fn serve(
    each: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let each = each.clone();
            thread::spawn(move || each(socket));
        }
    });
    Ok(address)
}

/// Answers each request as it comes, until the peer closes.
///
/// # Errors
///
/// Those of the socket.
pub fn quotes(mut socket: TcpStream) -> io::Result<()> {
    while let Some(path) = read_request(&mut socket)? {
        socket.write_all(&answer(&path))?;
    }
    Ok(())
}

/// Takes `calls` connections and a request from each, and only then answers, the last one first,
/// and closes each connection after its answer.
///
/// All of it is one thread's work. It stops twice at `stops`: when it has all requests, and before
/// it answers, so that a program can look at itself in between.
///
/// # Errors
///
/// Those of binding a socket.
pub fn serve_crowd(calls: usize, stops: Arc<Barrier>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || -> io::Result<()> {
        let mut waiting = Vec::new();
        while waiting.len() < calls {
            let (mut socket, _) = listener.accept()?;
            if let Some(path) = read_request(&mut socket)? {
                waiting.push((socket, path));
            }
        }
        stops.wait();
        stops.wait();
        while let Some((mut socket, path)) = waiting.pop() {
            socket.write_all(&answer(&path))?;
        }
        Ok(())
    });
    Ok(address)
}

/// Reads one request without a body and returns its path; `None` at the connection's end.
///
/// # Errors
///
/// Those of the socket.
pub fn read_request(socket: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    Ok(head.split(' ').nth(1).map(str::to_owned))
}

/// The whole response to `GET path`.
pub fn answer(path: &str) -> Vec<u8> {
    let (status, body) = match path.strip_prefix("/quotes/") {
        Some(number) => ("200 OK", format!("quote {number}: who waits, if nobody blocks?\n")),
        None => ("404 Not Found", "no such quote\n".to_owned()),
    };
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
