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
//!   waiter) if that is below its share, and would not be better off than the one that gives;
//! - no operation scans waiters, connections or origins.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    /// All idle connections, the one that was used least recently first.
    idle: BTreeMap<IdleSince, Key>,
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
    idle: BTreeMap<IdleSince, Key>,
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
            idle: BTreeMap::new(),
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
        let (since, connection) = self.origins.get_mut(key)?.idle.pop_last()?;
        self.idle.remove(&since);
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
            && (self.slots < self.max_total || !self.idle.is_empty());
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
            return self.idle.first_key_value().map(|(_, connection)| Step::Evict(*connection));
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
        origin.idle.insert(since, connection);
        self.idle.insert(since, connection);
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
        if let (Some(since), Some(origin)) = (idle, self.origins.get_mut(key)) {
            origin.idle.remove(&since);
            self.idle.remove(&since);
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
        self.idle.values().copied().collect()
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
        stats.idle = self.idle.len();
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
        let share = entitlement(self.max_total, self.demanding);
        let without = own.slots - 1;
        slots < share && (without >= share || (slots, ticket) < (without, oldest))
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
            idle: BTreeMap::new(),
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
mod tests {
    use super::*;

    /// A pool whose requests are their tickets, and whose connections are made at once.
    struct Fixture {
        pool: Pool<Ticket>,
        /// Gives out keys for connections.
        sockets: Slab<()>,
        tickets: Ticket,
        /// Chains that were begun, oldest first.
        chains: Vec<(Key, Ticket)>,
        /// Idle connections that were evicted.
        evicted: Vec<Key>,
        /// The origins of idle connections, to close them.
        idle: HashMap<Key, (Key, IdleSince)>,
    }

    impl Fixture {
        fn new(config: Config) -> Self {
            Fixture {
                pool: Pool::new(&config),
                sockets: Slab::new(),
                tickets: 0,
                chains: Vec::new(),
                evicted: Vec::new(),
                idle: HashMap::new(),
            }
        }

        fn origin(&mut self, url: &str) -> Key {
            self.pool.origin(&Origin::of(&url.parse().unwrap()).unwrap())
        }

        /// One more request for this origin; its ticket, if it has to wait.
        fn request(&mut self, url: &str) -> Result<Ticket, Option<Key>> {
            let origin = self.origin(url);
            if let Some(connection) = self.pool.checkout(origin) {
                return Err(Some(connection));
            }
            self.tickets += 1;
            let waits = self.pool.wait(origin, self.tickets, self.tickets);
            self.settle();
            waits.map(|()| self.tickets).map_err(|_| None)
        }

        fn settle(&mut self) {
            while let Some(step) = self.pool.next_step() {
                match step {
                    Step::Connect(origin, ticket) => self.chains.push((origin, ticket)),
                    Step::Evict(connection) => {
                        let (origin, since) = self.idle.remove(&connection).unwrap();
                        self.evicted.push(connection);
                        self.pool.closed(origin, Some(since), CloseReason::Evicted);
                    }
                }
            }
        }

        /// The oldest chain makes a connection, which serves whom the pool says.
        fn connect(&mut self) -> (Key, Option<Ticket>) {
            let (origin, ticket) = self.chains.remove(0);
            let connection = self.sockets.insert(());
            match self.pool.connected(origin, ticket) {
                Some(ticket) => (connection, Some(ticket)),
                None => (connection, self.checkin(origin, connection)),
            }
        }

        /// A connection becomes free; whom it serves next.
        fn checkin(&mut self, origin: Key, connection: Key) -> Option<Ticket> {
            let served = match self.pool.checkin(origin, connection) {
                Checkin::Serve(ticket) => Some(ticket),
                Checkin::Idle(since) => {
                    self.idle.insert(connection, (origin, since));
                    None
                }
                Checkin::Close(reason) => {
                    self.pool.closed(origin, None, reason);
                    None
                }
            };
            self.settle();
            served
        }
    }

    fn one() -> Config {
        Config::new().max_per_origin(1)
    }

    #[test]
    fn waiters_are_served_first_come_first_served() {
        let mut f = Fixture::new(one());
        let tickets: Vec<_> = (0..4).map(|_| f.request("http://a").unwrap()).collect();
        let origin = f.origin("http://a");
        let (connection, first) = f.connect();
        let rest = (0..3).map(|_| f.checkin(origin, connection));
        let served: Vec<_> = std::iter::once(first).chain(rest).flatten().collect();
        assert_eq!(served, tickets);
        assert!(f.chains.is_empty());
    }

    #[test]
    fn a_cancelled_waiter_is_skipped() {
        let mut f = Fixture::new(one());
        let tickets: Vec<_> = (0..3).map(|_| f.request("http://a").unwrap()).collect();
        let origin = f.origin("http://a");
        let (connection, _) = f.connect();
        assert_eq!(f.pool.cancel(origin, tickets[1]), Some(tickets[1]));
        assert_eq!(f.pool.cancel(origin, tickets[1]), None);
        assert_eq!(f.checkin(origin, connection), Some(tickets[2]));
        assert_eq!(f.pool.stats().waiting, 0);
    }

    #[test]
    fn a_freed_connection_goes_to_the_oldest_waiter_though_one_is_made_for_it() {
        let mut f = Fixture::new(Config::new().max_per_origin(2));
        f.request("http://a").unwrap();
        let origin = f.origin("http://a");
        let (connection, _) = f.connect();
        let second = f.request("http://a").unwrap();
        let third = f.request("http://a").unwrap();
        assert_eq!(f.checkin(origin, connection), Some(second));
        // The connection that was made for the second serves the third.
        assert_eq!(f.connect().1, Some(third));
    }

    #[test]
    fn a_connection_whose_waiter_was_served_becomes_idle() {
        let mut f = Fixture::new(Config::new().max_per_origin(2));
        f.request("http://a").unwrap();
        let origin = f.origin("http://a");
        let (connection, _) = f.connect();
        f.request("http://a").unwrap();
        assert!(f.checkin(origin, connection).is_some());
        assert_eq!(f.connect().1, None);
        assert_eq!((f.pool.stats().idle, f.pool.stats().in_use), (1, 1));
    }

    #[test]
    fn the_most_recently_used_idle_connection_is_taken_first() {
        let mut f = Fixture::new(Config::new());
        f.request("http://a").unwrap();
        f.request("http://a").unwrap();
        let origin = f.origin("http://a");
        let (first, _) = f.connect();
        let (second, _) = f.connect();
        f.checkin(origin, second);
        f.checkin(origin, first);
        assert_eq!(f.request("http://a"), Err(Some(first)));
        assert_eq!(f.request("http://a"), Err(Some(second)));
    }

    #[test]
    fn an_idle_connection_of_another_origin_is_evicted_before_anybody_waits() {
        let mut f = Fixture::new(Config::new().max_total(2));
        for url in ["http://a", "http://b"] {
            f.request(url).unwrap();
            let origin = f.origin(url);
            let (connection, _) = f.connect();
            f.checkin(origin, connection);
        }
        let oldest = *f.pool.idle.first_key_value().unwrap().1;
        f.request("http://c").unwrap();
        assert_eq!((f.evicted.as_slice(), f.chains.len()), ([oldest].as_slice(), 1));
        assert_eq!(f.pool.stats().closed(CloseReason::Evicted), 1);
    }

    #[test]
    fn an_origin_below_its_share_gets_the_freed_slot() {
        let mut f = Fixture::new(Config::new().max_total(2));
        f.request("http://hog").unwrap();
        f.request("http://hog").unwrap();
        f.request("http://hog").unwrap();
        let hog = f.origin("http://hog");
        let (connection, _) = f.connect();
        f.connect();
        let modest = f.request("http://modest").unwrap();
        assert_eq!(f.checkin(hog, connection), None);
        assert_eq!(f.chains.iter().map(|(_, ticket)| *ticket).collect::<Vec<_>>(), [modest]);
    }

    #[test]
    fn an_origin_at_its_share_keeps_its_freed_connection() {
        let mut f = Fixture::new(Config::new().max_total(2));
        f.request("http://a").unwrap();
        f.request("http://b").unwrap();
        let a = f.origin("http://a");
        let (connection, _) = f.connect();
        f.connect();
        f.request("http://b").unwrap();
        let own = f.request("http://a").unwrap();
        assert_eq!(f.checkin(a, connection), Some(own));
    }

    #[test]
    fn with_more_origins_than_slots_the_oldest_waiter_wins() {
        let mut f = Fixture::new(Config::new().max_total(1));
        f.request("http://a").unwrap();
        let a = f.origin("http://a");
        let (connection, _) = f.connect();
        let older = f.request("http://b").unwrap();
        f.request("http://c").unwrap();
        f.request("http://a").unwrap();
        assert_eq!(f.checkin(a, connection), None);
        assert_eq!(f.connect().1, Some(older));
    }

    #[test]
    fn a_failed_connect_fails_one_waiter_only() {
        let mut f = Fixture::new(one());
        let first = f.request("http://a").unwrap();
        let second = f.request("http://a").unwrap();
        let (origin, ticket) = f.chains.remove(0);
        assert_eq!(f.pool.failed(origin, ticket), Some(first));
        f.settle();
        assert_eq!(f.connect().1, Some(second));
    }

    #[test]
    fn nobody_waits_beyond_the_limit_and_a_free_slot_is_no_wait() {
        let mut f = Fixture::new(one().max_waiting(0));
        let first = f.request("http://a").unwrap();
        assert_eq!(f.request("http://a"), Err(None));
        assert_eq!(f.connect().1, Some(first));
    }

    #[test]
    fn more_idle_connections_than_the_limit_are_closed() {
        let mut f = Fixture::new(Config::new().max_idle_per_origin(1));
        f.request("http://a").unwrap();
        f.request("http://a").unwrap();
        let origin = f.origin("http://a");
        for (connection, _) in [f.connect(), f.connect()] {
            f.checkin(origin, connection);
        }
        let stats = f.pool.stats();
        assert_eq!((stats.idle, stats.closed(CloseReason::IdleLimit)), (1, 1));
    }

    #[test]
    fn a_retry_is_served_by_a_fresh_connection_only() {
        let mut f = Fixture::new(Config::new());
        for _ in 0..2 {
            f.request("http://a").unwrap();
        }
        let origin = f.origin("http://a");
        let ((_stale, retried), (other, _)) = (f.connect(), f.connect());
        let ticket = retried.unwrap();
        f.pool.retry(origin, ticket, ticket, CloseReason::PeerClosed);
        assert_eq!(f.checkin(origin, other), None);
        assert_eq!(f.pool.connected(origin, ticket), Some(ticket));
        assert_eq!((f.pool.stats().retried, f.pool.stats().created), (1, 3));
    }

    #[test]
    fn nothing_is_kept_of_an_origin_that_has_nothing() {
        let mut f = Fixture::new(Config::new());
        let ticket = f.request("http://a").unwrap();
        let (origin, _) = f.chains.remove(0);
        f.pool.failed(origin, ticket);
        assert!(f.pool.keys.is_empty() && f.pool.origins.is_empty());
        assert_eq!(f.pool.demanding, 0);
    }
}
