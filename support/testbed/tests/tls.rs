//! The server over TLS, as a client sees it that blocks, and that is none of the stages.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring,
    pki_types::pem::PemObject,
};
use testbed::{
    Connection, End, Server, api, certs,
    reply::ok,
    server::{Options, ServerTls, Version, over_tls, plain},
};

const GET: &[u8] = b"GET /a HTTP/1.1\r\n\r\n";

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn settings(trusting: bool) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if trusting {
        let pem = certs::authority().pem().as_bytes();
        roots.add(PemObject::from_pem_slice(pem).unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

fn connect(server: &Server, settings: &Arc<ClientConfig>) -> Stream {
    let name = "localhost".try_into().unwrap();
    let session = ClientConnection::new(settings.clone(), name).unwrap();
    StreamOwned::new(session, TcpStream::connect(server.addr()).unwrap())
}

fn start(
    tls: ServerTls,
    script: impl Fn(&mut Connection) -> std::io::Result<()> + Send + Sync + 'static,
) -> Server {
    Options::new().tls(tls).start(script).unwrap()
}

/// All that the server sends, and whether it said that this is the end.
fn ask(server: &Server, settings: &Arc<ClientConfig>) -> (Vec<u8>, bool) {
    let mut stream = connect(server, settings);
    stream.write_all(GET).unwrap();
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    if let Err(error) = &end {
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
    }
    (bytes, end.is_ok())
}

#[test]
fn a_script_need_not_know_of_tls() {
    for version in Version::ALL {
        let server = start(ServerTls::new().version(version), |conn| {
            assert_eq!(conn.request()?.target(), "/a");
            conn.send(ok("hello"))
        });
        let settings = settings(true);
        for resumed in [false, true] {
            assert_eq!(ask(&server, &settings), (ok("hello"), true));
            server.wait_closed(1 + usize::from(resumed));
            let log = server.log();
            let tls = log.tls(usize::from(resumed)).unwrap();
            assert_eq!((tls.version, tls.resumed), (version, resumed));
            assert_eq!(tls.server_name.as_deref(), Some("localhost"));
            assert!(!tls.client_certificate && !tls.close_notify);
            let connection = &log.connections[0];
            assert_eq!((connection.bytes_in, connection.bytes_out), (19, ok("hello").len()));
        }
        server.finish();
    }
}

#[test]
fn an_end_may_come_without_notice() {
    let server = start(ServerTls::new(), |conn| {
        conn.request()?;
        conn.send("x")?;
        conn.without_tls();
        Ok(())
    });
    assert_eq!(ask(&server, &settings(true)), (b"x".to_vec(), false));
}

#[test]
fn records_may_be_chopped_and_joined() {
    let server = start(ServerTls::new(), |conn| {
        conn.chop();
        conn.request()?;
        let mut records = conn.seal("abc")?;
        records.extend(conn.seal("def")?);
        conn.send_raw(records)?;
        conn.key_update()?;
        conn.send("ghi")
    });
    assert_eq!(ask(&server, &settings(true)), (b"abcdefghi".to_vec(), true));
}

#[test]
fn a_handshake_may_be_stopped_anywhere() {
    let server = start(ServerTls::new(), |conn| {
        let whole = conn.handshake_until(if conn.index() == 0 { 100 } else { usize::MAX })?;
        assert_eq!(whole, conn.index() == 1);
        if whole { conn.send("whole") } else { Ok(()) }
    });
    let settings = settings(true);
    let error = connect(&server, &settings).write_all(GET).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
    assert_eq!(ask(&server, &settings).0, b"whole");
    server.finish();
}

#[test]
fn what_a_client_says_of_the_certificate_is_in_the_log() {
    let server = start(ServerTls::new(), |conn| conn.request().map(drop));
    let error = connect(&server, &settings(false)).write_all(GET).unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    server.wait_closed(1);
    let log = server.finish();
    assert!(matches!(log.end(0), Some(End::Tls(why)) if why.contains("UnknownCA")), "{log}");
}

#[test]
fn a_case_may_have_all_its_servers_speak_tls() {
    let scheme = || api::start().unwrap().scheme();
    assert_eq!((plain(scheme), over_tls(scheme), scheme()), ("http", "https", "http"));
}
