//! Stage 1: the pooled HTTP/1.1 client as state machines on rotor 0.6.3 and mio 0.5, as in 2016.
//!
//! A [`Client`] is a handle to one thread with one event loop, in which each task of the client is a
//! machine: the pool, a connection that is being established, a connection. Callers on any thread and
//! any executor hand a request to the loop and wait for its response. Futures are what the user sees;
//! inside the loop nothing is awaited.
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
//! use stage1_rotor::{Client, Config};
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
//!  client          │ event_loop ── machine, notifier, timer     the loop, its machines, their wakeups
//!    │             │     │
//!  pending ─ inbox ┼───▶ pool                                   which connection serves a request
//!    ▲      shared │     │
//!    │             │     ├─ connect ─ resolver, race            name, addresses, TCP
//!  oneshot ◀───────┼──┐  ├─ handshake ─ tls                     TLS, or a user's stream
//!                  │  │  └─ owner                               the machine that owns a connection
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
//! dies. Then `owner`, which turns the answers of a connection into calls on the pool, and `connect`,
//! where one connection is several machines.
//!
//! # Platforms
//!
//! On Windows this crate is empty. rotor stands there on miow 0.1, which assumes a memory layout of
//! `SocketAddr` that the standard library has given up (RUSTSEC-2020-0080): it compiles, and is
//! unsound. Stages 2 and 3 run there.

#![forbid(unsafe_code)]
#![cfg(unix)]

mod client;
mod connect;
mod connection;
mod connector;
mod event_loop;
mod framing;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[path = "../../fuzz/drivers/stage1.rs"]
pub mod fuzzing;
mod handshake;
mod inbox;
mod machine;
mod notifier;
mod oneshot;
mod owner;
mod pending;
mod pool;
mod race;
mod resolver;
mod shared;
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
/// Whose loop watches a [`Transport`].
pub use rotor;
pub use tls_connector::TlsConnector;
pub use transport::{Blocked, Socket, Transport};
