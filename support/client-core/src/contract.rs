//! The contract as a trait, so that tests, tour and benchmarks are generic over the three clients.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tower_service::Service;

use crate::{Body, Config, Error, PoolStats};

/// What a client sends: a request whose body is in memory.
pub type Request = http::Request<Full<Bytes>>;

/// What every stage's `Client` can do. Users need not import it, since each client has these as
/// methods of its own.
pub trait ApiClient:
    Clone
    + Send
    + Sync
    + 'static
    + Service<
        Request,
        Response = Response<Body>,
        Error = Error,
        Future: Future<Output = Result<Response<Body>, Error>> + Send + 'static,
    >
{
    /// Which stage this is, for messages: `stage1-rotor`.
    const STAGE: &'static str;

    /// Makes a client.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] for limits that contradict each other, [`Error::Io`] if the system
    /// refuses what the client runs on.
    fn new(config: Config) -> Result<Self, Error>;

    /// Sends a request. Nothing happens before the future is first polled.
    fn request(&self, request: Request) -> Self::Future;

    /// The statistics of the pool at this moment.
    fn stats(&self) -> PoolStats;

    /// Ends the client: later requests get [`Error::ShutDown`], those that are accepted finish.
    /// Takes effect without being polled; resolves when the last socket is closed.
    fn close(&self) -> impl Future<Output = ()> + Send + 'static;
}

/// Implements [`ApiClient`], tower's `Service` and `Debug` for a stage's client, on top of its own
/// methods `new`, `request`, `stats`, `close` and `is_closed`.
///
/// `poll_ready` reserves nothing, since the clones of a client share its pool: it fails once the
/// client is closed. Load is shed by the call itself ([`Error::PoolBusy`]).
#[macro_export]
macro_rules! impl_api_client {
    ($client:ident, $future:ident, $stage:literal) => {
        impl $crate::ApiClient for $client {
            const STAGE: &'static str = $stage;

            fn new(config: $crate::Config) -> Result<Self, $crate::Error> {
                $client::new(config)
            }

            fn request(&self, request: $crate::Request) -> $future {
                $client::request(self, request)
            }

            fn stats(&self) -> $crate::PoolStats {
                $client::stats(self)
            }

            fn close(&self) -> impl Future<Output = ()> + Send + 'static {
                $client::close(self)
            }
        }

        impl $crate::private::Service<$crate::Request> for $client {
            type Response = $crate::private::Response<$crate::Body>;
            type Error = $crate::Error;
            type Future = $future;

            fn poll_ready(
                &mut self,
                _: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<Result<(), $crate::Error>> {
                ::std::task::Poll::Ready(match self.is_closed() {
                    true => Err($crate::Error::ShutDown),
                    false => Ok(()),
                })
            }

            fn call(&mut self, request: $crate::Request) -> $future {
                self.request(request)
            }
        }

        impl ::std::fmt::Debug for $client {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct("Client").field("stats", &self.stats()).finish_non_exhaustive()
            }
        }

        impl ::std::fmt::Debug for $future {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct("ResponseFuture").finish_non_exhaustive()
            }
        }
    };
}
