//! What the process has besides memory: threads and descriptors.

use std::time::{Duration, Instant};

use testbed::run::{fd_count, thread_count, thread_names};

use super::{Failure, server::Server};

/// A thread cannot tell its own end, so its end is waited for, this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// How much there is; nothing where the system does not tell.
pub(super) struct Census {
    threads: Option<usize>,
    descriptors: Option<usize>,
}

impl Census {
    pub(super) fn take() -> Self {
        Census { threads: thread_count(), descriptors: fd_count() }
    }

    /// Waits until everything is as it was.
    ///
    /// # Errors
    ///
    /// With what is left.
    pub(super) fn compare(&self, server: &Server) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Census::take();
            let same = now.threads == self.threads && now.descriptors == self.descriptors;
            if same && server.open() == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "left over: {:?} threads, were {:?}; {:?} descriptors, were {:?}; {:?}",
                    now.threads,
                    self.threads,
                    now.descriptors,
                    self.descriptors,
                    thread_names()
                )
                .into());
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}
