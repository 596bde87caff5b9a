//! Why only reads drive a renegotiation: what the textbook says about operations that blocked,
//! "when the socket is ready, call again what you have called", kills the connection, if what is
//! called is a write and data came first.

#![cfg(unix)]

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use openssl::ssl::{ErrorCode, SslConnector, SslMethod, SslStream, SslVerifyMode};
use testbed::{Server, openssl_server::Session, run::bounded};

/// Blocks on reads, and says `WouldBlock` to writes while they are held back.
#[derive(Debug)]
struct Held {
    tcp: TcpStream,
    shut: bool,
}

impl Read for Held {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.read(buffer)
    }
}

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.shut { Err(io::ErrorKind::WouldBlock.into()) } else { self.tcp.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Asks for a renegotiation between two words, and expects one from the client at its end.
fn server() -> Server {
    Server::start(|conn| {
        let mut tls = Session::accept(conn)?;
        tls.send("first")?;
        tls.renegotiate()?;
        tls.send("second")?;
        tls.finish_renegotiation()?;
        tls.send("third")?;
        assert_eq!(tls.read_exact(5)?, b"hello");
        tls.send("fourth")
    })
}

/// A client whose read waits to write its part of the handshake, with a word of the server in its
/// socket. Then its writes are let go.
fn in_renegotiation(server: &Server) -> SslStream<Held> {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let held = Held { tcp: TcpStream::connect(server.addr()).unwrap(), shut: false };
    let mut stream = connector.build().connect("localhost", held).unwrap();
    stream.get_mut().shut = true;
    assert_eq!(word(&mut stream), "first");
    let error = stream.ssl_read(&mut [0; 100]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::WANT_WRITE);
    assert_eq!(stream.get_ref().tcp.peek(&mut [0]).unwrap(), 1, "expected the second word");
    stream.get_mut().shut = false;
    stream
}

fn word(stream: &mut SslStream<Held>) -> String {
    let mut buffer = [0; 100];
    let n = stream.ssl_read(&mut buffer).unwrap();
    String::from_utf8(buffer[..n].to_vec()).unwrap()
}

#[test]
fn a_write_that_is_called_again_kills_the_connection() {
    bounded("a_write_that_is_called_again_kills_the_connection", || {
        let server = server();
        let mut stream = in_renegotiation(&server);
        let error = stream.ssl_write(b"hello").unwrap_err();
        assert_eq!(error.code(), ErrorCode::SSL);
        assert!(error.to_string().contains("unexpected record"), "{error}");
    });
}

#[test]
fn a_read_that_is_called_again_does_not() {
    bounded("a_read_that_is_called_again_does_not", || {
        let server = server();
        let mut stream = in_renegotiation(&server);
        assert_eq!(word(&mut stream), "second");
        assert!(!stream.ssl().is_init_finished());
        assert_eq!(word(&mut stream), "third");
        assert!(stream.ssl().is_init_finished());
        assert_eq!(stream.ssl_write(b"hello").unwrap(), 5);
        assert_eq!(word(&mut stream), "fourth");
    });
}
