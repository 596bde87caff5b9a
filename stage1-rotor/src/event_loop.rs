//! The event loop: its thread, its machines, and what becomes of a machine that ran.
//!
//! Its rules:
//! - the loop is made in its own thread, so nothing in it has to be `Send`;
//! - rotor's slab, timers and queue have fixed sizes, which are derived from the limits of the
//!   configuration. If a machine still finds no slot, that is a failed attempt, and no panic;
//! - whatever ends the loop, even a panic: every call is completed, and `close` resolves.

use std::{
    io,
    sync::{Arc, mpsc},
    task::Waker,
    thread,
};

use client_core::{Config, Error, io_model, tls::TlsSetup};
use rotor::{EventSet, Loop, Machine, Response, Scope, SpawnError, Void};

use crate::{
    connect::{CandidateMachine, Connecting},
    connector::Connectors,
    framing::READ_SIZE,
    handshake::Handshake,
    machine::{Context, Seed, Transition},
    notifier::Notifier,
    owner::ConnectionMachine,
    pool::Pool,
    resolver,
    shared::{Message, Shared},
    timer::suspend,
};

/// How fine deadlines are, in milliseconds. rotor may be two of these late.
const TICK_MS: u64 = 10;

/// Slots of the timers' wheel. More than one turn of it is no error, only slower.
const WHEEL: usize = 1024;

/// The most machines, even without a limit of connections: rotor allocates all slots at once.
const MOST_MACHINES: usize = 1 << 16;

/// All machines of the loop.
pub(crate) enum Fsm {
    /// Takes requests from the inbox, and starts connecting.
    Pool,
    /// Resolves a name, and starts candidates.
    Connecting(Box<Connecting>),
    /// One socket that is connecting.
    Candidate(Box<CandidateMachine>),
    /// A stream that cannot serve yet.
    Handshake(Box<Handshake>),
    /// A connection.
    Connection(Box<ConnectionMachine>),
    /// A machine that has ended, while a notification to it is on its way.
    Ended,
}

/// What a machine returns to rotor.
type MachineResponse = Response<Fsm, Seed>;

// ===== from rotor to the machines =====

impl Machine for Fsm {
    type Context = Context;
    type Seed = Seed;

    fn create(seed: Seed, scope: &mut Scope<'_, Context>) -> Response<Self, Void> {
        match seed {
            Seed::Connect(target) => {
                let (machine, deadline) = Connecting::create(target, scope);
                suspend(Fsm::Connecting(machine), Some(deadline))
            }
            Seed::Candidate(race, number) => {
                let machine = CandidateMachine::create(race, number, scope);
                suspend(Fsm::Candidate(machine), None)
            }
        }
    }

    fn ready(self, events: EventSet, scope: &mut Scope<'_, Context>) -> MachineResponse {
        match self {
            Fsm::Connection(machine) => {
                machine.ready(events, scope).apply(Fsm::Connection, scope)
            }
            Fsm::Candidate(machine) => {
                machine.ready(events, scope).apply(Fsm::Candidate, scope)
            }
            Fsm::Handshake(machine) => {
                machine.ready(events, scope).apply(Fsm::Handshake, scope)
            }
            Fsm::Connecting(machine) => machine.proceed(scope).apply(Fsm::Connecting, scope),
            Fsm::Pool => take_messages(scope),
            Fsm::Ended => Response::ok(Fsm::Ended),
        }
    }

    fn timeout(self, scope: &mut Scope<'_, Context>) -> MachineResponse {
        match self {
            Fsm::Connection(machine) => machine.timeout(scope).apply(Fsm::Connection, scope),
            Fsm::Candidate(machine) => machine.notified().apply(Fsm::Candidate, scope),
            Fsm::Handshake(machine) => machine.proceed(scope).apply(Fsm::Handshake, scope),
            Fsm::Connecting(machine) => machine.proceed(scope).apply(Fsm::Connecting, scope),
            Fsm::Pool => take_messages(scope),
            Fsm::Ended => Response::ok(Fsm::Ended),
        }
    }

    fn wakeup(self, scope: &mut Scope<'_, Context>) -> MachineResponse {
        match self {
            Fsm::Connection(machine) => machine.notified(scope).apply(Fsm::Connection, scope),
            Fsm::Candidate(machine) => machine.notified().apply(Fsm::Candidate, scope),
            Fsm::Handshake(machine) => machine.notified(scope).apply(Fsm::Handshake, scope),
            Fsm::Connecting(machine) => machine.notified(scope).apply(Fsm::Connecting, scope),
            Fsm::Pool => take_messages(scope),
            Fsm::Ended => Response::done(),
        }
    }

    fn spawned(self, scope: &mut Scope<'_, Context>) -> MachineResponse {
        match self {
            Fsm::Pool => connect_next(scope),
            Fsm::Connecting(machine) => machine.proceed(scope).apply(Fsm::Connecting, scope),
            other => other.wakeup(scope),
        }
    }

    fn spawn_error(
        self,
        scope: &mut Scope<'_, Context>,
        error: SpawnError<Seed>,
    ) -> MachineResponse {
        match (self, error) {
            (
                Fsm::Connecting(machine),
                SpawnError::NoSlabSpace(Seed::Candidate(race, number)),
            ) => machine.not_spawned(&race, number, scope).apply(Fsm::Connecting, scope),
            (machine, SpawnError::NoSlabSpace(Seed::Connect(target))) => {
                let full = io::Error::other("the event loop has no free slot");
                scope.pool.failed(target.slot, Error::io("starting a connection", full));
                machine.spawned(scope)
            }
            (machine, _) => machine.spawned(scope),
        }
    }
}

// ===== from the machines to rotor =====

impl<M> Transition<M> {
    /// Makes a machine what it becomes. `this` is the kind that it has been.
    fn apply(self, this: fn(Box<M>) -> Fsm, scope: &mut Scope<'_, Context>) -> MachineResponse {
        match self {
            Transition::Suspend(machine, deadline) => suspend(this(machine), deadline),
            Transition::Spawn(machine, seed) => Response::spawn(this(machine), seed),
            Transition::Handshake(opened, layer) => {
                Handshake::start(opened, layer, scope).apply(Fsm::Handshake, scope)
            }
            Transition::Connect(opened) => {
                ConnectionMachine::start(opened, scope).apply(Fsm::Connection, scope)
            }
            Transition::EndLater => Response::ok(Fsm::Ended),
            Transition::End => Response::done(),
        }
    }
}

// ===== the pool's machine =====

/// Takes what callers sent.
fn take_messages(scope: &mut Scope<'_, Context>) -> MachineResponse {
    let now = scope.now();
    let context: &mut Context = scope;
    context.notifier.rearm();
    context.shared.inbox.take(&mut context.messages);
    for message in context.messages.drain(..) {
        match message {
            Message::Request(pending) => context.pool.checkout(pending, now),
            Message::Cancel(waiter) => context.pool.cancel(waiter),
        }
    }
    context.pool.expire(now);
    if context.shared.inbox.is_closed() {
        context.pool.close();
    }
    context.pool.publish();
    connect_next(scope)
}

/// Starts connecting for one slot. rotor then calls [`Machine::spawned`], which starts the next.
/// Ends the loop when nothing is left.
fn connect_next(scope: &mut Scope<'_, Context>) -> MachineResponse {
    if let Some(target) = scope.pool.next_target() {
        return Response::spawn(Fsm::Pool, Seed::Connect(target));
    }
    if scope.pool.is_over() {
        scope.shutdown_loop();
    }
    suspend(Fsm::Pool, scope.pool.deadline())
}

// ===== the thread =====

/// Starts the loop's thread, and waits until the loop is made.
pub(crate) fn start(config: Config, connectors: Connectors) -> io::Result<Arc<Shared>> {
    let (started, start) = mpsc::sync_channel(1);
    io_model!(spawn, why = "event loop");
    thread::Builder::new()
        .name("stage1-rotor".into())
        .spawn(move || run(Arc::new(config), connectors, &started))?;
    start.recv().unwrap_or_else(|_| Err(io::Error::other("the event loop did not start")))
}

/// All that the thread does. `started` gets what callers share with the loop.
fn run(
    config: Arc<Config>,
    connectors: Connectors,
    started: &mpsc::SyncSender<io::Result<Arc<Shared>>>,
) {
    let (looping, notifier) = match make(&config) {
        Ok(made) => made,
        Err(error) => {
            // The thread that called `start` waits for this.
            let _ = started.send(Err(error));
            return;
        }
    };
    let tls = TlsSetup::new(config.tls.clone(), connectors.tls_connector);
    let shared = Arc::new(Shared::new(notifier.clone(), tls));
    let ending = EndOnDrop(shared.clone());
    let resolver = resolver::new(&config);
    let pool = Pool::new(config.clone(), shared.stats.clone(), Waker::from(notifier.clone()));
    let context = Context {
        config,
        pool,
        resolver,
        connector: connectors.connector,
        scratch: vec![0; READ_SIZE].into_boxed_slice(),
        shared: shared.clone(),
        notifier,
        messages: Vec::new(),
    };
    let _ = started.send(Ok(shared));
    if let Err(error) = looping.run(context) {
        io_model!(close, why = %error);
    }
    drop(ending);
}

/// The loop with the pool's machine in it, and that machine's notifier.
fn make(config: &Config) -> io::Result<(Loop<Fsm>, Arc<Notifier>)> {
    let mut looping = Loop::new(&sizes(config))?;
    let mut notifier = None;
    let added = looping.add_machine_with(|scope| {
        notifier = Some(Notifier::new(scope.notifier()));
        Response::ok(Fsm::Pool)
    });
    match (added, notifier) {
        (Ok(()), Some(notifier)) => Ok((looping, notifier)),
        _ => Err(io::Error::other("the event loop has no slot for its first machine")),
    }
}

/// One slot for the pool, and three for each connection: while it is made, its machine and two
/// candidates. More candidates than that need a third address that does not answer.
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

/// Notes the end of the thread, even if it panics.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}
