//! The loop: its thread, its machines, and what they share.
//!
//! Its rules:
//! - the loop is made in its own thread, so nothing in it has to be `Send`;
//! - rotor's slab, timers and queue have fixed sizes, so they are derived from the limits of the
//!   configuration; a machine for which there is no slot nevertheless is a failed attempt, no panic;
//! - whatever ends the loop, be it a panic: every caller is answered, and `close` resolves.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::{Arc, mpsc},
    task::Waker,
    thread,
};

use client_core::{Config, Error, Lookups, io_model, tls::TlsSetup};
use rotor::{EventSet, Loop, Machine, Response, Scope, SpawnError, Void};

use crate::{
    bell::Bell,
    client::{Message, Shared},
    connect::{Attempt, Contest, Racer},
    connector::{Connector, Connectors},
    framing::READ_SIZE,
    handshake::Handshake,
    pool::{Pool, Target},
    resolver,
    serving::Serving,
    timer::rest,
    transport::Stream,
};

/// How fine deadlines are, in milliseconds; rotor may be two of these late.
const TICK_MS: u64 = 10;

/// Slots of the timers' wheel: more than one turn of it is no error, only slower.
const WHEEL: usize = 1024;

/// A limit of connections that means "none" still ends here: rotor allocates all slots at once.
const MOST_MACHINES: usize = 1 << 16;

/// What a machine answers.
pub(crate) type Reply = Response<Fsm, Seed>;

/// What all machines share: rotor hands it to each of them in turn.
pub(crate) struct Context {
    pub(crate) config: Arc<Config>,
    pub(crate) pool: Pool,
    pub(crate) resolver: Lookups,
    /// What a user has put in place of resolver, Happy Eyeballs and TCP.
    pub(crate) connector: Option<Arc<dyn Connector>>,
    /// What every connection reads into.
    pub(crate) scratch: Box<[u8]>,
    pub(crate) shared: Arc<Shared>,
    /// The pool's bell.
    bell: Arc<Bell>,
    /// The buffer that the inbox gets in exchange for its own.
    messages: Vec<Message>,
}

/// All machines of the loop.
pub(crate) enum Fsm {
    /// Takes in what callers want, and starts connecting.
    Pool,
    /// Addresses that race.
    Racer(Box<Racer>),
    /// One socket that is connecting.
    Attempt(Box<Attempt>),
    /// A stream that cannot serve yet.
    Handshake(Box<Handshake>),
    /// A connection.
    Serving(Box<Serving>),
    /// What has ended but for a ring that is on its way to it.
    Gone,
}

/// What a new machine is made from.
pub(crate) enum Seed {
    Connect(Target),
    Attempt(Rc<RefCell<Contest>>, usize),
}

impl Machine for Fsm {
    type Context = Context;
    type Seed = Seed;

    fn create(seed: Seed, scope: &mut Scope<'_, Context>) -> Response<Self, Void> {
        match seed {
            Seed::Connect(target) => Racer::create(target, scope),
            Seed::Attempt(contest, number) => Attempt::create(contest, number, scope),
        }
    }

    fn ready(self, events: EventSet, scope: &mut Scope<'_, Context>) -> Reply {
        match self {
            Fsm::Serving(connection) => connection.ready(events, scope),
            Fsm::Attempt(attempt) => attempt.ready(events, scope),
            Fsm::Handshake(handshake) => handshake.ready(events, scope),
            Fsm::Racer(racer) => racer.step(scope),
            Fsm::Pool => pump(scope),
            Fsm::Gone => Response::ok(Fsm::Gone),
        }
    }

    fn spawned(self, scope: &mut Scope<'_, Context>) -> Reply {
        match self {
            Fsm::Pool => spawn_next(scope),
            Fsm::Racer(racer) => racer.step(scope),
            other => other.wakeup(scope),
        }
    }

    fn spawn_error(self, scope: &mut Scope<'_, Context>, error: SpawnError<Seed>) -> Reply {
        match (self, error) {
            (Fsm::Racer(racer), SpawnError::NoSlabSpace(Seed::Attempt(contest, number))) => {
                racer.spawn_failed(&contest, number, scope)
            }
            (machine, SpawnError::NoSlabSpace(Seed::Connect(target))) => {
                let full = io::Error::other("the event loop has no free slot");
                scope.pool.failed(target.slot, Error::io("starting a connection", full));
                machine.spawned(scope)
            }
            (machine, _) => machine.spawned(scope),
        }
    }

    fn timeout(self, scope: &mut Scope<'_, Context>) -> Reply {
        match self {
            Fsm::Pool => pump(scope),
            Fsm::Racer(racer) => racer.step(scope),
            Fsm::Serving(connection) => connection.timeout(scope),
            Fsm::Attempt(attempt) => attempt.woken(),
            Fsm::Handshake(handshake) => handshake.step(scope),
            Fsm::Gone => Response::ok(Fsm::Gone),
        }
    }

    fn wakeup(self, scope: &mut Scope<'_, Context>) -> Reply {
        match self {
            Fsm::Pool => pump(scope),
            Fsm::Racer(racer) => racer.woken(scope),
            Fsm::Attempt(attempt) => attempt.woken(),
            Fsm::Handshake(handshake) => handshake.woken(scope),
            Fsm::Serving(connection) => connection.woken(scope),
            Fsm::Gone => Response::done(),
        }
    }
}

/// The pool's machine: takes in what callers want.
fn pump(scope: &mut Scope<'_, Context>) -> Reply {
    let now = scope.now();
    let context: &mut Context = scope;
    context.bell.heard();
    context.shared.inbox.take(&mut context.messages);
    for message in context.messages.drain(..) {
        match message {
            Message::Request(job) => context.pool.checkout(job, now),
            Message::Cancel(waiter) => context.pool.cancel(waiter),
        }
    }
    context.pool.expire(now);
    if context.shared.inbox.is_closed() {
        context.pool.close();
    }
    context.pool.publish();
    spawn_next(scope)
}

/// Starts connecting for one slot after the other, and ends the loop when all is over.
fn spawn_next(scope: &mut Scope<'_, Context>) -> Reply {
    if let Some(target) = scope.pool.next_target() {
        return Response::spawn(Fsm::Pool, Seed::Connect(target));
    }
    if scope.pool.is_over() {
        scope.shutdown_loop();
    }
    rest(Fsm::Pool, scope.pool.deadline())
}

/// A machine ends, now or when a ring that is on its way has come: a ring for an empty slot would be
/// taken by slab 0.1.3 for a removal, and spoil its list of free slots.
pub(crate) fn end(bell: &Bell) -> Reply {
    if bell.end() { Response::ok(Fsm::Gone) } else { Response::done() }
}

/// Ends the watch over a stream that is about to be closed. A socket's own ends with it; but what a
/// user's stream watches may live on, or be two sockets with an event each in this very turn. So the
/// machine stays for one more ring.
pub(crate) fn unwatch(stream: &Stream, bell: &Bell, scope: &mut Scope<'_, Context>) {
    if let Stream::Other(_) = stream {
        // If it was not watched, there is nothing to end.
        let _ = scope.deregister(stream);
        bell.ring();
    }
}

// ===== The thread =====

/// Starts the loop's thread, and waits until it stands.
pub(crate) fn start(config: Config, connectors: Connectors) -> io::Result<Arc<Shared>> {
    let (started, start) = mpsc::sync_channel(1);
    io_model!(spawn, why = "event loop");
    thread::Builder::new()
        .name("stage1-rotor".into())
        .spawn(move || run(Arc::new(config), connectors, &started))?;
    start.recv().unwrap_or_else(|_| Err(io::Error::other("the event loop did not start")))
}

/// The thread's life.
fn run(
    config: Arc<Config>,
    connectors: Connectors,
    started: &mpsc::SyncSender<io::Result<Arc<Shared>>>,
) {
    let (looping, bell) = match make(&config) {
        Ok(made) => made,
        Err(error) => {
            // Whoever started this thread waits for the word.
            let _ = started.send(Err(error));
            return;
        }
    };
    let tls = TlsSetup::new(config.tls.clone(), connectors.tls_connector);
    let shared = Arc::new(Shared::new(bell.clone(), tls));
    let ending = Ending(shared.clone());
    let resolver = resolver::new(&config);
    let pool = Pool::new(config.clone(), shared.stats.clone(), Waker::from(bell.clone()));
    let context = Context {
        config,
        pool,
        resolver,
        connector: connectors.connector,
        scratch: vec![0; READ_SIZE].into_boxed_slice(),
        shared: shared.clone(),
        bell,
        messages: Vec::new(),
    };
    let _ = started.send(Ok(shared));
    if let Err(error) = looping.run(context) {
        io_model!(close, why = %error);
    }
    drop(ending);
}

/// The loop, with the pool's machine in it, and that machine's bell.
fn make(config: &Config) -> io::Result<(Loop<Fsm>, Arc<Bell>)> {
    let mut looping = Loop::new(&sizes(config))?;
    let mut bell = None;
    let added = looping.add_machine_with(|scope| {
        bell = Some(Bell::new(scope.notifier()));
        Response::ok(Fsm::Pool)
    });
    match (added, bell) {
        (Ok(()), Some(bell)) => Ok((looping, bell)),
        _ => Err(io::Error::other("the event loop has no slot for its first machine")),
    }
}

/// One slot for the pool, and for each connection three: while it is being made, its race, and
/// two attempts. More attempts than that at once need a third silent address.
fn sizes(config: &Config) -> rotor::Config {
    let machines = config.max_total.saturating_mul(3).saturating_add(16).min(MOST_MACHINES);
    let mut sizes = rotor::Config::new();
    sizes.slab_capacity(machines);
    sizes
        .mio()
        .timer_tick_ms(TICK_MS)
        .timer_wheel_size(WHEEL)
        .timer_capacity(machines)
        .notify_capacity(machines * 2)
        .messages_per_tick(machines * 2);
    sizes
}

/// Runs at the end of the thread, be it a panic.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}
