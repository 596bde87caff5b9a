//! The client on a hand-written event loop over raw mio 1.x.
//!
//! One thread owns every socket. Callers, on whatever threads, hand it requests and wait for
//! answers. The way of one request, in the order of reading:
//!
//! 1. [`Client::request`] (`client`): checked and put into the `inbox`, with the loop's end of a
//!    `call`, the oneshot channel on which its caller waits;
//! 2. `event_loop`: the loop wakes, takes the message, and asks the `pool` for a connection;
//! 3. `pool`: there is an idle one, or the request waits, and a chain is begun to make one;
//! 4. `connect`: name (`resolver`), addresses, race, TCP (`transport`);
//! 5. `connection`: writes the request, reads the response (`framing`), and answers the call;
//! 6. `pool` again: the connection becomes idle, or serves the next.
//!
//! `driver` runs the loop on the caller's own thread instead of one of its own. `slab` and `timer` are what the loop keeps its sockets and deadlines in; `shared` is what
//! callers and loop both know; `sync` is what a model checker replaces.

#![forbid(unsafe_code)]

mod call;
mod client;
mod connect;
mod connection;
mod driver;
mod event_loop;
mod framing;
mod inbox;
mod pool;
mod resolver;
mod shared;
mod slab;
mod sync;
mod timer;
mod transport;

pub use client::{Client, ResponseFuture};
pub use client_core::{
    Body, CloseReason, Config, Error, ErrorKind, Exchange, PoolStats, TimeoutPhase,
};
pub use driver::Driver;
