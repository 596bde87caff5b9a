//! Connectors that a user may replace, and what becomes of their failures.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use stage3_tokio::{
    Client, Connector, Connectors, Error, ErrorKind, Name, Opening, Origin, Resolver,
    Resolving, TlsConnector, Transport,
};
use testbed::{
    Server, certs,
    dead_ends::Refusing,
    reply,
    run::{block_on, bounded},
    server::over_tls,
};
use tokio::net::TcpStream;

/// Connects to a server, whatever the origin; at first as `before` says, once.
struct Direct {
    port: u16,
    calls: Arc<AtomicUsize>,
    before: fn() -> io::Result<()>,
}

impl Connector for Direct {
    fn connect(&self, _: &Origin) -> Opening {
        let first = self.calls.fetch_add(1, Ordering::SeqCst) == 0;
        let (before, port) = (self.before, self.port);
        Box::pin(async move {
            if first {
                before()?;
            }
            let stream = TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    }
}

/// Puts TLS over nothing.
struct Unable;

impl TlsConnector for Unable {
    fn connect(&self, _: &Origin, _: Box<dyn Transport>) -> Opening {
        panic!("no TLS today");
    }
}

/// A resolver that is not to be asked.
struct Unasked;

impl Resolver for Unasked {
    fn resolve(&self, name: Name) -> Resolving {
        panic!("asked for {name}");
    }
}

fn server() -> Server {
    Server::start(|conn| {
        loop {
            conn.request()?;
            conn.send(reply::ok("hello"))?;
        }
    })
}

fn direct(server: &Server, before: fn() -> io::Result<()>) -> (Direct, Arc<AtomicUsize>) {
    let calls = Arc::<AtomicUsize>::default();
    (Direct { port: server.addr().port(), calls: calls.clone(), before }, calls)
}

fn get(client: &Client, url: &str) -> Result<Bytes, Error> {
    let call = client.request(Request::get(url).body(Full::default()).unwrap());
    block_on(async { Ok(call.await?.into_body().collect().await?.to_bytes()) })
}

#[test]
fn a_stream_of_a_connector_needs_no_name_and_is_kept() {
    bounded("a_stream_of_a_connector_needs_no_name_and_is_kept", || {
        let server = server();
        let (connector, calls) = direct(&server, || Ok(()));
        let config = certs::trusting_config().resolver(Unasked);
        let client =
            Client::with_connectors(config, Connectors::new().connector(Arc::new(connector)))
                .unwrap();
        for _ in 0..3 {
            assert_eq!(get(&client, "http://nowhere.invalid/").unwrap(), "hello");
        }
        assert_eq!((calls.load(Ordering::SeqCst), client.stats().reused), (1, 2));
    });
}

#[test]
fn tls_runs_over_a_stream_of_a_connector() {
    bounded("tls_runs_over_a_stream_of_a_connector", || {
        let server = over_tls(server);
        let (connector, _) = direct(&server, || Ok(()));
        let connectors = Connectors::new().connector(Arc::new(connector));
        let client = Client::with_connectors(certs::trusting_config(), connectors).unwrap();
        assert_eq!(get(&client, "https://pinned.invalid/").unwrap(), "hello");
        let error = get(&client, "https://another.invalid/").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    });
}

#[test]
fn a_connector_that_fails_or_panics_fails_one_request() {
    bounded("a_connector_that_fails_or_panics_fails_one_request", || {
        let failures: [fn() -> io::Result<()>; 2] =
            [|| Err(io::ErrorKind::AddrInUse.into()), || panic!("no way to connect")];
        for failure in failures {
            let server = server();
            let (connector, _) = direct(&server, failure);
            let client = Client::with_connectors(
                certs::trusting_config(),
                Connectors::new().connector(Arc::new(connector)),
            )
            .unwrap();
            let error = get(&client, "http://host/").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
            assert_eq!(client.stats().created, 0);
            assert_eq!(get(&client, "http://host/").unwrap(), "hello");
        }
    });
}

#[test]
fn a_stream_that_is_refused_fails_one_request() {
    bounded("a_stream_that_is_refused_fails_one_request", || {
        let refusing = Refusing::new();
        let connector =
            Direct { port: refusing.addr().port(), ..direct(&server(), || Ok(())).0 };
        let connectors = Connectors::new().connector(Arc::new(connector));
        let client = Client::with_connectors(certs::trusting_config(), connectors).unwrap();
        for url in ["http://host/", "https://host/"] {
            assert_eq!(get(&client, url).unwrap_err().kind(), ErrorKind::Io);
        }
        assert_eq!((client.stats().created, client.stats().connecting), (0, 0));
    });
}

#[test]
fn a_tls_connector_that_panics_fails_one_request() {
    bounded("a_tls_connector_that_panics_fails_one_request", || {
        let server = server();
        let client = Client::with_connectors(
            certs::trusting_config(),
            Connectors::new().tls_connector(Arc::new(Unable)),
        )
        .unwrap();
        let url = format!("https://localhost:{}/", server.addr().port());
        assert_eq!(get(&client, &url).unwrap_err().kind(), ErrorKind::Tls);
        assert_eq!(get(&client, &server.url("/")).unwrap(), "hello");
    });
}
