//! OpenSSL: a read that waits to write, and then a write that waits for a read.

use std::thread;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use stage2_mio::{Client, Error, OpenSsl, Parts};
use testbed::{
    Gate, Server, certs,
    openssl_server::Session,
    reply,
    run::{bounded, eventually},
};

use crate::{
    gated::{self, Gated},
    record::Record,
};

const HALF: &str = "a half";
/// A request so large that it is still being written when its response comes.
const UPLOAD: usize = 400_000;

/// Answers before it has the request, asks for a second handshake in the middle of the answer, and
/// then takes the request.
fn server() -> Server {
    Server::start(|conn| {
        let mut tls = Session::accept(conn)?;
        tls.request()?;
        tls.send(reply::head(200, &[("content-length", "12")]))?;
        tls.send(HALF)?;
        conn.wait("renegotiate")?;
        tls.renegotiate()?;
        tls.finish_renegotiation()?;
        tls.read_exact(UPLOAD)?;
        tls.send(HALF)?;
        tls.wait_closed();
        Ok(())
    })
}

#[test]
fn a_read_waits_to_write_and_then_a_write_waits_for_a_read() {
    bounded("a_read_waits_to_write_and_then_a_write_waits_for_a_read", || {
        let (server, (record, _guard)) = (server(), Record::start());
        let gate = gated::Gate::after(UPLOAD / 4);
        let secure = OpenSsl::new(&certs::trusting()).unwrap();
        let parts = Parts::new().dial(Gated(gate.clone())).secure(secure);
        let (client, mut driver) =
            Client::with_driver(certs::trusting_config(), parts).unwrap();
        let request = Request::post(format!("https://localhost:{}/", server.port()));
        let upload = Bytes::from(vec![b'~'; UPLOAD]);
        let call = client.request(request.body(Full::from(upload)).unwrap());

        let half = Gate::new();
        let script = thread::spawn({
            let half = half.clone();
            move || {
                half.wait();
                eventually("a send buffer that is full", || gate.refused() > 0);
                assert!(!record.has("read", "write"));
                server.open("renegotiate");
                eventually("a read that waits to write", || record.has("read", "write"));
                assert!(!record.has("write", "read"));
                gate.open();
                eventually("a write that waits for a read", || record.has("write", "read"));
                server.wait_closed(1);
                server.finish();
            }
        });
        let exchange = async {
            let mut body = call.await?.into_body();
            let first = body.frame().await.expect("half a body")?;
            half.open();
            Ok::<_, Error>((first.into_data().expect("data"), body.collect().await?.to_bytes()))
        };
        let (first, second) = driver.block_on(exchange).unwrap().unwrap();
        assert_eq!((&first[..], &second[..]), (HALF.as_bytes(), HALF.as_bytes()));
        assert_eq!(client.stats().idle, 1);
        driver.block_on(client.close()).unwrap();
        script.join().unwrap();
    });
}
