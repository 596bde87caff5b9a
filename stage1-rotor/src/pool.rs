//! Carries out what the pool's policy decides: starts connecting, wakes machines, watches deadlines.
//!
//! Who gets which connection, who waits and what is closed is decided by
//! [`client_core::pool::Pool`], the same in all stages. Here is what rotor adds: a machine cannot
//! call another machine, it can only wake it. One turn of the loop lies between a decision and the
//! machine that acts on it, and the decision may change in between.
//!
//! Its rules:
//! - the request stays in the policy until a machine comes for it. A machine that was woken asks
//!   what it is to do *now* ([`Pool::command`]), so a wakeup carries nothing and may be stale;
//! - a machine whose report caused a decision about its own slot is not woken: it asks anyway;
//! - only the pool's machine starts connecting, since a machine that ends cannot spawn another one;
//! - the policy knows of an event, and its numbers are published, before a caller or a peer can
//!   notice the event.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
};

use client_core::{
    CloseReason, Config, Error, Origin, PoolStats, TimeoutPhase, io_model,
    pool::{self as policy, Action, Limits, SlotId, WaiterId},
};
use rotor::Time;

use crate::{
    call::{Holder, Job, Ticket},
    timer::{after, passed},
};

/// The pool of one client, in the context that all machines share.
pub(crate) struct Pool {
    config: Arc<Config>,
    policy: policy::Pool<Job>,
    /// By [`SlotId::index`].
    slots: Vec<Slot>,
    /// The total timeouts of the requests that wait.
    deadlines: BTreeMap<(Time, Ticket), WaiterId>,
    /// Slots for which connecting has yet to be started.
    targets: VecDeque<Target>,
    /// What `Client::stats` shows.
    published: Arc<Mutex<PoolStats>>,
    /// Wakes the pool's machine.
    waker: Waker,
}

/// How a slot's machine is reached.
#[derive(Clone, Default)]
struct Slot {
    /// None until connecting has a machine.
    waker: Option<Waker>,
    /// The connection's number; 0 until it is connected.
    connection: u64,
}

/// What to connect to.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) slot: SlotId,
    pub(crate) origin: Origin,
    /// The request that it is made for, as the recordings name it.
    pub(crate) request: Option<Ticket>,
}

/// What the machine of a connection is to do.
pub(crate) enum Command {
    /// Serve this request. `reused`: the connection has carried an exchange before.
    Serve {
        job: Job,
        reused: bool,
    },
    /// Be idle, or whatever else it is doing.
    Nothing,
    Close(CloseReason),
}

// ===== impl Pool: requests =====

impl Pool {
    pub(crate) fn new(
        config: Arc<Config>,
        published: Arc<Mutex<PoolStats>>,
        waker: Waker,
    ) -> Self {
        Pool {
            policy: policy::Pool::new(Limits::from(&*config)),
            config,
            slots: Vec::new(),
            deadlines: BTreeMap::new(),
            targets: VecDeque::new(),
            published,
            waker,
        }
    }

    /// A request asks for a connection.
    pub(crate) fn checkout(&mut self, mut job: Job, now: Time) {
        if job.is_gone() {
            return;
        }
        job.deadline = self.config.total_timeout.map(|total| after(now, total));
        let call = job.call().clone();
        let refused = self.policy.checkout(&call.outgoing.origin, job).err();
        self.carry_out(None);
        if let Some((job, error)) = refused {
            self.publish();
            job.answer(Err(error));
        }
    }

    /// The caller of a waiter has given up.
    pub(crate) fn cancel(&mut self, waiter: WaiterId) {
        if let Some(job) = self.policy.cancel(waiter) {
            io_model!(cancel, request = job.ticket());
            self.unwatch(&job);
            self.carry_out(None);
        }
    }

    /// Answers the waiters whose total timeout has passed.
    pub(crate) fn expire(&mut self, now: Time) {
        while passed(self.deadline(), now)
            && let Some((_, waiter)) = self.deadlines.pop_first()
        {
            let Some(job) = self.policy.cancel(waiter) else { continue };
            io_model!(timer, request = job.ticket(), why = "total");
            self.carry_out(None);
            self.publish();
            let after = self.config.total_timeout.unwrap_or_default();
            job.answer(Err(Error::Timeout { phase: TimeoutPhase::Total, after }));
        }
    }

    /// When [`Pool::expire`] has to be called.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadlines.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Accepts no more requests. Idle connections close now, the others when they are free.
    pub(crate) fn close(&mut self) {
        if !self.policy.is_closing() {
            self.policy.close();
            self.carry_out(None);
        }
    }

    /// Whether the client is closed and nothing is left.
    pub(crate) fn is_over(&self) -> bool {
        self.policy.is_over()
    }

    /// Shows `Client::stats` the present.
    pub(crate) fn publish(&self) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        *published = self.policy.stats();
    }
}

// ===== impl Pool: connecting =====

impl Pool {
    /// What connecting is to be started for next.
    pub(crate) fn next_target(&mut self) -> Option<Target> {
        loop {
            let target = self.targets.pop_front()?;
            if self.is_wanted(target.slot) {
                return Some(target);
            }
            self.policy.connect_failed(target.slot);
            self.carry_out(None);
        }
    }

    /// Which machine has a slot: connecting begins, or goes on in another machine.
    pub(crate) fn held_by(&mut self, slot: SlotId, waker: Waker) {
        self.slots[slot.index()].waker = Some(waker);
    }

    /// Whether connecting is to go on.
    pub(crate) fn is_wanted(&self, slot: SlotId) -> bool {
        self.policy.is_to_close(slot).is_none()
    }

    /// There is a connection. Its number, and what it is to do first.
    pub(crate) fn connected(&mut self, slot: SlotId, waker: Waker) -> (u64, Command) {
        let connection = self.policy.connected(slot);
        self.slots[slot.index()] = Slot { waker: Some(waker), connection };
        (connection, self.command(slot))
    }

    /// Connecting has failed. The error goes to the waiter that the connection was for, if that
    /// still waits, and to no other. If there was no descriptor left, the policy may start connecting
    /// for the slot again.
    pub(crate) fn failed(&mut self, slot: SlotId, error: Error) {
        if error.is_out_of_descriptors() && self.policy.out_of_descriptors(slot) {
            self.carry_out(Some(slot));
            self.publish();
            return;
        }
        let job = self.policy.connect_failed(slot);
        job.iter().for_each(|job| self.unwatch(job));
        self.carry_out(Some(slot));
        self.publish();
        if let Some(job) = job {
            job.answer(Err(error));
        }
    }
}

// ===== impl Pool: connections =====

impl Pool {
    /// An exchange is over, and its connection could carry another one. What it is to do.
    pub(crate) fn checkin(&mut self, slot: SlotId) -> Command {
        self.policy.checkin(slot);
        self.command(slot)
    }

    /// What a connection that serves nobody is to do now, whatever it was woken for.
    pub(crate) fn command(&mut self, slot: SlotId) -> Command {
        loop {
            self.carry_out(Some(slot));
            let Some((_, job)) = self.policy.take(slot) else { break };
            self.unwatch(&job);
            let Slot { waker, connection } = &self.slots[slot.index()];
            if waker.clone().is_some_and(|waker| job.hold(Holder::Machine(waker))) {
                io_model!(checkout, request = job.ticket(), connection);
                return Command::Serve { job, reused: self.policy.begin(slot) };
            }
            self.policy.checkin(slot);
        }
        match self.policy.is_to_close(slot) {
            Some(reason) => Command::Close(reason),
            None => Command::Nothing,
        }
    }

    /// Whether a connection is in the middle of an exchange.
    pub(crate) fn is_in_use(&self, slot: SlotId) -> bool {
        self.policy.is_in_use(slot)
    }

    /// A connection ends in this turn, for this reason unless the policy had one before. `again` is
    /// a request that is to be sent once more, on a fresh connection in the same slot.
    pub(crate) fn closed(&mut self, slot: SlotId, reason: CloseReason, again: Option<Job>) {
        let reason = self.policy.is_to_close(slot).unwrap_or(reason);
        let connection = self.slots[slot.index()].connection;
        io_model!(close, connection, why = reason.as_str());
        match again.filter(|job| !job.is_gone()) {
            Some(job) => self.policy.retry(slot, job, reason),
            None => self.policy.closed(slot, reason),
        }
        self.carry_out(Some(slot));
    }
}

// ===== impl Pool: decisions =====

impl Pool {
    /// Carries out what the policy has decided. `own` is the slot whose machine is running; none:
    /// it is the pool's machine.
    fn carry_out(&mut self, own: Option<SlotId>) {
        let mut concerns_pool = false;
        while let Some(action) = self.policy.poll_action() {
            match action {
                Action::Wait { waiter } => {
                    concerns_pool = true;
                    self.watch(waiter);
                }
                Action::Connect { slot, origin, waiter } => {
                    concerns_pool = true;
                    self.connect(slot, origin, waiter);
                }
                Action::Serve { slot }
                | Action::Abandon { slot }
                | Action::Close { slot, .. } => {
                    if own != Some(slot) {
                        self.wake(slot);
                    }
                }
                Action::Idle { slot } => {
                    io_model!(checkin, connection = self.slots[slot.index()].connection);
                }
            }
        }
        if own.is_some() && (concerns_pool || self.policy.is_over()) {
            self.waker.wake_by_ref();
        }
    }

    /// A request has to wait: its caller may give up and its time may pass meanwhile.
    fn watch(&mut self, waiter: WaiterId) {
        let Some(job) = self.policy.request_mut(waiter) else { return };
        if !job.hold(Holder::Pool(waiter)) {
            self.policy.cancel(waiter);
            return;
        }
        io_model!(wait, request = job.ticket());
        if let Some(deadline) = job.deadline {
            self.deadlines.insert((deadline, job.ticket()), waiter);
        }
    }

    /// A request waits no longer.
    fn unwatch(&mut self, job: &Job) {
        if let Some(deadline) = job.deadline {
            self.deadlines.remove(&(deadline, job.ticket()));
        }
    }

    /// Leaves it to the pool's machine to start connecting.
    fn connect(&mut self, slot: SlotId, origin: Origin, waiter: WaiterId) {
        let index = slot.index();
        self.slots.resize(self.slots.len().max(index + 1), Slot::default());
        self.slots[index] = Slot::default();
        let request = self.policy.request_mut(waiter).map(|job| job.ticket());
        self.targets.push_back(Target { slot, origin, request });
    }

    fn wake(&self, slot: SlotId) {
        if let Some(waker) = &self.slots[slot.index()].waker {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests;
