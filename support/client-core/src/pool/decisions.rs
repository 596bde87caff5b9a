//! Which waiter gets a slot or a free connection, and what is given up for it.

use super::{
    Pool, SlotId, WaiterId,
    states::{Orphan, State, Step},
    waiters::Waiting,
};
use crate::CloseReason;

/// The order of need among blocked origins: fewest slots first, then the oldest waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// What [`PerOrigin::held`](super::origins::PerOrigin::held) says.
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
    /// Notes that an origin has changed, for [`Pool::decide`].
    pub(super) fn mark_changed(&mut self, origin: usize) {
        if self.changed.last() != Some(&origin) {
            self.changed.push(origin);
        }
    }

    /// Ends each event: gives slots to blocked origins, as long as there are any or something can
    /// be given up.
    pub(super) fn decide(&mut self) {
        loop {
            // All sums first, since origins are compared with one another.
            while let Some(origin) = self.changed.pop() {
                self.update(origin);
                self.updated.push(origin);
            }
            if let Some(origin) = self.updated.pop() {
                self.review(origin);
                continue;
            }
            let Some(neediest) = self.blocked.first() else { return };
            let Some(waiter) = self.first_queued(neediest.origin) else { return };
            if self.slots.len() < self.limits.total {
                self.connect(waiter);
            } else if let Some(slot) = self.reclaim() {
                self.step(slot, Step::Assign(waiter));
            } else {
                return;
            }
        }
    }

    /// Decides about the slots of one origin.
    fn review(&mut self, id: usize) {
        let Some(origin) = self.origins.get(id) else { return };
        let room = origin.slots < self.limits.per_origin;
        let Some(first) = self.first_queued(id) else {
            if self.closing
                && let Some(slot) = self.unneeded(id)
            {
                self.step(slot, Step::Close(CloseReason::ClientClosed));
            }
            return;
        };
        if let Some(attempt) = origin.overtaken.first().copied() {
            match self.needier(id, origin.held()) {
                Some(rival) => self.pass_to(attempt, rival),
                None => _ = self.step(attempt, Step::Adopt(first)),
            }
            return;
        }
        // At its own limit, nothing but a slot of its own helps.
        let mine = origin.spare.first().or_else(|| origin.given_up.first()).copied();
        if !room && let Some(slot) = mine {
            let next = self.needier(id, origin.held()).unwrap_or(first);
            self.pass_to(slot, next);
        }
    }

    /// Brings the sums of all origins up to date with one origin, and forgets it if it is empty.
    fn update(&mut self, id: usize) {
        if !self.origins.contains(id) {
            return;
        }
        let first = self.first_queued(id);
        let origin = &mut self.origins[id];
        let room = origin.slots < self.limits.per_origin;
        let held = origin.held();
        let rank = match first {
            Some(first) if room => Some(Rank { held, oldest: first.number, origin: id }),
            _ => None,
        };
        if rank != origin.rank {
            if let Some(before) = origin.rank {
                self.blocked.remove(&before);
            }
            self.blocked.extend(rank);
            origin.rank = rank;
        }
        let demanding = first.is_some() || held > origin.idle.len();
        self.demanding += usize::from(demanding);
        self.demanding -= usize::from(origin.demanding);
        origin.demanding = demanding;
        if origin.slots == 0 && first.is_none() {
            let origin = self.origins.remove(id);
            self.by_name.remove(&origin.name);
        }
    }

    /// A closing slot that is assigned to no waiter. If there is none, an attempt or an idle
    /// connection is closed.
    fn reclaim(&mut self) -> Option<SlotId> {
        self.spare.first().copied().or_else(|| self.evict())
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

    /// A closing slot whose descriptor no other attempt waits for. If there is none, something is
    /// given up.
    pub(super) fn reclaim_descriptor(&mut self) -> Option<SlotId> {
        let waited_for = |slot: &SlotId| {
            let resumes = self.slots[slot.index].resumes;
            matches!(resumes.and_then(|paused| self.state(paused)), Some(State::Paused(_)))
        };
        let spare = self.spare.iter().find(|slot| !waited_for(slot)).copied();
        spare.or_else(|| self.evict())
    }

    /// Decides what happens to a connection that serves no waiter.
    pub(super) fn free(&mut self, slot: SlotId) {
        let id = self.slots[slot.index].origin;
        let origin = &self.origins[id];
        let oldest = self.oldest(id);
        if let Some(waiter) = oldest
            && let Waiting::Expecting(other) = self.waiters[waiter.index].state
        {
            // It no longer needs the slot that it expected. The review of that slot's origin decides
            // which waiter gets it.
            self.step(other, Step::Leave(Orphan::Overtaken));
            self.step(slot, Step::Reserve(waiter));
        } else if let Some(rival) = self.needier(id, origin.held() - 1) {
            self.pass_to(slot, rival);
        } else if let Some(waiter) = oldest {
            self.step(slot, Step::Reserve(waiter));
        } else if self.closing {
            self.step(slot, Step::Close(CloseReason::ClientClosed));
        } else if origin.idle.len() >= self.limits.idle_per_origin {
            self.step(slot, Step::Close(CloseReason::IdleLimit));
        } else {
            self.moments += 1;
            self.step(slot, Step::MarkIdle(self.moments));
        }
    }

    /// The waiter of another origin that gets a slot of origin `id`, instead of the head of that
    /// origin's own queue. `held` counts the slots of `id` without this slot.
    fn needier(&self, id: usize, held: usize) -> Option<WaiterId> {
        let rival = self.blocked.first().filter(|rival| rival.origin != id)?;
        if let Some(first) = self.first_queued(id) {
            let share = fair_share(self.limits.total, self.demanding);
            if rival.held >= share || (rival.held, rival.oldest) > (held, first.number) {
                return None;
            }
        }
        self.first_queued(rival.origin)
    }

    /// Assigns a slot to a waiter, and closes what is in it.
    fn pass_to(&mut self, slot: SlotId, waiter: WaiterId) {
        self.step(slot, Step::Close(CloseReason::Evicted));
        self.step(slot, Step::Assign(waiter));
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
