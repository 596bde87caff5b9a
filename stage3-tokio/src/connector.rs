//! How a user replaces the way streams are opened.
//!
//! Its rules: the future of a connector is polled in the client's own tasks, and must not block
//! there. Its panic is an error of one connection.

use client_core::Origin;

use crate::{tls_connector::TlsConnector, transport::Opening};

/// What replaces a client's own way to connect, for
/// [`Client::with_connectors`](crate::Client::with_connectors).
pub type Connectors = client_core::Connectors<dyn Connector, dyn TlsConnector>;

/// Opens the stream to an origin, instead of resolver, Happy Eyeballs and TCP.
pub trait Connector: Send + Sync {
    /// Opens a stream. If that fails, one request does.
    fn connect(&self, origin: &Origin) -> Opening;
}
