//! The event loop: one thread that owns every socket.
//!
//! In each turn the loop sleeps until something happens. Then it handles socket events, messages
//! and deadlines, in this order.
//!
//! Its rules:
//! - the loop finds what it owns by a key, which is the token of the socket and stands in messages
//!   and deadlines. A key that finds nothing is stale, and is ignored;
//! - socket events come before messages. So the death of an idle connection is known before a new
//!   request asks for a connection;
//! - after each event, message or deadline the loop carries out what the pool has decided
//!   ([`EventLoop::settle`]);
//! - the clock is read once in each turn.

use std::{io, mem, sync::Arc, task::Waker, time::Instant};

use client_core::{
    Config, Lookups, io_model,
    pool::{Limits, Pool, SlotId},
    tls::TlsSetup,
};
use mio::{Events, Poll, Registry, Token, event::Event};
use slotmap::SlotMap;

use crate::{
    connect::{Connecting, Handshake},
    connection::Connection,
    connector::{Connector, Connectors},
    framing::Readiness,
    pending::{Completion, PendingRequest},
    pool::Slots,
    resolver,
    shared::{Message, Shared},
    timer::{Armed, Deadline, Timers},
    token::{self, Key},
    transport::{INTEREST, Stream, Transport},
};

/// The token of the inbox. No key has it, since no entry has this index.
const INBOX: Token = Token(usize::MAX);
/// Events of one turn. If there are more, the next turn gets them.
const EVENTS: usize = 256;
/// Bytes that one read can return.
const READ_BUFFER: usize = 16 * 1024;

pub(crate) struct EventLoop {
    /// The kernel's event queue.
    pub(crate) poll: Poll,
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Arc<Config>,
    pub(crate) lookups: Lookups,
    /// The user's. It replaces the resolver, Happy Eyeballs and TCP.
    pub(crate) connector: Option<Arc<dyn Connector>>,
    /// All that has a key.
    pub(crate) entries: SlotMap<Key, Entry>,
    pub(crate) pool: Pool<PendingRequest>,
    /// The keys of what holds the pool's slots.
    pub(crate) slots: Slots,
    /// The calls that end when the pool's actions are carried out.
    pub(crate) completions: Vec<Completion>,
    /// The deadlines of entries and waiters.
    pub(crate) timers: Timers,
    /// Connections that have more to read than one call allows.
    pub(crate) again: Vec<Key>,
    /// Shared by all reads, since zeroing a buffer for each read would cost more than the read.
    pub(crate) buffer: Box<[u8]>,
    /// When this turn began to handle what has happened.
    pub(crate) now: Instant,
}

/// The events and messages of one turn. Their memory serves all turns.
pub(crate) struct Batch {
    events: Events,
    messages: Vec<Message>,
}

/// What is found by a key.
pub(crate) struct Entry {
    pub(crate) owner: Owner,
    timer: Armed,
}

/// What an entry is for.
pub(crate) enum Owner {
    Connecting(Connecting),
    Handshake(Handshake),
    Connection(Box<PooledConnection>),
    /// Nothing, while a handshake becomes something else under the same key.
    Moved,
}

/// A connection in a slot of the pool.
pub(crate) struct PooledConnection {
    pub(crate) slot: SlotId,
    pub(crate) connection: Connection<Stream>,
    /// Wakes the connection when its body's reader makes room or leaves.
    pub(crate) waker: Waker,
}

impl EventLoop {
    /// # Errors
    ///
    /// The system's, if it refuses an event queue.
    pub(crate) fn new(config: Arc<Config>, connectors: Connectors) -> io::Result<Self> {
        let poll = Poll::new()?;
        let notifier = mio::Waker::new(poll.registry(), INBOX)?;
        let tls = TlsSetup::new(config.tls.clone(), connectors.tls_connector);
        Ok(EventLoop {
            poll,
            shared: Arc::new(Shared::new(notifier, tls)),
            lookups: resolver::new(&config),
            connector: connectors.connector,
            entries: SlotMap::new(),
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

    /// Runs until the client is closed and its last exchange has ended.
    pub(crate) fn run(mut self) {
        let mut batch = Batch::new();
        while !self.is_over() {
            if let Err(error) = self.turn(&mut batch, || false) {
                // The loop cannot go on without events. Its end tells every caller.
                tracing::error!(%error, "the event queue failed");
                return;
            }
        }
    }

    /// Sleeps until something happens, and handles it. `busy` says whether the thread has other work,
    /// so that the loop must not sleep. It is called when messages already notify the loop.
    ///
    /// # Errors
    ///
    /// The event queue's. The client cannot go on after it.
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

    /// Waits for events, a message or a deadline, unless there is work already.
    fn sleep(&mut self, events: &mut Events, busy: impl Fn() -> bool) -> io::Result<()> {
        let idle = self.shared.inbox.may_sleep() && self.again.is_empty() && !busy();
        let until = if idle { self.timers.next() } else { Some(self.now) };
        let timeout = until.map(|at| at.saturating_duration_since(Instant::now()));
        let result = self.poll.poll(events, timeout);
        self.shared.inbox.set_awake();
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            other => other,
        }
    }

    /// Whether the client is closed, and its last exchange has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.pool.is_over() && self.shared.inbox.end_if_empty()
    }

    pub(crate) fn publish(&self) {
        self.shared.publish(self.pool.stats());
    }

    // ----- dispatch -----

    fn event(&mut self, event: &Event) {
        let key = token::key(event.token());
        let readiness = readiness(event);
        let Readiness { readable, writable, .. } = readiness;
        match self.owner(key) {
            Some(Owner::Connection(pooled)) => {
                let connection = pooled.connection.number();
                io_model!(ready, connection, read = readable, write = writable);
                self.drive(key, |connection, cx| connection.ready(readiness, cx));
            }
            Some(Owner::Handshake(handshake)) => {
                io_model!(ready, read = readable, write = writable);
                handshake.readiness.add(readiness);
                self.handshake(key);
            }
            Some(Owner::Connecting(_) | Owner::Moved) | None => {}
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Request(pending) => self.accept(pending),
            Message::Cancel(holder) => self.cancel(holder),
            Message::Wake(key) => self.wake(key),
            Message::Close => self.pool.close(),
        }
    }

    fn wake(&mut self, key: Key) {
        match self.owner(key) {
            Some(Owner::Connection(_)) => {
                self.drive(key, |connection, cx| connection.ready(Readiness::default(), cx));
            }
            Some(Owner::Connecting(_)) => self.continue_connecting(key),
            Some(Owner::Handshake(_) | Owner::Moved) | None => {}
        }
    }

    fn expire(&mut self, deadline: Deadline) {
        match deadline {
            Deadline::Waiter(waiter) => {
                io_model!(timer, request = waiter.number(), why = "total");
                self.expire_waiter(waiter);
            }
            Deadline::Entry(key) => {
                let Some(entry) = self.entries.get_mut(key) else { return };
                entry.timer.fired();
                match &entry.owner {
                    Owner::Connecting(_) => {
                        io_model!(timer, why = "connecting");
                        self.continue_connecting(key);
                    }
                    Owner::Connection(pooled) => {
                        io_model!(timer, connection = pooled.connection.number());
                        self.drive(key, Connection::expire);
                    }
                    Owner::Handshake(_) | Owner::Moved => {}
                }
            }
        }
    }

    /// Arms the deadline of an entry.
    pub(crate) fn arm(&mut self, key: Key) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let deadline = match &entry.owner {
            Owner::Connecting(connecting) => Some(connecting.deadline()),
            Owner::Connection(pooled) => pooled.connection.deadline(),
            Owner::Handshake(_) | Owner::Moved => None,
        };
        self.timers.arm(Deadline::Entry(key), &mut entry.timer, deadline);
    }

    // ----- entries -----

    pub(crate) fn owner(&mut self, key: Key) -> Option<&mut Owner> {
        self.entries.get_mut(key).map(|entry| &mut entry.owner)
    }

    pub(crate) fn set_owner(&mut self, key: Key, owner: Owner) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.owner = owner;
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Owner> {
        let mut entry = self.entries.remove(key)?;
        self.timers.disarm(&mut entry.timer);
        Some(entry.owner)
    }

    /// Deregisters a socket that is about to be closed.
    pub(crate) fn unwatch(&self, socket: &mut impl Transport) {
        io_model!(deregister);
        // This fails only for a socket that is not registered.
        let _ = self.poll.registry().deregister(socket);
    }
}

impl Batch {
    pub(crate) fn new() -> Self {
        Batch { events: Events::with_capacity(EVENTS), messages: Vec::new() }
    }
}

impl From<Owner> for Entry {
    fn from(owner: Owner) -> Self {
        Entry { owner, timer: Armed::default() }
    }
}

/// Registers a socket under this key. Each socket is registered once.
///
/// # Errors
///
/// The system's, if it refuses.
pub(crate) fn watch(
    registry: &Registry,
    key: Key,
    socket: &mut impl Transport,
) -> io::Result<()> {
    io_model!(register);
    registry.register(socket, token::of(key), INTEREST)
}

fn readiness(event: &Event) -> Readiness {
    let hung_up = event.is_read_closed() || event.is_error();
    Readiness {
        readable: event.is_readable() || hung_up,
        writable: event.is_writable() || event.is_write_closed() || event.is_error(),
        hung_up,
    }
}
