//! Stage 3: the pooled HTTP/1.1 client as async functions on tokio 1.x and futures 0.3.
//!
//! A [`Client`] is a handle to a pool, in which each connection has one task, the connection task. The
//! task does all that a connection needs, one step after the other: resolve, connect, serve exchanges
//! with pauses between them, close. Callers touch no socket and no timer; they hand over a request and
//! wait for its response, so they run on any executor.
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
//! use stage3_tokio::{Client, Config};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
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
//! let response = client.request(request).await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! ```text
//!  caller's task │ connection task, one for each slot of the pool
//!                │
//!  client        │ owner                                  the life of a slot, from the first to the last step
//!    │           │   │
//!  pending       │   ├─ connect ─ resolver, tls           name, addresses, TCP, TLS
//!    │           │   │
//!    └──▶ pool ◀─┼───┤                                    which connection serves a request
//!                │   │
//!                │   └─ connection                        one exchange after the other
//!                │          │
//!                │       framing                          bytes and messages
//!                │          │
//!                │       transport                        a socket, or what is put over it
//! ```
//!
//! `runtime` chooses the runtime of the tasks, and `timer` has their timers. `connector` and
//! `tls_connector` are what a user can replace, beside the resolver. `sync` has what a model checker
//! replaces. [`client_core`] has what all stages share: the pool's decisions, the decoder of responses,
//! the limits.
//!
//! # Where to read first
//!
//! `owner`, then `connection`: together they are the life of a connection from top to bottom. Then
//! `pool`, which starts connection tasks and says to each what its slot does next.
//!
//! Five types of [`client_core`] recur in `connection`: `Responder` hands the response to the caller;
//! `Upload` says how much of the request was sent; `TimeLimit` is the limit of time that runs now;
//! `Outcome` is how an exchange has left its connection; `Allowance` decides from that whether the
//! connection may serve another one, and how long it may be idle.

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
