//! Names to addresses, off the thread that drives the tasks.
//!
//! That there is one lookup of a name at a time, and how many at once, is
//! [`client_core::Lookups`]'s. What is this stage's own is who blocks.
//!
//! Its rules:
//! - a task only awaits a future; it never waits for a name;
//! - the system's resolver blocks, so it runs on the runtime's threads for that, as
//!   `tokio::net::lookup_host` does. That function alone would not do: each caller would take a
//!   thread for the same silent name, out of the 512 that the runtime has for all its users.

use client_core::{Config, Lookups};

use crate::runtime::Handle;

/// The resolver that the settings ask for.
pub(crate) fn new(config: &Config, runtime: Handle) -> Lookups {
    Lookups::new(config, move |work| {
        runtime.spawn_blocking(work);
        Ok(())
    })
}
