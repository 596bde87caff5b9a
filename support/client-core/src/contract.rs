//! The contract as a trait, so that tests, tour and benchmarks are generic over the three clients.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower_service::Service;

use crate::{Body, Config, Error, PoolStats};

/// What every stage's `Client` is. Users need not import it: each client has these as its own
/// methods too.
pub trait ApiClient:
    Clone
    + Send
    + Sync
    + 'static
    + Service<
        Request<Full<Bytes>>,
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
    fn request(&self, request: Request<Full<Bytes>>) -> Self::Future;

    /// The pool now.
    fn stats(&self) -> PoolStats;

    /// Ends the client: later requests get [`Error::ShutDown`], those that are accepted finish.
    /// Takes effect without being polled; resolves when the last socket is closed.
    fn close(&self) -> impl Future<Output = ()> + Send + 'static;
}
