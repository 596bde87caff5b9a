//! The loop: one thread that owns every socket, and the turns that it makes.
//!
//! A turn is: sleep until something happens, then serve sockets, then messages, then deadlines.
//!
//! Its rules:
//! - what the loop owns lies in one slab, and is found by its key: as the token of its socket, in
//!   the messages to it, and with its deadline. A key that finds nothing is stale, and ignored;
//! - sockets before messages: a connection that died while it was idle is known to be dead before
//!   a new request asks for one;
//! - after each of them the pool is asked what its waiters need ([`EventLoop::settle`]);
//! - nobody is told of an end before the pool knows of it and its numbers are published.

use std::{io, mem, sync::Arc, task::Waker, time::Instant};

use client_core::{CloseReason, Config, Error, Resolve, TimeoutPhase, io_model};
use mio::{Events, Poll, Token, event::Event, net::TcpStream};

use crate::{
    connect::{Attempt, Chain},
    connection::{Connection, End, Next, Turn},
    framing::Readiness,
    pool::{Checkin, IdleSince, Pool, Step, Ticket},
    resolver::SystemResolver,
    shared::{Job, Message, Place, Shared},
    slab::{Key, Slab},
    timer::{Armed, Deadline, Timers},
    transport::{INTEREST, Transport},
};

/// The token of the inbox; no key has it, since none has this generation and this index at once.
const INBOX: Token = Token(usize::MAX);
/// Events of one turn. More are left for the next, and nothing is lost.
const EVENTS: usize = 256;
/// The buffer through which everything is read.
const READ_BUFFER: usize = 16 * 1024;

pub(crate) struct EventLoop {
    poll: Poll,
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Arc<Config>,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) slots: Slab<Slot>,
    pub(crate) pool: Pool<Job>,
    timers: Timers,
    /// Connections that had more to read than their share of a turn.
    again: Vec<Key>,
    /// Initialised once, since zeroing it for each read would cost more than the read.
    buffer: Box<[u8]>,
    /// One reading of the clock serves a turn.
    pub(crate) now: Instant,
    next_ticket: Ticket,
    pub(crate) next_number: u64,
    /// No more requests are accepted.
    closing: bool,
}

/// What one turn has to serve; kept from turn to turn, so that it is not made anew.
pub(crate) struct Batch {
    events: Events,
    messages: Vec<Message>,
}

pub(crate) struct Slot {
    pub(crate) owner: Owner,
    /// The entry for its deadline.
    timer: Armed,
}

/// Who is behind a key.
pub(crate) enum Owner {
    Chain(Chain),
    Attempt(Attempt),
    Connection(Box<Pooled>),
}

/// A connection, and how the pool knows it.
pub(crate) struct Pooled {
    pub(crate) connection: Connection<TcpStream>,
    pub(crate) origin: Key,
    /// Set while it is idle.
    pub(crate) idle: Option<IdleSince>,
    /// Wakes the connection when its body's reader does something.
    pub(crate) waker: Waker,
}

impl EventLoop {
    /// # Errors
    ///
    /// The system's, if it refuses an event queue.
    pub(crate) fn new(config: Arc<Config>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let alarm = mio::Waker::new(poll.registry(), INBOX)?;
        let system = || Arc::new(SystemResolver::default()) as Arc<dyn Resolve>;
        Ok(EventLoop {
            poll,
            shared: Arc::new(Shared::new(alarm)),
            resolver: config.resolver.clone().unwrap_or_else(system),
            slots: Slab::new(),
            pool: Pool::new(&config),
            timers: Timers::default(),
            again: Vec::new(),
            buffer: vec![0; READ_BUFFER].into(),
            now: Instant::now(),
            next_ticket: 0,
            next_number: 1,
            closing: false,
            config,
        })
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Turns until the client is closed and its last exchange is over.
    pub(crate) fn run(mut self) {
        let mut batch = Batch::new();
        while !self.is_over() {
            if let Err(error) = self.turn(&mut batch, || false) {
                // Without its queue of events the loop is blind; its end tells every caller.
                tracing::error!(%error, "the event queue failed");
                return;
            }
        }
    }

    /// Sleeps until something happens, and serves it. `busy` is asked last, after the loop has said
    /// that it wants to sleep: whether its thread has something else to do.
    ///
    /// # Errors
    ///
    /// The event queue's. The loop has then seen nothing, and will not.
    pub(crate) fn turn(
        &mut self,
        batch: &mut Batch,
        busy: impl Fn() -> bool,
    ) -> io::Result<()> {
        self.sleep(&mut batch.events, busy)?;
        self.now = Instant::now();
        for event in batch.events.iter().filter(|event| event.token() != INBOX) {
            self.event(event);
            self.settle();
        }
        for key in mem::take(&mut self.again) {
            self.wake(key);
            self.settle();
        }
        self.shared.inbox.take(&mut batch.messages);
        for message in batch.messages.drain(..) {
            self.message(message);
            self.settle();
        }
        while let Some(deadline) = self.timers.pop(self.now) {
            self.expire(deadline);
            self.settle();
        }
        if self.closing && self.pool.has_surplus() {
            self.abort_surplus();
            self.settle();
        }
        self.publish();
        Ok(())
    }

    /// Waits for events, unless there is something to do.
    fn sleep(&mut self, events: &mut Events, busy: impl Fn() -> bool) -> io::Result<()> {
        let idle = self.shared.inbox.may_sleep() && self.again.is_empty() && !busy();
        let until = if idle { self.timers.next() } else { Some(self.now) };
        let timeout = until.map(|at| at.saturating_duration_since(Instant::now()));
        let result = self.poll.poll(events, timeout);
        self.shared.inbox.woken();
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            other => other,
        }
    }

    /// Whether nothing is left to do, and nothing can come any more.
    pub(crate) fn is_over(&self) -> bool {
        self.closing
            && self.slots.is_empty()
            && !self.pool.has_waiters()
            && self.shared.inbox.end_if_empty()
    }

    pub(crate) fn publish(&self) {
        self.shared.publish(self.pool.stats());
    }

    // ----- dispatch: from what happened to whom it concerns -----

    fn event(&mut self, event: &Event) {
        let key = Key::from(event.token());
        let told = readiness(event);
        match self.slots.get(key).map(|slot| &slot.owner) {
            Some(Owner::Connection(pooled)) => {
                let connection = pooled.connection.number();
                io_model!(ready, connection, read = told.readable, write = told.writable);
                self.drive(key, |connection, turn| connection.ready(told, turn));
            }
            Some(Owner::Attempt(attempt)) => {
                io_model!(ready, address = %attempt.address, write = told.writable);
                self.attempted(key, told);
            }
            Some(Owner::Chain(_)) | None => {}
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Request(job) => self.accept(job),
            Message::Cancel(place) => self.cancel(place),
            Message::Wake(key) => self.wake(key),
            Message::Close => self.close(),
        }
    }

    fn wake(&mut self, key: Key) {
        match self.slots.get(key).map(|slot| &slot.owner) {
            Some(Owner::Connection(_)) => {
                self.drive(key, |connection, turn| {
                    connection.ready(Readiness::default(), turn)
                });
            }
            Some(Owner::Chain(_)) => self.go_on(key),
            Some(Owner::Attempt(_)) | None => {}
        }
    }

    fn expire(&mut self, deadline: Deadline) {
        match deadline {
            Deadline::Waiter(origin, ticket) => {
                io_model!(timer, request = ticket);
                self.expire_waiter(origin, ticket);
            }
            Deadline::Slot(key) => {
                let Some(slot) = self.slots.get_mut(key) else { return };
                slot.timer.fired();
                match &slot.owner {
                    Owner::Chain(chain) => {
                        io_model!(timer, request = chain.ticket, why = "connecting");
                        self.go_on(key);
                    }
                    Owner::Connection(pooled) => {
                        io_model!(timer, connection = pooled.connection.number());
                        self.drive(key, Connection::expire);
                    }
                    Owner::Attempt(_) => {}
                }
            }
        }
    }

    /// Notes the deadline of whoever is behind this key.
    pub(crate) fn arm(&mut self, key: Key) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let deadline = match &slot.owner {
            Owner::Chain(chain) => Some(chain.deadline()),
            Owner::Connection(pooled) => pooled.connection.deadline(),
            Owner::Attempt(_) => None,
        };
        self.timers.arm(Deadline::Slot(key), &mut slot.timer, deadline);
    }

    // ----- one request, from its arrival to a connection -----

    /// A request has come. It gets an idle connection, or waits for one.
    fn accept(&mut self, mut job: Job) {
        if self.closing {
            return self.refuse(job, Error::ShutDown);
        }
        job.ticket = self.next_ticket;
        self.next_ticket += 1;
        let origin = self.pool.origin(&job.request.origin);
        match self.pool.checkout(origin) {
            Some(connection) => self.serve(connection, Some(job)),
            None => self.wait(origin, job),
        }
    }

    fn wait(&mut self, origin: Key, mut job: Job) {
        let ticket = job.ticket;
        if !job.reply.place(Place::Pool(origin, ticket)) {
            return self.pool.update(origin);
        }
        io_model!(wait, request = ticket);
        self.timers.arm(Deadline::Waiter(origin, ticket), &mut job.timer, job.deadline);
        if let Err(job) = self.pool.wait(origin, ticket, job) {
            self.refuse(job, Error::PoolBusy { limit: self.config.max_waiting });
        }
    }

    /// Does what the pool's waiters need.
    fn settle(&mut self) {
        while let Some(step) = self.pool.next_step() {
            match step {
                Step::Connect(origin, ticket) => self.connect(origin, ticket),
                Step::Evict(key) => self.close_connection(key, CloseReason::Evicted),
            }
        }
    }

    /// Gives a free connection to this request, or to whom the pool says.
    pub(crate) fn serve(&mut self, key: Key, job: Option<Job>) {
        if let Some(job) = self.assign(key, job) {
            self.start(key, job);
        }
    }

    /// The request that a free connection is to serve; `first` is asked before the pool is.
    fn assign(&mut self, key: Key, mut first: Option<Job>) -> Option<Job> {
        let Some(Owner::Connection(pooled)) =
            self.slots.get_mut(key).map(|slot| &mut slot.owner)
        else {
            return None;
        };
        pooled.idle = None;
        loop {
            let next = match first.take() {
                Some(job) => Checkin::Serve(job),
                None => self.pool.checkin(pooled.origin, key),
            };
            match next {
                Checkin::Serve(mut job) => {
                    self.timers.disarm(&mut job.timer);
                    if job.reply.place(Place::Connection(key, job.ticket)) {
                        return Some(job);
                    }
                    // Its caller has gone meanwhile: the next one.
                }
                Checkin::Idle(since) => {
                    io_model!(checkin, connection = pooled.connection.number(), why = "idle");
                    pooled.idle = Some(since);
                    self.arm(key);
                    return None;
                }
                Checkin::Close(reason) => {
                    self.close_connection(key, reason);
                    return None;
                }
            }
        }
    }

    fn start(&mut self, key: Key, job: Job) {
        let Some(Owner::Connection(pooled)) = self.slots.get(key).map(|slot| &slot.owner)
        else {
            return;
        };
        let connection = &pooled.connection;
        io_model!(checkout, request = job.ticket, connection = connection.number());
        self.pool.begun(connection.is_reused());
        self.drive(key, |connection, turn| connection.start(job, turn));
    }

    // ----- one connection, from readiness to its end -----

    /// Lets a connection go on, and does what comes of it.
    fn drive(
        &mut self,
        key: Key,
        act: impl FnOnce(&mut Connection<TcpStream>, &mut Turn<'_>) -> Next,
    ) {
        let Some(Owner::Connection(pooled)) =
            self.slots.get_mut(key).map(|slot| &mut slot.owner)
        else {
            return;
        };
        let mut turn = Turn {
            now: self.now,
            config: &self.config,
            waker: &pooled.waker,
            buffer: &mut self.buffer,
        };
        match act(&mut pooled.connection, &mut turn) {
            Next::Wait => self.arm(key),
            Next::Again => {
                self.arm(key);
                self.again.push(key);
            }
            Next::Retry(job, reason) => self.retry(key, job, reason),
            Next::End(end) => self.end(key, end),
        }
    }

    /// First the pool, then its numbers, then the caller, then the next request.
    fn end(&mut self, key: Key, end: End) {
        let next = match end.fate {
            Ok(()) => self.assign(key, None),
            Err(reason) => {
                self.close_connection(key, reason);
                None
            }
        };
        self.publish();
        end.last_word.tell();
        if let Some(job) = next {
            self.start(key, job);
        }
    }

    /// A stale connection makes way for a fresh one, for the same request.
    fn retry(&mut self, key: Key, mut job: Job, reason: CloseReason) {
        let Some(pooled) = self.remove_connection(key, reason) else { return };
        let (origin, ticket) = (pooled.origin, job.ticket);
        io_model!(retry, request = ticket, why = reason.as_str());
        if !job.reply.place(Place::Pool(origin, ticket)) {
            return self.pool.closed(origin, None, reason);
        }
        self.timers.arm(Deadline::Waiter(origin, ticket), &mut job.timer, job.deadline);
        self.pool.retry(origin, ticket, job, reason);
        self.connect(origin, ticket);
    }

    fn close_connection(&mut self, key: Key, reason: CloseReason) {
        if let Some(pooled) = self.remove_connection(key, reason) {
            self.pool.closed(pooled.origin, pooled.idle, reason);
        }
    }

    /// Takes a connection out of the loop; its socket is closed when it is dropped.
    fn remove_connection(&mut self, key: Key, reason: CloseReason) -> Option<Box<Pooled>> {
        match self.remove(key)? {
            Owner::Connection(mut pooled) => {
                self.unwatch(pooled.connection.transport());
                io_model!(
                    close,
                    connection = pooled.connection.number(),
                    why = reason.as_str()
                );
                Some(pooled)
            }
            Owner::Chain(_) | Owner::Attempt(_) => None,
        }
    }

    // ----- callers that go, and the client's end -----

    /// The caller of a request gave up.
    fn cancel(&mut self, place: Place) {
        match place {
            Place::Pool(origin, ticket) => {
                io_model!(cancel, request = ticket, why = "waiting");
                if let Some(mut job) = self.pool.cancel(origin, ticket) {
                    self.timers.disarm(&mut job.timer);
                }
            }
            Place::Connection(key, ticket) => {
                io_model!(cancel, request = ticket, why = "under way");
                self.drive(key, |connection, turn| connection.cancel(ticket, turn));
            }
        }
    }

    /// A request has waited for as long as the whole call may take.
    fn expire_waiter(&mut self, origin: Key, ticket: Ticket) {
        if let Some(job) = self.pool.cancel(origin, ticket) {
            let after = self.config.total_timeout.unwrap_or_default();
            self.refuse(job, Error::Timeout { phase: TimeoutPhase::Total, after });
        }
    }

    /// Ends a request that has no connection.
    pub(crate) fn refuse(&mut self, mut job: Job, error: Error) {
        self.timers.disarm(&mut job.timer);
        self.publish();
        job.reply.answer(Err(error));
    }

    fn close(&mut self) {
        self.closing = true;
        for key in self.pool.close() {
            self.close_connection(key, CloseReason::ClientClosed);
        }
    }

    // ----- what is in the slab -----

    pub(crate) fn insert(&mut self, owner: Owner) -> Key {
        self.slots.insert(Slot { owner, timer: Armed::default() })
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Owner> {
        let mut slot = self.slots.remove(key)?;
        self.timers.disarm(&mut slot.timer);
        Some(slot.owner)
    }

    /// Watches a socket under this key: the one time that it is registered.
    ///
    /// # Errors
    ///
    /// The system's, if it refuses.
    pub(crate) fn watch(&self, key: Key, socket: &mut impl Transport) -> io::Result<()> {
        io_model!(register);
        self.poll.registry().register(socket, key.into(), INTEREST)
    }

    /// No more events for a socket that is about to be closed.
    pub(crate) fn unwatch(&self, socket: &mut impl Transport) {
        io_model!(deregister);
        // It fails only for a socket that is not watched, which is what is wanted.
        let _ = self.poll.registry().deregister(socket);
    }
}

impl Batch {
    pub(crate) fn new() -> Self {
        Batch { events: Events::with_capacity(EVENTS), messages: Vec::new() }
    }
}

impl Slot {
    /// An attempt that has won its race becomes a connection.
    pub(crate) fn become_connection(self, make: impl FnOnce(TcpStream) -> Box<Pooled>) -> Self {
        match self.owner {
            Owner::Attempt(attempt) => {
                Slot { owner: Owner::Connection(make(attempt.stream)), ..self }
            }
            owner => Slot { owner, ..self },
        }
    }
}

fn readiness(event: &Event) -> Readiness {
    let hung_up = event.is_read_closed() || event.is_error();
    Readiness {
        readable: event.is_readable() || hung_up,
        writable: event.is_writable() || event.is_write_closed() || event.is_error(),
        hung_up,
    }
}
