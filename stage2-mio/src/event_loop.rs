//! The loop: one thread that owns every socket, and the turns that it makes.
//!
//! A turn is: sleep until something happens, then serve sockets, then messages, then deadlines.
//!
//! Its rules:
//! - what the loop owns lies in one slab, and is found by its key: as the token of its socket, in
//!   the messages to it, and with its deadline. A key that finds nothing is stale, and ignored;
//! - sockets before messages: a connection that died while it was idle is known to be dead before
//!   a new request asks for one;
//! - after each of them the loop carries out what the pool decided ([`EventLoop::settle`]);
//! - time is read once a turn.

use std::{io, mem, sync::Arc, task::Waker, time::Instant};

use client_core::{
    Config, Lookups, io_model,
    pool::{Limits, Pool, SlotId},
};
use mio::{Events, Poll, Token, event::Event};

use crate::{
    connect::{Attempt, Connecting},
    connection::{Completion, Connection},
    framing::Readiness,
    parts::{Dial, Parts},
    pool::Slots,
    resolver,
    shared::{Message, PendingRequest, Shared},
    slab::{Key, Slab},
    timer::{Armed, Deadline, Timers},
    tls::Security,
    transport::{INTEREST, Stream, Transport},
};

/// The token of the inbox; no key has it, since none has this generation and this index at once.
const INBOX: Token = Token(usize::MAX);
/// Events of one turn. More are left for the next, and nothing is lost.
const EVENTS: usize = 256;
/// The buffer through which everything is read.
const READ_BUFFER: usize = 16 * 1024;

pub(crate) struct EventLoop {
    /// The system's event queue.
    poll: Poll,
    /// The inbox, and what callers may read.
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Arc<Config>,
    /// The user's, or the system's.
    pub(crate) resolver: Lookups,
    /// The user's, if there is one: it needs no names and addresses.
    pub(crate) dial: Option<Arc<dyn Dial>>,
    /// All that has a key: sockets, and attempts to connect.
    pub(crate) entries: Slab<Entry>,
    /// Decides which request gets which connection.
    pub(crate) pool: Pool<PendingRequest>,
    /// What holds the pool's slots.
    pub(crate) slots: Slots,
    /// What is to be told once the pool's actions are carried out.
    pub(crate) completions: Vec<Completion>,
    /// The deadlines of all that has a key, and of waiters.
    pub(crate) timers: Timers,
    /// Connections that had more to read than their share of a turn.
    pub(crate) again: Vec<Key>,
    /// Initialised once, since zeroing it for each read would cost more than the read.
    pub(crate) buffer: Box<[u8]>,
    /// One reading of the clock serves a turn.
    pub(crate) now: Instant,
}

/// What one turn has to serve; kept from turn to turn, so that it is not made anew.
pub(crate) struct Batch {
    events: Events,
    messages: Vec<Message>,
}

/// What lies under a key.
pub(crate) struct Entry {
    pub(crate) owner: Owner,
    /// The entry for its deadline.
    timer: Armed,
}

/// Who is behind a key.
pub(crate) enum Owner {
    /// Its wakes come from a resolver.
    Connecting(Connecting),
    /// A socket that is not connected yet, or not secured.
    Attempt(Attempt),
    /// A connection of the pool.
    Connection(Box<Pooled>),
}

/// A connection, and how the pool knows it.
pub(crate) struct Pooled {
    pub(crate) slot: SlotId,
    pub(crate) connection: Connection<Stream>,
    /// Wakes the connection when its body's reader does something.
    pub(crate) waker: Waker,
}

impl EventLoop {
    /// # Errors
    ///
    /// The system's, if it refuses an event queue.
    pub(crate) fn new(config: Arc<Config>, parts: Parts) -> io::Result<Self> {
        let poll = Poll::new()?;
        let alarm = mio::Waker::new(poll.registry(), INBOX)?;
        let security = Security::new(config.tls.clone(), parts.secure);
        Ok(EventLoop {
            poll,
            shared: Arc::new(Shared::new(alarm, security)),
            resolver: resolver::new(&config),
            dial: parts.dial,
            entries: Slab::new(),
            pool: Pool::new(Limits::from(&*config)),
            slots: Slots::default(),
            completions: Vec::new(),
            timers: Timers::default(),
            again: Vec::new(),
            buffer: vec![0; READ_BUFFER].into(),
            now: Instant::now(),
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
        self.pool.is_over() && self.shared.inbox.end_if_empty()
    }

    pub(crate) fn publish(&self) {
        self.shared.publish(self.pool.stats());
    }

    // ----- dispatch: from what happened to whom it concerns -----

    fn event(&mut self, event: &Event) {
        let key = Key::from(event.token());
        let told = readiness(event);
        match self.entries.get_mut(key).map(|entry| &mut entry.owner) {
            Some(Owner::Connection(pooled)) => {
                let connection = pooled.connection.number();
                io_model!(ready, connection, read = told.readable, write = told.writable);
                self.drive(key, |connection, turn| connection.ready(told, turn));
            }
            Some(Owner::Attempt(attempt)) => {
                io_model!(ready, read = told.readable, write = told.writable);
                attempt.told.add(told);
                self.shake_hands(key);
            }
            Some(Owner::Connecting(_)) | None => {}
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Request(job) => self.accept(job),
            Message::Cancel(place) => self.cancel(place),
            Message::Wake(key) => self.wake(key),
            Message::Close => self.pool.close(),
        }
    }

    fn wake(&mut self, key: Key) {
        match self.entries.get(key).map(|entry| &entry.owner) {
            Some(Owner::Connection(_)) => {
                self.drive(key, |connection, turn| {
                    connection.ready(Readiness::default(), turn)
                });
            }
            Some(Owner::Connecting(_)) => self.go_on(key),
            Some(Owner::Attempt(_)) | None => {}
        }
    }

    fn expire(&mut self, deadline: Deadline) {
        match deadline {
            Deadline::Waiter(waiter) => {
                io_model!(timer, request = waiter.number());
                self.expire_waiter(waiter);
            }
            Deadline::Owner(key) => {
                let Some(entry) = self.entries.get_mut(key) else { return };
                entry.timer.fired();
                match &entry.owner {
                    Owner::Connecting(_) => {
                        io_model!(timer, why = "connecting");
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
        let Some(entry) = self.entries.get_mut(key) else { return };
        let deadline = match &entry.owner {
            Owner::Connecting(connecting) => Some(connecting.deadline()),
            Owner::Connection(pooled) => pooled.connection.deadline(),
            Owner::Attempt(_) => None,
        };
        self.timers.arm(Deadline::Owner(key), &mut entry.timer, deadline);
    }

    // ----- what is in the slab -----

    pub(crate) fn insert(&mut self, owner: Owner) -> Key {
        self.entries.insert(Entry { owner, timer: Armed::default() })
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Owner> {
        let mut entry = self.entries.remove(key)?;
        self.timers.disarm(&mut entry.timer);
        Some(entry.owner)
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

impl Entry {
    /// An attempt becomes something else.
    ///
    /// # Errors
    ///
    /// `change`'s.
    pub(crate) fn change<E>(
        self,
        change: impl FnOnce(Attempt) -> Result<Owner, E>,
    ) -> Result<Self, E> {
        let owner = match self.owner {
            Owner::Attempt(attempt) => change(attempt)?,
            owner => owner,
        };
        Ok(Entry { owner, ..self })
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
