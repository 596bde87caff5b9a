//! What no stage changes, because no I/O model touches it.
//!
//! The three clients of this workspace differ in how they wait. What they say to a server, what
//! they accept from it, and what they tell their caller is the same, and stands here:
//!
//! - [`Config`], [`Error`], [`Body`], [`PoolStats`]: the words of the surface;
//! - [`Outgoing`]: a checked request, as the bytes that go out;
//! - [`Decoder`]: the bytes that come in, as a response (RFC 9112), without I/O;
//! - [`Lookups`]: one lookup of a name at a time, by the system or by what a user plugs in;
//! - [`pool`]: which request gets which connection, without I/O;
//! - [`Origin`], [`interleave`], [`may_retry`]: rules that are pure functions;
//! - [`Tls`]: whom to trust, and who to be;
//! - [`io_model!`]: the fixed vocabulary of the recordings;
//! - [`ApiClient`]: the contract as a trait, so that tests and tools can be generic.
//!
//! Its rules: no socket, no clock that it reads itself, no event loop and no runtime. It starts no
//! thread: the system's resolver, the one thing here that blocks, is a piece of [`Work`] that the
//! client runs where it likes. A wait for another thread goes through a [`std::task::Waker`].

#![forbid(unsafe_code)]

pub mod body;
mod clock;
mod config;
mod connectors;
mod contract;
pub mod decode;
mod descriptors;
mod error;
mod exchange;
mod happy_eyeballs;
mod latch;
mod origin;
mod outgoing;
mod policy;
pub mod pool;
mod record;
mod resolve;
mod response;
#[cfg(unix)]
mod send;
mod stats;
mod sync;
pub mod tls;

pub use body::Body;
pub use clock::{Moment, after};
pub use config::{Config, RuntimeChoice};
pub use connectors::{Connectors, catch_panic, panicked};
pub use contract::{ApiClient, Request};
pub use decode::Decoder;
pub use descriptors::is_out_of_descriptors;
pub use error::{AttemptError, Error, ErrorKind, Source, TimeoutPhase};
pub use exchange::{Allowance, Outcome, Progress, TimeLimit, stream_end};
pub use happy_eyeballs::{ATTEMPT_DELAY, HappyEyeballs, interleave};
pub use latch::Latch;
pub use origin::{Origin, Scheme};
pub use outgoing::Outgoing;
pub use policy::{Failure, may_retry};
pub use resolve::{Lookup, Lookups, MOST_LOOKUPS, Name, Resolver, Resolving, Work};
pub use response::{Answer, Completion, Reply, Responder};
#[cfg(unix)]
pub use send::send_vectored;
pub use stats::{CloseReason, Exchange, PoolStats, Upload};
pub use tls::{Identity, Roots, Tls};

/// The crates that the macros of this one name, wherever they are expanded.
#[doc(hidden)]
pub mod private {
    pub use http::Response;
    pub use tower_service::Service;
    pub use tracing;
}
