//! Decides which request gets which connection. Knows no socket, clock, thread or waker.
//!
//! Events go in through methods, decisions come out of [`Pool::poll_action`]. A stage reports what
//! happened, then carries out actions until there are none. The decision is made by the event, not
//! by the poll: how late an action is carried out changes nothing that is decided.
//!
//! Its rules:
//! - a *slot* is the right to hold one connection, from the start of connecting until the socket is
//!   closed. It counts against its origin's limit and against the total;
//! - every request becomes a waiter, even when a connection is idle. The most recently used idle
//!   connection of its origin is then reserved for it at once;
//! - a waiter without a connection gets a slot of its own if there is one, and is `expecting`;
//!   otherwise it is `queued`, and its origin is blocked;
//! - a free connection is reserved for the oldest waiter of its origin, queued or expecting. A fresh
//!   connection is reserved for the waiter it was made for, if that still waits;
//! - an attempt that its waiter no longer needs is *orphaned*. If that waiter took another
//!   connection, the next one of the origin takes the attempt over. If it gave up, the attempt may be
//!   what it gave up on, and goes on only while no waiter needs its slot;
//! - before a waiter is queued, a slot is reclaimed for it: one that closes anyway, an orphaned
//!   attempt, the least recently used idle connection, in this order. The slot is promised to that
//!   waiter at once, and passes on when the socket is closed;
//! - the total is shared. A free connection is closed for the neediest blocked origin (fewest slots,
//!   then oldest waiter) if that is below its fair share and then has no more slots than the one
//!   that gives; or if it has none, and its waiter is the older;
//! - a reserved connection that dies puts its waiter back in its old place;
//! - no operation scans waiters, slots or origins, except [`Pool::close`].

use std::collections::{BTreeSet, HashMap, VecDeque};

use slab::Slab;

use crate::{CloseReason, Config, Error, Origin, PoolStats, entitlement};

/// Names a waiter, also while it is served, so that a retry keeps it. Later arrivals compare
/// greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId {
    number: u64,
    index: usize,
}

/// Names a slot, and with it one attempt and the connection that it becomes. Later ones compare
/// greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId {
    number: u64,
    index: usize,
}

/// What a stage has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A waiter has to wait: watch its deadline. It may already be served when its time is over.
    Wait {
        /// Who waits.
        waiter: WaiterId,
    },
    /// Make a connection for this waiter. Ends with [`Pool::connected`],
    /// [`Pool::connect_failed`] or, if that returns true, [`Pool::out_of_descriptors`].
    Connect {
        /// Where it belongs.
        slot: SlotId,
        /// Where to.
        origin: Origin,
        /// Whom for.
        waiter: WaiterId,
    },
    /// Give up an attempt. Ends with [`Pool::connect_failed`].
    Abandon {
        /// The attempt's.
        slot: SlotId,
    },
    /// Let the connection call [`Pool::take`].
    Serve {
        /// The connection's.
        slot: SlotId,
    },
    /// Nobody needs the connection now.
    Idle {
        /// The connection's.
        slot: SlotId,
    },
    /// Close a connection that serves nobody. Ends with [`Pool::closed`].
    Close {
        /// The connection's.
        slot: SlotId,
        /// Why.
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
    by_origin: HashMap<Origin, usize>,
    origins: Slab<PerOrigin>,
    slots: Slab<Slot>,
    waiters: Slab<Waiter<R>>,
    actions: VecDeque<Action>,
    /// Blocked origins that could use one more slot, the neediest first. Not empty only while all
    /// slots are taken and none can be reclaimed.
    blocked: BTreeSet<Blocked>,
    /// Closing slots that are promised to no waiter.
    spare: BTreeSet<SlotId>,
    /// Attempts without a waiter.
    orphans: BTreeSet<SlotId>,
    /// Origins with idle connections, by the one that was used least recently.
    least_recent: BTreeSet<(u64, usize)>,
    /// Origins with queued waiters or with slots that do something.
    demanding: usize,
    /// Waiters, however they wait.
    waiting: usize,
    /// Queued waiters in all origins: what [`Limits::waiting`] limits.
    queued: usize,
    /// Slots whose connection is not made yet.
    connecting: usize,
    /// Connections that are not in the middle of an exchange.
    resting: usize,
    /// The last number given to a waiter, to a slot, and to a moment of becoming idle.
    arrivals: u64,
    starts: u64,
    moments: u64,
    /// No new waiters; nothing becomes idle any more.
    closing: bool,
    counts: PoolStats,
}

/// Slots held, number of the oldest queued waiter, origin.
type Blocked = (usize, u64, usize);

/// An origin, while it has slots or waiters.
#[derive(Clone, Debug)]
struct PerOrigin {
    origin: Origin,
    /// What its limit counts: its own slots, and those of others that are promised to its waiters.
    slots: usize,
    /// Its closing slots that are not promised to a waiter of its own.
    leaving: usize,
    /// Idle connections, the one that was used most recently last.
    idle: VecDeque<(u64, SlotId)>,
    /// Waiters without a slot.
    queued: BTreeSet<WaiterId>,
    /// Waiters with a slot of their own that any other connection may serve.
    expecting: BTreeSet<WaiterId>,
    /// Its part of [`Pool::spare`].
    spare: BTreeSet<SlotId>,
    /// Its part of [`Pool::orphans`]: the waiter gave up.
    given_up: BTreeSet<SlotId>,
    /// The rest of its part: the waiter took another connection.
    outrun: BTreeSet<SlotId>,
    /// Its entry in [`Pool::blocked`].
    blocked: Option<Blocked>,
    /// Its entry in [`Pool::least_recent`].
    least_recent: Option<(u64, usize)>,
    /// It is counted in [`Pool::demanding`].
    demanding: bool,
}

#[derive(Clone, Debug)]
struct Slot {
    number: u64,
    origin: usize,
    state: State,
    /// The connection has carried an exchange.
    used: bool,
    /// Its attempt ran out of descriptors once and was begun again.
    tried_again: bool,
    /// The paused attempt that begins again when this one is closed. It may be gone by then.
    resumes: Option<SlotId>,
}

/// What a slot is occupied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting(WaiterId),
    /// No attempt is under way: one for this waiter ran out of descriptors. Another begins when a
    /// slot that was told to close is closed.
    Paused(WaiterId),
    /// Connecting, for nobody.
    Orphaned,
    /// By whom: it may have to be sent again.
    InUse(WaiterId),
    /// Since when, as a number.
    Idle(u64),
    /// Promised to a waiter, which it has yet to take. Since when it was idle, if it was.
    Reserved(WaiterId, Option<u64>),
    /// Told to close, for this reason. When it is closed, the slot passes on to the waiter.
    Closing {
        attempt: bool,
        reason: CloseReason,
        next: Option<WaiterId>,
    },
}

#[derive(Clone, Debug)]
struct Waiter<R> {
    number: u64,
    origin: usize,
    state: Waiting,
    /// Its request has failed on a stale connection: only one that is made for it will do.
    fresh: bool,
    /// None while it is served.
    request: Option<R>,
}

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Queued,
    /// Its own slot, or any connection that is free before, unless it needs a fresh one.
    Expecting(SlotId),
    Reserved(SlotId),
    /// Nothing: it is served.
    Served,
}

// ===== events: callers =====

impl<R> Pool<R> {
    /// An empty pool.
    pub fn new(limits: Limits) -> Self {
        Pool {
            limits,
            by_origin: HashMap::new(),
            origins: Slab::new(),
            slots: Slab::new(),
            waiters: Slab::new(),
            actions: VecDeque::new(),
            blocked: BTreeSet::new(),
            spare: BTreeSet::new(),
            orphans: BTreeSet::new(),
            least_recent: BTreeSet::new(),
            demanding: 0,
            waiting: 0,
            queued: 0,
            connecting: 0,
            resting: 0,
            arrivals: 0,
            starts: 0,
            moments: 0,
            closing: false,
            counts: PoolStats::default(),
        }
    }

    /// A request asks for a connection.
    ///
    /// # Errors
    ///
    /// The request with [`Error::ShutDown`] or [`Error::PoolBusy`].
    pub fn checkout(&mut self, origin: &Origin, request: R) -> Result<WaiterId, (R, Error)> {
        if self.closing {
            return Err((request, Error::ShutDown));
        }
        let id = self.origin(origin);
        self.arrivals += 1;
        let number = self.arrivals;
        let (state, request) = (Waiting::Queued, Some(request));
        let index =
            self.waiters.insert(Waiter { number, origin: id, state, fresh: false, request });
        let waiter = WaiterId { number, index };
        self.waiting += 1;
        if self.reserve_idle(id, waiter) {
            self.update(id);
            return Ok(waiter);
        }
        self.enqueue(id, waiter);
        self.update(id);
        self.decide();
        if self.waiters[waiter.index].state == Waiting::Queued
            && self.queued > self.limits.waiting
            && let Some(request) = self.cancel(waiter)
        {
            return Err((request, Error::PoolBusy { limit: self.limits.waiting }));
        }
        Ok(waiter)
    }

    /// The request of a waiter that gives up, if it still waits.
    pub fn cancel(&mut self, waiter: WaiterId) -> Option<R> {
        let (origin, state) = self.waiter(waiter).map(|found| (found.origin, found.state))?;
        match state {
            Waiting::Served => return None,
            Waiting::Reserved(slot) => {
                let State::Reserved(_, since) = self.slots[slot.index].state else {
                    unreachable!("a reserved waiter has a reserved slot")
                };
                self.free(slot, since);
            }
            _ => self.unbind(origin, waiter, state, false),
        }
        self.update(origin);
        self.decide();
        self.remove_waiter(waiter)
    }

    /// The request of a waiter, while it waits.
    pub fn request_mut(&mut self, waiter: WaiterId) -> Option<&mut R> {
        let found = self.waiters.get_mut(waiter.index)?;
        found.request.as_mut().filter(|_| found.number == waiter.number)
    }

    /// No new requests. Those that wait are still served.
    pub fn close(&mut self) {
        self.closing = true;
        let idle = self.origins.iter().flat_map(|(_, origin)| &origin.idle);
        let idle: Vec<_> = idle.map(|(_, slot)| *slot).collect();
        for slot in idle.into_iter().chain(self.orphans.clone()) {
            let origin = self.slots[slot.index].origin;
            self.start_closing(slot, CloseReason::ClientClosed);
            self.update(origin);
        }
    }
}

// ===== events: connections =====

impl<R> Pool<R> {
    /// An attempt has made its connection. Its number.
    pub fn connected(&mut self, slot: SlotId) -> u64 {
        self.counts.created += 1;
        let number = self.counts.created;
        let Some(&Slot { origin, state, .. }) = self.slot(slot) else { return number };
        self.connecting -= 1;
        match state {
            State::Connecting(waiter) => {
                self.origins[origin].expecting.remove(&waiter);
                self.reserve(slot, waiter, None);
            }
            State::Orphaned => {
                self.forget_orphan(origin, slot);
                self.free(slot, None);
                self.decide();
            }
            State::Closing { reason, next, .. } => {
                self.slots[slot.index].state = State::Closing { attempt: false, reason, next };
                self.resting += 1;
            }
            _ => {}
        }
        number
    }

    /// An attempt is over, without a connection. The waiter that it was made for, if that still
    /// waits.
    pub fn connect_failed(&mut self, slot: SlotId) -> Option<R> {
        let found = self.slot(slot)?;
        let origin = found.origin;
        let failed = match found.state {
            State::Connecting(waiter) | State::Paused(waiter) => Some(waiter),
            _ => None,
        };
        if let Some(waiter) = failed {
            self.origins[origin].expecting.remove(&waiter);
        }
        self.release(slot);
        failed.and_then(|waiter| self.remove_waiter(waiter))
    }

    /// An attempt found no file descriptor left.
    ///
    /// True: the attempt is over, and something is given up for it, an orphaned attempt before the
    /// least recently used idle connection of any origin. When that is closed, the same slot gets
    /// another [`Action::Connect`]. False: the attempt has failed for good, since this was its
    /// second time, no waiter needs it, or nothing can be given up. [`Pool::connect_failed`] is
    /// then to be called.
    ///
    /// Linear in the closing slots whose descriptor is spoken for.
    pub fn out_of_descriptors(&mut self, slot: SlotId) -> bool {
        let Some(&Slot { state: State::Connecting(waiter), tried_again: false, .. }) =
            self.slot(slot)
        else {
            return false;
        };
        let Some(victim) = self.give_up() else { return false };
        let found = &mut self.slots[slot.index];
        found.state = State::Paused(waiter);
        found.tried_again = true;
        self.slots[victim.index].resumes = Some(slot);
        let origin = self.slots[victim.index].origin;
        self.update(origin);
        true
    }

    /// A closing slot whose descriptor is not spoken for.
    fn give_up(&mut self) -> Option<SlotId> {
        let spoken_for =
            |slot: SlotId| self.slots[slot.index].resumes.is_some_and(|p| self.is_paused(p));
        if let Some(spare) = self.spare.iter().copied().find(|slot| !spoken_for(*slot)) {
            return Some(spare);
        }
        self.evict()
    }

    fn is_paused(&self, slot: SlotId) -> bool {
        matches!(self.slot(slot), Some(Slot { state: State::Paused(_), .. }))
    }

    /// An exchange is over, or was not begun, and the connection could serve another.
    pub fn checkin(&mut self, slot: SlotId) {
        if let Some(&Slot { state: State::InUse(waiter), .. }) = self.slot(slot) {
            self.waiters.remove(waiter.index);
            self.free(slot, None);
            self.decide();
        }
    }

    /// A connection asks for what is reserved for it. None: the waiter has gone meanwhile.
    pub fn take(&mut self, slot: SlotId) -> Option<(WaiterId, R)> {
        let State::Reserved(waiter, since) = self.slot(slot)?.state else { return None };
        self.slots[slot.index].state = State::InUse(waiter);
        self.resting -= usize::from(since.is_some());
        self.waiting -= 1;
        let found = &mut self.waiters[waiter.index];
        found.state = Waiting::Served;
        found.request.take().map(|request| (waiter, request))
    }

    /// The exchange begins. Whether the connection has carried one before.
    pub fn begin(&mut self, slot: SlotId) -> bool {
        let Some(found) = self.slots.get_mut(slot.index) else { return false };
        let reused = std::mem::replace(&mut found.used, true);
        self.counts.reused += u64::from(reused);
        reused
    }

    /// A connection is closed, for this reason unless it was told to close for another.
    pub fn closed(&mut self, slot: SlotId, reason: CloseReason) {
        let Some(found) = self.slot(slot) else { return };
        let reason = match found.state {
            State::Closing { reason: first, .. } => first,
            _ => reason,
        };
        self.counts.count_closed(reason);
        self.release(slot);
    }

    /// A stale connection is closed. One is to be made in its slot for the same request, which is
    /// the same waiter again.
    pub fn retry(&mut self, slot: SlotId, request: R, reason: CloseReason) {
        let Some(&Slot { origin, state: State::InUse(waiter), .. }) = self.slot(slot) else {
            return;
        };
        self.counts.count_closed(reason);
        self.counts.retried += 1;
        self.slots.remove(slot.index);
        let found = &mut self.waiters[waiter.index];
        found.fresh = true;
        found.request = Some(request);
        self.waiting += 1;
        self.actions.push_back(Action::Wait { waiter });
        self.start_connecting(origin, waiter);
    }
}

// ===== decisions =====

impl<R> Pool<R> {
    /// What is to be done next. To be asked after every event, until there is nothing.
    pub fn poll_action(&mut self) -> Option<Action> {
        loop {
            let action = self.actions.pop_front()?;
            if let Action::Wait { waiter } = action {
                let state = self.waiter(waiter).map(|found| found.state);
                match state {
                    Some(Waiting::Queued | Waiting::Expecting(_)) => return Some(action),
                    _ => continue,
                }
            }
            let (Action::Connect { slot, .. }
            | Action::Abandon { slot }
            | Action::Serve { slot }
            | Action::Idle { slot }
            | Action::Close { slot, .. }) = &action
            else {
                continue;
            };
            // An event between the decision and the poll may have overtaken it.
            let Some(found) = self.slot(*slot) else { continue };
            let holds = match (&action, found.state) {
                (Action::Connect { .. }, State::Connecting(_) | State::Orphaned)
                | (Action::Serve { .. }, State::Reserved(..))
                | (Action::Idle { .. }, State::Idle(_)) => true,
                (Action::Abandon { .. }, State::Closing { attempt, .. }) => attempt,
                (Action::Close { .. }, State::Closing { attempt, .. }) => !attempt,
                _ => false,
            };
            if holds {
                return Some(action);
            }
        }
    }

    /// The pool now.
    pub fn stats(&self) -> PoolStats {
        let mut stats = self.counts.clone();
        stats.connecting = self.connecting;
        stats.open = self.slots.len() - self.connecting;
        stats.idle = self.resting;
        stats.in_use = stats.open - stats.idle;
        stats.waiting = self.waiting;
        stats
    }

    /// Whether no request will ever come and nothing is left.
    pub fn is_over(&self) -> bool {
        self.closing && self.slots.is_empty() && self.waiting == 0
    }

    /// Whether [`Pool::close`] was called.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether a connection is in the middle of an exchange.
    pub fn is_in_use(&self, slot: SlotId) -> bool {
        matches!(self.slot(slot), Some(Slot { state: State::InUse(_), .. }))
    }

    /// Why a slot is to be closed, if it is.
    pub fn is_to_close(&self, slot: SlotId) -> Option<CloseReason> {
        match self.slot(slot)?.state {
            State::Closing { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// All waiters, in no order.
    pub fn waiters(&self) -> Vec<WaiterId> {
        let waiting = self.waiters.iter().filter(|(_, w)| w.state != Waiting::Served);
        waiting.map(|(index, w)| WaiterId { number: w.number, index }).collect()
    }

    /// Gives slots to blocked origins, as long as there are any or some can be reclaimed.
    fn decide(&mut self) {
        while let Some(&(_, _, origin)) = self.blocked.first() {
            let Some(&waiter) = self.origins[origin].queued.first() else { return };
            if self.slots.len() < self.limits.total {
                self.dequeue(origin, waiter);
                self.origins[origin].slots += 1;
                self.start_connecting(origin, waiter);
                self.origins[origin].expecting.insert(waiter);
                self.update(origin);
                continue;
            }
            let Some(slot) = self.reclaim() else { return };
            self.bind(slot, waiter);
        }
    }

    /// A closing slot that is promised to no waiter, of whatever origin.
    fn reclaim(&mut self) -> Option<SlotId> {
        self.spare.first().copied().or_else(|| self.evict())
    }

    /// Closes an orphaned attempt, or else the least recently used idle connection. Its origin has
    /// to be brought up to date afterwards.
    fn evict(&mut self) -> Option<SlotId> {
        let idle = || {
            let (_, origin) = self.least_recent.first()?;
            self.origins[*origin].idle.front().map(|(_, slot)| *slot)
        };
        let slot = self.orphans.first().copied().or_else(idle)?;
        self.start_closing(slot, CloseReason::Evicted);
        Some(slot)
    }

    /// Decides what a connection does that nobody uses. `since`: when it became idle, if it was.
    fn free(&mut self, slot: SlotId, since: Option<u64>) {
        let id = self.slots[slot.index].origin;
        if let Some(rival) = self.needier(id) {
            self.start_closing(slot, CloseReason::Evicted);
            return self.bind(slot, rival);
        }
        let origin = &self.origins[id];
        let firsts = [origin.queued.first(), origin.expecting.first()];
        if let Some(waiter) = firsts.into_iter().flatten().min().copied() {
            let before = self.waiters[waiter.index].state;
            self.unbind(id, waiter, before, true);
            self.reserve(slot, waiter, since);
            return self.update(id);
        }
        let close = match origin.idle.len() >= self.limits.idle_per_origin {
            _ if self.closing => Some(CloseReason::ClientClosed),
            true => Some(CloseReason::IdleLimit),
            false => None,
        };
        if let Some(reason) = close {
            self.start_closing(slot, reason);
            return self.update(id);
        }
        if since.is_none() {
            self.actions.push_back(Action::Idle { slot });
            self.resting += 1;
            self.moments += 1;
        }
        let since = since.unwrap_or(self.moments);
        self.slots[slot.index].state = State::Idle(since);
        let idle = &mut self.origins[id].idle;
        let at = idle.partition_point(|(other, _)| *other < since);
        idle.insert(at, (since, slot));
        self.update(id);
    }

    /// The waiter of another origin for which a free connection of this one is to be closed.
    fn needier(&self, id: usize) -> Option<WaiterId> {
        let &(held, number, rival) = self.blocked.first()?;
        if rival == id {
            return None;
        }
        let origin = &self.origins[id];
        let firsts = [origin.queued.first(), origin.expecting.first()];
        if let Some(oldest) = firsts.into_iter().flatten().min() {
            let below_share = held < entitlement(self.limits.total, self.demanding);
            // That two origins change places helps neither, unless one has nothing at all.
            let evens_out = held + 1 < origin.held();
            if !below_share || !(evens_out || (held == 0 && number < oldest.number)) {
                return None;
            }
        }
        self.origins[rival].queued.first().copied()
    }
}

// ===== how it is done =====

impl<R> Pool<R> {
    fn slot(&self, slot: SlotId) -> Option<&Slot> {
        self.slots.get(slot.index).filter(|found| found.number == slot.number)
    }

    fn waiter(&self, waiter: WaiterId) -> Option<&Waiter<R>> {
        self.waiters.get(waiter.index).filter(|found| found.number == waiter.number)
    }

    fn origin(&mut self, origin: &Origin) -> usize {
        if let Some(id) = self.by_origin.get(origin) {
            return *id;
        }
        let id = self.origins.insert(PerOrigin::new(origin.clone()));
        self.by_origin.insert(origin.clone(), id);
        id
    }

    fn remove_waiter(&mut self, waiter: WaiterId) -> Option<R> {
        self.waiting -= 1;
        self.waiters.remove(waiter.index).request
    }

    fn start_connecting(&mut self, origin: usize, waiter: WaiterId) {
        self.starts += 1;
        let number = self.starts;
        let state = State::Connecting(waiter);
        let (used, tried_again, resumes) = (false, false, None);
        let index =
            self.slots.insert(Slot { number, origin, state, used, tried_again, resumes });
        let slot = SlotId { number, index };
        self.connecting += 1;
        self.waiters[waiter.index].state = Waiting::Expecting(slot);
        let origin = self.origins[origin].origin.clone();
        self.actions.push_back(Action::Connect { slot, origin, waiter });
    }

    /// Promises a connection to a waiter.
    fn reserve(&mut self, slot: SlotId, waiter: WaiterId, since: Option<u64>) {
        self.waiters[waiter.index].state = Waiting::Reserved(slot);
        self.slots[slot.index].state = State::Reserved(waiter, since);
        self.actions.push_back(Action::Serve { slot });
    }

    /// Promises the idle connection that was used last, if there is one.
    fn reserve_idle(&mut self, id: usize, waiter: WaiterId) -> bool {
        let Some((since, slot)) = self.origins[id].idle.pop_back() else { return false };
        self.reserve(slot, waiter, Some(since));
        true
    }

    /// An idle or free connection, or an orphaned attempt, is to be closed. Its origin has to be
    /// brought up to date afterwards.
    fn start_closing(&mut self, slot: SlotId, reason: CloseReason) {
        let Slot { origin: id, state, .. } = self.slots[slot.index];
        // One that has just been made is no orphan any more.
        let attempt = self.orphans.contains(&slot);
        if attempt {
            self.forget_orphan(id, slot);
        }
        let origin = &mut self.origins[id];
        match state {
            State::Orphaned if attempt => {}
            State::Idle(since) => {
                if let Ok(at) = origin.idle.binary_search_by_key(&since, |(since, _)| *since) {
                    origin.idle.remove(at);
                }
            }
            State::Reserved(_, Some(_)) => {}
            _ => self.resting += 1,
        }
        origin.leaving += 1;
        origin.spare.insert(slot);
        self.spare.insert(slot);
        self.slots[slot.index].state = State::Closing { attempt, reason, next: None };
        self.actions.push_back(match attempt {
            true => Action::Abandon { slot },
            false => Action::Close { slot, reason },
        });
    }

    /// Promises a closing slot to a queued waiter.
    fn bind(&mut self, slot: SlotId, waiter: WaiterId) {
        let own = self.slots[slot.index].origin;
        let id = self.waiters[waiter.index].origin;
        if let State::Closing { next, .. } = &mut self.slots[slot.index].state {
            *next = Some(waiter);
        }
        self.spare.remove(&slot);
        self.origins[own].spare.remove(&slot);
        match own == id {
            true => self.origins[own].leaving -= 1,
            false => self.origins[id].slots += 1,
        }
        self.dequeue(id, waiter);
        self.origins[id].expecting.insert(waiter);
        self.waiters[waiter.index].state = Waiting::Expecting(slot);
        self.update(own);
        if own != id {
            self.update(id);
        }
    }

    /// A waiter no longer needs what it waits for.
    fn unbind(&mut self, id: usize, waiter: WaiterId, state: Waiting, served: bool) {
        let slot = match state {
            Waiting::Queued => return self.dequeue(id, waiter),
            Waiting::Expecting(slot) => slot,
            Waiting::Reserved(_) | Waiting::Served => return,
        };
        self.origins[id].expecting.remove(&waiter);
        let own = self.slots[slot.index].origin;
        match &mut self.slots[slot.index].state {
            state @ State::Connecting(_) => {
                *state = State::Orphaned;
                self.orphans.insert(slot);
                match served {
                    true => self.origins[own].outrun.insert(slot),
                    false => self.origins[own].given_up.insert(slot),
                };
                if self.closing && self.origins[own].queued.is_empty() {
                    self.start_closing(slot, CloseReason::ClientClosed);
                }
            }
            // Nothing is under way in it, and its waiter may have been the only one.
            State::Paused(_) => {
                self.slots.remove(slot.index);
                self.connecting -= 1;
                self.origins[own].slots -= 1;
            }
            State::Closing { next, .. } => {
                *next = None;
                self.spare.insert(slot);
                self.origins[own].spare.insert(slot);
                match own == id {
                    true => self.origins[own].leaving += 1,
                    false => self.origins[id].slots -= 1,
                }
                if own != id {
                    self.update(own);
                }
            }
            _ => {}
        }
    }

    /// Takes a slot out. If it is promised to a waiter, another one takes its place.
    fn release(&mut self, slot: SlotId) {
        let Slot { origin: own, state, resumes, .. } = self.slots.remove(slot.index);
        if let Some(paused) = resumes {
            self.resume(paused);
        }
        // Who gets the slot, if that is decided.
        let mut next = None;
        match state {
            State::Connecting(_) | State::Paused(_) => self.connecting -= 1,
            State::Orphaned => {
                self.connecting -= 1;
                self.forget_orphan(own, slot);
            }
            State::InUse(waiter) => drop(self.waiters.remove(waiter.index)),
            State::Idle(since) => {
                self.resting -= 1;
                let idle = &mut self.origins[own].idle;
                if let Ok(at) = idle.binary_search_by_key(&since, |(since, _)| *since) {
                    idle.remove(at);
                }
            }
            State::Reserved(waiter, since) => {
                self.resting -= usize::from(since.is_some());
                self.waiters[waiter.index].state = Waiting::Queued;
                if self.waiters[waiter.index].fresh {
                    self.actions.push_back(Action::Wait { waiter });
                    next = Some(waiter);
                } else if !self.reserve_idle(own, waiter) {
                    self.enqueue(own, waiter);
                }
            }
            State::Closing { attempt, next: promised, .. } => {
                match attempt {
                    true => self.connecting -= 1,
                    false => self.resting -= 1,
                }
                self.spare.remove(&slot);
                self.origins[own].spare.remove(&slot);
                let inside = promised.is_some_and(|w| self.waiters[w.index].origin == own);
                self.origins[own].leaving -= usize::from(!inside);
                next = promised;
            }
        }
        self.origins[own].slots -= 1;
        if let Some(waiter) = next {
            let id = self.waiters[waiter.index].origin;
            self.origins[id].slots += usize::from(id == own);
            self.start_connecting(id, waiter);
            if id != own {
                self.update(id);
            }
        }
        self.update(own);
        self.decide();
    }

    /// A descriptor is free: a paused attempt begins again, if its waiter still needs it.
    fn resume(&mut self, slot: SlotId) {
        let Some(&Slot { origin, state: State::Paused(waiter), .. }) = self.slot(slot) else {
            return;
        };
        self.slots[slot.index].state = State::Connecting(waiter);
        let origin = self.origins[origin].origin.clone();
        self.actions.push_back(Action::Connect { slot, origin, waiter });
    }

    fn forget_orphan(&mut self, id: usize, slot: SlotId) {
        self.orphans.remove(&slot);
        self.origins[id].given_up.remove(&slot);
        self.origins[id].outrun.remove(&slot);
    }

    fn enqueue(&mut self, id: usize, waiter: WaiterId) {
        self.origins[id].queued.insert(waiter);
        self.queued += 1;
        self.actions.push_back(Action::Wait { waiter });
    }

    fn dequeue(&mut self, id: usize, waiter: WaiterId) {
        self.queued -= usize::from(self.origins[id].queued.remove(&waiter));
    }

    /// Brings what is known of all origins into line with one that has changed, and forgets one
    /// that has nothing.
    fn update(&mut self, id: usize) {
        let Some(origin) = self.origins.get_mut(id) else { return };
        let first = origin.queued.first().copied();
        if let (Some(waiter), Some(slot)) = (first, origin.outrun.first().copied()) {
            self.forget_orphan(id, slot);
            self.slots[slot.index].state = State::Connecting(waiter);
            self.waiters[waiter.index].state = Waiting::Expecting(slot);
            self.dequeue(id, waiter);
            self.origins[id].expecting.insert(waiter);
            return self.update(id);
        }
        let room = origin.slots < self.limits.per_origin;
        if let (Some(waiter), false) = (first, room) {
            // Its own limit keeps it waiting: only a slot of its own can be reclaimed.
            if let Some(spare) = origin.spare.first().copied() {
                return self.bind(spare, waiter);
            }
            if let Some(orphan) = origin.given_up.first().copied() {
                self.start_closing(orphan, CloseReason::Evicted);
                return self.bind(orphan, waiter);
            }
        }
        let blocked = first.filter(|_| room).map(|first| (origin.held(), first.number, id));
        if blocked != origin.blocked {
            origin.blocked.inspect(|before| _ = self.blocked.remove(before));
            self.blocked.extend(blocked);
            origin.blocked = blocked;
        }
        let least_recent = origin.idle.front().map(|(since, _)| (*since, id));
        if least_recent != origin.least_recent {
            origin.least_recent.inspect(|before| _ = self.least_recent.remove(before));
            self.least_recent.extend(least_recent);
            origin.least_recent = least_recent;
        }
        let demanding = origin.held() > origin.idle.len() || first.is_some();
        self.demanding =
            self.demanding + usize::from(demanding) - usize::from(origin.demanding);
        origin.demanding = demanding;
        if origin.slots == 0 && first.is_none() {
            self.by_origin.remove(&origin.origin);
            self.origins.remove(id);
        }
    }
}

impl PerOrigin {
    fn new(origin: Origin) -> Self {
        PerOrigin {
            origin,
            slots: 0,
            leaving: 0,
            idle: VecDeque::new(),
            queued: BTreeSet::new(),
            expecting: BTreeSet::new(),
            spare: BTreeSet::new(),
            given_up: BTreeSet::new(),
            outrun: BTreeSet::new(),
            blocked: None,
            least_recent: None,
            demanding: false,
        }
    }

    /// Slots that it has, or will have.
    fn held(&self) -> usize {
        self.slots - self.leaving
    }
}

impl WaiterId {
    /// Its number in the order of arrival, from 1, unique within its pool.
    pub fn number(self) -> u64 {
        self.number
    }
}

impl SlotId {
    /// Its place in a table with one entry for each slot. Another slot has it afterwards.
    pub fn index(self) -> usize {
        self.index
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
mod tests;
