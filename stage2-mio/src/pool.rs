//! Carries out the decisions of the pool, from the arrival of a request to its start on a
//! connection.
//!
//! [`client_core::pool::Pool`] makes the decisions. The loop reports events to it, and carries out
//! its actions before it handles the next event.
//!
//! Its rules:
//! - the loop calls [`EventLoop::settle`] after each event. An event of one request never starts
//!   another request itself. So if a thousand waiters' connects fail at once, the loop runs a
//!   thousand times, and no stack grows;
//! - a connection that is reserved for a waiter gets the request in the same `settle`. No event lies
//!   between, so in this model a connection cannot die while it is reserved. If it died before and
//!   the loop has not seen it yet, the exchange starts on it and fails as stale: the loop gets the
//!   request back, and sends it again on a fresh connection in the same slot, if
//!   [`may_retry`](client_core::may_retry) allows it. Otherwise the call fails;
//! - the pool's numbers are published before callers or peers can see an effect: a completion, a
//!   byte on a socket, the end of a socket;
//! - a request whose caller has gone is dropped, and nothing starts for it.

use client_core::{
    Error, Responder, TimeoutPhase, io_model,
    pool::{Action, SlotId, WaiterId},
};

use crate::{
    event_loop::EventLoop,
    pending::{Completion, Holder, PendingRequest},
    timer::Deadline,
    token::Key,
};

/// The key of what holds each slot: a [`Connecting`](crate::connect::Connecting) or a connection.
#[derive(Debug, Default)]
pub(crate) struct Slots(Vec<Option<Key>>);

impl Slots {
    pub(crate) fn get(&self, slot: SlotId) -> Option<Key> {
        self.0.get(slot.index()).copied().flatten()
    }

    pub(crate) fn set(&mut self, slot: SlotId, key: Key) {
        if self.0.len() <= slot.index() {
            self.0.resize(slot.index() + 1, None);
        }
        self.0[slot.index()] = Some(key);
    }
}

impl EventLoop {
    /// Asks the pool for a connection.
    pub(crate) fn accept(&mut self, pending: PendingRequest) {
        if pending.reply.is_closed() {
            return;
        }
        let origin = pending.request.origin.clone();
        if let Err((pending, error)) = self.pool.checkout(&origin, pending) {
            self.refuse(pending, error);
        }
    }

    /// Carries out the pool's actions, publishes its numbers, then completes the calls that ended.
    pub(crate) fn settle(&mut self) {
        while let Some(action) = self.pool.poll_action() {
            match action {
                Action::Wait { waiter } => self.wait(waiter),
                Action::Connect { slot, origin, .. } => self.connect(slot, origin),
                Action::Abandon { slot } => self.abandon(slot),
                Action::Serve { slot } => self.serve(slot),
                Action::Idle { slot } => self.mark_idle(slot),
                Action::Close { slot, reason } => self.close_connection(slot, reason),
            }
        }
        self.complete();
    }

    /// Arms the deadline of a waiter.
    fn wait(&mut self, waiter: WaiterId) {
        let Some(pending) = self.pool.request_mut(waiter) else { return };
        if !pending.reply.set_holder(Holder::Waiter(waiter)) {
            self.pool.cancel(waiter);
            return;
        }
        io_model!(wait, request = waiter.number());
        self.timers.arm(Deadline::Waiter(waiter), &mut pending.timer, pending.deadline);
    }

    /// Starts the request that a connection is reserved for.
    fn serve(&mut self, slot: SlotId) {
        let Some(key) = self.slots.get(slot) else { return };
        let Some((waiter, mut pending)) = self.pool.take(slot) else { return };
        let request = waiter.number();
        self.timers.disarm(&mut pending.timer);
        if !pending.reply.set_holder(Holder::Connection(key, request)) {
            return self.pool.checkin(slot);
        }
        self.pool.begin(slot);
        // The previous caller gets its completion before the peer gets the next request.
        self.complete();
        self.drive(key, |connection, cx| {
            io_model!(checkout, request, connection = connection.number());
            connection.start(request, pending, cx)
        });
    }

    /// Publishes the pool's numbers, then completes the calls that ended.
    fn complete(&mut self) {
        self.publish();
        self.completions.drain(..).for_each(Completion::complete);
    }

    /// Fails a request that has no connection.
    pub(crate) fn refuse(&mut self, mut pending: PendingRequest, error: Error) {
        self.timers.disarm(&mut pending.timer);
        let responder = Responder::new(pending.reply, self.config.body_window);
        self.completions.push(Completion::Fail(responder, error));
    }

    /// The caller of a request has gone.
    pub(crate) fn cancel(&mut self, holder: Holder) {
        match holder {
            Holder::Waiter(waiter) => {
                io_model!(cancel, request = waiter.number(), why = "waiting");
                if let Some(mut pending) = self.pool.cancel(waiter) {
                    self.timers.disarm(&mut pending.timer);
                }
            }
            Holder::Connection(key, request) => {
                self.drive(key, |connection, cx| connection.cancel(request, cx));
            }
        }
    }

    /// A waiter has waited for as long as the whole call may take.
    pub(crate) fn expire_waiter(&mut self, waiter: WaiterId) {
        if let Some(pending) = self.pool.cancel(waiter) {
            self.refuse(pending, Error::timeout(TimeoutPhase::Total, &self.config));
        }
    }
}
