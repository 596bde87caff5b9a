//! How a user replaces rustls.
//!
//! Its rules are those of a [`Connector`](crate::Connector).

use client_core::Origin;

use crate::transport::{Opening, Transport};

/// Puts TLS over a stream, instead of rustls.
pub trait TlsConnector: Send + Sync {
    /// Shakes hands over a stream that is open, and checks the peer's name. If that fails, one
    /// request does.
    fn connect(&self, origin: &Origin, stream: Box<dyn Transport>) -> Opening;
}
