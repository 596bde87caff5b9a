//! A request on its way through the client, and the way back to its caller.
//!
//! Its rules: a job is owned by one party at a time, the queue or a connection; dropped without an
//! answer, it tells its caller that the client is shut down; the response is delivered as soon as
//! its head is whole, but one whose body came with it is delivered in one piece.

use std::{
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;
use client_core::{
    Body, Error, Exchange, Outgoing, Upload,
    body::{self, Gone, Sender},
    decode::{BodyLength, Head},
};
use http::{HeaderMap, Response};
use tokio::time::Instant;

use crate::{runtime::AbortOnDropHandle, sync::oneshot};

/// What a caller waits for.
pub(crate) type Reply = Result<Response<Body>, Error>;

/// One accepted request. It lives in a box: it is handed on a dozen times on its way, and moving
/// all of it each time costs more than the allocation.
pub(crate) struct Job {
    /// Its number as a waiter.
    pub(crate) number: u64,
    pub(crate) outgoing: Outgoing,
    /// When the whole call is over, if there is a limit.
    pub(crate) deadline: Option<Instant>,
    /// The task that ends its wait for a connection at the deadline.
    pub(crate) expiry: Option<AbortOnDropHandle<()>>,
    /// Which connection it is on, and how it got there.
    pub(crate) exchange: Exchange,
    /// How many bytes of its body may wait for the caller.
    window: usize,
    answer: Answer,
}

/// How far the response has got towards the caller.
enum Answer {
    /// Nothing was delivered.
    Awaited(oneshot::Sender<Reply>),
    /// The head is here, and perhaps a first piece; the rest may come in the same read.
    Held { reply: oneshot::Sender<Reply>, head: Head, first: Bytes },
    /// The caller has the response and reads its body.
    Streaming(Sender),
    /// Being changed from one to another.
    Moved,
}

impl Job {
    pub(crate) fn new(
        outgoing: Outgoing,
        reply: oneshot::Sender<Reply>,
        deadline: Option<Instant>,
        window: usize,
    ) -> Box<Self> {
        let (exchange, answer) = (Exchange::default(), Answer::Awaited(reply));
        Box::new(Job { number: 0, outgoing, deadline, expiry: None, exchange, window, answer })
    }

    /// Whether the caller gave up before anything was delivered.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(&self.answer, Answer::Awaited(reply) if reply.is_closed())
    }

    /// Whether another piece of the response may be read: `Pending` while the caller's window is
    /// full.
    ///
    /// # Errors
    ///
    /// [`Gone`] if the caller is.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match &mut self.answer {
            Answer::Streaming(sender) => sender.poll_room(cx),
            Answer::Awaited(reply) => match reply.poll_closed(cx) {
                Poll::Ready(()) => Poll::Ready(Err(Gone)),
                Poll::Pending => Poll::Ready(Ok(())),
            },
            Answer::Held { .. } | Answer::Moved => Poll::Ready(Ok(())),
        }
    }

    /// The request was sent whole.
    pub(crate) fn sent(&mut self) {
        self.exchange.upload = Upload::Whole;
        if let Answer::Streaming(sender) = &mut self.answer {
            sender.request_sent();
        }
    }

    pub(crate) fn head(&mut self, head: Head) {
        self.answer = match mem::replace(&mut self.answer, Answer::Moved) {
            Answer::Awaited(reply) => Answer::Held { reply, head, first: Bytes::new() },
            other => other,
        };
    }

    pub(crate) fn data(&mut self, piece: Bytes) {
        if let Answer::Held { first, .. } = &mut self.answer
            && first.is_empty()
        {
            *first = piece;
            return;
        }
        self.deliver();
        if let Answer::Streaming(sender) = &mut self.answer {
            sender.push(piece);
        }
    }

    /// Delivers a head whose body is still to come.
    pub(crate) fn deliver(&mut self) {
        self.answer = match mem::replace(&mut self.answer, Answer::Moved) {
            Answer::Held { reply, head, first } => {
                let expected = match head.length {
                    BodyLength::Exact(length) => Some(length),
                    BodyLength::Chunked | BodyLength::UntilClose => None,
                };
                let (mut sender, body) = body::channel(self.window, expected, self.exchange);
                sender.push(first);
                // If the caller is gone, the body is dropped here, and the sender will know.
                _ = reply.send(Ok(response(head, body)));
                Answer::Streaming(sender)
            }
            other => other,
        };
    }

    /// The response is whole.
    pub(crate) fn finish(mut self: Box<Self>, trailers: Option<HeaderMap>) {
        if trailers.is_some() {
            self.deliver();
        }
        match self.answer {
            Answer::Held { reply, head, first } => {
                _ = reply.send(Ok(response(head, Body::whole(first, self.exchange))));
            }
            Answer::Streaming(sender) => sender.finish(trailers),
            Answer::Awaited(_) | Answer::Moved => {}
        }
    }

    /// The response will not become whole. What came before is delivered first.
    pub(crate) fn fail(mut self: Box<Self>, error: Error) {
        self.deliver();
        match self.answer {
            Answer::Awaited(reply) => _ = reply.send(Err(error)),
            Answer::Streaming(sender) => sender.fail(error),
            Answer::Held { .. } | Answer::Moved => {}
        }
    }
}

fn response(head: Head, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.version_mut() = head.version;
    *response.headers_mut() = head.headers;
    response
}
