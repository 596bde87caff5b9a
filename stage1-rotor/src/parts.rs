//! The parts of a client that a user may replace: how a stream is opened, and how it is secured.
//! The third, the resolver, is in [`Config`](crate::Config), since no I/O model shows in it.
//!
//! Its rules:
//! - parts are called on the loop's thread, and must not block there;
//! - they are foreign code: their panic is an error of one connection.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use client_core::Origin;

use crate::transport::Transport;

/// The replaced parts of a client, for [`Client::with_parts`](crate::Client::with_parts).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Parts {
    /// Opens streams. Default: names, addresses, a race, TCP.
    pub dial: Option<Arc<dyn Dial>>,
    /// Puts TLS over streams for `https` origins. Default: rustls, as
    /// [`Config::tls`](crate::Config) says.
    pub secure: Option<Arc<dyn Secure>>,
}

/// Opens the stream to an origin, instead of resolving its name and racing its addresses.
pub trait Dial: Send + Sync {
    /// Begins to open a stream, without blocking. The loop registers it and calls
    /// [`Transport::handshake`] until that is done.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being begun; one request fails with it.
    fn dial(&self, origin: &Origin) -> io::Result<Box<dyn Transport>>;
}

/// Puts TLS over a stream, instead of rustls.
pub trait Secure: Send + Sync {
    /// Wraps a stream that is open and registered already. The loop then calls the new one's
    /// [`Transport::handshake`] until that is done, in which the peer's name is to be checked.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being begun; one request fails with it.
    fn secure(
        &self,
        origin: &Origin,
        stream: Box<dyn Transport>,
    ) -> io::Result<Box<dyn Transport>>;
}

impl Parts {
    /// The default parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces names, addresses, race and TCP.
    #[must_use]
    pub fn dial(mut self, dial: impl Dial + 'static) -> Self {
        self.dial = Some(Arc::new(dial));
        self
    }

    /// Replaces rustls.
    #[must_use]
    pub fn secure(mut self, secure: impl Secure + 'static) -> Self {
        self.secure = Some(Arc::new(secure));
        self
    }
}

impl fmt::Debug for dyn Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

impl fmt::Debug for dyn Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secure")
    }
}

/// Runs foreign code, which may panic.
///
/// # Errors
///
/// That it did.
pub(crate) fn guard<T>(foreign: impl FnOnce() -> T) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(foreign))
        .map_err(|_| io::Error::other("a replaceable part panicked"))
}
