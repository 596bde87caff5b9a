//! Which runtime the client's tasks run on.
//!
//! Its rules: inside a runtime the client uses that one and starts no thread; elsewhere it has one
//! of its own, which a thread owns and drives until the client is closed and its last task has
//! ended. Nothing waits for that thread, and it waits for nothing: a name resolution that cannot be
//! stopped is left behind.

use std::thread;

use client_core::{Error, MOST_LOOKUPS, io_model};
use tokio::runtime::Builder;
pub(crate) use tokio::runtime::Handle;
pub(crate) use tokio_util::task::AbortOnDropHandle;

use crate::sync::TaskTracker;

/// Which runtime a client's tasks run on: for [`Client::on`](crate::Client::on).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuntimeChoice {
    /// The runtime that the client is made in. Outside a runtime: [`RuntimeChoice::Own`].
    #[default]
    Auto,
    /// A runtime of the client's own, on one thread.
    Own,
    /// The runtime that the client is made in. The client lives as long as that is driven.
    Current,
}

/// The runtime to spawn on. One of our own ends with the `tasks`, once these are closed.
pub(crate) fn choose(choice: RuntimeChoice, tasks: &TaskTracker) -> Result<Handle, Error> {
    match (choice, Handle::try_current()) {
        (RuntimeChoice::Auto | RuntimeChoice::Current, Ok(current)) => Ok(current),
        (RuntimeChoice::Current, Err(error)) => {
            Err(Error::io("finding the runtime of the caller", std::io::Error::other(error)))
        }
        _ => start(tasks.clone()),
    }
}

fn start(tasks: TaskTracker) -> Result<Handle, Error> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        // Nothing else blocks here.
        .max_blocking_threads(MOST_LOOKUPS)
        .thread_name("stage3-resolver")
        .build()
        .map_err(|error| Error::io("building a runtime", error))?;
    let handle = runtime.handle().clone();
    io_model!(spawn, why = "runtime");
    thread::Builder::new()
        .name("stage3-tokio".into())
        .spawn(move || {
            runtime.block_on(tasks.wait());
            // A plain drop would wait for a blocked `getaddrinfo`.
            runtime.shutdown_background();
        })
        .map_err(|error| Error::io("starting a thread", error))?;
    Ok(handle)
}
