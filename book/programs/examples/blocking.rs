//! The client that everybody would write first: one call after another, each line blocks.
//!
//! `cargo run -p book-programs --example blocking [HOST:PORT/PATH]`

use std::{
    env,
    error::Error,
    io::{self, Read, Write},
    net::TcpStream,
};

/// A response's head: what is needed to find the end of its body.
struct Head {
    status: u16,
    length: usize,
    size: usize,
}

fn get(authority: &str, path: &str) -> Result<(u16, Vec<u8>), Box<dyn Error>> {
    let mut socket = TcpStream::connect(authority)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let head = loop {
        match parse(&bytes)? {
            Some(head) => break head,
            None => receive(&mut socket, &mut bytes)?,
        }
    };
    while bytes.len() < head.size + head.length {
        receive(&mut socket, &mut bytes)?;
    }
    Ok((head.status, bytes[head.size..head.size + head.length].to_vec()))
}

/// Waits for more bytes. The thread sleeps in `read` until some come.
fn receive(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    match socket.read(&mut buffer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        n => {
            bytes.extend_from_slice(&buffer[..n]);
            Ok(())
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Option<Head>, Box<dyn Error>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(size) = response.parse(bytes)? else { return Ok(None) };
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .ok_or("this client reads bodies with a content-length only")?;
    let length = str::from_utf8(length.value)?.parse()?;
    Ok(Some(Head { status: response.code.unwrap_or(0), length, size }))
}

fn main() -> Result<(), Box<dyn Error>> {
    let target = match env::args().nth(1) {
        Some(target) => target,
        None => format!("{}/quotes/7", book_programs::serve(book_programs::quotes)?),
    };
    let slash = target.find('/').ok_or("expected HOST:PORT/PATH")?;
    let (status, body) = get(&target[..slash], &target[slash..])?;
    println!("{status}");
    io::stdout().write_all(&body)?;
    Ok(())
}
