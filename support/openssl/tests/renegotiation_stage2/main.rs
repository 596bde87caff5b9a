//! Stage 2: a read that waits to write, and then a write that waits for a read.

#![cfg(unix)]

use std::{sync::Arc, thread};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use openssl_connector::OpenSsl;
use stage2_mio::{Client, Connectors, Error};
use testbed::{
    Gate, certs,
    run::{bounded, eventually},
};

#[path = "../../../../stage2-mio/tests/renegotiation/gated.rs"]
#[allow(dead_code)]
mod gated;
#[path = "../../../../stage2-mio/tests/renegotiation/record.rs"]
mod record;
#[path = "../renegotiating/mod.rs"]
mod renegotiating;

use self::{
    gated::Gated,
    record::Record,
    renegotiating::{THIRD, UPLOAD, server},
};

#[test]
fn a_read_waits_to_write_and_then_a_write_waits_for_a_read() {
    bounded("a_read_waits_to_write_and_then_a_write_waits_for_a_read", || {
        let (asked, arrived) = (Gate::new(), Gate::new());
        let (server, (record, _guard)) = (server(asked.clone()), Record::start());
        let gate = gated::Gate::after(UPLOAD / 4);
        let secure = OpenSsl::new(&certs::trusting()).unwrap();
        let connectors = Connectors::new()
            .connector(Arc::new(Gated(gate.clone())))
            .tls_connector(Arc::new(secure));
        let (client, mut driver) =
            Client::with_driver(certs::trusting_config(), connectors).unwrap();
        let request = Request::post(format!("https://localhost:{}/", server.port()));
        let upload = Bytes::from(vec![b'~'; UPLOAD]);
        let call = client.request(request.body(Full::from(upload)).unwrap());

        let script = thread::spawn({
            let arrived = arrived.clone();
            move || {
                arrived.wait();
                eventually("a send buffer that is full", || gate.refused() > 0);
                assert!(!record.has("read", "write"));
                server.open("renegotiate");
                eventually("a read that waits to write", || record.has("read", "write"));
                assert!(!record.has("write", "read"));
                // A part of the body is in the socket now, where `SSL_write` cannot bear it.
                asked.wait();
                gate.open();
                eventually("a write that waits for a read", || record.has("write", "read"));
                server.wait_closed(1);
                server.finish();
            }
        });
        let exchange = async {
            let mut body = call.await?.into_body();
            let first = body.frame().await.expect("a part of the body")?;
            arrived.open();
            Ok::<_, Error>((first.into_data().expect("data"), body.collect().await?.to_bytes()))
        };
        let (first, rest) = driver.block_on(exchange).unwrap().unwrap();
        assert_eq!((&first[..], &rest[..]), (THIRD.as_bytes(), THIRD.repeat(2).as_bytes()));
        assert_eq!(client.stats().idle, 1);
        driver.block_on(client.close()).unwrap();
        script.join().unwrap();
    });
}
