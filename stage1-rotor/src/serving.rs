//! The machine around a [`Connection`]: it turns what the connection answers into rotor's responses
//! and calls on the pool.

use std::{sync::Arc, task::Waker};

use client_core::{CloseReason, io_model, pool::SlotId};
use rotor::{EventSet, Scope};

use crate::{
    bell::Bell,
    connection::{Connection, Delivery, Next},
    event_loop::{Context, Fsm, Reply, end, unwatch},
    pool::Command,
    timer::rest,
    transport::{Readiness, Stream, Transport},
};

/// A connection and its slot. It is boxed, since rotor moves a machine out of its slab and
/// back at every event.
pub(crate) struct Serving {
    connection: Connection<Stream>,
    slot: SlotId,
    bell: Arc<Bell>,
}

impl Serving {
    /// A stream that can serve becomes a connection. `told` is what the loop has said about it.
    pub(crate) fn begin(
        stream: Stream,
        told: Readiness,
        slot: SlotId,
        bell: Arc<Bell>,
        scope: &mut Scope<'_, Context>,
    ) -> Reply {
        let now = scope.now();
        let waker = Waker::from(bell.clone());
        let (number, command) = scope.pool.connected(slot, waker.clone());
        let config = scope.config.clone();
        let connection = Connection::new(stream, told, number, config, waker, now);
        let this = Box::new(Serving { connection, slot, bell });
        this.obey(command, Delivery::Nothing, scope)
    }

    pub(crate) fn ready(
        mut self: Box<Self>,
        events: EventSet,
        scope: &mut Scope<'_, Context>,
    ) -> Reply {
        io_model!(ready, connection = self.connection.number(), events = ?events);
        let now = scope.now();
        let next = self.connection.ready(events.into(), now, &mut scope.scratch);
        self.settle(next, scope)
    }

    pub(crate) fn woken(mut self: Box<Self>, scope: &mut Scope<'_, Context>) -> Reply {
        self.bell.heard();
        if scope.pool.is_in_use(self.slot) {
            let now = scope.now();
            let next = self.connection.woken(now, &mut scope.scratch);
            return self.settle(next, scope);
        }
        match scope.pool.command(self.slot) {
            Command::Nothing => {
                scope.pool.publish();
                self.rest()
            }
            command => self.obey(command, Delivery::Nothing, scope),
        }
    }

    pub(crate) fn timeout(mut self: Box<Self>, scope: &mut Scope<'_, Context>) -> Reply {
        io_model!(timer, connection = self.connection.number());
        let next = self.connection.timeout(scope.now());
        self.settle(next, scope)
    }

    /// Does what the connection answered.
    fn settle(self: Box<Self>, next: Next, scope: &mut Scope<'_, Context>) -> Reply {
        match next {
            Next::Wait => self.rest(),
            Next::Again => {
                self.bell.ring();
                self.rest()
            }
            Next::Free(delivery) => {
                let command = scope.pool.checkin(self.slot);
                self.obey(command, delivery, scope)
            }
            Next::Close(reason, delivery) => self.close(reason, delivery, scope),
        }
    }

    /// Does what the pool answered. The delivery goes out when the pool's numbers are published.
    fn obey(
        mut self: Box<Self>,
        command: Command,
        delivery: Delivery,
        scope: &mut Scope<'_, Context>,
    ) -> Reply {
        let now = scope.now();
        let next = match command {
            Command::Close(reason) => return self.close(reason, delivery, scope),
            Command::Serve { job, reused } => {
                scope.pool.publish();
                delivery.deliver();
                self.connection.start(job, reused, now, &mut scope.scratch)
            }
            Command::Nothing => {
                scope.pool.publish();
                delivery.deliver();
                self.connection.idle(now, &mut scope.scratch)
            }
        };
        self.settle(next, scope)
    }

    /// Tells the pool, closes the socket, then tells the caller: neither peer nor caller can notice
    /// the end before the pool's numbers show it. If the slot passes on, connecting starts in a
    /// later turn, when the socket is closed.
    fn close(
        self: Box<Self>,
        reason: CloseReason,
        delivery: Delivery,
        scope: &mut Scope<'_, Context>,
    ) -> Reply {
        let Serving { mut connection, slot, bell } = *self;
        let (again, delivery) = match delivery {
            Delivery::Retry(job) => (Some(job), Delivery::Nothing),
            delivery => (None, delivery),
        };
        scope.pool.closed(slot, reason, again);
        scope.pool.publish();
        io_model!(deregister, connection = connection.number());
        connection.transport().close();
        unwatch(connection.transport(), &bell, scope);
        drop(connection);
        delivery.deliver();
        end(&bell)
    }

    /// Every way on goes through here: it states the deadline again.
    fn rest(self: Box<Self>) -> Reply {
        let deadline = self.connection.deadline();
        rest(Fsm::Serving(self), deadline)
    }
}
