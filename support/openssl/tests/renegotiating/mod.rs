//! The server of these tests.

use testbed::{Gate, Server, openssl_server::Session, reply};

pub(crate) const THIRD: &str = "third ";
/// A request so large that it is still being written when its response comes.
pub(crate) const UPLOAD: usize = 400_000;

/// Answers before it has the request, and asks for a second handshake in the middle of the answer,
/// with more of it right behind. Then it takes the request.
pub(crate) fn server(asked: Gate) -> Server {
    Server::start(move |conn| {
        let mut tls = Session::accept(conn)?;
        tls.request()?;
        tls.send(reply::head(200, &[("content-length", "18")]))?;
        tls.send(THIRD)?;
        conn.wait("renegotiate")?;
        tls.renegotiate()?;
        tls.send(THIRD)?;
        asked.open();
        tls.finish_renegotiation()?;
        tls.read_exact(UPLOAD)?;
        tls.send(THIRD)?;
        tls.wait_closed();
        Ok(())
    })
}
