//! The one timer of a connection.
//!
//! Its rule: moving a deadline later, which every exchange does, costs nothing. The timer is left
//! as it is armed, and armed again only if it goes off too early.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use client_core::io_model;
use tokio::time::{Instant, Sleep, sleep_until};

/// The time `wait` from now. One beyond what the clock can say is as good as never.
pub(crate) fn after(wait: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now + NEVER)
}

/// A deadline that is moved often and reached seldom.
#[derive(Default)]
pub(crate) struct Alarm {
    /// Made at the first deadline and then reused.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Ready once `deadline` has passed; `None` never does.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() == deadline {
                io_model!(timer, why = "ran out");
                return Poll::Ready(());
            }
            io_model!(timer, why = "armed again");
            sleep.as_mut().reset(deadline);
        }
    }
}
