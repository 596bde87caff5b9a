//! The parts of a client that a user may replace: how a stream is opened, and how it is secured.
//! The third, the resolver, is in [`Config`](crate::Config), since no I/O model shows in it.
//!
//! Its rules:
//! - the futures of parts are polled in the client's own tasks, and must not block there;
//! - they are foreign code: their panic is an error of one connection.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Poll,
};

use client_core::Origin;
use futures::{FutureExt, future::BoxFuture};

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

/// A stream that is being opened or secured. Dropping it gives that up.
pub type Opening = BoxFuture<'static, io::Result<Box<dyn Transport>>>;

/// Opens the stream to an origin, instead of resolving its name and racing its addresses.
pub trait Dial: Send + Sync {
    /// Opens a stream. If that fails, one request does.
    fn dial(&self, origin: &Origin) -> Opening;
}

/// Puts TLS over a stream, instead of rustls.
pub trait Secure: Send + Sync {
    /// Shakes hands over a stream that is open, and checks the peer's name. If that fails, one
    /// request does.
    fn secure(&self, origin: &Origin, stream: Box<dyn Transport>) -> Opening;
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

/// Calls foreign code and awaits what it returns; both may panic.
///
/// # Errors
///
/// That it did, or its own.
pub(crate) async fn guarded<T, F>(foreign: impl FnOnce() -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let called = AssertUnwindSafe(async { foreign().await });
    called.catch_unwind().await.unwrap_or_else(|_| Err(panicked()))
}

/// Polls foreign code, which may panic.
pub(crate) fn guard_poll<T>(
    foreign: impl FnOnce() -> Poll<io::Result<T>>,
) -> Poll<io::Result<T>> {
    catch_unwind(AssertUnwindSafe(foreign)).unwrap_or_else(|_| Poll::Ready(Err(panicked())))
}

fn panicked() -> io::Error {
    io::Error::other("a part that the user replaced panicked")
}
