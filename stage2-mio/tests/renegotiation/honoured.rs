//! OpenSSL: a read that waits to write, and then a write that waits for a read.

use std::thread;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use stage2_mio::{Client, Error, OpenSsl, Parts};
use testbed::{Gate, certs, run::bounded, run::eventually};

use crate::{
    gated::{self, Gated},
    record::Record,
    server::Server,
};

const HALF: &str = "123456789\n";
/// A request so large that it is still being written when its response comes.
const UPLOAD: usize = 400_000;

#[test]
fn a_read_waits_to_write_and_then_a_write_waits_for_a_read() {
    bounded("a_read_waits_to_write_and_then_a_write_waits_for_a_read", || {
        let Some(mut server) = Server::start("a_read_and_a_write") else { return };
        let (record, _guard) = Record::start();
        let gate = gated::Gate::after(UPLOAD / 4);
        let secure = OpenSsl::new(&certs::trusting()).unwrap();
        let parts = Parts::new().dial(Gated(gate.clone())).secure(secure);
        let (client, mut driver) =
            Client::with_driver(certs::trusting_config(), parts).unwrap();
        let request = Request::post(format!("https://localhost:{}/", server.port));
        let upload = Bytes::from(vec![b'~'; UPLOAD]);
        let call = client.request(request.body(Full::from(upload)).unwrap());

        let half = Gate::new();
        let script = thread::spawn({
            let (half, record) = (half.clone(), record.clone());
            move || {
                eventually("a send buffer that is full", || gate.is_shut());
                server.say(&format!("HTTP/1.1 200 OK\ncontent-length: 20\n\n{HALF}"));
                half.wait();
                server.renegotiate();
                eventually("a read that waits to write", || record.has("read", "write"));
                assert!(!record.has("write", "read"));
                gate.open();
                eventually("a write that waits for a read", || record.has("write", "read"));
                eventually("the rest of the upload", || server.count(b'~') == UPLOAD);
                server.say(HALF);
                server
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
