//! The timer of a connection.
//!
//! Its rule: moving a deadline later costs nothing, and every exchange does that. The timer stays
//! armed for the earlier deadline. If it fires too early, it is armed again.

use std::{future::pending, pin::Pin};

use client_core::io_model;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer for deadlines that move often and pass rarely.
#[derive(Default)]
pub(crate) struct Timer {
    /// Made at the first deadline and then reused.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Resolves when a deadline has passed, if there is one.
    ///
    /// # Cancel safety
    ///
    /// The timer stays armed, for the next deadline.
    pub(crate) async fn until(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return pending().await };
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
}
