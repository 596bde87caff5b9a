//! What all machines share, and what a machine becomes after it ran.
//!
//! ```text
//!   Connecting ── starts ──▶ Candidate ── connected ──┐
//!       │                                             ▼
//!       └── a user's connector ──────────────────▶ Handshake ── done ──▶ ConnectionMachine
//! ```
//!
//! Its rules:
//! - a machine knows only itself. What it becomes, it returns as a [`Transition`], and
//!   `event_loop.rs` carries that out;
//! - a machine that becomes another one keeps its slot of rotor's table, and with it the socket's
//!   registration and the [`Notifier`].

use std::{cell::RefCell, io, rc::Rc, sync::Arc};

use client_core::{Config, Error, Lookups, TimeoutPhase};
use rotor::{Scope, Time};

use crate::{
    connector::Connector,
    notifier::Notifier,
    pool::{Pool, Target},
    race::Race,
    shared::{Message, Shared},
    timer::passed,
    transport::{Readiness, Stream},
};

/// What all machines share. rotor lends it to each of them in turn.
pub(crate) struct Context {
    pub(crate) config: Arc<Config>,
    pub(crate) pool: Pool,
    pub(crate) resolver: Lookups,
    /// What a user has put in place of resolver, Happy Eyeballs and TCP.
    pub(crate) connector: Option<Arc<dyn Connector>>,
    /// What every connection reads into.
    pub(crate) scratch: Box<[u8]>,
    pub(crate) shared: Arc<Shared>,
    /// Notifies the pool's machine.
    pub(crate) notifier: Arc<Notifier>,
    /// The buffer that the inbox gets in exchange for its own.
    pub(crate) messages: Vec<Message>,
}

/// What a new machine is made from.
pub(crate) enum Seed {
    Connect(Target),
    Candidate(Rc<RefCell<Race>>, usize),
}

/// What a machine becomes after it ran.
pub(crate) enum Transition<M> {
    /// Itself, suspended until an event or this deadline.
    Suspend(Box<M>, Option<Time>),
    /// Itself, after another machine was started.
    Spawn(Box<M>, Seed),
    /// The handshake of a stream that is open, or that a user's connector has begun to open.
    Handshake(Opened, Layer),
    /// A connection, over a stream that can serve.
    Connect(Opened),
    /// Nothing, once the notification on its way has arrived.
    EndLater,
    /// Nothing.
    End,
}

/// An attempt to connect, as it passes from machine to machine.
pub(crate) struct Attempt {
    pub(crate) target: Target,
    /// For all of connecting, from the name to the end of the handshake.
    pub(crate) deadline: Time,
    /// Notifies the machine that has the attempt.
    pub(crate) notifier: Arc<Notifier>,
}

/// A stream, and the attempt that it belongs to.
pub(crate) struct Opened {
    pub(crate) attempt: Attempt,
    pub(crate) stream: Stream,
    /// What the loop has reported about the stream. A handshake may have used it up.
    pub(crate) ready: Readiness,
}

/// Whose handshake it is.
#[derive(Clone, Copy)]
pub(crate) enum Layer {
    /// That of a stream from a user's connector.
    Connector,
    /// TLS's, if the origin is to have it.
    Tls,
}

// ===== impl Layer =====

impl Layer {
    /// The error of connecting if this handshake has failed.
    pub(crate) fn error(self, error: io::Error) -> Error {
        match self {
            Layer::Connector => Error::io("opening a stream to the origin", error),
            Layer::Tls => Error::handshake(error),
        }
    }
}

// ===== impl Transition =====

impl<M> Transition<M> {
    /// The end of a machine. A notification to a slot of rotor's table that is empty would spoil
    /// slab 0.1.3's free list, so the machine stays if one is on its way.
    pub(crate) fn end(notifier: &Notifier) -> Self {
        if notifier.close() { Transition::EndLater } else { Transition::End }
    }
}

// ===== impl Attempt =====

impl Attempt {
    /// Why connecting has to stop now, if it has.
    pub(crate) fn stopped(&self, scope: &Scope<'_, Context>) -> Option<Error> {
        if passed(Some(self.deadline), scope.now()) {
            return Some(Error::timeout(TimeoutPhase::Connect, &scope.config));
        }
        (!scope.pool.is_wanted(self.target.slot)).then_some(Error::ShutDown)
    }

    /// Connecting has failed: reports that to the pool, and ends the machine.
    pub(crate) fn fail<M>(self, error: Error, scope: &mut Scope<'_, Context>) -> Transition<M> {
        scope.pool.failed(self.target.slot, error);
        Transition::end(&self.notifier)
    }
}

/// Ends the registration of a stream that is about to be closed. A plain socket's ends when it is
/// closed. But what a user's stream registers may stay open, or be two sockets with an event each
/// in this very turn. So the machine stays for one more notification.
pub(crate) fn unwatch(stream: &Stream, notifier: &Notifier, scope: &mut Scope<'_, Context>) {
    if let Stream::Other(_) = stream {
        // This fails if the stream was not registered. Then there is nothing to end.
        let _ = scope.deregister(stream);
        notifier.notify();
    }
}
