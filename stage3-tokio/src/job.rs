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
    Body, Error, Exchange, Outgoing,
    body::{self, Gone, Sender},
    decode::{BodyLength, Head},
};
use http::{HeaderMap, Response};
use tokio::{sync::oneshot, time::Instant};

/// What a caller waits for.
pub(crate) type Reply = Result<Response<Body>, Error>;

/// One accepted request. It lives in a box: it is handed on a dozen times on its way, and moving
/// all of it each time costs more than the allocation.
pub(crate) struct Job {
    /// Its number in the client, and its ticket in the queue.
    pub(crate) number: u64,
    pub(crate) outgoing: Outgoing,
    /// When the whole call is over, if there is a limit.
    pub(crate) deadline: Option<Instant>,
    /// The request was sent before, on a connection that turned out to be stale.
    pub(crate) retried: bool,
    pub(crate) answer: Answer,
}

/// How far the response has got towards the caller.
pub(crate) enum Answer {
    /// Nothing was delivered.
    Awaited(oneshot::Sender<Reply>),
    /// The head is here, and perhaps a first piece; the rest may come in the same read.
    Held { reply: oneshot::Sender<Reply>, head: Head, first: Bytes },
    /// The caller has the response and reads its body.
    Streaming(Sender),
    /// Delivered to the end, or nobody is left to deliver to.
    Over,
}

impl Job {
    pub(crate) fn new(
        outgoing: Outgoing,
        reply: oneshot::Sender<Reply>,
        deadline: Option<Instant>,
    ) -> Box<Self> {
        Box::new(Job {
            number: 0,
            outgoing,
            deadline,
            retried: false,
            answer: Answer::Awaited(reply),
        })
    }

    pub(crate) fn fail(self: Box<Self>, error: Error) {
        self.answer.fail(error);
    }

    /// Whether the caller has given up.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(&self.answer, Answer::Awaited(reply) if reply.is_closed())
    }
}

impl Answer {
    /// Whether another piece of the response may be read: `Pending` while the caller's window is
    /// full.
    ///
    /// # Errors
    ///
    /// [`Gone`] if the caller is.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match self {
            Answer::Awaited(reply) | Answer::Held { reply, .. } => {
                match reply.poll_closed(cx) {
                    Poll::Ready(()) => Poll::Ready(Err(Gone)),
                    Poll::Pending => Poll::Ready(Ok(())),
                }
            }
            Answer::Streaming(sender) => sender.poll_room(cx),
            Answer::Over => Poll::Ready(Err(Gone)),
        }
    }

    pub(crate) fn head(&mut self, head: Head) {
        match mem::replace(self, Answer::Over) {
            Answer::Awaited(reply) => *self = Answer::Held { reply, head, first: Bytes::new() },
            other => *self = other,
        }
    }

    pub(crate) fn data(&mut self, piece: Bytes, exchange: Exchange, window: usize) {
        match self {
            Answer::Held { first, .. } if first.is_empty() => *first = piece,
            _ => {
                self.deliver(exchange, window);
                if let Answer::Streaming(sender) = self {
                    sender.push(piece);
                }
            }
        }
    }

    /// Delivers a head whose body is still to come.
    pub(crate) fn deliver(&mut self, exchange: Exchange, window: usize) {
        *self = match mem::replace(self, Answer::Over) {
            Answer::Held { reply, head, first } => {
                let expected = match head.length {
                    BodyLength::Exact(length) => Some(length),
                    BodyLength::Chunked | BodyLength::UntilClose => None,
                };
                let (mut sender, body) = body::channel(window, expected, exchange);
                sender.push(first);
                // If the caller is gone, the body is dropped here, and the sender will know.
                _ = reply.send(Ok(response(head, body)));
                Answer::Streaming(sender)
            }
            other => other,
        }
    }

    /// The response is whole.
    pub(crate) fn finish(
        mut self,
        trailers: Option<HeaderMap>,
        exchange: Exchange,
        window: usize,
    ) {
        if trailers.is_some() {
            self.deliver(exchange, window);
        }
        match self {
            Answer::Held { reply, head, first } => {
                _ = reply.send(Ok(response(head, Body::whole(first, exchange))));
            }
            Answer::Streaming(sender) => sender.finish(trailers),
            Answer::Awaited(_) | Answer::Over => {}
        }
    }

    /// The response will not become whole. What was delivered before stays.
    pub(crate) fn fail(self, error: Error) {
        match self {
            Answer::Awaited(reply) | Answer::Held { reply, .. } => _ = reply.send(Err(error)),
            Answer::Streaming(sender) => sender.fail(error),
            Answer::Over => {}
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
