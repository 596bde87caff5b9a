//! Who gets which connection: checkout, checkin, waiters, idle connections, limits.
//!
//! The pool is policy alone. It knows a connection by its key and a request by its ticket, and
//! neither sockets nor time; what it decides, the loop does.
//!
//! Its rules:
//! - a connection, open or being made, takes one slot of its origin's limit and one of the total;
//! - a request takes the idle connection of its origin that was used last. Else it waits, and if
//!   there is a slot, a chain makes a connection for it. Such a waiter is `expecting`; one for
//!   which there is no slot is `waiting`;
//! - a connection that becomes free goes to the oldest waiter of its origin, expecting or not;
//!   one that was just made goes to the waiter for which it was made. If that has gone, it is free;
//! - the total is shared. An origin that waits for a slot is `hungry`. While there is an idle
//!   connection elsewhere, the one that was idle longest is evicted for it. While there is none,
//!   a freed connection is closed for the hungriest origin (the fewest slots, then the oldest
//!   waiter) if that is below its share, and even then has no more slots than the one that gives;
//!   or if it has none, and its waiter is the older;
//! - no operation scans waiters, connections or origins.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use client_core::{CloseReason, Config, Origin, PoolStats, entitlement};

use crate::slab::{Key, Slab};

/// The order of arrival.
pub(crate) type Ticket = u64;

/// How long ago, against others, a connection became idle: a later one has the greater number.
pub(crate) type IdleSince = u64;

#[derive(Debug)]
pub(crate) struct Pool<J> {
    max_per_origin: usize,
    max_total: usize,
    max_idle_per_origin: usize,
    max_waiting: usize,
    keys: HashMap<Origin, Key>,
    origins: Slab<PerOrigin<J>>,
    /// Slots taken: connections that are open or being made.
    slots: usize,
    /// Idle connections, in all origins.
    idle: usize,
    /// Origins with idle connections, the one whose oldest was used least recently first.
    oldest_idle: BTreeSet<(IdleSince, Key)>,
    next_idle: IdleSince,
    /// Origins that wait for a slot, the hungriest first.
    hungry: BTreeSet<Hunger>,
    /// Origins with connections in use or waiters.
    demanding: usize,
    /// The client was closed: nothing becomes idle any more.
    closing: bool,
    /// What cannot be counted from the rest.
    counts: PoolStats,
    /// Waiters without a slot, in all origins: what `max_waiting` limits.
    waiting: usize,
    /// Waiters with a chain, in all origins.
    expecting: usize,
}

/// Slots held, ticket of the oldest waiter without one, origin.
type Hunger = (usize, Ticket, Key);

#[derive(Debug)]
struct PerOrigin<J> {
    origin: Origin,
    /// Connections that are open or being made.
    slots: usize,
    /// Idle ones, the one that was used most recently last.
    idle: VecDeque<(IdleSince, Key)>,
    /// Its entry in [`Pool::oldest_idle`].
    oldest_idle: Option<(IdleSince, Key)>,
    /// Waiters for which no connection is being made.
    waiting: BTreeMap<Ticket, J>,
    /// Waiters for which one is.
    expecting: BTreeMap<Ticket, J>,
    /// Those of them whose request has failed on a stale connection: no other one will do.
    retrying: BTreeMap<Ticket, J>,
    /// Its entry in [`Pool::hungry`].
    hunger: Option<Hunger>,
    /// It is one of [`Pool::demanding`].
    demanding: bool,
}

/// What the loop has to do so that waiters get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make a connection to this origin, for this waiter.
    Connect(Key, Ticket),
    /// Close this idle connection, whose place another origin needs.
    Evict(Key),
}

/// What becomes of a connection that is free.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checkin<J> {
    /// It serves this waiter.
    Serve(J),
    /// It waits.
    Idle(IdleSince),
    /// It is to be closed.
    Close(CloseReason),
}

impl<J> Pool<J> {
    pub(crate) fn new(config: &Config) -> Self {
        Pool {
            max_per_origin: config.max_per_origin,
            max_total: config.max_total,
            max_idle_per_origin: config.max_idle_per_origin,
            max_waiting: config.max_waiting,
            keys: HashMap::new(),
            origins: Slab::new(),
            slots: 0,
            idle: 0,
            oldest_idle: BTreeSet::new(),
            next_idle: 0,
            hungry: BTreeSet::new(),
            demanding: 0,
            closing: false,
            counts: PoolStats::default(),
            waiting: 0,
            expecting: 0,
        }
    }

    /// The key of an origin, which lives as long as the pool has something of it.
    pub(crate) fn origin(&mut self, origin: &Origin) -> Key {
        if let Some(key) = self.keys.get(origin) {
            return *key;
        }
        let key = self.origins.insert(PerOrigin::new(origin.clone()));
        self.keys.insert(origin.clone(), key);
        key
    }

    /// Whom a key stands for.
    pub(crate) fn origin_of(&self, key: Key) -> Option<&Origin> {
        self.origins.get(key).map(|found| &found.origin)
    }

    /// Takes the idle connection that was used most recently.
    pub(crate) fn checkout(&mut self, key: Key) -> Option<Key> {
        let (_, connection) = self.origins.get_mut(key)?.idle.pop_back()?;
        self.idle -= 1;
        self.update(key);
        Some(connection)
    }

    /// Lets a request wait.
    ///
    /// # Errors
    ///
    /// The request, if there is no slot and no more requests may wait for one.
    pub(crate) fn wait(&mut self, key: Key, ticket: Ticket, job: J) -> Result<(), J> {
        let Some(origin) = self.origins.get_mut(key) else { return Err(job) };
        let slot = origin.slots < self.max_per_origin
            && (self.slots < self.max_total || self.idle > 0);
        let waits = slot || self.waiting < self.max_waiting;
        let refused = if waits { origin.waiting.insert(ticket, job) } else { Some(job) };
        self.waiting += usize::from(waits);
        self.update(key);
        refused.map_or(Ok(()), Err)
    }

    /// What is to be done for the hungriest origin. To be asked after every change, until there is
    /// nothing.
    pub(crate) fn next_step(&mut self) -> Option<Step> {
        let &(_, ticket, key) = self.hungry.first()?;
        if self.slots >= self.max_total {
            let (_, elsewhere) = self.oldest_idle.first()?;
            let (_, connection) = self.origins.get(*elsewhere)?.idle.front()?;
            return Some(Step::Evict(*connection));
        }
        let origin = self.origins.get_mut(key)?;
        let job = origin.waiting.remove(&ticket)?;
        origin.expecting.insert(ticket, job);
        origin.slots += 1;
        self.slots += 1;
        self.waiting -= 1;
        self.expecting += 1;
        self.counts.connecting += 1;
        self.update(key);
        Some(Step::Connect(key, ticket))
    }

    /// A connection was made. The waiter for which it was, if it still waits.
    pub(crate) fn connected(&mut self, key: Key, ticket: Ticket) -> Option<J> {
        self.counts.connecting -= 1;
        self.counts.created += 1;
        self.take_expecting(key, ticket)
    }

    /// A connection could not be made. The waiter for which it was to be, if it still waits.
    pub(crate) fn failed(&mut self, key: Key, ticket: Ticket) -> Option<J> {
        self.counts.connecting -= 1;
        let job = self.take_expecting(key, ticket);
        self.release(key);
        job
    }

    /// A connection became free.
    pub(crate) fn checkin(&mut self, key: Key, connection: Key) -> Checkin<J> {
        if self.is_needed_elsewhere(key) {
            return Checkin::Close(CloseReason::Evicted);
        }
        let oldest = self.origins.get(key).and_then(PerOrigin::oldest);
        if let Some(job) = oldest.and_then(|ticket| self.cancel(key, ticket)) {
            return Checkin::Serve(job);
        }
        let Some(origin) = self.origins.get_mut(key) else {
            return Checkin::Close(CloseReason::ClientClosed);
        };
        if self.closing {
            return Checkin::Close(CloseReason::ClientClosed);
        }
        if origin.idle.len() >= self.max_idle_per_origin {
            return Checkin::Close(CloseReason::IdleLimit);
        }
        let since = self.next_idle;
        self.next_idle += 1;
        origin.idle.push_back((since, connection));
        self.idle += 1;
        self.update(key);
        Checkin::Idle(since)
    }

    /// An exchange begins, on a connection that has carried one before or not.
    pub(crate) fn begun(&mut self, reused: bool) {
        self.counts.reused += u64::from(reused);
    }

    /// A connection was closed; `idle` if it was.
    pub(crate) fn closed(&mut self, key: Key, idle: Option<IdleSince>, reason: CloseReason) {
        self.counts.count_closed(reason);
        if let (Some(since), Some(origin)) = (idle, self.origins.get_mut(key))
            && let Ok(at) = origin.idle.binary_search_by_key(&since, |(since, _)| *since)
        {
            origin.idle.remove(at);
            self.idle -= 1;
        }
        self.release(key);
    }

    /// A stale connection was closed. One is to be made in its slot for the same request.
    pub(crate) fn retry(&mut self, key: Key, ticket: Ticket, job: J, reason: CloseReason) {
        self.counts.count_closed(reason);
        self.counts.retried += 1;
        self.counts.connecting += 1;
        if let Some(origin) = self.origins.get_mut(key) {
            origin.retrying.insert(ticket, job);
            self.expecting += 1;
        }
    }

    /// The request of a waiter that gives up, if it still waits.
    pub(crate) fn cancel(&mut self, key: Key, ticket: Ticket) -> Option<J> {
        if let Some(job) = self.take_expecting(key, ticket) {
            return Some(job);
        }
        let job = self.origins.get_mut(key)?.waiting.remove(&ticket)?;
        self.waiting -= 1;
        self.update(key);
        Some(job)
    }

    /// Nothing becomes idle any more. The connections that are.
    pub(crate) fn close(&mut self) -> Vec<Key> {
        self.closing = true;
        let idle = self.origins.iter().flat_map(|(_, origin)| &origin.idle);
        idle.map(|(_, connection)| *connection).collect()
    }

    /// Whether more connections are being made than there are waiters for them.
    pub(crate) fn has_surplus(&self) -> bool {
        self.counts.connecting > self.expecting
    }

    /// Whether this waiter waits for the connection that is made for it.
    pub(crate) fn is_expecting(&self, key: Key, ticket: Ticket) -> bool {
        self.origins.get(key).is_some_and(|origin| {
            origin.expecting.contains_key(&ticket) || origin.retrying.contains_key(&ticket)
        })
    }

    pub(crate) fn has_waiters(&self) -> bool {
        self.waiting + self.expecting > 0
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let mut stats = self.counts.clone();
        stats.open = self.slots - stats.connecting;
        stats.idle = self.idle;
        stats.in_use = stats.open - stats.idle;
        stats.waiting = self.waiting + self.expecting;
        stats
    }

    /// Whether a free connection has to make way for another origin.
    fn is_needed_elsewhere(&self, key: Key) -> bool {
        let (Some(&(slots, ticket, rival)), Some(own)) =
            (self.hungry.first(), self.origins.get(key))
        else {
            return false;
        };
        if rival == key {
            return false;
        }
        let Some(oldest) = own.oldest() else { return true };
        let below_share = slots < entitlement(self.max_total, self.demanding);
        // That two origins change places helps neither, unless one has nothing at all.
        let evens_out = slots + 1 < own.slots;
        below_share && (evens_out || (slots == 0 && ticket < oldest))
    }

    fn take_expecting(&mut self, key: Key, ticket: Ticket) -> Option<J> {
        let origin = self.origins.get_mut(key)?;
        let expecting = origin.expecting.remove(&ticket);
        let job = expecting.or_else(|| origin.retrying.remove(&ticket))?;
        self.expecting -= 1;
        Some(job)
    }

    /// Gives a slot back.
    fn release(&mut self, key: Key) {
        if let Some(origin) = self.origins.get_mut(key) {
            origin.slots -= 1;
            self.slots -= 1;
        }
        self.update(key);
    }

    /// Brings what is known of all origins into line with one that has changed.
    pub(crate) fn update(&mut self, key: Key) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        let first = origin.waiting.first_key_value().map(|(ticket, _)| *ticket);
        let room = origin.slots < self.max_per_origin;
        let hunger = first.filter(|_| room).map(|ticket| (origin.slots, ticket, key));
        if hunger != origin.hunger {
            origin.hunger.inspect(|before| _ = self.hungry.remove(before));
            self.hungry.extend(hunger);
            origin.hunger = hunger;
        }
        let oldest_idle = origin.idle.front().map(|(since, _)| (*since, key));
        if oldest_idle != origin.oldest_idle {
            origin.oldest_idle.inspect(|before| _ = self.oldest_idle.remove(before));
            self.oldest_idle.extend(oldest_idle);
            origin.oldest_idle = oldest_idle;
        }
        let demanding = origin.slots > origin.idle.len() || !origin.waiting.is_empty();
        self.demanding =
            self.demanding + usize::from(demanding) - usize::from(origin.demanding);
        origin.demanding = demanding;
        if !demanding && origin.slots == 0 {
            self.keys.remove(&origin.origin);
            self.origins.remove(key);
        }
    }
}

impl<J> PerOrigin<J> {
    fn new(origin: Origin) -> Self {
        PerOrigin {
            origin,
            slots: 0,
            idle: VecDeque::new(),
            oldest_idle: None,
            waiting: BTreeMap::new(),
            expecting: BTreeMap::new(),
            retrying: BTreeMap::new(),
            hunger: None,
            demanding: false,
        }
    }

    /// The oldest of those that any connection will serve.
    fn oldest(&self) -> Option<Ticket> {
        let firsts = [self.waiting.first_key_value(), self.expecting.first_key_value()];
        firsts.into_iter().flatten().map(|(ticket, _)| *ticket).min()
    }
}

#[cfg(test)]
mod tests;
