//! What the three examples have in common. Each of them says at its root which `stage` it is, and has a
//! connector with a gate before its writes, `gated`.

use http::Request;
use http_body_util::{BodyExt, Full};
use testbed::{
    certs,
    lesson::Failure,
    reply, say,
    server::{Options, ServerTls, Version},
};

use crate::stage::Client;

/// TLS 1.3: the server changes its keys in the middle of each response.
pub(crate) async fn key_update() -> Result<(), Failure> {
    let server =
        Options::new().tls(ServerTls::new().version(Version::Tls13)).start(|conn| {
            loop {
                conn.request()?;
                conn.send(reply::head(200, &[("content-length", "12")]))?;
                conn.send("a half")?;
                conn.key_update()?;
                conn.send("a half")?;
            }
        })?;
    let client = Client::new(certs::trusting_config())?;
    for _ in 0..3 {
        let request = Request::get(server.url("/")).body(Full::default())?;
        let body = client.request(request).await?.into_body().collect().await?.to_bytes();
        say!("{} bytes, old keys and new ones: {}", body.len(), client.stats());
    }
    client.close().await;
    Ok(())
}

#[cfg(feature = "openssl")]
pub(crate) mod renegotiation {
    use std::sync::Arc;

    use http::Request;
    use http_body_util::{BodyExt, Full};
    use openssl_connector::OpenSsl;
    use testbed::{
        Server, certs,
        lesson::{Failure, until},
        openssl_server::Session,
        reply, say,
    };

    use crate::{
        gated::{Gate, Gated},
        stage::{Client, Connectors},
    };

    /// TLS 1.2: the server wants a second handshake before it goes on.
    fn server() -> Server {
        Server::start(|conn| {
            let mut tls = Session::accept(conn)?;
            tls.request()?;
            tls.send(reply::head(200, &[("content-length", "12")]))?;
            tls.send("a half")?;
            conn.wait("renegotiate")?;
            tls.renegotiate()?;
            tls.finish_renegotiation()?;
            tls.send("a half")?;
            tls.wait_closed();
            Ok(())
        })
    }

    pub(crate) async fn renegotiation() -> Result<(), Failure> {
        let server = server();
        let gate = Gate::after(usize::MAX);
        let secure = OpenSsl::new(&certs::trusting())?;
        let connectors = Connectors::new()
            .connector(Arc::new(Gated(gate.clone())))
            .tls_connector(Arc::new(secure));
        let client = Client::with_connectors(certs::trusting_config(), connectors)?;

        let url = format!("https://localhost:{}/", server.port());
        let call = client.request(Request::get(url).body(Full::default())?);
        let mut body = call.await?.into_body();
        let _half = body.frame().await;
        gate.shut();
        say!("half of a response is here, and there is no more room to write");

        server.open("renegotiate");
        until("a read that writes", || gate.refused() > 0)?;
        say!("the server wants new keys: the read has to write, and waits");

        gate.open();
        say!("there is room again");
        let rest = body.collect().await?.to_bytes();
        say!("the other half is here, of {} bytes: {}", rest.len(), client.stats());
        client.close().await;
        Ok(())
    }
}
