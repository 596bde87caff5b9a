//! The client on a hand-written event loop over raw mio 1.x.
//!
//! One thread owns every socket. Callers, on whatever threads, hand it requests and wait for
//! answers. The way of one request, in the order of reading:
//!
//! 1. [`Client::request`] (`client`): checked and put into the `inbox` as a
//!    `pending` request, with the loop's half of the `oneshot` channel on which its caller waits;
//! 2. `event_loop`: the loop wakes and takes the message;
//! 3. `pool`: asks [`client_core::pool`] for a connection. One is idle, or the request waits and
//!    the loop begins to connect;
//! 4. `connect`: name (`resolver`), addresses, race, TCP (`transport`), TLS (`tls`);
//! 5. `owner`: drives the `connection`, which writes the request and reads the response
//!    (`framing`);
//! 6. `pool` again: the connection becomes idle, or gets the next request; then the call is
//!    answered.
//!
//! `token` and `timer` are how the loop finds its sockets and deadlines; `shared` is what
//! callers and loop both know; `connector` and `tls_connector` are what users may replace; `sync` is what a model checker replaces; `driver` runs the loop on the
//! caller's own thread instead of one of its own.

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
