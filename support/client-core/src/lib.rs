//! What the three clients of this workspace share: every decision that needs no I/O.
//!
//! The stages differ in who waits for what, and how. What a client sends, which responses it
//! accepts, which request gets which connection, and when a limit of time runs out does not depend
//! on that, so it is decided here, once.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use client_core::{Config, Decoder, Outgoing, decode};
//! use http::{Request, StatusCode};
//! use http_body_util::Full;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let request = Request::get("http://example.com/a").body(Full::new(Bytes::new()))?;
//! let request = Outgoing::new(request)?;
//! assert_eq!(request.head, "GET /a HTTP/1.1\r\nhost: example.com\r\n\r\n");
//!
//! // A stage writes these bytes to a socket, and reads the response into a buffer.
//! let mut received = BytesMut::from("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
//!
//! let limits = decode::Limits::from(&Config::default());
//! let mut decoder = Decoder::new(&request.method, limits);
//! while let Some(event) = decoder.decode(&mut received)? {
//!     match event {
//!         decode::Event::Head(head) => assert_eq!(head.status, StatusCode::OK),
//!         decode::Event::Data(piece) => assert_eq!(piece, "hi"),
//!         decode::Event::End(trailers) => assert!(trailers.is_none()),
//!     }
//! }
//! assert!(decoder.keep_alive().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! The modules, in the order in which a call passes through them:
//!
//! ```text
//! surface      contract ─ config ─ connectors ─ error ─ stats
//! request      outgoing ─ origin
//! pool         pool: states ─ slots ─ waiters ─ origins ─ decisions
//! connecting   resolve ─ happy_eyeballs ─ tls ─ descriptors
//! exchange     exchange: limits of time, reuse ─ policy: retry ─ clock
//! response     decode: head, chunked ─ response ─ body
//! tools        latch ─ send ─ record: the recordings
//! ```
//!
//! Where to read first: [`pool`], which decides which request gets which connection; then
//! [`Decoder`] (RFC 9112), and [`Responder`], which gives the response to the caller.
//!
//! Its rules:
//! - it opens no socket, reads no clock, and knows no event loop and no runtime;
//! - it starts no thread. The system's resolver blocks, so each stage decides where that piece of
//!   [`Work`] runs;
//! - what waits for another thread is woken through a [`std::task::Waker`].

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
pub use config::Config;
pub use connectors::{Connectors, catch_panic, panicked};
pub use contract::{ApiClient, Request};
pub use decode::Decoder;
pub use descriptors::is_out_of_descriptors;
pub use error::{AttemptError, Error, ErrorKind, Source, TimeoutPhase};
pub use exchange::{Allowance, Outcome, Progress, TimeLimit, is_cause, stream_end};
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
