//! A pooled HTTP/1.1 client for APIs, on a hand-written event loop over raw mio 1.x.
//!
//! One thread runs the loop and owns every socket. Callers on other threads send it requests and
//! wait for answers. Nothing in the loop waits: each step notes where it was, and an event, a
//! message or a deadline calls the next one.
//!
//! ```
//! use http_body_util::BodyExt;
//! use stage2_mio::{Client, Config};
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
//!  client      what users hold, and the future of a response
//!    │         pending: a request; oneshot: the way back to its caller
//!  inbox       messages to the loop; shared: what else both sides need
//!    │
//!  event_loop  sleeps, and handles events, messages and deadlines ──▶ token, timer
//!    ├──▶ pool: carries out what client_core::pool decides
//!    ├──▶ connect: name, addresses, TCP, TLS ──▶ resolver, tls
//!    └──▶ owner: drives a connection ──▶ connection ──▶ framing
//!                                                         │
//!                                                     transport: TCP, or any other stream
//! ```
//!
//! `connector` and `tls_connector` are what users may replace, `driver` runs the loop on a caller's
//! own thread, and `sync` has the primitives that a model checker replaces. Where to read first:
//! `connection`, then `event_loop` and `pool`.

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
