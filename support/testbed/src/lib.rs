//! The other side: a server that does what it is told, and what tests, examples and tour share.
//!
//! - [`server`]: scripts on real loopback sockets, and a log of what happened there;
//! - [`reply`]: the bytes of well-formed responses;
//! - [`certs`]: whom a client of it may trust;
//! - [`dead_ends`]: addresses that refuse, or never answer;
//! - [`api`]: a small JSON API on it, which examples and tour talk to;
//! - [`cli`], [`lesson`]: what the `fetch` programs, and the other examples, share;
//! - [`gate`]: an event that a test fires and anybody may wait for;
//! - [`s_server`]: `openssl s_server`, for what rustls does not do;
//! - [`run`]: bounded waiting, and what the operating system counts of this process.
//!
//! Its rules: blocking threads and the standard library's sockets only, so that nothing here
//! shares an I/O model with what it tests; every wait ends within a bound and then says what was
//! waited for; nothing sleeps to give something else time.

#![cfg_attr(not(feature = "openssl"), forbid(unsafe_code))]

pub mod api;
pub mod certs;
pub mod cli;
pub mod conformance;
pub mod dead_ends;
pub mod gate;
pub mod lesson;
#[cfg(feature = "openssl")]
pub mod openssl_server;
pub mod reply;
pub mod run;
#[cfg(unix)]
pub mod s_server;
pub mod server;

pub use gate::Gate;
pub use server::{Connection, End, Log, Request, Server};

/// How long a test's wait for an event lasts before it fails: far more than anything takes here,
/// so that reaching it means "never".
pub const BOUND: std::time::Duration = std::time::Duration::from_secs(20);
