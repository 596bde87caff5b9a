//! Carries out what the pool decides: starts a task for each slot, and notifies it.
//!
//! The decisions are [`client_core::pool::Pool`]'s. A notified task runs later than the decision
//! was made, so it asks what its slot is to do *now* ([`Order`]).
//!
//! Its rules:
//! - each slot is owned by one task, and given back when that task ends, however it ends;
//! - an event and the decisions that follow from it happen under one lock. Tasks are started and
//!   notified, and requests dropped, after the lock is released.

use std::sync::{Arc, PoisonError};

use client_core::{
    CloseReason, Config, Error, Origin, PoolStats, TimeoutPhase, io_model,
    pool::{self, Action, Limits, SlotId, WaiterId},
};
use tokio::time::Instant;

use crate::{
    connect::Links,
    connection::timed_out,
    job::Job,
    parts::Parts,
    runtime::{self, AbortOnDropHandle, Handle},
    serving,
    sync::{Mutex, MutexGuard, Notify, TaskTracker, TaskTrackerToken},
};

type Policy = pool::Pool<Box<Job>>;

/// The pool of one client.
pub(crate) struct Pool {
    pub(crate) config: Arc<Config>,
    pub(crate) links: Links,
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
    Serve(Box<Job>),
    Idle,
    Close(CloseReason),
}

/// What is to be done after the lock is released.
enum Todo {
    /// Start a connection task. The token keeps the client's own runtime alive until then.
    Start {
        id: SlotId,
        origin: Origin,
        waiter: WaiterId,
        notifier: Arc<Notify>,
        _token: TaskTrackerToken,
    },
    Notify {
        notifier: Arc<Notify>,
        why: &'static str,
    },
    /// End the wait at its deadline, if it has one.
    Watch {
        waiter: WaiterId,
        deadline: Option<Instant>,
    },
}

impl Pool {
    pub(crate) fn new(config: Config, parts: Parts) -> Result<Arc<Self>, Error> {
        let tasks = TaskTracker::new();
        let runtime = runtime::choose(config.runtime, &tasks)?;
        let policy = Policy::new(Limits::from(&config));
        let state = Mutex::new(State { policy, notifiers: Vec::new() });
        let links = Links::new(&config, parts, runtime.clone());
        Ok(Arc::new(Pool { config: Arc::new(config), links, runtime, tasks, state }))
    }

    /// Makes a request a waiter.
    ///
    /// # Errors
    ///
    /// [`Error::ShutDown`] and [`Error::PoolBusy`].
    pub(crate) fn checkout(self: &Arc<Self>, job: Box<Job>) -> Result<WaiterId, Error> {
        let origin = job.outgoing.origin.clone();
        let accepted = self.event(None, |policy| policy.checkout(&origin, job));
        accepted.map_err(|(_, error)| error)
    }

    /// The request of a waiter that gives up. `None` if it is being served, or was.
    pub(crate) fn cancel(self: &Arc<Self>, waiter: WaiterId) -> Option<Box<Job>> {
        self.event(None, |policy| policy.cancel(waiter))
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.state().policy.stats()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.state().policy.is_closing()
    }

    /// No new requests; idle connections are closed at once.
    pub(crate) fn close(self: &Arc<Self>) {
        self.event(None, Policy::close);
        self.tasks.close();
    }

    /// Resolves when the pool is closed and its last connection task has ended.
    pub(crate) async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// Reports an event, and carries out what the policy decides. `own` is the slot of the task
    /// that reports: it asks for its order itself.
    fn event<T>(
        self: &Arc<Self>,
        own: Option<SlotId>,
        event: impl FnOnce(&mut Policy) -> T,
    ) -> T {
        let mut state = self.state();
        let result = event(&mut state.policy);
        let todo = state.decided(own, &self.tasks);
        drop(state);
        todo.into_iter().for_each(|todo| self.perform(todo));
        result
    }

    fn perform(self: &Arc<Self>, todo: Todo) {
        match todo {
            Todo::Start { id, origin, waiter, notifier, _token } => {
                io_model!(spawn, request = waiter.number(), why = "connection task");
                let pool = self.clone();
                let slot = Slot { pool, id, origin, notifier, connection: None, live: true };
                drop(self.runtime.spawn(self.tasks.track_future(serving::run(slot))));
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

    /// Starts the task that ends a wait at its deadline. It ends with the request.
    fn watch(self: &Arc<Self>, waiter: WaiterId, deadline: Instant) {
        let task = self.runtime.spawn(expire(self.clone(), waiter, deadline));
        let mut expiry = Some(AbortOnDropHandle::new(task));
        if let Some(job) = self.state().policy.request_mut(waiter) {
            std::mem::swap(&mut job.expiry, &mut expiry);
        }
    }

    /// Nothing panics under the lock, and nothing foreign runs there.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What the policy has decided. Nothing for the slot `own` itself.
    fn decided(&mut self, own: Option<SlotId>, tasks: &TaskTracker) -> Vec<Todo> {
        let mut todo = Vec::new();
        while let Some(action) = self.policy.poll_action() {
            todo.extend(match action {
                Action::Wait { waiter } => {
                    let job = self.policy.request_mut(waiter);
                    Some(Todo::Watch { waiter, deadline: job.and_then(|job| job.deadline) })
                }
                Action::Connect { slot: id, origin, waiter } => {
                    let (notifier, _token) = (self.notifier(id), tasks.token());
                    Some(Todo::Start { id, origin, waiter, notifier, _token })
                }
                Action::Serve { slot } => self.notify(slot, own, "reserved"),
                Action::Close { slot, reason } => self.notify(slot, own, reason.as_str()),
                Action::Abandon { slot } => self.notify(slot, own, "abandoned"),
                Action::Idle { .. } => None,
            });
        }
        todo
    }

    fn notify(&mut self, slot: SlotId, own: Option<SlotId>, why: &'static str) -> Option<Todo> {
        (own != Some(slot)).then(|| Todo::Notify { notifier: self.notifier(slot), why })
    }

    /// A later slot of the same index takes it over. A notification that it inherits makes its
    /// task look once more, and changes nothing.
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
    if let Some(job) = pool.cancel(waiter) {
        job.fail(timed_out(TimeoutPhase::Total, &pool.config));
    }
}

/// The right to hold one connection. Its task owns it.
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

    pub(crate) fn links(&self) -> &Links {
        &self.pool.links
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Resolves when the connection that is being made is no longer wanted.
    pub(crate) async fn abandoned(&self) {
        while self.pool.state().policy.is_to_close(self.id).is_none() {
            self.notifier.notified().await;
        }
    }

    /// The connection is made. Its number, and what its task does first.
    pub(crate) fn connected(&mut self) -> (u64, Order) {
        let (number, order) = self.event(|policy, id, gone| {
            let number = policy.connected(id);
            (number, order(policy, id, gone))
        });
        self.connection = Some(number);
        (number, order)
    }

    /// The connection is not made. If that was for want of a descriptor, the pool may have one
    /// closed and start another task for this slot. Otherwise its waiter gets the error, if it
    /// still waits.
    pub(crate) fn connect_failed(mut self, error: Error) {
        self.live = false;
        let failed = self.event(|policy, id, _| {
            match error.is_out_of_descriptors() && policy.out_of_descriptors(id) {
                true => None,
                false => policy.connect_failed(id),
            }
        });
        if let Some(job) = failed {
            job.fail(error);
        }
    }

    /// The connection could serve another exchange. What its task does next.
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

    /// What the task of an idle connection does now.
    pub(crate) fn order(&self) -> Order {
        self.event(order)
    }

    /// Resolves when there may be a new order.
    pub(crate) async fn notified(&self) {
        self.notifier.notified().await;
    }

    /// The connection was stale and is closed. Its request gets a fresh one, unless its caller has
    /// gone: one that goes later finds it among the waiters.
    pub(crate) fn retry(mut self, job: Box<Job>, reason: CloseReason) {
        io_model!(retry, connection = self.connection, why = reason.as_str());
        self.live = false;
        self.event(|policy, id, gone| match job.is_cancelled() {
            false => policy.retry(id, job, reason),
            true => {
                gone.push(*job);
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

    /// Reports an event of this slot. The requests that it leaves to `gone` are dropped after the
    /// lock is released.
    fn event<T>(&self, event: impl FnOnce(&mut Policy, SlotId, &mut Vec<Job>) -> T) -> T {
        let mut gone = Vec::new();
        self.pool.event(Some(self.id), |policy| event(policy, self.id, &mut gone))
    }
}

/// What the task of a slot does now. Requests whose callers have gone are passed over.
fn order(policy: &mut Policy, id: SlotId, gone: &mut Vec<Job>) -> Order {
    while let Some((waiter, mut job)) = policy.take(id) {
        if !job.is_cancelled() {
            policy.begin(id);
            job.number = waiter.number();
            return Order::Serve(job);
        }
        gone.push(*job);
        policy.checkin(id);
    }
    policy.is_to_close(id).map_or(Order::Idle, Order::Close)
}

/// The task panicked, or its runtime was shut down. So no waiter can be served any more: dropping
/// its request tells its caller.
impl Drop for Slot {
    fn drop(&mut self) {
        if !self.live {
            return;
        }
        let connected = self.connection.is_some();
        self.event(|policy, id, gone| {
            policy.close();
            // Before the slot is given back, so that no task is started where none can run.
            for waiter in policy.waiters() {
                gone.extend(policy.cancel(waiter).map(|job| *job));
            }
            match connected {
                true => policy.closed(id, CloseReason::ClientClosed),
                false => _ = policy.connect_failed(id),
            }
        });
        self.pool.tasks.close();
    }
}
