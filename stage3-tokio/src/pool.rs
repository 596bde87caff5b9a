//! Carries out what the pool decides: starts a connection task for each slot, and notifies it.
//!
//! [`client_core::pool::Pool`], here called the policy, makes the decisions. A connection task runs
//! some time after it was notified, and other decisions may have followed. So a notification
//! carries no order: the task asks what its slot has to do *now* ([`Order`]).
//!
//! Its rules:
//! - one task owns each slot. The slot goes back to the pool when that task ends, however it ends;
//! - a connection is *reserved* from the decision that it serves a waiter until its task takes the
//!   request. If it dies in between, it is closed like an idle one ([`Slot::closed`]), and the policy
//!   returns the waiter to its old place. If it dies later, the task gives the request back, to be
//!   sent again ([`Slot::retry`]), or the request fails;
//! - a caller that leaves takes its request out of the pool ([`Pool::cancel`]). If a connection task
//!   has taken the request already, the exchange notices that the caller has left;
//! - an event and its decisions happen under one lock. Tasks are started and notified, and
//!   requests dropped, after the lock is released: that runs foreign code, such as wakers and the
//!   owners of bodies, which may call the pool.

use std::{
    iter::from_fn,
    mem,
    sync::{Arc, PoisonError},
};

use client_core::{
    CloseReason, Config, Error, Origin, PoolStats, TimeoutPhase, io_model,
    pool::{self, Action, Limits, SlotId, WaiterId},
};
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::{
    connect::ConnectSetup,
    connector::Connectors,
    pending::PendingRequest,
    runtime::{self, AbortOnDropHandle, Handle, RuntimeChoice},
    sync::{Mutex, MutexGuard, Notify, TaskTracker},
};

type Policy = pool::Pool<Box<PendingRequest>>;

/// The pool of one client.
pub(crate) struct Pool {
    pub(crate) config: Arc<Config>,
    pub(crate) setup: ConnectSetup,
    /// Makes the connection task of a slot.
    connection_task: fn(Slot) -> BoxFuture<'static, ()>,
    runtime: Handle,
    /// Counts the connection tasks.
    tasks: TaskTracker,
    state: Mutex<State>,
}

struct State {
    policy: Policy,
    /// Wakes the connection task of a slot; by [`SlotId::index`].
    notifiers: Vec<Arc<Notify>>,
    /// Requests whose callers left. They are dropped after the lock is released.
    cancelled: Vec<PendingRequest>,
}

/// What a slot has to do now.
pub(crate) enum Order {
    Serve(Box<PendingRequest>),
    Idle,
    Close(CloseReason),
}

/// What is done after the lock is released.
enum Deferred {
    /// Start a connection task.
    Start { task: BoxFuture<'static, ()>, waiter: WaiterId },
    /// Wake a connection task, which asks for its order.
    Notify { notifier: Arc<Notify>, why: &'static str },
    /// End the wait of a waiter at its deadline, if it has one.
    Watch { waiter: WaiterId, deadline: Option<Instant> },
}

impl Pool {
    pub(crate) fn new(
        runtime: RuntimeChoice,
        config: Config,
        connectors: Connectors,
        connection_task: fn(Slot) -> BoxFuture<'static, ()>,
    ) -> Result<Arc<Self>, Error> {
        let tasks = TaskTracker::new();
        let runtime = runtime::choose(runtime, &tasks)?;
        let policy = Policy::new(Limits::from(&config));
        let (notifiers, cancelled) = (Vec::new(), Vec::new());
        let state = Mutex::new(State { policy, notifiers, cancelled });
        let setup = ConnectSetup::new(&config, connectors, runtime.clone());
        let config = Arc::new(config);
        Ok(Arc::new(Pool { config, setup, connection_task, runtime, tasks, state }))
    }

    /// Asks for a connection.
    ///
    /// # Errors
    ///
    /// [`Error::ShutDown`] and [`Error::PoolBusy`].
    pub(crate) fn checkout(
        self: &Arc<Self>,
        request: Box<PendingRequest>,
    ) -> Result<WaiterId, Error> {
        let origin = request.outgoing.origin.clone();
        let accepted = self.event(|state| state.policy.checkout(&origin, request));
        accepted.map_err(|(_, error)| error)
    }

    /// Takes the request of a waiter back. `None` if a connection serves it, or has served it.
    pub(crate) fn cancel(self: &Arc<Self>, waiter: WaiterId) -> Option<Box<PendingRequest>> {
        self.event(|state| state.policy.cancel(waiter))
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.state().policy.stats()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.state().policy.is_closing()
    }

    /// Accepts no more requests, and closes idle connections at once.
    pub(crate) fn close(self: &Arc<Self>) {
        self.event(|state| state.policy.close());
        self.tasks.close();
    }

    /// Resolves when the pool is closed and its last connection task has ended.
    pub(crate) async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// Reports an event to the policy, and carries out what it decides. Returns what the event
    /// returns.
    fn event<T>(self: &Arc<Self>, event: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = event(&mut state);
        let cancelled = mem::take(&mut state.cancelled);
        // Most events lead to one action at most, which needs no allocation.
        let first = self.next(&mut state);
        let rest: Vec<_> = from_fn(|| self.next(&mut state)).collect();
        drop(state);
        drop(cancelled);
        first.into_iter().chain(rest).for_each(|deferred| self.perform(deferred));
        result
    }

    /// What is to be done for the next action of the policy. `None` if there is no other.
    fn next(self: &Arc<Self>, state: &mut State) -> Option<Deferred> {
        loop {
            let deferred = match state.policy.poll_action()? {
                Action::Wait { waiter } => {
                    let request = state.policy.request_mut(waiter);
                    let deadline = request.and_then(|request| request.deadline);
                    Deferred::Watch { waiter, deadline }
                }
                Action::Connect { slot: id, origin, waiter } => {
                    let (pool, notifier) = (self.clone(), state.notifier(id));
                    let slot =
                        Slot { pool, id, origin, notifier, connection: None, held: true };
                    // Tracked from now on, so that the runtime does not end before it is started.
                    let task = Box::pin(self.tasks.track_future((self.connection_task)(slot)));
                    Deferred::Start { task, waiter }
                }
                Action::Serve { slot } => state.notify(slot, "reserved"),
                Action::Close { slot, reason } => state.notify(slot, reason.as_str()),
                Action::Abandon { slot } => state.notify(slot, "abandoned"),
                // No notification: a task without another order watches its idle connection.
                Action::Idle { .. } => continue,
            };
            return Some(deferred);
        }
    }

    fn perform(self: &Arc<Self>, deferred: Deferred) {
        match deferred {
            Deferred::Start { task, waiter } => {
                io_model!(spawn, request = waiter.number(), why = "connection task");
                drop(self.runtime.spawn(task));
            }
            Deferred::Notify { notifier, why } => {
                io_model!(wake, why);
                notifier.notify_one();
            }
            Deferred::Watch { waiter, deadline } => {
                io_model!(wait, request = waiter.number());
                if let Some(deadline) = deadline {
                    self.watch(waiter, deadline);
                }
            }
        }
    }

    /// Starts the task that ends a wait at its deadline, whether or not the caller's future is
    /// polled. The request keeps the handle, so the task ends with it.
    fn watch(self: &Arc<Self>, waiter: WaiterId, deadline: Instant) {
        let pool = self.clone();
        let task = self.runtime.spawn(async move {
            tokio::time::sleep_until(deadline).await;
            if let Some(request) = pool.cancel(waiter) {
                request.complete(Err(Error::timeout(TimeoutPhase::Total, &pool.config)));
            }
        });
        let mut expiry = Some(AbortOnDropHandle::new(task));
        if let Some(request) = self.state().policy.request_mut(waiter) {
            // Swapped, so that an old handle is dropped after the lock is released.
            mem::swap(&mut request.expiry, &mut expiry);
        }
    }

    /// The lock. What runs under it does not panic, and is not foreign code: `connection_task` only
    /// builds a future there, and nothing of that runs before it is spawned.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What a slot has to do now. Skips requests whose callers have left.
    fn order(&mut self, slot: SlotId) -> Order {
        while let Some((waiter, mut request)) = self.policy.take(slot) {
            if !request.responder.is_cancelled() {
                self.policy.begin(slot);
                request.number = waiter.number();
                return Order::Serve(request);
            }
            self.cancelled.push(*request);
            self.policy.checkin(slot);
        }
        self.policy.is_to_close(slot).map_or(Order::Idle, Order::Close)
    }

    fn notify(&mut self, slot: SlotId, why: &'static str) -> Deferred {
        Deferred::Notify { notifier: self.notifier(slot), why }
    }

    /// The notifier of a slot. Slots that follow each other at the same index share one. A
    /// notification that is left over makes a task ask once more for its order, which is harmless.
    fn notifier(&mut self, slot: SlotId) -> Arc<Notify> {
        if self.notifiers.len() <= slot.index() {
            self.notifiers.resize_with(slot.index() + 1, || Arc::new(Notify::new()));
        }
        self.notifiers[slot.index()].clone()
    }
}

/// The right to hold one connection. The connection task owns it.
pub(crate) struct Slot {
    pub(crate) pool: Arc<Pool>,
    pub(crate) origin: Origin,
    /// Notified when there may be a new order.
    pub(crate) notifier: Arc<Notify>,
    id: SlotId,
    /// The number of the connection, once there is one.
    connection: Option<u64>,
    /// It has not been given back to the pool.
    held: bool,
}

impl Slot {
    /// Resolves when no waiter needs the attempt any more.
    pub(crate) async fn abandoned(&self) {
        while self.pool.state().policy.is_to_close(self.id).is_none() {
            self.notifier.notified().await;
        }
    }

    /// The connection is made. Returns its number, and what to do first.
    pub(crate) fn connected(&mut self) -> (u64, Order) {
        let id = self.id;
        let (number, order) =
            self.pool.event(|state| (state.policy.connected(id), state.order(id)));
        self.connection = Some(number);
        (number, order)
    }

    /// The attempt failed. If it found no file descriptor, the pool may close something and start
    /// another task for this slot. Otherwise the waiter gets the error, if it still waits.
    pub(crate) fn connect_failed(mut self, error: Error) {
        self.held = false;
        let failed = self.pool.event(|State { policy, .. }| {
            if error.is_out_of_descriptors() && policy.out_of_descriptors(self.id) {
                return None;
            }
            policy.connect_failed(self.id)
        });
        if let Some(request) = failed {
            request.complete(Err(error));
        }
    }

    /// The exchange is over, and the connection can serve another. Returns what to do next.
    pub(crate) fn checkin(&self) -> Order {
        let order = self.pool.event(|state| {
            state.policy.checkin(self.id);
            state.order(self.id)
        });
        if let Order::Idle = order {
            io_model!(checkin, connection = self.connection, why = "idle");
        }
        order
    }

    /// What an idle connection has to do now.
    pub(crate) fn order(&self) -> Order {
        self.pool.event(|state| state.order(self.id))
    }

    /// The connection was stale, and is closed. The request becomes a waiter again, which gets a
    /// fresh connection. If its caller has left, the request is dropped. A caller that leaves later
    /// finds it in the pool, since both sides act under the lock.
    pub(crate) fn retry(mut self, request: Box<PendingRequest>, reason: CloseReason) {
        let number = request.number;
        io_model!(retry, request = number, connection = self.connection, why = reason.as_str());
        self.held = false;
        self.pool.event(|state| {
            if request.responder.is_cancelled() {
                state.cancelled.push(*request);
                state.policy.closed(self.id, reason);
            } else {
                state.policy.retry(self.id, request, reason);
            }
        });
    }

    /// The connection is closed.
    pub(crate) fn closed(mut self, reason: CloseReason) {
        io_model!(close, connection = self.connection, why = reason.as_str());
        self.held = false;
        self.pool.event(|state| state.policy.closed(self.id, reason));
    }
}

/// A slot that was not given back belonged to a task that panicked, or whose runtime was shut down.
/// The client is closed then, and the waiters are dropped: each caller gets [`Error::ShutDown`].
impl Drop for Slot {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        self.pool.event(|State { policy, cancelled, .. }| {
            policy.close();
            // First, so that giving the slot back starts no task where none can run.
            for waiter in policy.waiters() {
                cancelled.extend(policy.cancel(waiter).map(|request| *request));
            }
            match self.connection {
                Some(_) => policy.closed(self.id, CloseReason::ClientClosed),
                None => _ = policy.connect_failed(self.id),
            }
        });
        self.pool.tasks.close();
    }
}
