//! Stage 1: the pooled client as state machines on rotor 0.6.3 and mio 0.5, as it was done in 2016.
//!
//! A [`Client`] is a handle. Behind it stands one thread with one event loop, and in that loop
//! machines: one takes in requests and keeps the pool, one per connection to be made finds
//! addresses and races them, one per attempt waits for its socket, one per stream shakes hands, one
//! per connection speaks HTTP/1.1. Futures are only what the user sees; inside nothing is ever
//! awaited.
//!
//! What a user may replace is the resolver (`Config`), how a stream is opened, and how it is secured
//! ([`Connectors`]).
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
