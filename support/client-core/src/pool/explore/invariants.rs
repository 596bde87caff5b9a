//! What holds in every world, and between a world and the next.
//!
//! Everything is counted anew from the slots and the waiters, so that no sum of the pool is used to
//! check itself.

use std::collections::BTreeSet;

use super::{
    super::{
        SlotId, WaiterId,
        decisions::Rank,
        states::{Orphan, State},
        waiters::Waiting,
    },
    world::{Phase, World, Wrong, ensure},
};

impl World {
    /// # Errors
    ///
    /// What does not hold in this world.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        self.check_limits()?;
        self.check_agreement()?;
        self.check_waiters()?;
        for (id, _) in self.pool.origins.iter() {
            self.check_origin(id)?;
        }
        self.check_sums()
    }

    // ----- counted anew -----

    fn states(&self) -> impl Iterator<Item = (SlotId, usize, State)> {
        let slots = self.pool.slots.iter();
        slots.map(|(index, s)| (SlotId { number: s.number, index }, s.origin, s.state))
    }

    fn of(&self, origin: usize, is: impl Fn(State) -> bool) -> Vec<SlotId> {
        let mut slots: Vec<_> = self
            .states()
            .filter(|(_, own, state)| *own == origin && is(*state))
            .map(|(slot, ..)| slot)
            .collect();
        slots.sort();
        slots
    }

    /// The origin that gets a closing slot.
    fn heir(&self, state: State) -> Option<usize> {
        match state {
            State::Closing { next, .. } => {
                next.map(|waiter| self.pool.waiters[waiter.index].origin)
            }
            _ => None,
        }
    }

    /// Slots that an origin has or will have, without those of attempts that no waiter needs.
    fn held(&self, origin: usize) -> usize {
        self.states()
            .filter(|(_, own, state)| match state {
                State::Closing { .. } => self.heir(*state) == Some(origin),
                State::Orphaned(_) => false,
                _ => *own == origin,
            })
            .count()
    }

    /// What an origin's limit counts.
    fn counted(&self, origin: usize) -> usize {
        let incoming = |own, state| own != origin && self.heir(state) == Some(origin);
        self.states().filter(|(_, own, state)| *own == origin || incoming(*own, *state)).count()
    }

    fn waiting(&self, origin: usize, is: impl Fn(Waiting, bool) -> bool) -> Vec<WaiterId> {
        let all = self.pool.waiters.iter();
        let mut waiters: Vec<_> = all
            .filter(|(_, w)| w.origin == origin && is(w.state, w.fresh))
            .map(|(index, w)| WaiterId { number: w.number, index })
            .collect();
        waiters.sort();
        waiters
    }

    fn queued(&self, origin: usize) -> Vec<WaiterId> {
        self.waiting(origin, |state, _| state == Waiting::Queued)
    }

    fn expecting(&self, origin: usize) -> Vec<WaiterId> {
        self.waiting(origin, |state, fresh| !fresh && matches!(state, Waiting::Expecting(_)))
    }

    fn has_demand(&self, origin: usize) -> bool {
        let idle = self.of(origin, |state| matches!(state, State::Idle(_))).len();
        !self.queued(origin).is_empty() || self.held(origin) > idle
    }

    fn share(&self) -> usize {
        let demanding = self.pool.origins.iter().filter(|(id, _)| self.has_demand(*id)).count();
        (self.pool.limits.total / demanding.max(1)).max(1)
    }

    // ----- in one world -----

    fn check_limits(&self) -> Result<(), Wrong> {
        let limits = &self.pool.limits;
        ensure(self.slots.len() <= limits.total, "the total limit is exceeded")?;
        for (id, _) in self.pool.origins.iter() {
            // With assigned slots, so that no late close breaks it.
            ensure(self.counted(id) <= limits.per_origin, "an origin's limit is exceeded")?;
            let idle = self.of(id, |state| matches!(state, State::Idle(_)));
            ensure(idle.len() <= limits.idle_per_origin, "too many idle connections")?;
        }
        Ok(())
    }

    /// The pool and the stage think the same of each slot.
    fn check_agreement(&self) -> Result<(), Wrong> {
        let mut known: Vec<_> = self.states().map(|(slot, ..)| slot).collect();
        known.sort();
        ensure(known.iter().eq(self.slots.keys()), "slots of pool and stage differ")?;
        let expects = |waiter: WaiterId, slot| {
            let found = self.pool.waiter(waiter);
            found.is_some_and(|found| found.state == Waiting::Expecting(slot))
        };
        for (slot, around) in &self.slots {
            let agrees = match (self.pool.slots[slot.index].state, around.phase) {
                (State::Connecting(waiter), Phase::Attempt) => expects(waiter, *slot),
                (State::Paused(waiter), Phase::Paused) => {
                    let closing = |state| matches!(state, State::Closing { .. });
                    let resumes = |other: SlotId| self.pool.slots[other.index].resumes;
                    let mut others = self.states();
                    expects(waiter, *slot)
                        && others.any(|(id, _, s)| closing(s) && resumes(id) == Some(*slot))
                }
                (State::Orphaned(_), Phase::Attempt) => !self.pool.closing,
                (State::Idle(_), Phase::NotInUse) => !self.pool.closing,
                (State::Reserved(waiter, _), Phase::NotInUse) => {
                    let found = self.pool.waiter(waiter);
                    let reserved = found.map(|found| found.state);
                    around.serve && reserved == Some(Waiting::Reserved(*slot))
                }
                (State::InUse(waiter), Phase::Busy(_, served)) => waiter == served,
                (State::Closing { attempt, next, .. }, Phase::Attempt | Phase::NotInUse) => {
                    around.close
                        && attempt == (around.phase == Phase::Attempt)
                        && next.is_none_or(|waiter| expects(waiter, *slot))
                }
                _ => false,
            };
            ensure(agrees, "pool and stage disagree about a slot")?;
        }
        Ok(())
    }

    /// Each waiter is known to its caller, and waits for something that will come.
    fn check_waiters(&self) -> Result<(), Wrong> {
        let mut known = self.pool.waiters();
        known.sort();
        ensure(known.iter().eq(self.waiters.keys()), "a waiter is lost, or completed twice")?;
        for waiter in known {
            let comes = match self.pool.waiters[waiter.index].state {
                Waiting::Expecting(slot) => match self.pool.state(slot) {
                    Some(State::Connecting(other) | State::Paused(other)) => other == waiter,
                    Some(State::Closing { next, .. }) => next == Some(waiter),
                    _ => false,
                },
                Waiting::Reserved(slot) => {
                    matches!(self.pool.state(slot), Some(State::Reserved(w, _)) if w == waiter)
                }
                Waiting::Queued => true,
                Waiting::Served => false,
            };
            ensure(comes, "a waiter waits for nothing")?;
        }
        Ok(())
    }

    /// No waiter waits while a slot is free that it may use, and the pool's lists are right.
    fn check_origin(&self, id: usize) -> Result<(), Wrong> {
        let (pool, origin) = (&self.pool, &self.pool.origins[id]);
        let idle = self.of(id, |state| matches!(state, State::Idle(_)));
        let spare = self.of(id, |s| matches!(s, State::Closing { next: None, .. }));
        let given_up = self.of(id, |s| s == State::Orphaned(Orphan::GivenUp));
        let overtaken = self.of(id, |s| s == State::Orphaned(Orphan::Overtaken));
        let (queued, expecting) = (self.queued(id), self.expecting(id));
        let room = self.counted(id) < pool.limits.per_origin;
        if !queued.is_empty() {
            ensure(idle.is_empty(), "a waiter beside an idle connection")?;
            ensure(overtaken.is_empty(), "a waiter beside an attempt to take over")?;
            ensure(spare.is_empty(), "a waiter beside a spare slot")?;
            ensure(room || given_up.is_empty(), "a waiter beside an attempt to give up")?;
        }
        ensure(idle.is_empty() || expecting.is_empty(), "an idle connection is not used")?;
        if !queued.is_empty() && room {
            ensure(pool.slots.len() == pool.limits.total, "a waiter beside a free slot")?;
            let reclaimable = |state| {
                matches!(state, State::Idle(_) | State::Orphaned(_))
                    || matches!(state, State::Closing { next: None, .. })
            };
            ensure(!self.states().any(|(.., s)| reclaimable(s)), "nothing is given up")?;
        }

        ensure(origin.slots == self.counted(id), "slots of an origin")?;
        ensure(origin.held() == self.held(id), "slots that an origin holds")?;
        ensure(origin.idle.len() == idle.len(), "idle connections of an origin")?;
        ensure(origin.queued.len() == queued.len(), "queued waiters of an origin")?;
        ensure(origin.expecting.len() == expecting.len(), "expecting waiters of an origin")?;
        ensure(pool.first_queued(id) == queued.first().copied(), "the head of a queue")?;
        let oldest = queued.iter().chain(&expecting).min().copied();
        ensure(pool.oldest(id) == oldest, "the oldest waiter of an origin")?;
        ensure(origin.spare.iter().eq(&spare), "spare slots of an origin")?;
        ensure(origin.given_up.iter().eq(&given_up), "attempts that were given up")?;
        ensure(origin.overtaken.iter().eq(&overtaken), "attempts that were overtaken")?;
        let rank = queued.first().filter(|_| room).map(|first| {
            let held = self.held(id);
            Rank { held, oldest: first.number(), origin: id }
        });
        ensure(origin.rank == rank, "the rank of an origin")?;
        ensure(rank.is_none_or(|rank| pool.blocked.contains(&rank)), "blocked origins")?;
        ensure(origin.demanding == self.has_demand(id), "an origin with demand")?;
        ensure(self.counted(id) + queued.len() > 0, "an origin with nothing")
    }

    /// The sums over all origins, and what users see of them.
    fn check_sums(&self) -> Result<(), Wrong> {
        let pool = &self.pool;
        let origins: Vec<usize> = pool.origins.iter().map(|(id, _)| id).collect();
        let sum = |of: &dyn Fn(usize) -> usize| origins.iter().map(|id| of(*id)).sum::<usize>();
        let ranked = sum(&|id| usize::from(pool.origins[id].rank.is_some()));
        ensure(pool.blocked.len() == ranked, "blocked origins in all")?;
        ensure(pool.demanding == sum(&|id| usize::from(self.has_demand(id))), "demand")?;
        ensure(pool.queued == sum(&|id| self.queued(id).len()), "queued waiters in all")?;
        ensure(pool.idle.len() == sum(&|id| pool.origins[id].idle.len()), "idle in all")?;
        let all = |is: fn(State) -> bool| {
            let slots = self.states().filter(|(.., state)| is(*state));
            slots.map(|(slot, ..)| slot).collect::<BTreeSet<_>>()
        };
        let spare = all(|state| matches!(state, State::Closing { next: None, .. }));
        ensure(pool.spare == spare, "spare slots in all")?;
        ensure(pool.orphans == all(|s| matches!(s, State::Orphaned(_))), "orphans in all")?;
        let decided = pool.changed.is_empty() && pool.updated.is_empty();
        ensure(decided && pool.actions.is_empty(), "something is left to do")?;

        let stats = pool.stats();
        let count = |is: fn(Phase) -> bool| self.slots.values().filter(|s| is(s.phase)).count();
        let attempts = count(|phase| matches!(phase, Phase::Attempt | Phase::Paused));
        ensure(stats.connecting == attempts, "statistics: connecting")?;
        ensure(stats.open == self.slots.len() - attempts, "statistics: open")?;
        ensure(stats.open == stats.idle + stats.in_use, "statistics: idle and in use")?;
        // A connection that goes straight from one waiter to the next is never idle.
        let handed_over = all(|state| matches!(state, State::Reserved(_, None))).len();
        let busy = count(|phase| matches!(phase, Phase::Busy(..)));
        ensure(stats.in_use == busy + handed_over, "statistics: in use")?;
        ensure(stats.waiting == self.waiters.len(), "statistics: waiting")?;
        ensure(stats.created == stats.open as u64 + stats.closed_in_all(), "statistics: closed")
    }

    // ----- between one world and the next -----

    /// First come, first served within an origin, and fair shares between origins.
    pub(super) fn check_step(&self, before: &World) -> Result<(), Wrong> {
        let share = self.share().min(before.share());
        for (waiter, grant) in self.grants(before) {
            let own = self.pool.waiters[waiter.index].origin;
            let older = |other: &WaiterId| *other < waiter;
            let passed = grant != Grant::Slot && self.expecting(own).iter().any(older);
            ensure(!passed && !self.queued(own).iter().any(older), "a younger one goes first")?;
            if grant == Grant::OtherSlot {
                continue;
            }
            for (id, origin) in self.pool.origins.iter().filter(|(id, _)| *id != own) {
                let waited =
                    |other: &&WaiterId| before.state_of(**other) == Some(Waiting::Queued);
                let queued = self.queued(id);
                // As if the slot were free, and its origin held one less.
                let needs_it_more = queued.iter().find(waited).is_some_and(|first| {
                    (self.held(id), *first) < (self.held(own) - 1, waiter)
                });
                let owed = origin.rank.is_some() && self.held(id) < share && needs_it_more;
                ensure(!owed, "an origin is overtaken that is owed a slot")?;
            }
        }
        Ok(())
    }

    fn state_of(&self, waiter: WaiterId) -> Option<Waiting> {
        self.pool.waiter(waiter).map(|found| found.state)
    }

    /// Which waiters the last event gave something. A retry only keeps what it has.
    fn grants(&self, before: &World) -> Vec<(WaiterId, Grant)> {
        let grant = |waiter: WaiterId| {
            let earlier = before.state_of(waiter);
            let expected = matches!(earlier, Some(Waiting::Expecting(_)));
            match self.state_of(waiter)? {
                _ if self.pool.waiters[waiter.index].fresh => None,
                after if earlier == Some(after) => None,
                // The connection that was made for it is no further grant.
                Waiting::Reserved(slot) if earlier == Some(Waiting::Expecting(slot)) => None,
                Waiting::Reserved(_) if expected => Some((waiter, Grant::OtherSlot)),
                Waiting::Reserved(_) => Some((waiter, Grant::Connection)),
                // Nor is the slot that was assigned to it.
                Waiting::Expecting(_) => (!expected).then_some((waiter, Grant::Slot)),
                Waiting::Queued | Waiting::Served => None,
            }
        };
        self.waiters.keys().copied().filter_map(grant).collect()
    }
}

/// What a waiter is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grant {
    /// A slot, in which a connection is to be made.
    Slot,
    /// A slot with a connection in it.
    Connection,
    /// A connection instead of the slot that it had.
    OtherSlot,
}
