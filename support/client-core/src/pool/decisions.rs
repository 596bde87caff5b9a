//! Who gets a slot, who gets a connection that is free, and what is given up for them.

use super::{
    Pool, SlotId, WaiterId,
    slots::{Orphan, State, Step},
    waiters::Waiting,
};
use crate::CloseReason;

/// The order of need among blocked origins: fewest slots first, then the oldest waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// The slots that the origin has, or will have.
    pub(super) held: usize,
    /// The number of its oldest queued waiter.
    pub(super) oldest: u64,
    pub(super) origin: usize,
}

/// How many of `total` slots an origin may keep while others wait: an equal share, and at least
/// one. `origins` counts those with demand.
fn fair_share(total: usize, origins: usize) -> usize {
    (total / origins.max(1)).max(1)
}

impl<R> Pool<R> {
    /// Notes that an origin has changed. [`Pool::decide`] will look at it.
    pub(super) fn touch(&mut self, origin: usize) {
        if self.touched.last() != Some(&origin) {
            self.touched.push(origin);
        }
    }

    /// Ends each event: gives slots to blocked origins, as long as there are any or something can
    /// be given up.
    pub(super) fn decide(&mut self) {
        loop {
            while let Some(origin) = self.touched.pop() {
                self.review(origin);
            }
            let Some(neediest) = self.blocked.first() else { return };
            let Some(waiter) = self.first_queued(neediest.origin) else { return };
            if self.slots.len() < self.limits.total {
                self.connect(waiter);
            } else if let Some(slot) = self.reclaim() {
                self.step(slot, Step::Promise(waiter));
            } else {
                return;
            }
        }
    }

    /// Decides what an origin can decide alone, and brings up to date what the pool keeps of it.
    fn review(&mut self, id: usize) {
        let Some(origin) = self.origins.get(id) else { return };
        let room = origin.slots < self.limits.per_origin;
        if let Some(first) = self.first_queued(id) {
            if let Some(attempt) = origin.overtaken.first().copied() {
                match self.needier(id) {
                    Some(rival) => {
                        self.step(attempt, Step::Close(CloseReason::Evicted));
                        self.step(attempt, Step::Promise(rival));
                    }
                    None => _ = self.step(attempt, Step::Adopt(first)),
                }
                return;
            }
            // At its own limit, nothing but a slot of its own helps.
            if !room && let Some(slot) = self.reclaim_own(id) {
                self.step(slot, Step::Promise(first));
                return;
            }
        } else if self.closing
            && let Some(slot) = self.unneeded(id)
        {
            self.step(slot, Step::Close(CloseReason::ClientClosed));
            return;
        }
        self.update(id, room);
    }

    /// Brings the sums of all origins up to date with one origin, and forgets it if it is empty.
    fn update(&mut self, id: usize, room: bool) {
        let first = self.first_queued(id);
        let origin = &mut self.origins[id];
        let held = origin.held();
        let rank = match first {
            Some(first) if room => Some(Rank { held, oldest: first.number, origin: id }),
            _ => None,
        };
        if rank != origin.rank {
            origin.rank.inspect(|before| _ = self.blocked.remove(before));
            self.blocked.extend(rank);
            origin.rank = rank;
        }
        let demanding = first.is_some() || held > origin.idle.len();
        self.demanding += usize::from(demanding);
        self.demanding -= usize::from(origin.demanding);
        origin.demanding = demanding;
        if origin.slots == 0 && first.is_none() {
            self.origins.remove(id);
        }
    }

    /// A closing slot that is promised to no waiter. If there is none, an attempt or a connection
    /// is told to close.
    fn reclaim(&mut self) -> Option<SlotId> {
        self.spare.first().copied().or_else(|| self.evict())
    }

    /// The same, of one origin whose queue is not empty, so that it has no idle connection.
    fn reclaim_own(&mut self, id: usize) -> Option<SlotId> {
        let origin = &self.origins[id];
        if let Some(spare) = origin.spare.first() {
            return Some(*spare);
        }
        let orphan = origin.given_up.first().copied()?;
        self.step(orphan, Step::Close(CloseReason::Evicted));
        Some(orphan)
    }

    /// Gives up an attempt without a waiter, or else the idle connection that was used least
    /// recently.
    fn evict(&mut self) -> Option<SlotId> {
        let least_recent = || self.idle.first().map(|index| self.slot_at(index));
        let slot = self.orphans.first().copied().or_else(least_recent)?;
        self.step(slot, Step::Close(CloseReason::Evicted));
        Some(slot)
    }

    /// A slot of an origin without waiters that serves no purpose in a closed pool.
    fn unneeded(&self, id: usize) -> Option<SlotId> {
        let origin = &self.origins[id];
        let orphan = origin.given_up.first().or_else(|| origin.overtaken.first()).copied();
        orphan.or_else(|| origin.idle.first().map(|index| self.slot_at(index)))
    }

    /// A slot whose descriptor is about to be free, and for no other attempt.
    pub(super) fn reclaim_descriptor(&mut self) -> Option<SlotId> {
        let waited_for = |slot: &SlotId| {
            let resumes = self.slots[slot.index].resumes;
            matches!(resumes.and_then(|paused| self.state(paused)), Some(State::Paused(_)))
        };
        let spare = self.spare.iter().find(|slot| !waited_for(slot)).copied();
        spare.or_else(|| self.evict())
    }

    /// Decides what a connection does that serves no waiter.
    pub(super) fn free(&mut self, slot: SlotId) {
        let id = self.slots[slot.index].origin;
        let origin = &self.origins[id];
        let oldest = self.oldest(id);
        if let Some(waiter) = oldest
            && let Waiting::Expecting(other) = self.waiters[waiter.index].state
        {
            // What it was given before is needed no more. Its review decides who gets that.
            self.step(other, Step::Leave(Orphan::Overtaken));
            self.step(slot, Step::Reserve(waiter));
        } else if let Some(rival) = self.needier(id) {
            self.step(slot, Step::Close(CloseReason::Evicted));
            self.step(slot, Step::Promise(rival));
        } else if let Some(waiter) = oldest {
            self.step(slot, Step::Reserve(waiter));
        } else if self.closing {
            self.step(slot, Step::Close(CloseReason::ClientClosed));
        } else if origin.idle.len() >= self.limits.idle_per_origin {
            self.step(slot, Step::Close(CloseReason::IdleLimit));
        } else {
            self.moments += 1;
            self.step(slot, Step::Rest(self.moments));
        }
    }

    /// The waiter of another origin that gets a slot which this origin could use for the head of
    /// its own queue.
    fn needier(&self, id: usize) -> Option<WaiterId> {
        let rival = self.blocked.first().filter(|rival| rival.origin != id)?;
        if let Some(first) = self.first_queued(id) {
            // As if the slot were free: then this origin would hold one less.
            let own = (self.origins[id].held() - 1, first.number);
            let share = fair_share(self.limits.total, self.demanding);
            if rival.held >= share || (rival.held, rival.oldest) > own {
                return None;
            }
        }
        self.first_queued(rival.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_equal_and_never_zero() {
        assert_eq!(fair_share(8, 0), 8);
        assert_eq!(fair_share(8, 3), 2);
        assert_eq!(fair_share(2, 5), 1);
    }
}
