//! Who gets which connection.
//!
//! Its rules:
//! - a *slot* is the right to one connection, being made or open. Each slot is owned by one task,
//!   and given back when that task ends, however it ends;
//! - a request takes the idle connection that was used last; else a free slot, for which a connect
//!   chain is started; else it waits, first come, first served, while a connection of another
//!   origin that only idles is evicted;
//! - a fresh connection goes to the waiter that it was made for, if it still waits;
//! - a freed connection goes to its origin's oldest waiter, unless an origin below its fair share
//!   waits: then it is closed, and the slot goes to whoever holds least and has waited longest;
//! - a chain that fails tells the one waiter that it was started for; once the pool is closed, a
//!   chain whose origin has no waiter left is given up;
//! - all policy stands in [`State`], which neither waits nor wakes. What is to be told to others
//!   comes out of it as [`Then`], and is done after the lock is given back.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    sync::{Arc, PoisonError},
};

use client_core::{CloseReason, Config, Error, Origin, PoolStats, entitlement, io_model};
use slab::Slab;

use crate::{
    connect::Links,
    job::Job,
    parts::Parts,
    runtime::{self, AbortOnDropHandle, Handle},
    serving,
    sync::{Mutex, MutexGuard, Notify, TaskTracker, oneshot},
    tls::Security,
};

/// The pool of one client.
pub(crate) struct Pool {
    pub(crate) config: Arc<Config>,
    pub(crate) links: Links,
    runtime: Handle,
    /// One for each slot.
    tasks: TaskTracker,
    state: Mutex<State>,
    /// Tells the chains of a closed pool to look whether anybody still waits.
    fewer: Notify,
}

/// What an idle connection is told.
pub(crate) enum Order {
    Serve(Box<Job>),
    Leave(CloseReason),
}

/// Where an idle connection is told it.
type Seat = oneshot::Sender<Order>;

/// The first come has the lowest.
type Ticket = u64;

/// A place in the queue.
#[derive(Clone, Copy)]
pub(crate) struct Waiter {
    place: usize,
    ticket: Ticket,
}

/// What a connection does that could serve another exchange.
pub(crate) enum Checkin {
    Serve(Box<Job>),
    Idle(Idling),
    Close(CloseReason),
}

/// An idle connection's end of its seat.
pub(crate) struct Idling {
    pub(crate) number: u64,
    pub(crate) orders: oneshot::Receiver<Order>,
}

impl Pool {
    pub(crate) fn new(config: Config, parts: Parts) -> Result<Arc<Self>, Error> {
        let tasks = TaskTracker::new();
        let runtime = runtime::choose(config.runtime, &tasks)?;
        let state = Mutex::new(State::new(&config));
        let fewer = Notify::new();
        let security = Security::new(config.tls.clone(), parts.secure);
        let links = Links { dial: parts.dial, security };
        Ok(Arc::new(Pool { config: Arc::new(config), links, runtime, tasks, state, fewer }))
    }

    /// Gives a request to a connection, or to the queue: then it says where it stands.
    ///
    /// # Errors
    ///
    /// [`Error::ShutDown`] and [`Error::PoolBusy`].
    pub(crate) fn checkout(self: &Arc<Self>, job: Box<Job>) -> Result<Option<Waiter>, Error> {
        // A runtime of our own must not end between the decision and the task that it asks for.
        let _running = self.tasks.token();
        let (waiter, then) = self.state().checkout(job)?;
        if let Some(waiter) = waiter {
            io_model!(wait, request = waiter.ticket);
        }
        self.perform(then);
        Ok(waiter)
    }

    /// Takes a request out of the queue, if it is still there.
    pub(crate) fn forget(&self, waiter: Waiter) -> Option<Box<Job>> {
        self.take(|state| state.take_waiter(waiter))
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.state().stats()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// No new requests; idle connections leave at once.
    pub(crate) fn close(&self) {
        let seats = self.take(State::close);
        self.tasks.close();
        for seat in seats {
            _ = seat.send(Order::Leave(CloseReason::ClientClosed));
        }
    }

    /// Resolves when the pool is closed and its last task has ended.
    pub(crate) async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// Runs something that does not keep the client alive.
    pub(crate) fn spawn_aside(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(self.runtime.spawn(future))
    }

    /// A task of ours panicked, or its runtime was shut down under it: nobody may wait any more.
    fn abandon(&self) {
        self.close();
        let queue = self.state().queue();
        for waiter in queue {
            drop(self.forget(waiter));
        }
    }

    fn perform(self: &Arc<Self>, then: Then) {
        if let Some((seat, order)) = then.order {
            match &order {
                Order::Serve(job) => {
                    io_model!(wake, request = job.number, why = "order to serve")
                }
                Order::Leave(reason) => io_model!(wake, why = reason.as_str()),
            }
            // A seat whose task is gone was on a runtime that has ended. The job is dropped.
            _ = seat.send(order);
        }
        if let Some(chain) = then.chain {
            io_model!(spawn, request = chain.ticket, why = "connect chain");
            let slot = Slot { pool: self.clone(), chain, connection: None, live: true };
            drop(self.runtime.spawn(self.tasks.track_future(serving::run(slot))));
        }
    }

    /// Changes the state in a way that may leave a chain without anybody to wait for it.
    fn take<R>(&self, take: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state();
        let taken = take(&mut state);
        if state.closed {
            drop(state);
            self.fewer.notify_waiters();
        }
        taken
    }

    /// Nothing panics under the lock, and nothing foreign runs there.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to one connection.
pub(crate) struct Slot {
    pool: Arc<Pool>,
    chain: Chain,
    /// The number of the connection in it, unless that is being made.
    connection: Option<u64>,
    /// It has not been given back.
    live: bool,
}

impl Slot {
    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.pool.config
    }

    pub(crate) fn links(&self) -> &Links {
        &self.pool.links
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.chain.origin
    }

    /// Resolves when the pool is closed and nobody waits for a connection to this origin.
    pub(crate) async fn needless(&self) {
        loop {
            let fewer = self.pool.fewer.notified(); // counts from here on, though not yet polled
            if self.pool.state().is_needless(self.chain.place) {
                return;
            }
            fewer.await;
        }
    }

    /// The connection is made. Its number.
    pub(crate) fn opened(&mut self) -> u64 {
        let number = self.pool.state().opened();
        self.connection = Some(number);
        number
    }

    /// The connection could serve another exchange. `used`: it has served one before.
    pub(crate) fn checkin(&mut self, used: bool) -> Checkin {
        let checkin = self.pool.take(|state| state.checkin(&self.chain, used));
        if let Checkin::Idle(_) = checkin {
            io_model!(checkin, connection = self.connection, why = "idle");
        }
        checkin
    }

    /// The connection will be idle no longer. False: it has been told something at this moment.
    pub(crate) fn leave(&mut self, idling: &Idling) -> bool {
        self.pool.state().leave(self.chain.place, idling.number)
    }

    /// The connection was stale, its socket is closed, and another one is to be made.
    pub(crate) fn reconnect(&mut self, reason: CloseReason) {
        io_model!(retry, connection = self.connection, why = reason.as_str());
        self.connection = None;
        self.pool.state().reconnect(reason);
    }

    /// The chain has failed. It was for a request that is sent `again`, or for a waiter, which
    /// gets the error if it still waits.
    pub(crate) fn fail(mut self, again: Option<Box<Job>>, error: Error) {
        self.live = false;
        let (waiter, then) = self.pool.take(|state| state.failed(&self.chain));
        self.pool.perform(then);
        if let Some(job) = again.or(waiter) {
            job.fail(error);
        }
    }

    /// The socket is closed.
    pub(crate) fn close(mut self, reason: CloseReason) {
        io_model!(close, connection = self.connection, why = reason.as_str());
        self.live = false;
        let then = self.pool.state().closed(self.chain.place, reason);
        self.pool.perform(then);
    }
}

/// The task ended without a word: it panicked, or its runtime was shut down.
impl Drop for Slot {
    fn drop(&mut self) {
        if self.live {
            // Before the slot is given back, so that no chain is started where none can run.
            self.pool.abandon();
            let mut state = self.pool.state();
            // Nobody waits any more, so nothing is left to be done then.
            _ = match self.connection {
                Some(_) => state.closed(self.chain.place, CloseReason::ClientClosed),
                None => state.failed(&self.chain).1,
            };
        }
    }
}

/// What is to be done after the lock is given back.
#[derive(Default)]
#[must_use]
struct Then {
    order: Option<(Seat, Order)>,
    chain: Option<Chain>,
}

/// A connect chain to be started, in a slot that is already taken for it.
struct Chain {
    place: usize,
    origin: Origin,
    /// The waiter that it is started for.
    ticket: Ticket,
}

/// All that the pool knows, and all its policy.
struct State {
    max_per_origin: usize,
    max_total: usize,
    max_idle_per_origin: usize,
    max_waiting: usize,
    places: Slab<Place>,
    by_origin: HashMap<Origin, usize>,
    /// The places of idle connections, the least recently used first.
    idle: BTreeMap<u64, usize>,
    /// Places that would use one slot more, the neediest first (see [`Place::hunger`]). Not empty
    /// only while all slots are taken.
    hungry: BTreeSet<(usize, Ticket, usize)>,
    /// Places with waiters or with connections that do not idle.
    demanding: usize,
    /// Waiters that no chain was started for, in all: what `max_waiting` limits.
    unchained: usize,
    /// Slots that are taken.
    slots: usize,
    /// Gives out tickets, and numbers to idle connections.
    clock: u64,
    closed: bool,
    stats: PoolStats,
}

/// An origin, while it has slots or waiters.
struct Place {
    origin: Origin,
    /// Slots that it holds.
    slots: usize,
    /// Idle connections by age, and whether they have served before.
    idle: BTreeMap<u64, (Seat, bool)>,
    waiters: BTreeMap<Ticket, Box<Job>>,
    /// Those of the waiters that no chain was started for.
    unchained: BTreeSet<Ticket>,
    /// Its entry in [`State::hungry`].
    hungry: Option<(usize, Ticket, usize)>,
    /// It is counted in [`State::demanding`].
    demanding: bool,
}

impl Place {
    fn new(origin: Origin) -> Self {
        Place {
            origin,
            slots: 0,
            idle: BTreeMap::new(),
            waiters: BTreeMap::new(),
            unchained: BTreeSet::new(),
            hungry: None,
            demanding: false,
        }
    }

    /// Slots that do something.
    fn busy(&self) -> usize {
        self.slots - self.idle.len()
    }

    /// How much it needs a slot, if it may have one more.
    fn hunger(&self, place: usize, max_per_origin: usize) -> Option<(usize, Ticket, usize)> {
        let oldest = self.unchained.first().filter(|_| self.slots < max_per_origin)?;
        Some((self.busy(), *oldest, place))
    }
}

impl State {
    fn new(config: &Config) -> Self {
        State {
            max_per_origin: config.max_per_origin,
            max_total: config.max_total,
            max_idle_per_origin: config.max_idle_per_origin,
            max_waiting: config.max_waiting,
            places: Slab::new(),
            by_origin: HashMap::new(),
            idle: BTreeMap::new(),
            hungry: BTreeSet::new(),
            demanding: 0,
            unchained: 0,
            slots: 0,
            clock: 0,
            closed: false,
            stats: PoolStats::default(),
        }
    }

    fn stats(&self) -> PoolStats {
        let mut stats = self.stats.clone();
        stats.idle = self.idle.len();
        stats.in_use = stats.open - stats.idle;
        stats
    }

    fn checkout(&mut self, mut job: Box<Job>) -> Result<(Option<Waiter>, Then), Error> {
        if self.closed {
            return Err(Error::ShutDown);
        }
        job.number = self.tick();
        let id = self.place_of(&job.outgoing.origin);
        let place = &mut self.places[id];
        if let Some((number, (seat, used))) = place.idle.pop_last() {
            self.idle.remove(&number);
            self.stats.reused += u64::from(used);
            self.settle(id);
            return Ok((None, Then { order: Some((seat, Order::Serve(job))), chain: None }));
        }
        let room = place.slots < self.max_per_origin;
        let slot = self.slots < self.max_total || !self.idle.is_empty();
        if !(room && slot) && self.unchained >= self.max_waiting {
            self.settle(id);
            return Err(Error::PoolBusy { limit: self.max_waiting });
        }
        let ticket = job.number;
        self.add_waiter(Waiter { place: id, ticket }, job);
        let mut then = self.start_chain();
        if room && then.chain.is_none() {
            then.order = self.evict().map(|seat| (seat, Order::Leave(CloseReason::Evicted)));
        }
        Ok((Some(Waiter { place: id, ticket }), then))
    }

    /// A connection is free: `used`, or fresh from its chain.
    fn checkin(&mut self, chain: &Chain, used: bool) -> Checkin {
        let id = chain.place;
        let place = &self.places[id];
        let oldest = place.waiters.keys().next().copied();
        let own =
            if place.waiters.contains_key(&chain.ticket) { Some(chain.ticket) } else { oldest };
        let rival = self.hungry.iter().find(|(.., other)| *other != id);
        if let Some((busy, ticket, _)) = rival {
            let share = entitlement(self.max_total, self.demanding);
            let needier = |own| (*busy, *ticket) < (place.busy() - 1, own);
            if own.is_none_or(|own| used && *busy < share && needier(own)) {
                return Checkin::Close(CloseReason::Evicted);
            }
        }
        if let Some(job) = own.and_then(|ticket| self.take_waiter(Waiter { place: id, ticket }))
        {
            self.stats.reused += u64::from(used);
            return Checkin::Serve(job);
        }
        if self.closed {
            return Checkin::Close(CloseReason::ClientClosed);
        }
        if self.places[id].idle.len() >= self.max_idle_per_origin {
            return Checkin::Close(CloseReason::IdleLimit);
        }
        let number = self.tick();
        let (seat, orders) = oneshot::channel();
        self.idle.insert(number, id);
        self.places[id].idle.insert(number, (seat, used));
        self.settle(id);
        Checkin::Idle(Idling { number, orders })
    }

    fn leave(&mut self, id: usize, number: u64) -> bool {
        let was_idle = self.idle.remove(&number).is_some();
        if was_idle {
            self.places[id].idle.remove(&number);
            self.settle(id);
        }
        was_idle
    }

    /// The connection idle longest, whatever its origin.
    fn evict(&mut self) -> Option<Seat> {
        let (number, id) = self.idle.pop_first()?;
        let (seat, _) = self.places[id].idle.remove(&number)?;
        self.settle(id);
        Some(seat)
    }

    fn opened(&mut self) -> u64 {
        self.stats.connecting -= 1;
        self.stats.open += 1;
        self.stats.created += 1;
        self.stats.created
    }

    fn reconnect(&mut self, reason: CloseReason) {
        self.stats.count_closed(reason);
        self.stats.open -= 1;
        self.stats.connecting += 1;
        self.stats.retried += 1;
    }

    fn closed(&mut self, id: usize, reason: CloseReason) -> Then {
        self.stats.count_closed(reason);
        self.stats.open -= 1;
        self.free(id)
    }

    fn failed(&mut self, chain: &Chain) -> (Option<Box<Job>>, Then) {
        self.stats.connecting -= 1;
        let job = self.take_waiter(Waiter { place: chain.place, ticket: chain.ticket });
        (job, self.free(chain.place))
    }

    fn is_needless(&self, id: usize) -> bool {
        self.closed && self.places[id].waiters.is_empty()
    }

    fn close(&mut self) -> Vec<Seat> {
        self.closed = true;
        std::iter::from_fn(|| self.evict()).collect()
    }

    fn free(&mut self, id: usize) -> Then {
        self.slots -= 1;
        self.places[id].slots -= 1;
        self.settle(id);
        self.start_chain()
    }

    /// Gives a free slot to the neediest origin, for its oldest waiter without a chain.
    fn start_chain(&mut self) -> Then {
        let mut then = Then::default();
        if self.slots < self.max_total
            && let Some((_, ticket, id)) = self.hungry.first().copied()
        {
            let place = &mut self.places[id];
            place.unchained.remove(&ticket);
            place.slots += 1;
            then.chain = Some(Chain { place: id, origin: place.origin.clone(), ticket });
            self.slots += 1;
            self.stats.connecting += 1;
            self.unchained -= 1;
            self.settle(id);
        }
        then
    }

    fn add_waiter(&mut self, waiter: Waiter, job: Box<Job>) {
        let place = &mut self.places[waiter.place];
        place.waiters.insert(waiter.ticket, job);
        place.unchained.insert(waiter.ticket);
        self.unchained += 1;
        self.stats.waiting += 1;
        self.settle(waiter.place);
    }

    /// Tickets are never given twice, so a place that has changed hands does no harm.
    fn take_waiter(&mut self, waiter: Waiter) -> Option<Box<Job>> {
        let place = self.places.get_mut(waiter.place)?;
        let job = place.waiters.remove(&waiter.ticket)?;
        self.stats.waiting -= 1;
        self.unchained -= usize::from(place.unchained.remove(&waiter.ticket));
        self.settle(waiter.place);
        Some(job)
    }

    fn queue(&self) -> Vec<Waiter> {
        let mut queue = Vec::new();
        for (place, found) in &self.places {
            queue.extend(found.waiters.keys().map(|ticket| Waiter { place, ticket: *ticket }));
        }
        queue
    }

    fn place_of(&mut self, origin: &Origin) -> usize {
        if let Some(id) = self.by_origin.get(origin) {
            return *id;
        }
        let id = self.places.insert(Place::new(origin.clone()));
        self.by_origin.insert(origin.clone(), id);
        id
    }

    /// Brings what is kept about a place elsewhere up to date. Follows every change to one.
    fn settle(&mut self, id: usize) {
        let place = &mut self.places[id];
        let hungry = place.hunger(id, self.max_per_origin);
        if hungry != place.hungry {
            if let Some(old) = mem::replace(&mut place.hungry, hungry) {
                self.hungry.remove(&old);
            }
            self.hungry.extend(hungry);
        }
        let demanding = place.busy() > 0 || !place.waiters.is_empty();
        match (mem::replace(&mut place.demanding, demanding), demanding) {
            (false, true) => self.demanding += 1,
            (true, false) => self.demanding -= 1,
            _ => {}
        }
        if place.slots == 0 && !demanding {
            let place = self.places.remove(id);
            self.by_origin.remove(&place.origin);
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

#[cfg(test)]
#[path = "pool/tests.rs"]
mod tests;
