//! Deadlines, in the order in which they come.
//!
//! Its rules:
//! - an owner has one deadline, the next of all that it minds, and at most one entry here;
//! - a deadline that moves away, as it does with each request on a kept connection, leaves its
//!   entry where it is. The entry fires too early, its owner is asked again, and is put off once
//!   for all the requests in between;
//! - time comes in as an argument.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use client_core::{io_model, pool::WaiterId};

use crate::slab::Key;

/// The time `wait` after `now`. One beyond what the clock can say is as good as never.
pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    now.checked_add(wait).unwrap_or(now + NEVER)
}

/// Which deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// That of a connection, or of an attempt to make one.
    Owner(Key),
    /// That of a request that waits in the pool.
    Waiter(WaiterId),
}

/// The entry that an owner has in the queue; it keeps it beside its other state.
#[derive(Debug, Default)]
pub(crate) struct Armed(Option<(Instant, Deadline)>);

#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, Deadline)>,
}

impl Timers {
    /// Sees to it that the owner is asked again at `deadline`, or before.
    pub(crate) fn arm(
        &mut self,
        whose: Deadline,
        armed: &mut Armed,
        deadline: Option<Instant>,
    ) {
        let Some(at) = deadline else { return };
        if armed.0.is_none_or(|(before, _)| at < before) {
            io_model!(timer, why = "armed");
            self.disarm(armed);
            self.queue.insert((at, whose));
            armed.0 = Some((at, whose));
        }
    }

    /// Takes the entry of an owner away, before the owner goes.
    pub(crate) fn disarm(&mut self, armed: &mut Armed) {
        if let Some(entry) = armed.0.take() {
            self.queue.remove(&entry);
        }
    }

    /// When the loop has to look again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes an entry whose time has come. Its owner is no longer [`Armed`], and must note it by
    /// [`Armed::fired`].
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Deadline> {
        let (at, _) = self.queue.first()?;
        if *at > now {
            return None;
        }
        self.queue.pop_first().map(|(_, whose)| whose)
    }
}

impl Armed {
    /// The entry is gone from the queue.
    pub(crate) fn fired(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::slab::Slab;

    fn owners<const N: usize>() -> [Deadline; N] {
        let mut slab = Slab::new();
        std::array::from_fn(|_| Deadline::Owner(slab.insert(())))
    }

    #[test]
    fn deadlines_fire_in_their_order_and_not_before_their_time() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let [a, b] = owners();
        let (mut of_a, mut of_b) = (Armed::default(), Armed::default());
        let mut timers = Timers::default();
        timers.arm(a, &mut of_a, Some(start + 2 * second));
        timers.arm(b, &mut of_b, Some(start + second));
        assert_eq!(timers.next(), Some(start + second));
        assert_eq!(timers.pop(start), None);
        assert_eq!(timers.pop(start + 3 * second), Some(b));
        assert_eq!(timers.pop(start + 3 * second), Some(a));
        assert_eq!(timers.pop(start + 3 * second), None);
    }

    #[test]
    fn a_deadline_that_moves_away_costs_no_second_entry() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let [owner] = owners();
        let (mut armed, mut timers) = (Armed::default(), Timers::default());
        for request in 1..100 {
            timers.arm(owner, &mut armed, Some(start + request * second));
        }
        assert_eq!((timers.queue.len(), timers.next()), (1, Some(start + second)));
    }

    #[test]
    fn a_deadline_that_comes_nearer_replaces_its_entry() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let [owner] = owners();
        let (mut armed, mut timers) = (Armed::default(), Timers::default());
        timers.arm(owner, &mut armed, Some(start + 9 * second));
        timers.arm(owner, &mut armed, Some(start + second));
        assert_eq!((timers.queue.len(), timers.next()), (1, Some(start + second)));
        timers.disarm(&mut armed);
        assert_eq!(timers.next(), None);
    }
}
