//! The client as async functions on tokio 1.x and futures 0.3.
//!
//! Each slot of the pool has one task, the connection task. It does all that a connection needs, one
//! step after the other: resolve, connect, serve exchanges with pauses between them, close. What the
//! other stages keep in fields between two events, the compiler keeps here in the task. Callers touch
//! no socket and no timer. They hand over a request and wait for its response, so they run on any
//! executor.
//!
//! Modules, from the caller to the socket: `client` (the handle), `pending` (a request on its way),
//! `pool` (who gets which connection), `owner` (the connection task), `connection` (the life of one
//! HTTP/1.1 connection), `framing` (bytes and messages), `connect`, `resolver` and `tls` (from a name
//! to a stream), `transport`, `connector` and `tls_connector` (what a user may replace). `timer` has the timers of a
//! connection, `runtime` chooses the runtime, and `sync` has the primitives that tasks and callers
//! share.
//!
//! ```no_run
//! use stage3_tokio::{Client, Config};
//!
//! # async fn example() -> Result<(), stage3_tokio::Error> {
//! let client = Client::new(Config::new().max_per_origin(4))?;
//! let request = http::Request::get("http://localhost:8080/").body(Default::default());
//! let response = client.request(request.expect("a valid request")).await?;
//! println!("{}", response.status());
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod client;
mod connect;
mod connection;
mod connector;
mod framing;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[path = "../../fuzz/drivers/stage3.rs"]
pub mod fuzzing;
mod owner;
mod pending;
mod pool;
mod resolver;
mod runtime;
mod sync;
mod timer;
mod tls;
mod tls_connector;
mod transport;

pub use client::{Client, ResponseFuture};
pub use client_core::{
    ApiClient, Body, CloseReason, Config, Error, ErrorKind, Exchange, Identity, Name, Origin,
    PoolStats, Resolver, Resolving, Roots, TimeoutPhase, Tls, Upload,
};
pub use connector::{Connector, Connectors};
pub use runtime::RuntimeChoice;
pub use tls_connector::TlsConnector;
pub use transport::{Opening, Transport};
