//! A request inside the client, with the way back to its caller.
//!
//! Its rules:
//! - either the pool or a connection task owns a pending request. If it is dropped before its
//!   completion, the caller gets [`Error::ShutDown`];
//! - what the caller has received of the response is in [`client_core::Responder`]. This file adds
//!   how a task waits for the caller.

use client_core::{Answer, Error, Outgoing, Reply, body::Gone};
use tokio::time::Instant;

use crate::{runtime::AbortOnDropHandle, sync::oneshot};

/// An accepted request. It is boxed: it moves a dozen times on its way, and copying it each time
/// costs more than the allocation.
pub(crate) struct PendingRequest {
    /// The number of the request, for recordings.
    pub(crate) number: u64,
    pub(crate) outgoing: Outgoing,
    /// When the whole call must be over, if it has a limit.
    pub(crate) deadline: Option<Instant>,
    /// The task that ends its wait for a connection at the deadline. Dropping the handle aborts it.
    pub(crate) expiry: Option<AbortOnDropHandle<()>>,
    pub(crate) responder: Responder,
}

pub(crate) type Responder = client_core::Responder<ReplySender>;

/// The sending half of the channel to a caller.
pub(crate) struct ReplySender(oneshot::Sender<Answer>);

impl Reply for ReplySender {
    fn send(self, answer: Answer) {
        _ = self.0.send(answer);
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl PendingRequest {
    pub(crate) fn new(
        outgoing: Outgoing,
        reply: oneshot::Sender<Answer>,
        deadline: Option<Instant>,
        window: usize,
    ) -> Box<Self> {
        let responder = Responder::new(ReplySender(reply), window);
        Box::new(PendingRequest { number: 0, outgoing, deadline, expiry: None, responder })
    }

    /// Completes the call. The caller receives an error after what has come of the response.
    pub(crate) fn complete(self: Box<Self>, result: Result<(), Error>) {
        match result {
            Ok(()) => self.responder.finish(),
            Err(error) => self.responder.fail(error),
        }
    }
}

/// Resolves when the caller leaves: when it drops its future, or the body of its response. A
/// [`Responder`] has the reply until it has the body, so there always is one to wait for.
pub(crate) async fn gone(responder: &mut Responder) {
    if let Some(ReplySender(reply)) = responder.reply() {
        reply.closed().await;
    } else if let Some(body) = responder.body() {
        body.gone().await;
    }
}

/// Waits while the caller's window is full. Before the body it never is.
///
/// # Errors
///
/// [`Gone`] if the caller has left.
pub(crate) async fn room(responder: &mut Responder) -> Result<(), Gone> {
    if responder.is_cancelled() {
        return Err(Gone);
    }
    match responder.body() {
        Some(body) => body.room().await,
        None => Ok(()),
    }
}
