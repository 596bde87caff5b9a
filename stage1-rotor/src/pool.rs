//! The pool's policy: who gets which connection, who waits, who has to go.
//!
//! It owns no socket. A connection's machine asks it what to do ([`Pool::woken`],
//! [`Pool::checkin`]) and tells it what happened ([`Pool::connected`], [`Pool::closed`]); the pool
//! rings machines, which then come and ask: it never pushes a request at a connection.
//!
//! Its rules:
//! - a *place* is what the limits count: one connect chain, or the connection that it became;
//! - a caller is served by the most recently used idle connection of its origin; else by a chain of
//!   its own, if the limits have a place, be it by evicting the least recently used idle
//!   connection of all; else it waits;
//! - a freed connection goes to its origin's oldest waiter, unless an origin below its share waits
//!   for a place;
//! - a place that is given away passes on when its socket is closed, not before;
//! - nothing here is slower than the logarithm of what it holds.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
};

use client_core::{
    CloseReason, Config, Error, Origin, PoolStats, TimeoutPhase, entitlement, io_model,
};
use rotor::Time;
use slab::Slab;

use crate::{
    call::{Job, Ticket},
    timer::{after, passed},
    waiters::Waiters,
};

/// Names a place. It stays valid until its machine says [`Pool::closed`] or [`Pool::failed`].
pub(crate) type PlaceId = usize;

type OriginId = usize;

/// The pool of one client.
pub(crate) struct Pool {
    config: Arc<Config>,
    names: HashMap<Origin, OriginId>,
    /// Origins with a place or a waiter; others are forgotten.
    origins: Slab<PerOrigin>,
    places: Slab<Place>,
    /// Places in the sense of the limit: those about to close for another's sake do not count.
    held: usize,
    /// All idle connections, least recently used first.
    idle: BTreeMap<Since, PlaceId>,
    /// The next moment of becoming idle.
    since: Since,
    /// Origins that could use one more place, by their oldest waiter without a chain.
    starving: BTreeMap<Ticket, OriginId>,
    /// When which waiter's whole call is over.
    deadlines: BTreeSet<(Time, Ticket, OriginId)>,
    /// Origins with a connection in use or being made, or with a waiter.
    demand: usize,
    /// Waiters whom neither a chain nor an idle connection is going to serve.
    queued: usize,
    /// Chains that have a place and wait to be started.
    chains: VecDeque<Chain>,
    closed: bool,
    stats: PoolStats,
    /// What `Client::stats` shows.
    published: Arc<Mutex<PoolStats>>,
    /// Wakes the machine that starts chains and ends the loop.
    waker: Waker,
}

/// A moment of becoming idle, as a number: later is larger.
type Since = u64;

struct PerOrigin {
    origin: Origin,
    waiters: Waiters,
    idle: BTreeMap<Since, PlaceId>,
    /// Places in the sense of the limit.
    held: usize,
    /// Places of any kind: the origin is not forgotten before they are gone.
    places: usize,
    /// Idle connections that were rung for a waiter and have not come yet.
    promised: usize,
    /// What of this origin is contained in the pool's sums.
    counted: Counted,
}

/// An origin's part in the pool's sums.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    demand: bool,
    queued: usize,
    starving: Option<Ticket>,
}

struct Place {
    origin: OriginId,
    state: State,
    /// The connection's number, once there is one.
    number: u64,
    /// The connection has carried an exchange.
    used: bool,
    /// Wakes its machine, once there is one.
    waker: Option<Waker>,
}

/// What a place is occupied with.
enum State {
    /// A chain, for this waiter.
    Connecting(Ticket),
    InUse,
    Idle(Since),
    /// Idle, and rung to take the oldest waiter.
    Promised(Since),
    /// Rung to close; its place in the limits is given up, perhaps to this chain.
    Doomed(CloseReason, Option<Chain>),
}

/// A connect chain.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) place: PlaceId,
    pub(crate) origin: Origin,
    pub(crate) ticket: Ticket,
}

/// What a connection that has nothing to do does next.
pub(crate) enum Turn {
    /// Serve this caller.
    Serve(Job),
    /// Be idle.
    Rest,
    Close(CloseReason),
}

// ===== impl Pool: callers =====

impl Pool {
    pub(crate) fn new(
        config: Arc<Config>,
        published: Arc<Mutex<PoolStats>>,
        waker: Waker,
    ) -> Self {
        Pool {
            config,
            names: HashMap::new(),
            origins: Slab::new(),
            places: Slab::new(),
            held: 0,
            idle: BTreeMap::new(),
            since: 0,
            starving: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            demand: 0,
            queued: 0,
            chains: VecDeque::new(),
            closed: false,
            stats: PoolStats::default(),
            published,
            waker,
        }
    }

    /// A caller asks for a connection. It is put in the queue, and whoever can serve it is rung; if
    /// nobody can, and the queue is full, it is sent away.
    pub(crate) fn checkout(&mut self, mut job: Job, now: Time) {
        if job.is_gone() {
            return;
        }
        job.deadline = self.config.total_timeout.map(|total| after(now, total));
        let ticket = job.ticket();
        let id = self.origin(&job.call().outgoing.origin);
        self.note_deadline(id, &job);
        self.origins[id].waiters.push(job);
        self.stats.waiting += 1;
        self.serve(id);
        io_model!(wait, request = ticket, queued = self.queued);
        if self.queued > self.config.max_waiting
            && let Some(job) = self.remove_waiter(id, ticket)
        {
            self.account(id);
            self.publish();
            job.answer(Err(Error::PoolBusy { limit: self.config.max_waiting }));
        }
    }

    /// A caller has given up while it waited.
    pub(crate) fn cancel(&mut self, origin: &Origin, ticket: Ticket) {
        let Some(&id) = self.names.get(origin) else { return };
        if let Some(job) = self.remove_waiter(id, ticket) {
            io_model!(cancel, request = ticket);
            drop(job);
            self.account(id);
            self.give_up_chains();
        }
    }

    /// Answers the waiters whose time is over.
    pub(crate) fn expire(&mut self, now: Time) {
        while passed(self.deadline(), now)
            && let Some((_, ticket, id)) = self.deadlines.pop_first()
        {
            io_model!(timer, request = ticket, why = "total");
            let job = self.remove_waiter(id, ticket);
            self.account(id);
            self.publish();
            if let Some(job) = job {
                let after = self.config.total_timeout.unwrap_or_default();
                job.answer(Err(Error::Timeout { phase: TimeoutPhase::Total, after }));
            }
        }
    }

    /// When [`Pool::expire`] has to be called.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, ..)| *deadline)
    }

    /// No further callers: idle connections close now, the others when they are free.
    pub(crate) fn shut(&mut self) {
        if self.closed {
            return;
        }
        self.closed = true;
        while let Some((_, &place)) = self.idle.first_key_value() {
            self.doom(place, CloseReason::ClientClosed, None);
        }
        self.give_up_chains();
    }

    /// Whether the client is closed and everything is over.
    pub(crate) fn is_over(&self) -> bool {
        self.closed && self.places.is_empty() && self.stats.waiting == 0
    }

    /// Lets `Client::stats` see what has happened.
    pub(crate) fn publish(&self) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.clone_from(&self.stats);
        published.open = self.stats.idle + self.stats.in_use;
    }
}

// ===== impl Pool: chains =====

impl Pool {
    /// The next chain to start.
    pub(crate) fn next_chain(&mut self) -> Option<Chain> {
        self.chains.pop_front()
    }

    /// A chain has a machine.
    pub(crate) fn started(&mut self, place: PlaceId, waker: Waker) {
        self.places[place].waker = Some(waker);
    }

    /// Whether a chain that is being made for this waiter is of use to anybody.
    pub(crate) fn is_wanted(&self, place: PlaceId, ticket: Ticket) -> bool {
        !self.closed || self.origins[self.places[place].origin].waiters.has(ticket)
    }

    /// A chain has made its connection: its number, and what it does first. It serves the waiter
    /// that it was made for, if that one still waits.
    pub(crate) fn connected(&mut self, place: PlaceId, waker: Waker) -> (u64, Turn) {
        self.stats.connecting -= 1;
        self.stats.in_use += 1;
        self.stats.created += 1;
        let number = self.stats.created;
        let entry = &mut self.places[place];
        entry.waker = Some(waker);
        entry.number = number;
        let id = entry.origin;
        if let State::Connecting(ticket) = std::mem::replace(&mut entry.state, State::InUse)
            && let Some(job) = self.remove_waiter(id, ticket)
            && let Some(job) = self.hand_over(place, job)
        {
            return (number, Turn::Serve(job));
        }
        (number, self.checkin(place))
    }

    /// A chain has failed. Its waiter gets the error, if it still waits; the others keep waiting.
    pub(crate) fn failed(&mut self, place: PlaceId, error: Error) {
        let entry = self.places.remove(place);
        self.origins[entry.origin].places -= 1;
        self.stats.connecting -= 1;
        self.release(entry.origin);
        let job = match entry.state {
            State::Connecting(ticket) => self.remove_waiter(entry.origin, ticket),
            _ => None,
        };
        self.account(entry.origin);
        self.grow();
        self.publish();
        self.waker.wake_by_ref();
        if let Some(job) = job {
            job.answer(Err(error));
        }
    }
}

// ===== impl Pool: connections =====

impl Pool {
    /// A connection's exchange is over, and it could serve another.
    pub(crate) fn checkin(&mut self, place: PlaceId) -> Turn {
        self.since += 1;
        self.turn(place, self.since)
    }

    /// What a connection does that is free; if there is nothing to do, it is idle as of `since`.
    fn turn(&mut self, place: PlaceId, since: Since) -> Turn {
        let id = self.places[place].origin;
        if self.must_yield(id) {
            return Turn::Close(CloseReason::Evicted);
        }
        if let Some(job) = self.oldest_waiter(place) {
            return Turn::Serve(job);
        }
        if self.closed {
            return Turn::Close(CloseReason::ClientClosed);
        }
        if self.origins[id].idle.len() >= self.config.max_idle_per_origin {
            return Turn::Close(CloseReason::IdleLimit);
        }
        io_model!(checkin, connection = self.places[place].number);
        self.lie_down(place, since);
        Turn::Rest
    }

    /// A connection was rung. What for stands here, and not in the ring, which may be an old one.
    pub(crate) fn woken(&mut self, place: PlaceId) -> Turn {
        match self.places[place].state {
            State::Doomed(reason, _) => Turn::Close(reason),
            State::Promised(since) => {
                self.get_up(place);
                self.turn(place, since)
            }
            State::Connecting(_) | State::InUse | State::Idle(_) => Turn::Rest,
        }
    }

    /// Whether a connection is in the middle of an exchange.
    pub(crate) fn is_in_use(&self, place: PlaceId) -> bool {
        matches!(self.places[place].state, State::InUse)
    }

    /// A connection is closed, for this reason unless it was told to close for another before.
    pub(crate) fn closed(&mut self, place: PlaceId, reason: CloseReason) {
        let entry = self.places.remove(place);
        let id = entry.origin;
        self.origins[id].places -= 1;
        let mut first = reason;
        match entry.state {
            State::InUse => self.stats.in_use -= 1,
            _ => self.stats.idle -= 1,
        }
        match entry.state {
            State::Doomed(doom, chain) => {
                first = doom;
                self.chains.extend(chain);
            }
            State::Idle(since) => {
                self.idle.remove(&since);
                self.origins[id].idle.remove(&since);
                self.release(id);
            }
            State::Promised(_) => {
                self.origins[id].promised -= 1;
                self.release(id);
            }
            State::InUse | State::Connecting(_) => self.release(id),
        }
        io_model!(close, connection = entry.number, why = first.as_str());
        self.stats.count_closed(first);
        self.serve(id);
        if !self.chains.is_empty() || self.closed {
            self.waker.wake_by_ref();
        }
    }

    /// A request has to be sent again, on a fresh connection. It takes the place of the stale one,
    /// which is going to be closed.
    pub(crate) fn retry(&mut self, place: PlaceId, job: Job, reason: CloseReason) {
        let id = self.places[place].origin;
        let ticket = job.ticket();
        if !job.carry(None) {
            return;
        }
        self.stats.retried += 1;
        self.stats.waiting += 1;
        self.note_deadline(id, &job);
        self.origins[id].waiters.push_again(job);
        self.release(id);
        let chain = self.reserve(id, ticket);
        self.stats.in_use -= 1;
        self.stats.idle += 1; // until it is closed, in this same turn
        self.places[place].state = State::Doomed(reason, Some(chain));
    }
}

// ===== impl Pool: how it is done =====

impl Pool {
    /// The origin's entry.
    fn origin(&mut self, origin: &Origin) -> OriginId {
        if let Some(&id) = self.names.get(origin) {
            return id;
        }
        let id = self.origins.insert(PerOrigin {
            origin: origin.clone(),
            waiters: Waiters::default(),
            idle: BTreeMap::new(),
            held: 0,
            places: 0,
            promised: 0,
            counted: Counted::default(),
        });
        self.names.insert(origin.clone(), id);
        id
    }

    /// Rings whoever can serve the waiters of an origin: idle connections first, then chains.
    fn serve(&mut self, id: OriginId) {
        let origin = &mut self.origins[id];
        while origin.waiters.unchained() > origin.promised
            && let Some((since, place)) = origin.idle.pop_last()
        {
            self.idle.remove(&since);
            origin.promised += 1;
            let entry = &mut self.places[place];
            entry.state = State::Promised(since);
            wake(entry);
        }
        self.account(id);
        self.grow();
    }

    /// Starts chains for those that starve, as far as the limit in all allows.
    fn grow(&mut self) {
        while !self.starving.is_empty() {
            let victim = match self.idle.first_key_value() {
                _ if self.held < self.config.max_total => None,
                Some((_, &place)) => Some(place),
                None => break,
            };
            let Some((ticket, id)) = self.neediest() else { break };
            self.origins[id].waiters.chain(ticket);
            let chain = self.reserve(id, ticket);
            match victim {
                None => self.chains.push_back(chain),
                Some(place) => self.doom(place, CloseReason::Evicted, Some(chain)),
            }
            self.account(id);
        }
    }

    /// Who gets the next place: the oldest waiter of an origin below its share, else the oldest.
    fn neediest(&self) -> Option<(Ticket, OriginId)> {
        let share = entitlement(self.config.max_total, self.demand);
        let mut starving = self.starving.iter();
        let below = starving.clone().find(|(_, id)| self.origins[**id].held < share);
        below.or_else(|| starving.next()).map(|(ticket, id)| (*ticket, *id))
    }

    /// Whether a freed connection of this origin must be given up, since others wait for a place.
    fn must_yield(&self, id: OriginId) -> bool {
        if self.held < self.config.max_total || self.starving.is_empty() {
            return false;
        }
        let Some(own) = self.origins[id].waiters.oldest() else { return true };
        let share = entitlement(self.config.max_total, self.demand);
        let below = |other: &OriginId| *other != id && self.origins[*other].held < share;
        let Some((&other, _)) = self.starving.iter().find(|(_, other)| below(other)) else {
            return false;
        };
        let above = self.origins[id].held > share;
        above || (self.demand > self.config.max_total && other < own)
    }

    /// Hands this connection to its origin's oldest waiter.
    fn oldest_waiter(&mut self, place: PlaceId) -> Option<Job> {
        let id = self.places[place].origin;
        while let Some(ticket) = self.origins[id].waiters.oldest() {
            let job = self.remove_waiter(id, ticket)?;
            if let Some(job) = self.hand_over(place, job) {
                return Some(job);
            }
        }
        None
    }

    /// Gives a connection to a caller, unless that has given up. From here on it is the connection
    /// that is told if it does.
    fn hand_over(&mut self, place: PlaceId, job: Job) -> Option<Job> {
        let entry = &mut self.places[place];
        let id = entry.origin;
        let taken = job.carry(entry.waker.as_ref());
        if taken {
            io_model!(checkout, request = job.ticket(), connection = entry.number);
            entry.state = State::InUse;
            let reused = std::mem::replace(&mut entry.used, true);
            self.stats.reused += u64::from(reused);
        }
        // If an older waiter took what was promised to a younger one, that one needs another.
        self.serve(id);
        taken.then_some(job)
    }

    /// A connection that nobody needs becomes idle, as of the moment given.
    fn lie_down(&mut self, place: PlaceId, since: Since) {
        let entry = &mut self.places[place];
        let id = entry.origin;
        entry.state = State::Idle(since);
        self.stats.in_use -= 1;
        self.stats.idle += 1;
        self.idle.insert(since, place);
        self.origins[id].idle.insert(since, place);
        self.account(id);
    }

    /// A promised connection has come.
    fn get_up(&mut self, place: PlaceId) {
        let entry = &mut self.places[place];
        entry.state = State::InUse;
        self.origins[entry.origin].promised -= 1;
        self.stats.idle -= 1;
        self.stats.in_use += 1;
    }

    /// Tells an idle connection to close. Its place may be given to a chain now, which starts when
    /// the socket is closed.
    fn doom(&mut self, place: PlaceId, reason: CloseReason, chain: Option<Chain>) {
        let entry = &mut self.places[place];
        let id = entry.origin;
        if let State::Idle(since) =
            std::mem::replace(&mut entry.state, State::Doomed(reason, chain))
        {
            self.idle.remove(&since);
            self.origins[id].idle.remove(&since);
        }
        wake(entry);
        self.release(id);
        self.account(id);
    }

    /// A place for a chain.
    fn reserve(&mut self, id: OriginId, ticket: Ticket) -> Chain {
        self.stats.connecting += 1;
        self.held += 1;
        self.origins[id].held += 1;
        self.origins[id].places += 1;
        let state = State::Connecting(ticket);
        let place = self.places.insert(Place {
            origin: id,
            state,
            number: 0,
            used: false,
            waker: None,
        });
        Chain { place, origin: self.origins[id].origin.clone(), ticket }
    }

    /// A place is free again.
    fn release(&mut self, id: OriginId) {
        self.held -= 1;
        self.origins[id].held -= 1;
    }

    /// Chains of a closed client that are of no use any more look after themselves when rung.
    fn give_up_chains(&mut self) {
        if self.closed {
            self.waker.wake_by_ref();
            for (_, entry) in &self.places {
                if matches!(entry.state, State::Connecting(_)) {
                    wake(entry);
                }
            }
        }
    }

    fn note_deadline(&mut self, id: OriginId, job: &Job) {
        if let Some(deadline) = job.deadline {
            self.deadlines.insert((deadline, job.ticket(), id));
        }
    }

    fn remove_waiter(&mut self, id: OriginId, ticket: Ticket) -> Option<Job> {
        let job = self.origins[id].waiters.remove(ticket)?;
        self.stats.waiting -= 1;
        if let Some(deadline) = job.deadline {
            self.deadlines.remove(&(deadline, ticket, id));
        }
        Some(job)
    }

    /// Brings the pool's sums up to date with an origin, and forgets one that is of no use.
    fn account(&mut self, id: OriginId) {
        let origin = &mut self.origins[id];
        let queued = origin.waiters.unchained().saturating_sub(origin.promised);
        let may_grow = queued > 0 && origin.held < self.config.max_per_origin;
        let promised = origin.promised;
        let now = Counted {
            demand: origin.waiters.len() > 0 || origin.held > origin.idle.len(),
            queued,
            starving: may_grow.then(|| origin.waiters.first_unchained(promised)).flatten(),
        };
        let before = std::mem::replace(&mut origin.counted, now);
        self.queued = self.queued + now.queued - before.queued;
        self.demand = self.demand + usize::from(now.demand) - usize::from(before.demand);
        if now.starving != before.starving {
            before.starving.map(|ticket| self.starving.remove(&ticket));
            now.starving.map(|ticket| self.starving.insert(ticket, id));
        }
        if origin.waiters.len() == 0 && origin.places == 0 {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: OriginId) {
        let origin = self.origins.remove(id);
        self.names.remove(&origin.origin);
    }
}

fn wake(place: &Place) {
    if let Some(waker) = &place.waker {
        waker.wake_by_ref();
    }
}

#[cfg(test)]
mod tests;
