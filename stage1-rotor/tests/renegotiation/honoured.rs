//! OpenSSL: a read that waits to write, and then a write that waits for a read.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use stage1_rotor::{Client, OpenSsl, Parts};
use testbed::{
    Server, certs,
    openssl_server::Session,
    reply,
    run::{block_on, bounded, eventually},
};

use crate::{
    gated::{Gate, Gated},
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
        let (server, record) = (server(), Record::start());
        let gate = Gate::after(UPLOAD / 4);
        let secure = OpenSsl::new(&certs::trusting()).unwrap();
        let parts = Parts::new().dial(Gated(gate.clone())).secure(secure);
        let client = Client::with_parts(certs::trusting_config(), parts).unwrap();
        let request = Request::post(format!("https://localhost:{}/", server.port()));
        let upload = Bytes::from(vec![b'~'; UPLOAD]);
        let call = client.request(request.body(Full::from(upload)).unwrap());

        let mut body = block_on(call).unwrap().into_body();
        let first = block_on(body.frame()).expect("half a body").unwrap();
        assert_eq!(first.into_data().expect("data"), HALF);
        eventually("a send buffer that is full", || gate.refused() > 0);
        assert!(!record.has("read", "write"));
        server.open("renegotiate");
        eventually("a read that waits to write", || record.has("read", "write"));
        assert!(!record.has("write", "read"));
        gate.open();
        eventually("a write that waits for a read", || record.has("write", "read"));
        assert_eq!(block_on(body.collect()).unwrap().to_bytes(), HALF);
        assert_eq!(client.stats().idle, 1);
        block_on(client.close());
        server.finish();
    });
}
