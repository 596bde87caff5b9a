//! The parts of connecting that a user can replace. The resolver is in
//! [`Config`](crate::Config), because its trait is the same in all stages.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// What replaces a client's own connecting. `C` and `T` are the stage's traits, such as
/// `dyn Connector` and `dyn TlsConnector`.
pub struct Connectors<C: ?Sized, T: ?Sized> {
    /// Opens streams. Default: the resolver, Happy Eyeballs and TCP.
    pub connector: Option<Arc<C>>,
    /// Puts TLS over streams for `https` origins. Default: rustls, as
    /// [`Config::tls`](crate::Config) says.
    pub tls_connector: Option<Arc<T>>,
}

impl<C: ?Sized, T: ?Sized> Connectors<C, T> {
    /// Replaces nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces name resolution, Happy Eyeballs and TCP.
    #[must_use]
    pub fn connector(mut self, connector: Arc<C>) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Replaces rustls.
    #[must_use]
    pub fn tls_connector(mut self, connector: Arc<T>) -> Self {
        self.tls_connector = Some(connector);
        self
    }
}

impl<C: ?Sized, T: ?Sized> Default for Connectors<C, T> {
    fn default() -> Self {
        Connectors { connector: None, tls_connector: None }
    }
}

impl<C: ?Sized, T: ?Sized> Clone for Connectors<C, T> {
    fn clone(&self) -> Self {
        let Connectors { connector, tls_connector } = self;
        Connectors { connector: connector.clone(), tls_connector: tls_connector.clone() }
    }
}

impl<C: ?Sized, T: ?Sized> fmt::Debug for Connectors<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connectors")
            .field("connector", &self.connector.is_some())
            .field("tls_connector", &self.tls_connector.is_some())
            .finish()
    }
}

/// Runs a user's code, and turns its panic into an error of one connection.
///
/// # Errors
///
/// [`panicked`], if the code panics.
pub fn catch_panic<T>(foreign: impl FnOnce() -> T) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(foreign)).map_err(|_| panicked())
}

/// The error for a panic in a user's code.
pub fn panicked() -> io::Error {
    io::Error::other("a part that the user replaced panicked")
}
