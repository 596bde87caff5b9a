//! Carries out what the pool decides, from a request's arrival to its start on a connection.
//!
//! [`client_core::pool::Pool`] makes the decisions. The loop reports events to it, and carries out
//! its actions in the same turn. So a connection that is reserved for a waiter takes the request
//! before anything else can happen to it.
//!
//! Its rules:
//! - the loop calls [`EventLoop::settle`] after each event. An event of one request never starts
//!   the next one by itself, so a thousand waiters whose connects fail at once are a loop, not a
//!   recursion;
//! - the pool's numbers are published before anything can be seen from outside: a completion, a
//!   byte on a socket, the end of a socket;
//! - a request whose caller has gone is dropped where it stands, and nothing begins for it.

use client_core::{
    Error, TimeoutPhase, io_model,
    pool::{Action, SlotId, WaiterId},
};

use crate::{
    connection::Completion,
    event_loop::EventLoop,
    shared::{PendingRequest, Place},
    slab::Key,
    timer::Deadline,
};

/// The key of what holds each slot: an attempt to connect, or a connection.
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
        if pending.reply.is_gone() {
            return;
        }
        let origin = pending.request.origin.clone();
        if let Err((pending, error)) = self.pool.checkout(&origin, pending) {
            self.refuse(pending, error);
        }
    }

    /// Carries out the pool's actions, then publishes its numbers and completes what has ended.
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
        if !pending.reply.place(Place::Pool(waiter)) {
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
        if !pending.reply.place(Place::Connection(key, request)) {
            return self.pool.checkin(slot);
        }
        self.pool.begin(slot);
        // The caller before hears of its end before the peer hears of the next request.
        self.complete();
        self.drive(key, |connection, turn| {
            io_model!(checkout, request, connection = connection.number());
            connection.start(request, pending, turn)
        });
    }

    /// Publishes the pool's numbers, then tells callers how their exchanges ended.
    fn complete(&mut self) {
        self.shared.publish(self.pool.stats());
        self.completions.drain(..).for_each(Completion::tell);
    }

    /// Ends a request that has no connection.
    pub(crate) fn refuse(&mut self, mut pending: PendingRequest, error: Error) {
        self.timers.disarm(&mut pending.timer);
        self.completions.push(Completion::Refuse(pending.reply, error));
    }

    /// The caller of a request gave up.
    pub(crate) fn cancel(&mut self, place: Place) {
        match place {
            Place::Pool(waiter) => {
                io_model!(cancel, request = waiter.number(), why = "waiting");
                if let Some(mut pending) = self.pool.cancel(waiter) {
                    self.timers.disarm(&mut pending.timer);
                }
            }
            Place::Connection(key, request) => {
                io_model!(cancel, request, why = "under way");
                self.drive(key, |connection, turn| connection.cancel(request, turn));
            }
        }
    }

    /// A request has waited for as long as the whole call may take.
    pub(crate) fn expire_waiter(&mut self, waiter: WaiterId) {
        if let Some(pending) = self.pool.cancel(waiter) {
            let after = self.config.total_timeout.unwrap_or_default();
            self.refuse(pending, Error::Timeout { phase: TimeoutPhase::Total, after });
        }
    }
}
