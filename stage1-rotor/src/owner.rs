//! The machine that owns a connection for life. It turns what the connection returns ([`Next`]) into
//! calls on the pool, and into what becomes of the machine ([`Transition`]).
//!
//! Its rules:
//! - the pool's policy knows of a free or closed connection, and its numbers are published, before
//!   the call is completed;
//! - a machine whose connection is idle does not act on a notification itself, but asks the pool
//!   what to do now ([`Order`]).

use std::{sync::Arc, task::Waker};

use client_core::{CloseReason, io_model, pool::SlotId};
use rotor::{EventSet, Scope};

use crate::{
    connection::{Connection, Next},
    machine::{Attempt, Context, Opened, Transition, unwatch},
    notifier::Notifier,
    pending::{Completion, PendingRequest},
    pool::Order,
    transport::{Stream, Transport},
};

/// A connection and its slot. It is boxed, because rotor moves a machine out of its slab and back
/// at every event.
pub(crate) struct ConnectionMachine {
    connection: Connection<Stream>,
    slot: SlotId,
    notifier: Arc<Notifier>,
}

impl ConnectionMachine {
    /// Starts with a stream that can serve.
    pub(crate) fn start(opened: Opened, scope: &mut Scope<'_, Context>) -> Transition<Self> {
        let Opened { attempt: Attempt { target, notifier, .. }, stream, ready } = opened;
        let (slot, now) = (target.slot, scope.now());
        let waker = Waker::from(notifier.clone());
        let (number, order) = scope.pool.connected(slot, waker.clone());
        let config = scope.config.clone();
        let connection = Connection::new(stream, ready, number, config, waker, now);
        let this = Box::new(ConnectionMachine { connection, slot, notifier });
        this.follow(order, Completion::Nothing, scope)
    }

    pub(crate) fn ready(
        mut self: Box<Self>,
        events: EventSet,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        io_model!(ready, connection = self.connection.number(), events = ?events);
        let now = scope.now();
        let next = self.connection.ready(events.into(), now, &mut scope.scratch);
        self.proceed(next, scope)
    }

    pub(crate) fn notified(
        mut self: Box<Self>,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        self.notifier.rearm();
        if scope.pool.is_in_use(self.slot) {
            let now = scope.now();
            let next = self.connection.notified(now, &mut scope.scratch);
            return self.proceed(next, scope);
        }
        match scope.pool.order(self.slot) {
            Order::Idle => {
                scope.pool.publish();
                self.suspend()
            }
            order => self.follow(order, Completion::Nothing, scope),
        }
    }

    pub(crate) fn timeout(
        mut self: Box<Self>,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        io_model!(timer, connection = self.connection.number());
        let next = self.connection.expire(scope.now(), &mut scope.scratch);
        self.proceed(next, scope)
    }

    /// Does what the connection needs next.
    fn proceed(
        self: Box<Self>,
        next: Next,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        match next {
            Next::Wait => self.suspend(),
            Next::Again => {
                self.notifier.notify();
                self.suspend()
            }
            Next::Free(completion) => {
                let order = scope.pool.checkin(self.slot);
                self.follow(order, completion, scope)
            }
            Next::Close(reason, completion) => self.close(reason, None, completion, scope),
            Next::Retry(reason, pending) => {
                self.close(reason, Some(pending), Completion::Nothing, scope)
            }
        }
    }

    /// Follows the pool's order. Before that it completes the last exchange, as soon as the pool's
    /// numbers are published.
    fn follow(
        mut self: Box<Self>,
        order: Order,
        completion: Completion,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        let now = scope.now();
        let next = match order {
            Order::Close(reason) => return self.close(reason, None, completion, scope),
            Order::Serve(pending) => {
                scope.pool.publish();
                completion.complete();
                self.connection.start(pending, now, &mut scope.scratch)
            }
            Order::Idle => {
                scope.pool.publish();
                completion.complete();
                self.connection.mark_idle(now, &mut scope.scratch)
            }
        };
        self.proceed(next, scope)
    }

    /// Reports to the pool, closes the socket, and completes the call last: neither the peer nor
    /// the caller can notice the end before the pool's numbers show it. If the slot passes on,
    /// connecting starts in a later turn, when the socket is closed.
    fn close(
        self: Box<Self>,
        reason: CloseReason,
        retry: Option<PendingRequest>,
        completion: Completion,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        let ConnectionMachine { mut connection, slot, notifier } = *self;
        scope.pool.closed(slot, reason, retry);
        scope.pool.publish();
        io_model!(deregister, connection = connection.number());
        connection.transport().close();
        unwatch(connection.transport(), &notifier, scope);
        drop(connection);
        completion.complete();
        Transition::end(&notifier)
    }

    fn suspend(self: Box<Self>) -> Transition<Self> {
        let deadline = self.connection.deadline();
        Transition::Suspend(self, deadline)
    }
}
