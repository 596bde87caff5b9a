//! Stage 1: a read that waits to write, and then a write that waits for a read.

#![cfg(unix)]

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use openssl_connector::OpenSsl;
use stage1_rotor::{Client, Connectors};
use testbed::{
    Gate, certs,
    run::{block_on, bounded, eventually},
};

#[path = "../../../../stage1-rotor/tests/renegotiation/gated.rs"]
#[allow(dead_code)]
mod gated;
#[path = "../../../../stage1-rotor/tests/renegotiation/record.rs"]
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
        let asked = Gate::new();
        let (server, record) = (server(asked.clone()), Record::start());
        let gate = gated::Gate::after(UPLOAD / 4);
        let secure = OpenSsl::new(&certs::trusting()).unwrap();
        let connectors = Connectors::new()
            .connector(Arc::new(Gated(gate.clone())))
            .tls_connector(Arc::new(secure));
        let client = Client::with_connectors(certs::trusting_config(), connectors).unwrap();
        let request = Request::post(format!("https://localhost:{}/", server.port()));
        let upload = Bytes::from(vec![b'~'; UPLOAD]);
        let call = client.request(request.body(Full::from(upload)).unwrap());

        let mut body = block_on(call).unwrap().into_body();
        let first = block_on(body.frame()).expect("a part of the body").unwrap();
        assert_eq!(first.into_data().expect("data"), THIRD);
        eventually("a send buffer that is full", || gate.refused() > 0);
        assert!(!record.has("read", "write"));
        server.open("renegotiate");
        eventually("a read that waits to write", || record.has("read", "write"));
        assert!(!record.has("write", "read"));
        // A part of the body is in the socket now, where `SSL_write` cannot bear it.
        asked.wait();
        gate.open();
        eventually("a write that waits for a read", || record.has("write", "read"));
        assert_eq!(block_on(body.collect()).unwrap().to_bytes(), THIRD.repeat(2));
        assert_eq!(client.stats().idle, 1);
        block_on(client.close());
        server.finish();
    });
}
