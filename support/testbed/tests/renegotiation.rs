//! The servers that ask for a second handshake do so, and a client that blocks takes part in it.

#![cfg(unix)]

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use openssl::{
    ssl::{SslConnector, SslMethod, SslStream},
    x509::X509,
};
use testbed::{
    Server, certs, openssl_server::Session, run::bounded, s_server::SServer, server::Version,
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

fn connect(port: u16) -> SslStream<TcpStream> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    let root = X509::from_pem(certs::authority().pem().as_bytes()).unwrap();
    builder.cert_store_mut().add_cert(root).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    builder.build().connect("localhost", socket).unwrap()
}

fn read(stream: &mut SslStream<TcpStream>, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// What the client's last handshake ended with: another for each handshake.
fn finished(stream: &SslStream<TcpStream>) -> [u8; 12] {
    let mut bytes = [0; 12];
    assert_eq!(stream.ssl().finished(&mut bytes), 12);
    bytes
}

#[test]
fn openssl_renegotiates_in_the_middle_of_a_response() {
    let server = Server::start(|conn| {
        let mut tls = Session::accept(conn)?;
        assert_eq!(tls.request()?, REQUEST);
        tls.send("before ")?;
        tls.renegotiate()?;
        assert!(tls.is_renegotiating());
        tls.send("meanwhile ")?;
        tls.finish_renegotiation()?;
        assert!(!tls.is_renegotiating());
        tls.send("after")?;
        assert_eq!(tls.read_exact(4)?, b"done");
        tls.wait_closed();
        Ok(())
    });
    let mut stream = connect(server.port());
    stream.write_all(REQUEST).unwrap();
    assert_eq!(read(&mut stream, 22), b"before meanwhile after");
    stream.write_all(b"done").unwrap();
    drop(stream);
    server.wait_closed(1);
    server.finish();
}

#[test]
fn s_server_renegotiates_when_told() {
    bounded("s_server_renegotiates_when_told", || {
        let Some(mut server) = SServer::start(Version::Tls12) else { return };
        let mut stream = connect(server.port());
        stream.write_all(b"hello ~~~\n").unwrap();
        server.wait_for("hello ~~~");
        assert_eq!(server.count(b'~'), 3);
        server.say("before\n");
        assert_eq!(read(&mut stream, 7), b"before\n");
        let first = finished(&stream);
        server.renegotiate();
        server.say("after\n");
        assert_eq!(read(&mut stream, 6), b"after\n");
        stream.write_all(b"done\n").unwrap();
        server.wait_for("done");
        assert_ne!(finished(&stream), first, "there was no second handshake");
    });
}

#[test]
fn s_server_changes_its_keys_when_told() {
    bounded("s_server_changes_its_keys_when_told", || {
        for requested in [false, true] {
            let Some(mut server) = SServer::start(Version::Tls13) else { return };
            let mut stream = connect(server.port());
            server.say("before\n");
            assert_eq!(read(&mut stream, 7), b"before\n");
            server.key_update(requested);
            server.say("after\n");
            assert_eq!(read(&mut stream, 6), b"after\n");
        }
    });
}
