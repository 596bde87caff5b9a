//! rustls: the refusal is an alert that nobody has asked for.

use std::{sync::Arc, thread};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use stage3_tokio::{Body, Connectors, Error, ErrorKind};
use testbed::{
    Gate,
    run::{bounded, eventually},
    s_server::SServer,
    server::Version,
};

use crate::{
    client,
    gated::{self, Gated},
};

const THIRD: &str = "123456789\n";

/// The next piece of a body.
async fn piece(body: &mut Body) -> Result<Bytes, Error> {
    let frame = body.frame().await.expect("a piece or an error")?;
    Ok(frame.into_data().expect("data"))
}

#[test]
fn a_refusal_goes_out_though_the_client_only_reads() {
    bounded("a_refusal_goes_out_though_the_client_only_reads", || {
        let Some(mut server) = SServer::start(Version::Tls12) else { return };
        let gate = gated::Gate::after(usize::MAX);
        let (client, runtime) =
            client(Connectors::new().connector(Arc::new(Gated(gate.clone()))));
        let request = Request::get(server.url("/"));
        let call = client.request(request.body(Full::default()).unwrap());

        let (first, second) = (Gate::new(), Gate::new());
        let script = thread::spawn({
            let (first, second, gate) = (first.clone(), second.clone(), gate.clone());
            move || {
                server.wait_for("GET / HTTP/1.1");
                gate.shut();
                server.say(&format!("HTTP/1.1 200 OK\ncontent-length: 30\n\n{THIRD}"));
                first.wait();
                server.renegotiate();
                eventually("an alert that waits", || gate.refused() > 0);
                // The server has not heard the refusal, and goes on.
                server.say(THIRD);
                second.wait();
                gate.open();
                server
            }
        });
        let exchange = async {
            let mut body = call.await?.into_body();
            assert_eq!(piece(&mut body).await?, THIRD);
            first.open();
            assert_eq!(piece(&mut body).await?, THIRD);
            second.open();
            piece(&mut body).await
        };
        let error = runtime.block_on(exchange).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        script.join().unwrap();
    });
}
