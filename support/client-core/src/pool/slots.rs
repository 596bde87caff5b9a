//! The slots, and everything that depends on the state of one.

use std::collections::BTreeSet;

use super::{
    Action, Pool, WaiterId, Waiting,
    list::{Linked, Links},
    states::{State, Step},
};

/// Names a slot, and with it one connection attempt and the connection that it becomes. Later
/// slots compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId {
    pub(super) number: u64,
    pub(super) index: usize,
}

impl SlotId {
    /// An index for a table with one entry per slot. A later slot may get the same index.
    pub fn index(self) -> usize {
        self.index
    }
}

#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) number: u64,
    pub(super) origin: usize,
    pub(super) state: State,
    /// The connection has carried an exchange.
    pub(super) used: bool,
    /// The attempt ran out of descriptors once and was begun again.
    pub(super) begun_again: bool,
    /// The paused attempt that gets this slot's descriptor, if it still exists then.
    pub(super) resumes: Option<SlotId>,
    /// Its links in the lists of idle connections: its origin's, and the pool's.
    pub(super) links: [Links; 2],
}

impl Linked for Slot {
    fn key(&self) -> u64 {
        match self.state {
            State::Idle(since) => since,
            _ => unreachable!("only idle connections are in lists"),
        }
    }

    fn links(&mut self) -> &mut [Links] {
        &mut self.links
    }
}

impl<R> Pool<R> {
    pub(super) fn slot(&self, slot: SlotId) -> Option<&Slot> {
        self.slots.get(slot.index).filter(|found| found.number == slot.number)
    }

    pub(super) fn slot_at(&self, index: usize) -> SlotId {
        SlotId { number: self.slots[index].number, index }
    }

    pub(super) fn state(&self, slot: SlotId) -> Option<State> {
        self.slot(slot).map(|found| found.state)
    }

    /// Takes a new slot, in which a connection attempt for this waiter begins.
    pub(super) fn connect(&mut self, waiter: WaiterId) {
        self.slots_taken += 1;
        let number = self.slots_taken;
        let origin = self.waiters[waiter.index].origin;
        let index = self.slots.insert(Slot {
            number,
            origin,
            state: State::Gone,
            used: false,
            begun_again: false,
            resumes: None,
            links: Default::default(),
        });
        self.origins[origin].slots += 1;
        self.mark_changed(origin);
        self.step(SlotId { number, index }, Step::Begin(waiter));
    }

    /// Takes a step of a slot, with everything that depends on its state. Returns the state before.
    /// None, and nothing changes, if there is no such slot or the step cannot happen.
    #[inline(always)]
    pub(super) fn step(&mut self, slot: SlotId, step: Step) -> Option<State> {
        let found =
            self.slots.get_mut(slot.index).filter(|found| found.number == slot.number)?;
        let (origin, before) = (found.origin, found.state);
        let after = before.after(step)?;
        found.state = after;
        self.account::<false>(slot, origin, before);
        self.account::<true>(slot, origin, after);
        if after == State::Gone {
            self.slots.remove(slot.index);
            self.origins[origin].slots -= 1;
            self.mark_changed(origin);
        }
        if let Some(action) = self.action(slot, origin, before, after) {
            self.actions.push_back(action);
        }
        Some(before)
    }

    /// What the stage has to do when a slot goes from one state to the next.
    #[inline(always)]
    fn action(
        &self,
        slot: SlotId,
        origin: usize,
        before: State,
        after: State,
    ) -> Option<Action> {
        use State::*;
        Some(match (before, after) {
            (Gone | Paused(_), Connecting(waiter)) => {
                let origin = self.origins[origin].name.clone();
                Action::Connect { slot, origin, waiter }
            }
            (Orphaned(_), Closing { .. }) => Action::Abandon { slot },
            (Free(_) | Idle(_), Closing { reason, .. })
            | (Closing { attempt: true, .. }, Closing { attempt: false, reason, .. }) => {
                Action::Close { slot, reason }
            }
            (_, Reserved(..)) => Action::Serve { slot },
            (Free(None), Idle(_)) => Action::Idle { slot },
            _ => return None,
        })
    }

    /// Adds a slot to, or takes it out of, everything that is kept of slots in this state.
    fn account<const HOLDS: bool>(&mut self, slot: SlotId, own: usize, state: State) {
        let origin = &mut self.origins[own];
        match state {
            State::Connecting(waiter) | State::Paused(waiter) => {
                add(&mut self.stats.connecting, HOLDS);
                if HOLDS {
                    self.set_waiting(waiter, Waiting::Expecting(slot));
                }
            }
            State::Orphaned(why) => {
                add(&mut self.stats.connecting, HOLDS);
                put(&mut self.orphans, slot, HOLDS);
                put(origin.orphans(why), slot, HOLDS);
                self.mark_changed(own);
            }
            State::Reserved(waiter, since) => {
                if since.is_some() {
                    add(&mut self.stats.idle, HOLDS);
                }
                if HOLDS {
                    self.set_waiting(waiter, Waiting::Reserved(slot));
                }
            }
            State::InUse(waiter) => {
                if HOLDS {
                    self.set_waiting(waiter, Waiting::Served);
                }
            }
            State::Idle(_) => {
                add(&mut self.stats.idle, HOLDS);
                if HOLDS {
                    origin.idle.insert(&mut self.slots, slot.index);
                    self.idle.insert(&mut self.slots, slot.index);
                } else {
                    origin.idle.remove(&mut self.slots, slot.index);
                    self.idle.remove(&mut self.slots, slot.index);
                }
                self.mark_changed(own);
            }
            State::Closing { attempt, next, .. } => {
                add(
                    if attempt { &mut self.stats.connecting } else { &mut self.stats.idle },
                    HOLDS,
                );
                let heir = next.map(|waiter| self.waiters[waiter.index].origin);
                if heir != Some(own) {
                    add(&mut origin.leaving, HOLDS);
                }
                match heir {
                    None => {
                        put(&mut origin.spare, slot, HOLDS);
                        put(&mut self.spare, slot, HOLDS);
                    }
                    Some(heir) if heir != own => {
                        add(&mut self.origins[heir].slots, HOLDS);
                        self.mark_changed(heir);
                    }
                    Some(_) => {}
                }
                self.mark_changed(own);
                if let (Some(waiter), true) = (next, HOLDS) {
                    self.set_waiting(waiter, Waiting::Expecting(slot));
                }
            }
            State::Free(_) | State::Gone => {}
        }
    }
}

/// Puts an item into a set, or takes it out.
fn put<T: Ord>(set: &mut BTreeSet<T>, item: T, holds: bool) {
    match holds {
        true => set.insert(item),
        false => set.remove(&item),
    };
}

/// Adds one to a sum, or takes one away.
fn add(sum: &mut usize, holds: bool) {
    match holds {
        true => *sum += 1,
        false => *sum -= 1,
    }
}
