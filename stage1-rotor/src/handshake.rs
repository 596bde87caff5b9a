//! The last part of connecting: from a stream that is open, or being opened by a user's
//! connector, to a connection.
//!
//! ```text
//!   the race's winner ────▶ open ── http ──────────▶ a connection
//!                            ▲ │                         ▲
//!   a user's connector ──────┘ └─── https: TLS ──────────┘
//! ```
//!
//! Its rules:
//! - the machine keeps the slot of the attempt that has won, and so the socket's registration, and
//!   passes both on to the connection;
//! - a stream is asked to go on at whatever event: what it waits for is its own affair, until it
//!   can serve;
//! - the deadline is that of all of connecting, which began with the name.

use std::{io, sync::Arc, task::Waker};

use client_core::{Error, Scheme, TimeoutPhase, io_model};
use rotor::{EventSet, Scope, Time};

use crate::{
    bell::Bell,
    event_loop::{Context, Fsm, Reply, end, unwatch},
    pool::Target,
    serving::Serving,
    timer::{passed, rest},
    tls,
    transport::{Readiness, Stream, Transport},
};

/// The machine of a stream that cannot serve yet.
pub(crate) struct Handshake {
    stream: Stream,
    step: Step,
    /// What the loop has said about it. What of this the handshake has used up is not known.
    told: Readiness,
    target: Target,
    /// For all of connecting.
    deadline: Time,
    bell: Arc<Bell>,
}

/// What a stream's handshake is about.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// Whatever a user's stream needs.
    Connector,
    Tls,
}

impl Handshake {
    /// Goes on with a stream that a user's connector has begun to open.
    pub(crate) fn begun(
        stream: Stream,
        target: Target,
        deadline: Time,
        bell: Arc<Bell>,
        scope: &mut Scope<'_, Context>,
    ) -> Reply {
        let told = Readiness { writable: true, ..Readiness::default() };
        Box::new(Handshake { stream, step: Step::Connector, told, target, deadline, bell })
            .step(scope)
    }

    /// Goes on with a stream that is open. TLS is put over it, if its origin is to have it.
    pub(crate) fn opened(
        stream: Stream,
        told: Readiness,
        target: Target,
        deadline: Time,
        bell: Arc<Bell>,
        scope: &mut Scope<'_, Context>,
    ) -> Reply {
        if target.origin.scheme() == Scheme::Http {
            return Serving::begin(stream, told, target.slot, bell, scope);
        }
        io_model!(tls, request = target.request, why = "handshake");
        scope.pool.held_by(target.slot, Waker::from(bell.clone()));
        let shared = scope.shared.clone();
        match tls::connect(&shared.tls, &target.origin, stream) {
            Err(error) => lose(&target, Step::Tls.error(error), &bell, scope),
            Ok(stream) => {
                let step = Step::Tls;
                Box::new(Handshake { stream, step, told, target, deadline, bell }).step(scope)
            }
        }
    }

    pub(crate) fn ready(
        mut self: Box<Self>,
        events: EventSet,
        scope: &mut Scope<'_, Context>,
    ) -> Reply {
        io_model!(ready, request = self.target.request, events = ?events);
        self.told.add(events.into());
        self.step(scope)
    }

    pub(crate) fn woken(self: Box<Self>, scope: &mut Scope<'_, Context>) -> Reply {
        self.bell.heard();
        self.step(scope)
    }

    /// The one thing that this machine does, whatever woke it.
    pub(crate) fn step(mut self: Box<Self>, scope: &mut Scope<'_, Context>) -> Reply {
        if passed(Some(self.deadline), scope.now()) {
            let after = scope.config.connect_timeout;
            return self.fail(Error::Timeout { phase: TimeoutPhase::Connect, after }, scope);
        }
        if !scope.pool.is_wanted(self.target.slot) {
            return self.fail(Error::ShutDown, scope);
        }
        match self.stream.handshake() {
            Ok(()) => self.done(scope),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => self.rest(),
                io::ErrorKind::Interrupted => self.step(scope),
                _ => {
                    let error = self.step.error(error);
                    self.fail(error, scope)
                }
            },
        }
    }

    fn done(self, scope: &mut Scope<'_, Context>) -> Reply {
        let Handshake { stream, step, told, target, deadline, bell } = self;
        match step {
            Step::Connector => Handshake::opened(stream, told, target, deadline, bell, scope),
            Step::Tls => Serving::begin(stream, told, target.slot, bell, scope),
        }
    }

    fn fail(self, error: Error, scope: &mut Scope<'_, Context>) -> Reply {
        let Handshake { stream, target, bell, .. } = self;
        unwatch(&stream, &bell, scope);
        drop(stream);
        lose(&target, error, &bell, scope)
    }

    /// Lies down until the stream is ready for something, or the time is over.
    fn rest(self: Box<Self>) -> Reply {
        let deadline = Some(self.deadline);
        rest(Fsm::Handshake(self), deadline)
    }
}

impl Step {
    /// What connecting has failed with if this step has.
    pub(crate) fn error(self, error: io::Error) -> Error {
        match self {
            Step::Connector => Error::io("opening a stream to the origin", error),
            Step::Tls => Error::handshake(error),
        }
    }
}

/// Connecting has failed: tells the pool, and ends the machine.
pub(crate) fn lose(
    target: &Target,
    error: Error,
    bell: &Bell,
    scope: &mut Scope<'_, Context>,
) -> Reply {
    scope.pool.failed(target.slot, error);
    end(bell)
}
