//! Names to addresses, off the loop.
//!
//! That there is one lookup of a name at a time, and how many at once, is
//! [`client_core::Lookups`]'s. What is this stage's own is who blocks.
//!
//! Its rules:
//! - the loop only polls a future; it never waits for a name;
//! - the system's resolver blocks, so it runs on threads of its own. They own nothing of the
//!   client, and nothing waits for their end.

use std::thread;

use client_core::{Config, Lookups, io_model};

/// The resolver that the settings ask for.
pub(crate) fn new(config: &Config) -> Lookups {
    Lookups::new(config, |work| {
        io_model!(spawn, why = "resolver");
        thread::Builder::new().name("stage1-resolver".into()).spawn(work).map(drop)
    })
}
