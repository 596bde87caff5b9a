//! Decides which request gets which connection. Knows no socket, clock, thread or waker.
//!
//! Events go in through methods of [`Pool`], decisions come out of [`Pool::poll_action`], as in
//! quinn-proto. A stage reports what happened, then carries out actions until there are none. The
//! event makes the decision, not the poll: a stage may carry an action out late, and no decision
//! changes.
//!
//! ```
//! use client_core::{Config, Origin, pool::{Action, Limits, Pool}};
//!
//! let mut pool = Pool::new(Limits::from(&Config::default()));
//! let origin = Origin::of(&"http://example.com".parse().unwrap()).unwrap();
//! pool.checkout(&origin, "GET /").unwrap();
//! while let Some(action) = pool.poll_action() {
//!     match action {
//!         // Connect. Here it succeeds at once.
//!         Action::Connect { slot, .. } => _ = pool.connected(slot),
//!         Action::Serve { slot } => {
//!             let (_, request) = pool.take(slot).unwrap();
//!             assert_eq!((request, pool.begin(slot)), ("GET /", false));
//!             // Send the request, receive the response, then:
//!             pool.checkin(slot);
//!         }
//!         Action::Idle { .. } => assert_eq!(pool.stats().idle, 1),
//!         _ => {}
//!     }
//! }
//! assert_eq!(pool.stats().idle, 1);
//! ```
//!
//! A stage serializes the calls: the pool is behind its lock, or in its loop.
//!
//! Its rules:
//! - a *slot* is the right to hold one connection, from the start of the attempt until the socket
//!   is closed. It counts against its origin's limit and against the total;
//! - each request becomes a waiter, even when a connection is idle. The most recently used idle
//!   connection of its origin is then reserved for it at once;
//! - a waiter without a connection is given a slot of its own if there is one, and *expects* a
//!   connection. Otherwise it is *queued*. If its origin has room under its own limit, that origin
//!   is *blocked*;
//! - a free connection is reserved for the oldest waiter of its origin, queued or expecting. A new
//!   connection is reserved for the waiter that it was made for, if that one still expects it;
//! - an attempt whose waiter took another connection passes to the origin's next queued waiter. An
//!   attempt whose waiter gave up does not, since it may be what the waiter gave up on. Both kinds
//!   go on without a waiter only while no waiter needs their slot;
//! - before a waiter is queued, a slot is reclaimed for it: a slot that closes anyway, an attempt
//!   without a waiter, the least recently used idle connection, in this order. The slot is assigned
//!   to that waiter at once and passes to it when the socket is closed;
//! - origins share the total. The *fair share* of an origin is the total divided by the number of
//!   origins with demand, and at least one slot. Before an origin gives a free slot to its own next
//!   waiter, the neediest blocked origin may get it. It must be below its fair share, and have fewer
//!   slots than the first origin without that slot. If both have as many, the older waiter decides;
//! - if a reserved connection dies, its waiter waits again, at its old position in the queue;
//! - an attempt that finds no descriptor begins again, once, when something is closed for it;
//! - events cost logarithmic time in what the pool holds, except where a method says otherwise.

mod decisions;
mod list;
mod origins;
mod slots;
mod states;
mod waiters;

use std::collections::{BTreeSet, HashMap, VecDeque};

use slab::Slab;

use self::{
    decisions::Rank,
    list::List,
    origins::PerOrigin,
    slots::Slot,
    states::{Orphan, State, Step},
    waiters::{Waiter, Waiting},
};
pub use self::{slots::SlotId, waiters::WaiterId};
use crate::{CloseReason, Config, Error, Origin, PoolStats};

/// What a stage has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A waiter has to wait: watch its deadline, and call [`Pool::cancel`] when that passes.
    Wait {
        /// The waiter.
        waiter: WaiterId,
    },
    /// Make a connection for this waiter. Ends with [`Pool::connected`],
    /// [`Pool::connect_failed`] or, if that returns true, [`Pool::out_of_descriptors`].
    Connect {
        /// The slot that the connection will have.
        slot: SlotId,
        /// The origin to connect to.
        origin: Origin,
        /// The waiter, which may leave before the attempt ends.
        waiter: WaiterId,
    },
    /// Give up an attempt. Ends with [`Pool::connect_failed`], or with [`Pool::connected`] if the
    /// connection was made first; [`Action::Close`] follows then.
    Abandon {
        /// The slot of the attempt.
        slot: SlotId,
    },
    /// Let the connection call [`Pool::take`].
    Serve {
        /// The slot of the connection.
        slot: SlotId,
    },
    /// No waiter needs the connection now: watch it, and its idle timeout.
    Idle {
        /// The slot of the connection.
        slot: SlotId,
    },
    /// Close a connection that serves no waiter. Ends with [`Pool::closed`].
    Close {
        /// The slot of the connection.
        slot: SlotId,
        /// Why it is closed.
        reason: CloseReason,
    },
}

/// The limits of one pool.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Slots in all.
    pub total: usize,
    /// Slots of one origin.
    pub per_origin: usize,
    /// Idle connections of one origin.
    pub idle_per_origin: usize,
    /// Queued waiters in all.
    pub waiting: usize,
}

/// The pool of one client. `R` is a request with its way back to the caller.
#[derive(Clone, Debug)]
pub struct Pool<R> {
    limits: Limits,
    origins: Slab<PerOrigin>,
    by_name: HashMap<Origin, usize>,
    /// The index of the latest request's origin. Most programs ask for the same one many times, and
    /// comparing is cheaper than hashing.
    latest: usize,
    slots: Slab<Slot>,
    waiters: Slab<Waiter<R>>,
    actions: VecDeque<Action>,
    /// Origins that the current event changed. First their sums are updated, then their slots are
    /// reviewed. Both lists are empty between two events.
    changed: Vec<usize>,
    updated: Vec<usize>,
    /// Blocked origins, the neediest first. Between two events it is empty unless all slots are
    /// taken and none can be reclaimed.
    blocked: BTreeSet<Rank>,
    /// Closing slots that are assigned to no waiter.
    spare: BTreeSet<SlotId>,
    /// Attempts without a waiter.
    orphans: BTreeSet<SlotId>,
    /// Idle connections, the least recently used one first.
    idle: List<1>,
    /// Origins with queued waiters, or with slots that are not idle.
    demanding: usize,
    /// Queued waiters: what [`Limits::waiting`] limits.
    queued: usize,
    /// The last number given to a waiter, to a slot, and to a moment of becoming idle.
    arrivals: u64,
    slots_taken: u64,
    moments: IdleSince,
    /// [`Pool::close`] was called: no new waiters, and no connection becomes idle.
    closing: bool,
    /// Its `open` and `in_use` are not kept: [`Pool::stats`] computes them. Idle connections, those
    /// that were idle and are reserved, and closing ones count as `idle`.
    stats: PoolStats,
}

/// When a connection became idle, as a number that only grows.
type IdleSince = u64;

// ===== events: callers =====

impl<R> Pool<R> {
    /// An empty pool.
    pub fn new(limits: Limits) -> Self {
        Pool {
            limits,
            origins: Slab::new(),
            by_name: HashMap::new(),
            latest: 0,
            slots: Slab::new(),
            waiters: Slab::new(),
            actions: VecDeque::new(),
            changed: Vec::new(),
            updated: Vec::new(),
            blocked: BTreeSet::new(),
            spare: BTreeSet::new(),
            orphans: BTreeSet::new(),
            idle: List::default(),
            demanding: 0,
            queued: 0,
            arrivals: 0,
            slots_taken: 0,
            moments: 0,
            closing: false,
            stats: PoolStats::default(),
        }
    }

    /// A request asks for a connection.
    ///
    /// # Errors
    ///
    /// The request with [`Error::ShutDown`] after [`Pool::close`], or with [`Error::PoolBusy`] if
    /// it would have to be queued and [`Limits::waiting`] requests are.
    pub fn checkout(&mut self, origin: &Origin, request: R) -> Result<WaiterId, (R, Error)> {
        if self.closing {
            return Err((request, Error::ShutDown));
        }
        let origin = self.find_or_add(origin);
        let waiter = self.add_waiter(origin, request);
        self.reserve_or_queue(waiter);
        self.decide();
        if self.queued > self.limits.waiting
            && self.waiters[waiter.index].state == Waiting::Queued
            && let Some(request) = self.cancel(waiter)
        {
            return Err((request, Error::PoolBusy { limit: self.limits.waiting }));
        }
        Ok(waiter)
    }

    /// A waiter gives up. Returns its request, unless a connection has taken that already.
    pub fn cancel(&mut self, waiter: WaiterId) -> Option<R> {
        let state = self.waiter(waiter)?.state;
        match state {
            Waiting::Queued => {}
            Waiting::Expecting(slot) => _ = self.step(slot, Step::Leave(Orphan::GivenUp)),
            Waiting::Reserved(slot) => {
                self.step(slot, Step::Leave(Orphan::GivenUp));
                self.free(slot);
            }
            Waiting::Served => return None,
        }
        let request = self.remove_waiter(waiter);
        self.decide();
        request
    }

    /// The request of a waiter, while it waits.
    pub fn request_mut(&mut self, waiter: WaiterId) -> Option<&mut R> {
        let found = self.waiters.get_mut(waiter.index)?;
        found.request.as_mut().filter(|_| found.number == waiter.number)
    }

    /// No new requests. Those that wait are still served. Linear in the origins and in what is
    /// closed.
    pub fn close(&mut self) {
        self.closing = true;
        let origins = self.slots.iter().map(|(_, slot)| slot.origin);
        self.changed.extend(origins);
        self.decide();
    }

    /// Reserves an idle connection for a waiter, or queues the waiter.
    fn reserve_or_queue(&mut self, waiter: WaiterId) {
        let origin = self.waiters[waiter.index].origin;
        match self.origins[origin].idle.last() {
            Some(index) => _ = self.step(self.slot_at(index), Step::Reserve(waiter)),
            None => {
                self.set_waiting(waiter, Waiting::Queued);
                self.actions.push_back(Action::Wait { waiter });
            }
        }
    }
}

// ===== events: attempts =====

impl<R> Pool<R> {
    /// An attempt has made its connection. Returns the connection's number, from 1.
    pub fn connected(&mut self, slot: SlotId) -> u64 {
        self.stats.created += 1;
        let number = self.stats.created;
        if let Some(State::Orphaned(_)) = self.step(slot, Step::Connected) {
            self.free(slot);
        }
        self.decide();
        number
    }

    /// An attempt is over, without a connection. Returns the request of the waiter that it was
    /// made for, unless that has left.
    pub fn connect_failed(&mut self, slot: SlotId) -> Option<R> {
        let resumes = self.slot(slot)?.resumes;
        let before = self.step(slot, Step::Failed)?;
        let request = match before {
            State::Connecting(waiter) | State::Paused(waiter) => self.remove_waiter(waiter),
            _ => None,
        };
        self.pass_on(before, resumes);
        request
    }

    /// An attempt found no file descriptor left.
    ///
    /// True: the attempt is over, and something is given up for it, an attempt without a waiter
    /// before the least recently used idle connection of any origin. When that is closed, the same
    /// slot gets another [`Action::Connect`]. False: the attempt has failed for good, since it had
    /// begun again before, no waiter needs it, or nothing can be given up. The stage then calls
    /// [`Pool::connect_failed`].
    ///
    /// Linear in the closing slots that another attempt waits for already.
    pub fn out_of_descriptors(&mut self, slot: SlotId) -> bool {
        let fails =
            |found: &Slot| found.begun_again || !matches!(found.state, State::Connecting(_));
        if self.slot(slot).is_none_or(fails) {
            return false;
        }
        let Some(closing) = self.reclaim_descriptor() else { return false };
        self.step(slot, Step::OutOfDescriptors);
        self.slots[slot.index].begun_again = true;
        self.slots[closing.index].resumes = Some(slot);
        self.decide();
        true
    }
}

// ===== events: connections =====

impl<R> Pool<R> {
    /// A connection asks for the request that is reserved for it. None: the waiter has left.
    pub fn take(&mut self, slot: SlotId) -> Option<(WaiterId, R)> {
        let Some(State::Reserved(waiter, _)) = self.step(slot, Step::Take) else { return None };
        let request = self.waiters[waiter.index].request.take()?;
        Some((waiter, request))
    }

    /// The exchange begins. Returns whether the connection has carried one before.
    pub fn begin(&mut self, slot: SlotId) -> bool {
        let found = self.slots.get_mut(slot.index).filter(|found| found.number == slot.number);
        let Some(found) = found else { return false };
        let reused = std::mem::replace(&mut found.used, true);
        self.stats.reused += u64::from(reused);
        reused
    }

    /// An exchange is over, or was not begun, and the connection could serve another.
    pub fn checkin(&mut self, slot: SlotId) {
        if let Some(State::InUse(waiter)) = self.step(slot, Step::CheckIn) {
            self.waiters.remove(waiter.index);
            self.free(slot);
            self.decide();
        }
    }

    /// A connection is closed. `reason` counts unless [`Action::Close`] gave another one.
    pub fn closed(&mut self, slot: SlotId, reason: CloseReason) {
        let Some(resumes) = self.slot(slot).map(|found| found.resumes) else { return };
        let Some(before) = self.step(slot, Step::Closed) else { return };
        self.stats.count_closed(match before {
            State::Closing { reason, .. } => reason,
            _ => reason,
        });
        self.pass_on(before, resumes);
    }

    /// A stale connection is closed. Another one is made in its slot for the same request, which is
    /// the same waiter again.
    pub fn retry(&mut self, slot: SlotId, request: R, reason: CloseReason) {
        let Some(State::InUse(waiter)) = self.state(slot) else { return };
        self.step(slot, Step::Closed);
        self.stats.count_closed(reason);
        self.stats.retried += 1;
        let found = &mut self.waiters[waiter.index];
        found.fresh = true;
        found.request = Some(request);
        self.actions.push_back(Action::Wait { waiter });
        self.connect(waiter);
        self.decide();
    }

    /// Gives a slot that was freed to the waiter or the attempt that depends on it.
    fn pass_on(&mut self, before: State, resumes: Option<SlotId>) {
        if let Some(paused) = resumes {
            self.step(paused, Step::Resume);
        }
        match before {
            State::Closing { next: Some(waiter), .. } => self.connect(waiter),
            // A retry must have a connection of its own; any other waiter is queued by its number.
            State::Reserved(waiter, _) if self.waiters[waiter.index].fresh => {
                self.actions.push_back(Action::Wait { waiter });
                self.connect(waiter);
            }
            State::Reserved(waiter, _) => self.reserve_or_queue(waiter),
            State::InUse(waiter) => _ = self.waiters.remove(waiter.index),
            _ => {}
        }
        self.decide();
    }
}

// ===== actions and state =====

impl<R> Pool<R> {
    /// What is to be done next. To be called after each event until it returns `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        while let Some(action) = self.actions.pop_front() {
            if self.is_current(&action) {
                return Some(action);
            }
        }
        None
    }

    /// Whether nothing that was decided later has made an action pointless.
    fn is_current(&self, action: &Action) -> bool {
        use State::{Closing, Connecting, Idle, Orphaned, Reserved};
        let is = |slot, of: fn(&State) -> bool| self.slot(slot).is_some_and(|s| of(&s.state));
        match *action {
            Action::Wait { waiter } => self.waiter(waiter).is_some_and(|found| {
                matches!(found.state, Waiting::Queued | Waiting::Expecting(_))
            }),
            // The attempt has to be begun even if it is to be abandoned.
            Action::Connect { slot, .. } => is(slot, |state| {
                matches!(state, Connecting(_) | Orphaned(_) | Closing { attempt: true, .. })
            }),
            Action::Abandon { slot } => {
                is(slot, |s| matches!(s, Closing { attempt: true, .. }))
            }
            Action::Serve { slot } => is(slot, |s| matches!(s, Reserved(..))),
            Action::Idle { slot } => is(slot, |s| matches!(s, Idle(_))),
            Action::Close { slot, .. } => {
                is(slot, |s| matches!(s, Closing { attempt: false, .. }))
            }
        }
    }

    /// The statistics at this moment.
    pub fn stats(&self) -> PoolStats {
        let mut stats = self.stats.clone();
        stats.open = self.slots.len() - stats.connecting;
        stats.in_use = stats.open - stats.idle;
        stats
    }

    /// Whether the pool is closed and nothing is left in it.
    pub fn is_over(&self) -> bool {
        self.closing && self.slots.is_empty() && self.stats.waiting == 0
    }

    /// Whether [`Pool::close`] was called.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether a connection is in the middle of an exchange.
    pub fn is_in_use(&self, slot: SlotId) -> bool {
        matches!(self.state(slot), Some(State::InUse(_)))
    }

    /// Why a slot is to be closed, if it is.
    pub fn is_to_close(&self, slot: SlotId) -> Option<CloseReason> {
        match self.state(slot)? {
            State::Closing { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// All waiters, in no order. Linear in the waiters.
    pub fn waiters(&self) -> Vec<WaiterId> {
        let waiting = self.waiters.iter().filter(|(_, w)| w.state != Waiting::Served);
        waiting.map(|(index, w)| WaiterId { number: w.number, index }).collect()
    }
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Limits {
            total: config.max_total,
            per_origin: config.max_per_origin,
            idle_per_origin: config.max_idle_per_origin,
            waiting: config.max_waiting,
        }
    }
}

#[cfg(test)]
mod explore;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
