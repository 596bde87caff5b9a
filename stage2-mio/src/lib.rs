//! Stage 2: the pooled HTTP/1.1 client on a hand-written event loop over raw mio 1.x.
//!
//! A [`Client`] is a handle to one event loop, which owns every socket, timer and request. Callers on
//! any thread and any executor hand a request to the loop and wait for its response. The loop runs on a
//! thread of its own, or on the caller's ([`Driver`]).
//!
//! ```
//! use std::{
//!     io::{BufRead, BufReader, Write},
//!     net::TcpListener,
//!     thread,
//! };
//!
//! use http::Request;
//! use http_body_util::{BodyExt, Full};
//! use stage2_mio::{Client, Config};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A server that answers one request.
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let url = format!("http://{}/", listener.local_addr()?);
//! thread::spawn(move || {
//!     let (mut stream, _) = listener.accept()?;
//!     let mut lines = BufReader::new(&stream).lines();
//!     while !lines.next().transpose()?.unwrap_or_default().is_empty() {}
//!     stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
//! });
//!
//! let client = Client::new(Config::new().max_per_origin(4))?;
//! let request = Request::get(url).body(Full::default())?;
//! let body = futures::executor::block_on(async {
//!     let response = client.request(request).await?;
//!     assert_eq!(response.status(), 200);
//!     response.into_body().collect().await
//! })?;
//! assert_eq!(body.to_bytes(), "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! ```text
//!  caller's thread │ the loop's thread
//!                  │
//!  client          │ event_loop ── token, timer, driver         the loop, its keys and deadlines
//!    │             │     │
//!  pending ─ inbox ┼───▶ pool                                   which connection serves a request
//!    ▲      shared │     │
//!    │             │     ├─ connect ─ resolver, tls             name, addresses, TCP, TLS
//!  oneshot ◀───────┼──┐  └─ owner                               drives a connection
//!                  │  │       │
//!                  │  └── connection                            one exchange after the other
//!                  │          │
//!                  │       framing                              bytes and readiness
//!                  │          │
//!                  │       transport                            a socket, or what is put over it
//! ```
//!
//! `connector` and `tls_connector` are what a user can replace, beside the resolver. `sync` has what a
//! model checker replaces. [`client_core`] has what all stages share: the pool's decisions, the decoder
//! of responses, the limits.
//!
//! # Where to read first
//!
//! `connection`: what happens in an exchange when a response is early, a caller leaves or a connection
//! dies. Then `event_loop`: one turn of the loop, from the wait for events to the last deadline.

#![forbid(unsafe_code)]

mod client;
mod connect;
mod connection;
mod connector;
mod driver;
mod event_loop;
mod framing;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[path = "../../fuzz/drivers/stage2.rs"]
pub mod fuzzing;
mod inbox;
mod oneshot;
mod owner;
mod pending;
mod pool;
mod resolver;
mod shared;
mod sync;
mod timer;
mod tls;
mod tls_connector;
mod token;
mod transport;

pub use client::{Client, ResponseFuture};
pub use client_core::{
    ApiClient, Body, CloseReason, Config, Error, ErrorKind, Exchange, Identity, Name, Origin,
    PoolStats, Resolver, Resolving, Roots, TimeoutPhase, Tls, Upload,
};
pub use connector::{Connector, Connectors};
pub use driver::Driver;
/// Whose sockets a [`Transport`] stands on.
pub use mio;
pub use tls_connector::TlsConnector;
pub use transport::{Blocked, Socket, Transport};
