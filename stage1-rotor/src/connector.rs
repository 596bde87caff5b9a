//! How a user replaces the way streams are opened.
//!
//! Its rules: a connector is called on the loop's thread, and must not block there. Its panic is an
//! error of one connection.

use std::io;

use client_core::Origin;

use crate::{tls_connector::TlsConnector, transport::Transport};

/// What replaces a client's own way to connect, for
/// [`Client::with_connectors`](crate::Client::with_connectors).
pub type Connectors = client_core::Connectors<dyn Connector, dyn TlsConnector>;

/// Opens the stream to an origin, instead of resolver, Happy Eyeballs and TCP.
pub trait Connector: Send + Sync {
    /// Begins to open a stream, without blocking. The loop registers it and calls
    /// [`Transport::handshake`] until that is done.
    ///
    /// # Errors
    ///
    /// Any error that keeps the stream from being begun; one request fails with it.
    fn connect(&self, origin: &Origin) -> io::Result<Box<dyn Transport>>;
}
