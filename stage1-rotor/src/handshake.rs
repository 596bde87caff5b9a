//! The last part of connecting: from a stream that is open, or that a user's connector has begun to
//! open, to a stream that can serve.
//!
//! Its rules:
//! - the machine keeps the slot of rotor's table of the machine before it, and so the socket's
//!   registration, and passes both on to the connection;
//! - the stream is asked to go on at every event. Until it can serve, only the stream itself knows
//!   what it waits for;
//! - the deadline is that of all of connecting.

use std::{io, task::Waker};

use client_core::{Error, Scheme, io_model};
use rotor::{EventSet, Scope};

use crate::{
    machine::{Context, Layer, Opened, Transition, unwatch},
    tls,
    transport::Transport,
};

/// The machine of a stream that cannot serve yet.
pub(crate) struct Handshake {
    opened: Opened,
    layer: Layer,
}

impl Handshake {
    /// Starts with a stream. `layer` is [`Layer::Tls`] if the stream is open.
    pub(crate) fn start(
        opened: Opened,
        layer: Layer,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        match layer {
            Layer::Connector => Box::new(Handshake { opened, layer }).proceed(scope),
            Layer::Tls => Handshake::secure(opened, scope),
        }
    }

    /// Puts TLS over a stream that is open, if its origin is to have it.
    fn secure(opened: Opened, scope: &mut Scope<'_, Context>) -> Transition<Self> {
        let Opened { attempt, stream, ready } = opened;
        if attempt.target.origin.scheme() == Scheme::Http {
            return Transition::Connect(Opened { attempt, stream, ready });
        }
        io_model!(tls, request = attempt.target.request, why = "handshake");
        scope.pool.set_machine(attempt.target.slot, Waker::from(attempt.notifier.clone()));
        match tls::connect(&scope.shared.tls, &attempt.target.origin, stream) {
            Err(error) => attempt.fail(Layer::Tls.error(error), scope),
            Ok(stream) => {
                let opened = Opened { attempt, stream, ready };
                Box::new(Handshake { opened, layer: Layer::Tls }).proceed(scope)
            }
        }
    }

    pub(crate) fn ready(
        mut self: Box<Self>,
        events: EventSet,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        io_model!(ready, request = self.opened.attempt.target.request, events = ?events);
        self.opened.ready.add(events.into());
        self.proceed(scope)
    }

    pub(crate) fn notified(
        self: Box<Self>,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        self.opened.attempt.notifier.rearm();
        self.proceed(scope)
    }

    /// Goes on as far as it can.
    pub(crate) fn proceed(
        mut self: Box<Self>,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        if let Some(error) = self.opened.attempt.stopped(scope) {
            return self.fail(error, scope);
        }
        match (self.opened.stream.handshake(), self.layer) {
            (Ok(()), Layer::Connector) => Handshake::secure(self.opened, scope),
            (Ok(()), Layer::Tls) => Transition::Connect(self.opened),
            (Err(error), layer) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    let deadline = Some(self.opened.attempt.deadline);
                    Transition::Suspend(self, deadline)
                }
                io::ErrorKind::Interrupted => self.proceed(scope),
                _ => self.fail(layer.error(error), scope),
            },
        }
    }

    fn fail(self, error: Error, scope: &mut Scope<'_, Context>) -> Transition<Self> {
        let Opened { attempt, stream, .. } = self.opened;
        unwatch(&stream, &attempt.notifier, scope);
        drop(stream);
        attempt.fail(error, scope)
    }
}
