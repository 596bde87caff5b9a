//! A pooled HTTP/1.1 client for APIs, as async functions on tokio 1.x and futures 0.3.
//!
//! Each slot of the pool has one task, which does all that a connection needs, one step after the
//! other: resolve, connect, serve exchanges with pauses between them, close. What the other stages
//! keep in fields between two events, the compiler keeps in that task. Callers touch no socket and
//! no timer, so the futures of a [`Client`] run on any executor.
//!
//! ```
//! use http_body_util::BodyExt;
//! use stage3_tokio::{Client, Config};
//!
//! # use std::{io::{Read, Write}, net::TcpListener, thread};
//! # let server = TcpListener::bind("127.0.0.1:0").unwrap();
//! # let url = format!("http://{}/greeting", server.local_addr().unwrap());
//! # let server = thread::spawn(move || {
//! #     let mut socket = server.accept().unwrap().0;
//! #     assert!(socket.read(&mut [0; 1024]).unwrap() > 0);
//! #     socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").unwrap();
//! # });
//! # futures::executor::block_on(async {
//! let client = Client::new(Config::new().max_per_origin(4))?;
//! let request = http::Request::get(url).body(Default::default())?;
//! let response = client.request(request).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
//! # server.join().unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! The modules, from the caller to the socket:
//!
//! ```text
//!  client   what users hold, and the future of a response
//!    │      pending: a request with the way back to its caller
//!  pool     carries out what client_core::pool decides
//!    │
//!  owner    the connection task of a slot
//!    ├──▶ connect: name, addresses, TCP, TLS ──▶ resolver, tls
//!    └──▶ connection: one exchange after another ──▶ framing, timer
//!                                                       │
//!                                                   transport: TCP, or any other stream
//! ```
//!
//! `connector` and `tls_connector` are what users may replace, `runtime` chooses the runtime, and
//! `sync` has the primitives that tasks and callers share. Where to read first: `connection`, then
//! `owner` and `pool`.

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
