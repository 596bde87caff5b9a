//! Carries out what the pool decides: starts a connection task for each slot, and notifies it.
//!
//! [`client_core::pool::Pool`] makes the decisions. A connection task that is notified runs some time
//! after the decision, so it asks what its slot is to do *now* ([`Order`]).
//!
//! Its rules:
//! - each slot is owned by one task, and goes back to the pool when that task ends, however it ends;
//! - an event and the decisions that follow from it happen under one lock. Tasks are started and
//!   notified, and requests dropped, after the lock is released: wakers and the bodies of requests
//!   are foreign code, which may call the pool.

use std::{
    iter::from_fn,
    sync::{Arc, PoisonError},
};

use client_core::{
    CloseReason, Config, Error, Origin, PoolStats, TimeoutPhase, io_model,
    pool::{self, Action, Limits, SlotId, WaiterId},
};
use tokio::time::Instant;

use crate::{
    connect::Dialer,
    parts::Parts,
    pending::PendingRequest,
    runtime::{self, AbortOnDropHandle, Handle},
    serving,
    sync::{Mutex, MutexGuard, Notify, TaskTracker, TaskTrackerToken},
};

type Policy = pool::Pool<Box<PendingRequest>>;

/// The pool of one client.
pub(crate) struct Pool {
    pub(crate) config: Arc<Config>,
    pub(crate) dialer: Dialer,
    runtime: Handle,
    /// Counts the connection tasks.
    tasks: TaskTracker,
    state: Mutex<State>,
}

struct State {
    policy: Policy,
    /// Wakes the connection task of a slot; by [`SlotId::index`].
    notifiers: Vec<Arc<Notify>>,
}

/// What a connection task does now.
pub(crate) enum Order {
    Serve(Box<PendingRequest>),
    Idle,
    Close(CloseReason),
}

/// What is to be done after the lock is released.
enum Todo {
    /// Start a connection task. The token keeps a runtime of the client's own alive until then.
    Start { slot: Box<Slot>, waiter: WaiterId, _token: TaskTrackerToken },
    /// Let a connection task ask for its order.
    Notify { notifier: Arc<Notify>, why: &'static str },
    /// End the wait of a waiter at its deadline, if it has one.
    Watch { waiter: WaiterId, deadline: Option<Instant> },
}

impl Pool {
    pub(crate) fn new(config: Config, parts: Parts) -> Result<Arc<Self>, Error> {
        let tasks = TaskTracker::new();
        let runtime = runtime::choose(config.runtime, &tasks)?;
        let policy = Policy::new(Limits::from(&config));
        let state = Mutex::new(State { policy, notifiers: Vec::new() });
        let dialer = Dialer::new(&config, parts, runtime.clone());
        Ok(Arc::new(Pool { config: Arc::new(config), dialer, runtime, tasks, state }))
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
        let accepted = self.event(|policy| policy.checkout(&origin, request));
        accepted.map_err(|(_, error)| error)
    }

    /// Takes the request of a waiter back. `None` if a connection serves it, or has served it.
    pub(crate) fn cancel(self: &Arc<Self>, waiter: WaiterId) -> Option<Box<PendingRequest>> {
        self.event(|policy| policy.cancel(waiter))
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.state().policy.stats()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.state().policy.is_closing()
    }

    /// No new requests; idle connections are closed at once.
    pub(crate) fn close(self: &Arc<Self>) {
        self.event(Policy::close);
        self.tasks.close();
    }

    /// Resolves when the pool is closed and its last connection task has ended.
    pub(crate) async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// Reports an event to the policy, and carries out what it decides.
    fn event<T>(self: &Arc<Self>, event: impl FnOnce(&mut Policy) -> T) -> T {
        let mut state = self.state();
        let result = event(&mut state.policy);
        // Most events lead to one action at most, which needs no allocation.
        let first = self.next(&mut state);
        let rest: Vec<_> = match first {
            Some(_) => from_fn(|| self.next(&mut state)).collect(),
            None => Vec::new(),
        };
        drop(state);
        if let Some(todo) = first {
            self.perform(todo);
            rest.into_iter().for_each(|todo| self.perform(todo));
        }
        result
    }

    /// The next action of the policy.
    fn next(self: &Arc<Self>, state: &mut State) -> Option<Todo> {
        loop {
            return Some(match state.policy.poll_action()? {
                Action::Wait { waiter } => {
                    let request = state.policy.request_mut(waiter);
                    Todo::Watch {
                        waiter,
                        deadline: request.and_then(|request| request.deadline),
                    }
                }
                Action::Connect { slot: id, origin, waiter } => {
                    let (pool, notifier) = (self.clone(), state.notifier(id));
                    let slot =
                        Slot { pool, id, origin, notifier, connection: None, live: true };
                    let (slot, _token) = (Box::new(slot), self.tasks.token());
                    Todo::Start { slot, waiter, _token }
                }
                Action::Serve { slot } => state.notify(slot, "reserved"),
                Action::Close { slot, reason } => state.notify(slot, reason.as_str()),
                Action::Abandon { slot } => state.notify(slot, "abandoned"),
                Action::Idle { .. } => continue,
            });
        }
    }

    fn perform(self: &Arc<Self>, todo: Todo) {
        match todo {
            Todo::Start { slot, waiter, _token } => {
                io_model!(spawn, request = waiter.number(), why = "connection task");
                drop(self.runtime.spawn(self.tasks.track_future(serving::run(*slot))));
            }
            Todo::Notify { notifier, why } => {
                io_model!(wake, why);
                notifier.notify_one();
            }
            Todo::Watch { waiter, deadline } => {
                io_model!(wait, request = waiter.number());
                if let Some(deadline) = deadline {
                    self.watch(waiter, deadline);
                }
            }
        }
    }

    /// Starts the task that ends a wait at its deadline. The request keeps the handle, so the task
    /// ends with it.
    fn watch(self: &Arc<Self>, waiter: WaiterId, deadline: Instant) {
        let task = self.runtime.spawn(expire(self.clone(), waiter, deadline));
        let mut expiry = Some(AbortOnDropHandle::new(task));
        if let Some(request) = self.state().policy.request_mut(waiter) {
            std::mem::swap(&mut request.expiry, &mut expiry);
        }
    }

    /// Nothing panics under the lock, and nothing foreign runs there.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn notify(&mut self, slot: SlotId, why: &'static str) -> Todo {
        Todo::Notify { notifier: self.notifier(slot), why }
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

/// Ends a wait at its deadline.
async fn expire(pool: Arc<Pool>, waiter: WaiterId, deadline: Instant) {
    tokio::time::sleep_until(deadline).await;
    if let Some(request) = pool.cancel(waiter) {
        request.fail(Error::timeout(TimeoutPhase::Total, &pool.config));
    }
}

/// The right to hold one connection. The connection task owns it.
pub(crate) struct Slot {
    pool: Arc<Pool>,
    id: SlotId,
    origin: Origin,
    notifier: Arc<Notify>,
    /// The number of the connection, once there is one.
    connection: Option<u64>,
    /// It has not been given back.
    live: bool,
}

impl Slot {
    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.pool.config
    }

    pub(crate) fn dialer(&self) -> &Dialer {
        &self.pool.dialer
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Resolves when no waiter needs the attempt any more.
    pub(crate) async fn abandoned(&self) {
        while self.pool.state().policy.is_to_close(self.id).is_none() {
            self.notifier.notified().await;
        }
    }

    /// The connection is made. Returns its number, and what to do first.
    pub(crate) fn connected(&mut self) -> (u64, Order) {
        let (number, order) = self.event(|policy, id, gone| {
            let number = policy.connected(id);
            (number, order(policy, id, gone))
        });
        self.connection = Some(number);
        (number, order)
    }

    /// The attempt failed. If it found no file descriptor, the pool may close something and start
    /// another task for this slot. Otherwise the waiter gets the error, if it still waits.
    pub(crate) fn connect_failed(mut self, error: Error) {
        self.live = false;
        let failed = self.event(|policy, id, _| {
            match error.is_out_of_descriptors() && policy.out_of_descriptors(id) {
                true => None,
                false => policy.connect_failed(id),
            }
        });
        if let Some(request) = failed {
            request.fail(error);
        }
    }

    /// The exchange is over, and the connection can serve another. Returns what to do next.
    pub(crate) fn checkin(&self) -> Order {
        let order = self.event(|policy, id, gone| {
            policy.checkin(id);
            order(policy, id, gone)
        });
        if let Order::Idle = order {
            io_model!(checkin, connection = self.connection, why = "idle");
        }
        order
    }

    /// What an idle connection has to do now.
    pub(crate) fn order(&self) -> Order {
        self.event(order)
    }

    /// Resolves when there may be a new order.
    pub(crate) async fn notified(&self) {
        self.notifier.notified().await;
    }

    /// The connection was stale, and is closed. The request becomes a waiter again, which gets a
    /// fresh connection. If its caller has gone, the request is dropped. A caller that goes later
    /// finds it in the pool, since both sides act under the lock.
    pub(crate) fn retry(mut self, request: Box<PendingRequest>, reason: CloseReason) {
        io_model!(retry, connection = self.connection, why = reason.as_str());
        self.live = false;
        self.event(|policy, id, gone| match request.caller.is_gone() {
            false => policy.retry(id, request, reason),
            true => {
                gone.push(*request);
                policy.closed(id, reason);
            }
        });
    }

    /// The connection is closed.
    pub(crate) fn closed(mut self, reason: CloseReason) {
        io_model!(close, connection = self.connection, why = reason.as_str());
        self.live = false;
        self.event(|policy, id, _| policy.closed(id, reason));
    }

    /// Reports an event of this slot. Requests that the event puts into `gone` are dropped after
    /// the lock is released.
    fn event<T>(
        &self,
        event: impl FnOnce(&mut Policy, SlotId, &mut Vec<PendingRequest>) -> T,
    ) -> T {
        let mut gone = Vec::new();
        self.pool.event(|policy| event(policy, self.id, &mut gone))
    }
}

/// What a slot has to do now. Skips requests whose callers have gone.
fn order(policy: &mut Policy, id: SlotId, gone: &mut Vec<PendingRequest>) -> Order {
    while let Some((waiter, mut request)) = policy.take(id) {
        if !request.caller.is_gone() {
            policy.begin(id);
            request.caller.number = waiter.number();
            return Order::Serve(request);
        }
        gone.push(*request);
        policy.checkin(id);
    }
    policy.is_to_close(id).map_or(Order::Idle, Order::Close)
}

/// A slot that was not given back belonged to a task that panicked, or whose runtime was shut down.
/// Then the client serves nobody any more. Dropping a request tells its caller.
impl Drop for Slot {
    fn drop(&mut self) {
        if !self.live {
            return;
        }
        let connected = self.connection.is_some();
        self.event(|policy, id, gone| {
            policy.close();
            // First, so that giving the slot back starts no task where none can run.
            for waiter in policy.waiters() {
                gone.extend(policy.cancel(waiter).map(|request| *request));
            }
            match connected {
                true => policy.closed(id, CloseReason::ClientClosed),
                false => _ = policy.connect_failed(id),
            }
        });
        self.pool.tasks.close();
    }
}
