//! The timers of a connection.
//!
//! Its rule: to move a deadline later, which every exchange does, costs nothing. The timer stays as
//! it is armed. If it fires too early, it is armed again.

use std::{future::pending, pin::Pin, time::Duration};

use client_core::io_model;
use tokio::time::{Instant, Sleep, sleep_until};

/// The time `wait` from now. A time beyond the range of the clock becomes one in thirty years.
pub(crate) fn after(wait: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now + NEVER)
}

/// A timer for deadlines that move often and pass rarely.
#[derive(Default)]
pub(crate) struct Timer {
    /// Made at the first deadline and then reused.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Resolves once `deadline` has passed.
    ///
    /// # Cancel safety
    ///
    /// The timer stays armed, for the next deadline.
    pub(crate) async fn at(&mut self, deadline: Instant) {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            sleep.as_mut().await;
            if sleep.deadline() == deadline {
                io_model!(timer, why = "ran out");
                return;
            }
            io_model!(timer, why = "armed again");
            sleep.as_mut().reset(deadline);
        }
    }

    /// Resolves once a deadline has passed, if there is one.
    pub(crate) async fn until(&mut self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => self.at(deadline).await,
            None => pending().await,
        }
    }
}
