//! rustls: the refusal is an alert that nobody has asked for.

use std::{sync::Arc, thread};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use stage1_rotor::{Body, Client, Connectors, Error, ErrorKind};
use testbed::{
    certs,
    run::{block_on, bounded, eventually},
    s_server::SServer,
    server::Version,
};

use crate::{
    gated::{Gate, Gated},
    record::Record,
};

const THIRD: &str = "123456789\n";

/// The next piece of a body.
fn piece(body: &mut Body) -> Result<Bytes, Error> {
    let frame = block_on(body.frame()).expect("a piece or an error")?;
    Ok(frame.into_data().expect("data"))
}

#[test]
fn a_refusal_goes_out_though_the_client_only_reads() {
    bounded("a_refusal_goes_out_though_the_client_only_reads", || {
        let Some(mut server) = SServer::start(Version::Tls12) else { return };
        let record = Record::start();
        let gate = Gate::after(usize::MAX);
        let connectors = Connectors::new().connector(Arc::new(Gated(gate.clone())));
        let client = Client::with_connectors(certs::trusting_config(), connectors).unwrap();
        let request = Request::get(server.url("/")).body(Full::default()).unwrap();
        let answering = thread::spawn(move || {
            server.wait_for("GET / HTTP/1.1");
            server.say(&format!("HTTP/1.1 200 OK\ncontent-length: 30\n\n{THIRD}"));
            server
        });
        let mut body = block_on(client.request(request)).unwrap().into_body();
        let mut server = answering.join().unwrap();
        assert_eq!(piece(&mut body).unwrap(), THIRD);

        gate.shut();
        server.renegotiate();
        eventually("an alert that waits", || record.has("read", "either"));
        assert!(gate.refused() > 0);
        // The server has not heard the refusal, and goes on.
        server.say(THIRD);
        assert_eq!(piece(&mut body).unwrap(), THIRD);

        gate.open();
        let error = piece(&mut body).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    });
}
