//! What occupies a slot, and what may happen to it next: one table, which the pool runs on.

use super::{
    Moment, Order, Pool, WaiterId, Waiting, add,
    list::{Linked, Links},
    put,
};
use crate::CloseReason;

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
    /// The paused attempt that gets this slot's descriptor. It may be gone by then.
    pub(super) resumes: Option<SlotId>,
    /// Its places among the idle connections of its origin, and of all.
    pub(super) links: [Links; 2],
}

impl Linked for Slot {
    fn key(&self) -> u64 {
        match self.state {
            State::Idle(since) => since,
            _ => unreachable!("only idle connections are in lists"),
        }
    }

    fn links(&self) -> &[Links] {
        &self.links
    }

    fn links_mut(&mut self) -> &mut [Links] {
        &mut self.links
    }
}

/// What occupies a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A connection attempt for this waiter.
    Connecting(WaiterId),
    /// This waiter's attempt ran out of descriptors. The next one begins when another slot closes.
    Paused(WaiterId),
    /// A connection attempt without a waiter.
    Orphaned(Orphan),
    /// A connection promised to this waiter, which the stage has yet to take. If it was idle:
    /// since when.
    Reserved(WaiterId, Option<Moment>),
    /// A connection that serves this waiter. The pool keeps the waiter's place for a retry.
    InUse(WaiterId),
    /// A connection that serves no waiter, before the pool has decided what it does. No slot is in
    /// this state between two events.
    Free(Option<Moment>),
    /// A connection that waits for a request, and since when.
    Idle(Moment),
    /// An attempt or a connection that was told to end. The slot then passes to `next`.
    Closing { attempt: bool, reason: CloseReason, next: Option<WaiterId> },
    /// The slot is given back.
    Gone,
}

/// Why an attempt has no waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orphan {
    /// The waiter gave up, perhaps because of this very attempt. No other waiter depends on it.
    GivenUp,
    /// The waiter took another connection. The next waiter of the origin takes the attempt over.
    Overtaken,
}

/// What happens to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    // The stage reports it:
    Connected,
    Failed,
    OutOfDescriptors,
    Take,
    CheckIn,
    Closed,
    // The pool decides it:
    Begin(WaiterId),
    Resume,
    /// The waiter no longer needs the slot.
    Leave(Orphan),
    Adopt(WaiterId),
    Reserve(WaiterId),
    Rest(Moment),
    Close(CloseReason),
    /// A closing slot is promised to this waiter.
    Promise(WaiterId),
}

impl State {
    /// What a slot is after a step. None: the step cannot happen in this state.
    #[inline(always)]
    pub(super) fn after(self, step: Step) -> Option<State> {
        use State::*;
        Some(match (self, step) {
            // Attempts.
            (Gone, Step::Begin(waiter)) => Connecting(waiter),
            (Connecting(waiter), Step::Connected) => Reserved(waiter, None),
            (Connecting(_), Step::Failed) => Gone,
            (Connecting(_), Step::Leave(why)) => Orphaned(why),
            (Connecting(waiter), Step::OutOfDescriptors) => Paused(waiter),
            (Paused(waiter), Step::Resume) => Connecting(waiter),
            (Paused(_), Step::Failed | Step::Leave(_)) => Gone,
            (Orphaned(_), Step::Connected) => Free(None),
            (Orphaned(_), Step::Failed) => Gone,
            (Orphaned(_), Step::Adopt(waiter)) => Connecting(waiter),
            (Orphaned(_), Step::Close(reason)) => Closing { attempt: true, reason, next: None },
            // Connections.
            (Reserved(waiter, _), Step::Take) => InUse(waiter),
            (Reserved(_, since), Step::Leave(_)) => Free(since),
            (InUse(_), Step::CheckIn) => Free(None),
            (Free(since), Step::Reserve(waiter)) => Reserved(waiter, since),
            (Free(since), Step::Rest(now)) => Idle(since.unwrap_or(now)),
            (Idle(since), Step::Reserve(waiter)) => Reserved(waiter, Some(since)),
            (Free(_) | Idle(_), Step::Close(reason)) => {
                Closing { attempt: false, reason, next: None }
            }
            (Reserved(..) | InUse(_) | Idle(_), Step::Closed) => Gone,
            // What was told to end. An attempt may succeed before it hears of it.
            (Closing { attempt: true, reason, next }, Step::Connected) => {
                Closing { attempt: false, reason, next }
            }
            (Closing { attempt: true, .. }, Step::Failed)
            | (Closing { attempt: false, .. }, Step::Closed) => Gone,
            (Closing { attempt, reason, next: None }, Step::Promise(waiter)) => {
                Closing { attempt, reason, next: Some(waiter) }
            }
            (Closing { attempt, reason, .. }, Step::Leave(_)) => {
                Closing { attempt, reason, next: None }
            }
            _ => return None,
        })
    }

    /// What the stage has to hear when a slot goes from one state to the next.
    #[inline(always)]
    fn order(self, after: State, slot: SlotId) -> Option<Order> {
        use State::*;
        Some(match (self, after) {
            (Gone | Paused(_), Connecting(waiter)) => Order::Connect(slot, waiter),
            (Orphaned(_), Closing { .. }) => Order::Abandon(slot),
            (Free(_) | Idle(_), Closing { .. })
            | (Closing { attempt: true, .. }, Closing { attempt: false, .. }) => {
                Order::Close(slot)
            }
            (_, Reserved(..)) => Order::Serve(slot),
            (Free(None), Idle(_)) => Order::Idle(slot),
            _ => return None,
        })
    }

    /// Whether an order still fits the state. Events between a decision and its
    /// [`Pool::poll_action`] may have changed it.
    pub(super) fn agrees(self, order: Order) -> bool {
        match order {
            Order::Wait(_) => true,
            // The attempt has to be begun even if it is to be abandoned.
            Order::Connect(..) => matches!(
                self,
                State::Connecting(_)
                    | State::Orphaned(_)
                    | State::Closing { attempt: true, .. }
            ),
            Order::Abandon(_) => matches!(self, State::Closing { attempt: true, .. }),
            Order::Serve(_) => matches!(self, State::Reserved(..)),
            Order::Idle(_) => matches!(self, State::Idle(_)),
            Order::Close(_) => matches!(self, State::Closing { attempt: false, .. }),
        }
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
        }
        if let Some(order) = before.order(after, slot) {
            self.orders.push_back(order);
        }
        self.touch(origin);
        Some(before)
    }

    /// Adds a slot to, or takes it out of, everything that is kept of slots in this state.
    fn account<const HOLDS: bool>(&mut self, slot: SlotId, own: usize, state: State) {
        let origin = &mut self.origins[own];
        match state {
            State::Connecting(waiter) | State::Paused(waiter) => {
                add(&mut self.connecting, HOLDS);
                if HOLDS {
                    self.set_waiting(waiter, Waiting::Expecting(slot));
                }
            }
            State::Orphaned(why) => {
                add(&mut self.connecting, HOLDS);
                put(&mut self.orphans, slot, HOLDS);
                put(origin.orphans(why), slot, HOLDS);
            }
            State::Reserved(waiter, since) => {
                if since.is_some() {
                    add(&mut self.resting, HOLDS);
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
                add(&mut self.resting, HOLDS);
                if HOLDS {
                    origin.idle.insert(&mut self.slots, slot.index);
                    self.idle.insert(&mut self.slots, slot.index);
                } else {
                    origin.idle.remove(&mut self.slots, slot.index);
                    self.idle.remove(&mut self.slots, slot.index);
                }
            }
            State::Closing { attempt, next, .. } => {
                add(if attempt { &mut self.connecting } else { &mut self.resting }, HOLDS);
                let Some(waiter) = next else {
                    add(&mut origin.leaving, HOLDS);
                    put(&mut origin.spare, slot, HOLDS);
                    return put(&mut self.spare, slot, HOLDS);
                };
                let heir = self.waiters[waiter.index].origin;
                if heir != own {
                    add(&mut origin.leaving, HOLDS);
                    add(&mut self.origins[heir].slots, HOLDS);
                    self.touch(heir);
                }
                if HOLDS {
                    self.set_waiting(waiter, Waiting::Expecting(slot));
                }
            }
            State::Free(_) | State::Gone => {}
        }
    }
}
