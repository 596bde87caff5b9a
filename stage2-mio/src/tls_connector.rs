//! How a user replaces rustls.
//!
//! Its rules are those of a [`Connector`](crate::Connector).

use std::io;

use client_core::Origin;

use crate::transport::Transport;

/// Puts TLS over a stream, instead of rustls.
pub trait TlsConnector: Send + Sync {
    /// Wraps a stream that is open and registered already. The loop then calls the new one's
    /// [`Transport::handshake`] until that is done, in which the peer's name must be checked.
    ///
    /// # Errors
    ///
    /// Any error that keeps TLS from being begun; one request fails with it.
    fn connect(
        &self,
        origin: &Origin,
        stream: Box<dyn Transport>,
    ) -> io::Result<Box<dyn Transport>>;
}
