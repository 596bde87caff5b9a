//! A request on its way through the client, and the way back to its caller.
//!
//! Its rules:
//! - the pool or a connection task owns a pending request, never both. If it is dropped before its
//!   completion, the caller gets [`Error::ShutDown`];
//! - a caller gets the response when its head is whole. But if the whole body came with the head, the
//!   caller gets both at once.

use std::{future::pending, mem};

use bytes::Bytes;
use client_core::{
    Body, Error, Exchange, Outgoing, Upload,
    body::{self, Gone, Sender},
    decode::{BodyLength, Head},
    io_model,
};
use http::{HeaderMap, Response};
use tokio::time::Instant;

use crate::{runtime::AbortOnDropHandle, sync::oneshot};

/// What a caller waits for.
pub(crate) type Answer = Result<Response<Body>, Error>;

/// An accepted request. It is boxed: it moves a dozen times on its way, and copying it each time
/// costs more than the allocation.
pub(crate) struct PendingRequest {
    pub(crate) outgoing: Outgoing,
    /// When the whole call must be over, if it has a limit.
    pub(crate) deadline: Option<Instant>,
    /// The task that ends its wait for a connection at the deadline. Dropping the handle aborts it.
    pub(crate) expiry: Option<AbortOnDropHandle<()>>,
    pub(crate) caller: Caller,
}

/// The caller, and what it has received.
pub(crate) struct Caller {
    /// The number of the request, for recordings.
    pub(crate) number: u64,
    /// Which connection the request is on, and how it got there.
    pub(crate) exchange: Exchange,
    /// Bytes of the body that may wait for the caller.
    window: usize,
    received: Received,
    /// They are delivered with the completion.
    trailers: Option<HeaderMap>,
}

/// How much of the response the caller has received.
enum Received {
    Nothing(oneshot::Sender<Answer>),
    /// Nothing yet: the rest of the body may be in the bytes that brought the head.
    Held {
        reply: oneshot::Sender<Answer>,
        head: Head,
        first: Bytes,
    },
    /// The head. The caller reads the body.
    Head(Sender),
    /// Only while one variant becomes another.
    Moved,
}

impl PendingRequest {
    pub(crate) fn new(
        outgoing: Outgoing,
        reply: oneshot::Sender<Answer>,
        deadline: Option<Instant>,
        window: usize,
    ) -> Box<Self> {
        let (exchange, received) = (Exchange::default(), Received::Nothing(reply));
        let caller = Caller { number: 0, exchange, window, received, trailers: None };
        Box::new(PendingRequest { outgoing, deadline, expiry: None, caller })
    }

    /// Completes the call with an error, after what has come.
    pub(crate) fn fail(self: Box<Self>, error: Error) {
        self.caller.fail(error);
    }
}

impl Caller {
    /// Whether the caller gave up before it received anything.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(&self.received, Received::Nothing(reply) if reply.is_closed())
    }

    /// Resolves when the caller gives up.
    pub(crate) async fn gone(&mut self) {
        match &mut self.received {
            Received::Nothing(reply) => reply.closed().await,
            Received::Head(body) => body.gone().await,
            Received::Held { .. } | Received::Moved => pending().await,
        }
    }

    /// Waits while the caller's window is full.
    ///
    /// # Errors
    ///
    /// [`Gone`] if the caller is.
    pub(crate) async fn room(&mut self) -> Result<(), Gone> {
        match &mut self.received {
            Received::Head(body) => body.room().await,
            _ => Ok(()),
        }
    }

    /// Tells the caller once the request is sent whole. A body that is cut later says so too.
    pub(crate) fn sent(&mut self, whole: bool) {
        if !whole || self.exchange.upload == Upload::Whole {
            return;
        }
        self.exchange.upload = Upload::Whole;
        if let Received::Head(sender) = &mut self.received {
            sender.request_sent();
        }
    }

    /// The head has come.
    pub(crate) fn head(&mut self, head: Head) {
        io_model!(frame, request = self.number, why = "head");
        self.received = match mem::replace(&mut self.received, Received::Moved) {
            Received::Nothing(reply) => Received::Held { reply, head, first: Bytes::new() },
            other => other,
        };
    }

    /// A piece of the body has come.
    pub(crate) fn data(&mut self, piece: Bytes) {
        io_model!(frame, request = self.number, bytes = piece.len(), why = "data");
        if let Received::Held { first, .. } = &mut self.received
            && first.is_empty()
        {
            *first = piece;
            return;
        }
        self.deliver();
        if let Received::Head(sender) = &mut self.received {
            sender.push(piece);
        }
    }

    /// Gives the caller the head, if it has come. The body streams from now on.
    pub(crate) fn deliver(&mut self) {
        self.received = match mem::replace(&mut self.received, Received::Moved) {
            Received::Held { reply, head, first } => {
                let expected = match head.length {
                    BodyLength::Exact(length) => Some(length),
                    BodyLength::Chunked | BodyLength::UntilClose => None,
                };
                let (mut sender, body) = body::channel(self.window, expected, self.exchange);
                sender.push(first);
                // If the caller has gone, this drops the body, which the sender notices.
                _ = reply.send(Ok(head.into_response(body)));
                Received::Head(sender)
            }
            other => other,
        };
    }

    /// The end of the body has come.
    pub(crate) fn end(&mut self, trailers: Option<HeaderMap>) {
        io_model!(frame, request = self.number, why = "end");
        if trailers.is_some() {
            self.deliver();
            self.trailers = trailers;
        }
    }

    /// Completes the call with the end of the response.
    pub(crate) fn finish(self) {
        match self.received {
            Received::Held { reply, head, first } => {
                _ = reply.send(Ok(head.into_response(Body::whole(first, self.exchange))));
            }
            Received::Head(sender) => sender.finish(self.trailers),
            Received::Nothing(_) | Received::Moved => {}
        }
    }

    /// Completes the call with an error, after what has come.
    pub(crate) fn fail(mut self, error: Error) {
        self.deliver();
        match self.received {
            Received::Nothing(reply) => _ = reply.send(Err(error)),
            Received::Head(sender) => sender.fail(error),
            Received::Held { .. } | Received::Moved => {}
        }
    }
}
