//! Carries out the decisions of the pool's policy: starts connecting, wakes machines, watches deadlines.
//!
//! [`client_core::pool::Pool`] decides which request gets which connection, who waits, and what is
//! closed, the same in all stages. This file adds what rotor demands: a machine cannot call another
//! machine, it can only wake it. So one turn of the loop lies between a decision and the machine
//! that acts on it, and the decision can change in between.
//!
//! Its rules:
//! - a request stays in the policy until a machine comes for it. If a reserved connection dies
//!   before that, the policy puts its waiter back in its old place ([`Pool::closed`]). If it dies
//!   after that, the exchange fails as stale: the machine returns the request, and the pool sends
//!   it again on a fresh connection in the same slot, if [`may_retry`](client_core::may_retry)
//!   allows it. Otherwise the call fails;
//! - a machine that was woken asks for its order *now* ([`Pool::order`]). So a wakeup carries
//!   nothing, and may be stale;
//! - a machine whose own report causes a decision about its slot is not woken: it asks anyway;
//! - only the pool's machine starts connecting, because in rotor a machine that ends cannot start
//!   another one;
//! - the policy knows of an event, and its numbers are published, before a caller or a peer can
//!   notice the event.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
};

use client_core::{
    CloseReason, Config, Error, Origin, PoolStats, TimeoutPhase, after, io_model,
    pool::{self as policy, Action, Limits, SlotId, WaiterId},
};
use rotor::Time;

use crate::{
    pending::{Holder, PendingRequest},
    timer::passed,
};

/// The pool of one client, in the context that all machines share.
pub(crate) struct Pool {
    config: Arc<Config>,
    policy: policy::Pool<PendingRequest>,
    /// By [`SlotId::index`].
    slots: Vec<Slot>,
    /// The total timeouts of the waiters, with the request's number.
    deadlines: BTreeMap<(Time, u64), WaiterId>,
    /// Slots for which connecting has yet to be started.
    targets: VecDeque<Target>,
    /// What `Client::stats` returns.
    published: Arc<Mutex<PoolStats>>,
    /// Wakes the pool's machine.
    waker: Waker,
}

/// How a slot's machine is reached.
#[derive(Clone, Default)]
struct Slot {
    /// `None` until connecting has a machine.
    waker: Option<Waker>,
    /// The connection's number; 0 until it is connected.
    connection: u64,
}

/// What to connect to.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) slot: SlotId,
    pub(crate) origin: Origin,
    /// The number of the request that the connection is made for.
    pub(crate) request: Option<u64>,
}

/// What the machine of a connection does now.
pub(crate) enum Order {
    Serve(PendingRequest),
    Idle,
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
    pub(crate) fn checkout(&mut self, mut pending: PendingRequest, now: Time) {
        if pending.reply.is_closed() {
            return;
        }
        pending.deadline = self.config.total_timeout.map(|total| after(now, total));
        let origin = pending.request.origin.clone();
        let refused = self.policy.checkout(&origin, pending).err();
        self.carry_out(None);
        if let Some((pending, error)) = refused {
            self.publish();
            pending.reply.send(Err(error));
        }
    }

    /// The caller of a waiter has given up.
    pub(crate) fn cancel(&mut self, waiter: WaiterId) {
        if let Some(pending) = self.policy.cancel(waiter) {
            io_model!(cancel, request = pending.number, why = "waiting");
            self.unwatch(&pending);
            self.carry_out(None);
        }
    }

    /// Fails the waiters whose total timeout has passed.
    pub(crate) fn expire(&mut self, now: Time) {
        while passed(self.deadline(), now)
            && let Some((_, waiter)) = self.deadlines.pop_first()
        {
            let Some(pending) = self.policy.cancel(waiter) else { continue };
            io_model!(timer, request = pending.number, why = "total");
            self.carry_out(None);
            self.publish();
            pending.reply.send(Err(Error::timeout(TimeoutPhase::Total, &self.config)));
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

    /// Shows `Client::stats` the current numbers.
    pub(crate) fn publish(&self) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        *published = self.policy.stats();
    }
}

// ===== impl Pool: connecting =====

impl Pool {
    /// The next slot for which connecting is to be started.
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

    /// Notes which machine has a slot: connecting begins, or goes on in another machine.
    pub(crate) fn set_machine(&mut self, slot: SlotId, waker: Waker) {
        self.slots[slot.index()].waker = Some(waker);
    }

    /// Whether connecting is to go on.
    pub(crate) fn is_wanted(&self, slot: SlotId) -> bool {
        self.policy.is_to_close(slot).is_none()
    }

    /// There is a connection. Returns its number, and its first order.
    pub(crate) fn connected(&mut self, slot: SlotId, waker: Waker) -> (u64, Order) {
        let connection = self.policy.connected(slot);
        self.slots[slot.index()] = Slot { waker: Some(waker), connection };
        (connection, self.order(slot))
    }

    /// Connecting has failed. The error goes to the waiter that the connection was for, if that
    /// still waits, and to no other. If no file descriptor was left, the policy may start connecting
    /// for the slot again.
    pub(crate) fn failed(&mut self, slot: SlotId, error: Error) {
        if error.is_out_of_descriptors() && self.policy.out_of_descriptors(slot) {
            self.carry_out(Some(slot));
            self.publish();
            return;
        }
        let pending = self.policy.connect_failed(slot);
        if let Some(pending) = &pending {
            self.unwatch(pending);
        }
        self.carry_out(Some(slot));
        self.publish();
        if let Some(pending) = pending {
            pending.reply.send(Err(error));
        }
    }
}

// ===== impl Pool: connections =====

impl Pool {
    /// An exchange is over, and its connection can carry another one. Returns its next order.
    pub(crate) fn checkin(&mut self, slot: SlotId) -> Order {
        self.policy.checkin(slot);
        self.order(slot)
    }

    /// What a connection without an exchange has to do now, whatever its machine was woken for.
    pub(crate) fn order(&mut self, slot: SlotId) -> Order {
        loop {
            self.carry_out(Some(slot));
            let Some((_, pending)) = self.policy.take(slot) else { break };
            self.unwatch(&pending);
            let Slot { waker, connection } = &self.slots[slot.index()];
            let holder = waker.clone().map(Holder::Connection);
            if holder.is_some_and(|holder| pending.reply.set_holder(holder)) {
                io_model!(checkout, request = pending.number, connection);
                self.policy.begin(slot);
                return Order::Serve(pending);
            }
            self.policy.checkin(slot);
        }
        match self.policy.is_to_close(slot) {
            Some(reason) => Order::Close(reason),
            None => Order::Idle,
        }
    }

    /// Whether a connection is in the middle of an exchange.
    pub(crate) fn is_in_use(&self, slot: SlotId) -> bool {
        self.policy.is_in_use(slot)
    }

    /// A connection is closed in this turn, for this reason unless the policy had one before.
    /// `retry` is a request that is sent once more, on a fresh connection in the same slot.
    pub(crate) fn closed(
        &mut self,
        slot: SlotId,
        reason: CloseReason,
        retry: Option<PendingRequest>,
    ) {
        let reason = self.policy.is_to_close(slot).unwrap_or(reason);
        let connection = self.slots[slot.index()].connection;
        io_model!(close, connection, why = reason.as_str());
        match retry.filter(|pending| !pending.reply.is_closed()) {
            Some(pending) => self.policy.retry(slot, pending, reason),
            None => self.policy.closed(slot, reason),
        }
        self.carry_out(Some(slot));
    }
}

// ===== impl Pool: decisions =====

impl Pool {
    /// Carries out what the policy has decided. `own` is the slot whose machine is running. `None`:
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
                    let connection = self.slots[slot.index()].connection;
                    io_model!(checkin, connection, why = "idle");
                }
            }
        }
        if own.is_some() && (concerns_pool || self.policy.is_over()) {
            self.waker.wake_by_ref();
        }
    }

    /// A request has to wait. Meanwhile its caller may give up, or its deadline pass.
    fn watch(&mut self, waiter: WaiterId) {
        let Some(pending) = self.policy.request_mut(waiter) else { return };
        if !pending.reply.set_holder(Holder::Waiter(waiter)) {
            self.policy.cancel(waiter);
            return;
        }
        io_model!(wait, request = pending.number);
        if let Some(deadline) = pending.deadline {
            self.deadlines.insert((deadline, pending.number), waiter);
        }
    }

    /// A request waits no longer.
    fn unwatch(&mut self, pending: &PendingRequest) {
        if let Some(deadline) = pending.deadline {
            self.deadlines.remove(&(deadline, pending.number));
        }
    }

    /// Leaves it to the pool's machine to start connecting.
    fn connect(&mut self, slot: SlotId, origin: Origin, waiter: WaiterId) {
        let index = slot.index();
        self.slots.resize(self.slots.len().max(index + 1), Slot::default());
        self.slots[index] = Slot::default();
        let request = self.policy.request_mut(waiter).map(|pending| pending.number);
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
