//! Deadlines, in the order in which they pass.
//!
//! Its rules:
//! - an entry of the loop, or a waiter, has one deadline: the earliest of all that it waits for. The
//!   deadline is in the queue at most once, and its owner remembers it as [`Armed`];
//! - a deadline that moves to a later time leaves the queue as it is, as with each request on a kept
//!   connection. The queue then fires too early, the owner finds that nothing is over, and its
//!   deadline is armed again: once, for all requests in between;
//! - time comes in as an argument.

use std::{collections::BTreeSet, time::Instant};

use client_core::{io_model, pool::WaiterId};

use crate::token::Key;

/// Whose deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// An entry's of the loop: a connection's, or that of establishing one.
    Entry(Key),
    /// A waiter's in the pool.
    Waiter(WaiterId),
}

/// What an owner has in the queue.
#[derive(Debug, Default)]
pub(crate) struct Armed(Option<(Instant, Deadline)>);

#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, Deadline)>,
}

impl Timers {
    /// Makes the deadline fire at `deadline` or before. `None` changes nothing.
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

    /// Takes out of the queue what an owner has in it. Call it before the owner goes.
    pub(crate) fn disarm(&mut self, armed: &mut Armed) {
        if let Some(entry) = armed.0.take() {
            self.queue.remove(&entry);
        }
    }

    /// When the first deadline fires.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes out a deadline that has passed. If its owner stays, call [`Armed::fired`].
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Deadline> {
        let (at, _) = self.queue.first()?;
        if *at > now {
            return None;
        }
        self.queue.pop_first().map(|(_, whose)| whose)
    }
}

impl Armed {
    /// [`Timers::pop`] has returned this deadline.
    pub(crate) fn fired(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slotmap::SlotMap;

    use super::*;

    fn owners<const N: usize>() -> [Deadline; N] {
        let mut keys = SlotMap::new();
        std::array::from_fn(|_| Deadline::Entry(keys.insert(())))
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
