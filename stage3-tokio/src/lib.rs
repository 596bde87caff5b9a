//! The client as async functions on tokio 1.x and futures 0.3.
//!
//! One task for each place in the pool does all that its connection needs, one step after the
//! other, as a reader would tell it: resolve, connect, then exchanges with pauses between them,
//! then close. What the other stages keep in fields between two events, the compiler keeps here in
//! the task. Callers never touch a socket or a timer: they hand over a job and wait for its
//! answer, so that they may run on any executor.
//!
//! Modules, from the caller to the socket: `client` (the handle), `job` (a request on its way),
//! `pool` (who gets which connection), `serving` (the task), `connection` (one HTTP/1.1
//! connection's life), `framing` (bytes and messages), `connect`, `resolver` and `tls` (from a name
//! to a stream), `transport`, `parts` (what a user may replace). `timer` has the one timer of a
//! connection, `runtime` the choice of the runtime, and `sync` the primitives that tasks and
//! callers share.
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
mod framing;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[path = "../../fuzz/drivers/stage3.rs"]
pub mod fuzzing;
mod job;
#[cfg(feature = "openssl")]
mod openssl;
mod parts;
mod pool;
mod resolver;
mod runtime;
mod serving;
mod sync;
mod timer;
mod tls;
mod transport;

#[cfg(feature = "openssl")]
pub use self::openssl::OpenSsl;
pub use client::{Client, ResponseFuture};
pub use client_core::{
    ApiClient, Body, CloseReason, Config, Error, ErrorKind, Exchange, Identity, Name, Origin,
    PoolStats, Resolve, Resolving, Roots, RuntimeChoice, TimeoutPhase, Tls, Upload,
};
pub use parts::{Dial, Opening, Parts, Secure};
pub use transport::Transport;
