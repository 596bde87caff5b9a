//! Why only reads drive a renegotiation: what the textbook says about operations that blocked,
//! "when the socket is ready, call again what you have called", kills the connection, if what is
//! called is a write and data came first.

use std::{
    cell::RefCell,
    io::{self, Read, Write},
    net::TcpStream,
};

use openssl::ssl::{ErrorCode, SslConnector, SslMethod, SslStream, SslVerifyMode};
use testbed::run::{bounded, eventually};

use crate::server::Server;

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

/// A client whose read waits to write a handshake, with data of the server in its socket.
fn in_renegotiation(server: &mut Server) -> SslStream<Held> {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let tcp = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let held = Held { tcp, shut: false };
    let mut stream = connector.build().connect("localhost", held).unwrap();
    server.wait_for("Secure Renegotiation IS supported");
    server.say("first\n");
    assert_eq!(stream.ssl_read(&mut [0; 100]).unwrap(), 6);
    stream.get_mut().shut = true;
    server.renegotiate();
    let error = stream.ssl_read(&mut [0; 100]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::WANT_WRITE);
    server.say("second\n");
    assert_eq!(stream.get_ref().tcp.peek(&mut [0]).unwrap(), 1);
    stream.get_mut().shut = false;
    stream
}

#[test]
fn a_write_that_is_called_again_kills_the_connection() {
    bounded("a_write_that_is_called_again_kills_the_connection", || {
        let Some(mut server) = Server::start("a_write_again") else { return };
        let mut stream = in_renegotiation(&mut server);
        let error = stream.ssl_write(b"hello\n").unwrap_err();
        assert_eq!(error.code(), ErrorCode::SSL);
        assert!(error.to_string().contains("unexpected record"), "{error}");
    });
}

#[test]
fn a_read_that_is_called_again_does_not() {
    bounded("a_read_that_is_called_again_does_not", || {
        let Some(mut server) = Server::start("a_read_again") else { return };
        let mut stream = in_renegotiation(&mut server);
        assert_eq!(stream.ssl_read(&mut [0; 100]).unwrap(), 7);
        assert!(!stream.ssl().is_init_finished());
        stream.get_ref().tcp.set_nonblocking(true).unwrap();
        let stream = RefCell::new(stream);
        eventually("the end of the handshake", || {
            let mut stream = stream.borrow_mut();
            let error = stream.ssl_read(&mut [0; 100]).unwrap_err();
            assert_eq!(error.code(), ErrorCode::WANT_READ);
            stream.ssl().is_init_finished()
        });
        let mut stream = stream.into_inner();
        assert_eq!(stream.ssl_write(b"hello\n").unwrap(), 6);
        server.wait_for("hello");
    });
}
