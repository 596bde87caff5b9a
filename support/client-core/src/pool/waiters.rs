//! The waiters, and what each waits for.

use super::{
    Pool, SlotId,
    list::{Linked, Links},
};

/// Names a waiter. A retry keeps it. Later arrivals compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId {
    pub(super) number: u64,
    pub(super) index: usize,
}

impl WaiterId {
    /// The number in the order of arrival, from 1, unique within the pool.
    pub fn number(self) -> u64 {
        self.number
    }
}

#[derive(Clone, Debug)]
pub(super) struct Waiter<R> {
    pub(super) number: u64,
    pub(super) origin: usize,
    pub(super) state: Waiting,
    /// The request failed on a stale connection: only a connection made for this waiter will do.
    pub(super) fresh: bool,
    /// None while the request is served.
    pub(super) request: Option<R>,
    /// Its links in one of its origin's lists, if it is in one.
    pub(super) links: [Links; 1],
}

impl<R> Linked for Waiter<R> {
    fn key(&self) -> u64 {
        self.number
    }

    fn links(&mut self) -> &mut [Links] {
        &mut self.links
    }
}

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Any slot or connection of its origin.
    Queued,
    /// Its own slot, or any connection of its origin that is free earlier. A waiter that needs a
    /// fresh connection waits for its own slot alone.
    Expecting(SlotId),
    /// The stage, which has to call [`Pool::take`] for the reserved connection.
    Reserved(SlotId),
    /// Nothing: a connection serves it. A waiter is also in this state before it is queued and
    /// before it is removed.
    Served,
}

impl<R> Pool<R> {
    pub(super) fn waiter(&self, waiter: WaiterId) -> Option<&Waiter<R>> {
        self.waiters.get(waiter.index).filter(|found| found.number == waiter.number)
    }

    pub(super) fn add_waiter(&mut self, origin: usize, request: R) -> WaiterId {
        self.arrivals += 1;
        let number = self.arrivals;
        let index = self.waiters.insert(Waiter {
            number,
            origin,
            state: Waiting::Served,
            fresh: false,
            request: Some(request),
            links: Default::default(),
        });
        WaiterId { number, index }
    }

    pub(super) fn remove_waiter(&mut self, waiter: WaiterId) -> Option<R> {
        self.set_waiting(waiter, Waiting::Served);
        self.waiters.remove(waiter.index).request
    }

    /// Changes what a waiter waits for, with everything that depends on it.
    pub(super) fn set_waiting(&mut self, waiter: WaiterId, after: Waiting) {
        let found = &mut self.waiters[waiter.index];
        let (id, fresh) = (found.origin, found.fresh);
        let before = std::mem::replace(&mut found.state, after);
        self.stats.waiting += usize::from(after != Waiting::Served);
        self.stats.waiting -= usize::from(before != Waiting::Served);
        let origin = &mut self.origins[id];
        match before {
            Waiting::Queued => origin.queued.remove(&mut self.waiters, waiter.index),
            Waiting::Expecting(_) if !fresh => {
                origin.expecting.remove(&mut self.waiters, waiter.index);
            }
            _ => {}
        }
        match after {
            Waiting::Queued => origin.queued.insert(&mut self.waiters, waiter.index),
            Waiting::Expecting(_) if !fresh => {
                origin.expecting.insert(&mut self.waiters, waiter.index);
            }
            _ => {}
        }
        let (was, is) = (before == Waiting::Queued, after == Waiting::Queued);
        if was != is {
            self.queued += usize::from(is);
            self.queued -= usize::from(was);
            self.mark_changed(id);
        }
    }

    /// The head of an origin's queue.
    pub(super) fn first_queued(&self, origin: usize) -> Option<WaiterId> {
        self.origins[origin].queued.first().map(|index| self.waiter_at(index))
    }

    /// The oldest waiter of an origin that any connection may serve.
    pub(super) fn oldest(&self, origin: usize) -> Option<WaiterId> {
        let expecting = self.origins[origin].expecting.first();
        let expecting = expecting.map(|index| self.waiter_at(index));
        [self.first_queued(origin), expecting].into_iter().flatten().min()
    }

    fn waiter_at(&self, index: usize) -> WaiterId {
        WaiterId { number: self.waiters[index].number, index }
    }
}
