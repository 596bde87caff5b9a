//! The machine around a [`Connection`]: it turns what the connection answers into rotor's responses
//! and calls on the pool.

use std::{sync::Arc, task::Waker};

use client_core::{CloseReason, io_model};
use rotor::{EventSet, Scope};

use crate::{
    bell::Bell,
    connection::{Connection, Delivery, Next},
    event_loop::{Context, Fsm, Reply, end, unwatch},
    pool::{PlaceId, Turn},
    timer::rest,
    transport::{Readiness, Stream, Transport},
};

/// A connection and where it belongs. It is boxed, since rotor moves a machine out of its slab and
/// back at every event.
pub(crate) struct Serving {
    connection: Connection<Stream>,
    place: PlaceId,
    bell: Arc<Bell>,
}

impl Serving {
    /// A stream that can serve becomes a connection. `told` is what the loop has said about it.
    pub(crate) fn begin(
        stream: Stream,
        told: Readiness,
        place: PlaceId,
        bell: Arc<Bell>,
        scope: &mut Scope<'_, Context>,
    ) -> Reply {
        let now = scope.now();
        let waker = Waker::from(bell.clone());
        let (number, turn) = scope.pool.connected(place, waker.clone());
        let config = scope.config.clone();
        let connection = Connection::new(stream, told, number, config, waker, now);
        let this = Box::new(Serving { connection, place, bell });
        this.take(turn, Delivery::Nothing, scope)
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
        if scope.pool.is_in_use(self.place) {
            let now = scope.now();
            let next = self.connection.woken(now, &mut scope.scratch);
            return self.settle(next, scope);
        }
        match scope.pool.woken(self.place) {
            Turn::Rest => {
                scope.pool.publish();
                self.rest()
            }
            turn => self.take(turn, Delivery::Nothing, scope),
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
                let turn = scope.pool.checkin(self.place);
                self.take(turn, delivery, scope)
            }
            Next::Close(reason, delivery) => self.close(reason, delivery, scope),
        }
    }

    /// Does what the pool answered. The delivery goes out when the pool's figures are right.
    fn take(
        mut self: Box<Self>,
        turn: Turn,
        delivery: Delivery,
        scope: &mut Scope<'_, Context>,
    ) -> Reply {
        let now = scope.now();
        let next = match turn {
            Turn::Close(reason) => return self.close(reason, delivery, scope),
            Turn::Serve(job) => {
                scope.pool.publish();
                delivery.deliver();
                self.connection.start(job, now, &mut scope.scratch)
            }
            Turn::Rest => {
                scope.pool.publish();
                delivery.deliver();
                self.connection.idle(now, &mut scope.scratch)
            }
        };
        self.settle(next, scope)
    }

    /// Tells the pool, closes the socket, then tells the caller: neither peer nor caller can know
    /// of it before the pool's figures do. A chain that gets the place starts in a later turn.
    fn close(
        self: Box<Self>,
        reason: CloseReason,
        delivery: Delivery,
        scope: &mut Scope<'_, Context>,
    ) -> Reply {
        let Serving { mut connection, place, bell } = *self;
        let delivery = match delivery {
            Delivery::Retry(job) => {
                scope.pool.retry(place, job, reason);
                Delivery::Nothing
            }
            delivery => delivery,
        };
        scope.pool.closed(place, reason);
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
