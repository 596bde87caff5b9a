//! Hands a response to its caller, piece by piece.
//!
//! Its rules:
//! - the caller gets the head when what came with it is decoded. If that is the whole response, the
//!   caller gets head and body in one message, which needs no shared state;
//! - otherwise the body streams. Pieces are handed on as they were decoded, and never merged;
//! - trailers and errors come after the pieces before them;
//! - if a responder is dropped before its completion, the caller gets [`Error::ShutDown`].

use std::{
    mem,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};

use crate::{
    Body, Decoder, Error, Exchange, Upload,
    body::{self, Gone, Sender},
    decode::{BodyLength, Event, Head},
    io_model,
};

/// What a caller's future resolves to.
pub type Answer = Result<Response<Body>, Error>;

/// The sending half of a stage's one-shot channel to a caller. If it is dropped, the caller must get
/// [`Error::ShutDown`].
pub trait Reply {
    /// Completes the caller's future. Does nothing if that was dropped.
    fn send(self, answer: Answer);

    /// Whether the caller has dropped its future.
    fn is_closed(&self) -> bool;
}

/// A caller, and how much of the response it has received.
#[derive(Debug)]
pub struct Responder<R> {
    /// Which connection the request is on, and how it got there.
    pub exchange: Exchange,
    /// Bytes of the body that may wait for the caller.
    window: usize,
    received: Received<R>,
    /// Kept for the completion.
    trailers: Option<HeaderMap>,
}

#[derive(Debug)]
enum Received<R> {
    Nothing(R),
    /// Nothing yet: the rest of the body may be in the bytes that brought the head.
    Held {
        reply: R,
        head: Head,
        first: Bytes,
    },
    /// The head. The caller reads the body.
    Head(Sender),
    /// Only while one variant becomes another.
    Moved,
}

impl<R: Reply> Responder<R> {
    /// For a caller that has received nothing. `window` is in bytes, as in [`body::channel`].
    pub fn new(reply: R, window: usize) -> Self {
        let (exchange, received) = (Exchange::default(), Received::Nothing(reply));
        Responder { exchange, window, received, trailers: None }
    }

    /// The caller's channel, until it has received the head.
    pub fn reply(&mut self) -> Option<&mut R> {
        match &mut self.received {
            Received::Nothing(reply) | Received::Held { reply, .. } => Some(reply),
            Received::Head(_) | Received::Moved => None,
        }
    }

    /// The caller's body, once it has received the head.
    pub fn body(&mut self) -> Option<&mut Sender> {
        match &mut self.received {
            Received::Head(sender) => Some(sender),
            _ => None,
        }
    }

    /// Whether the caller gave up before it received anything.
    pub fn is_cancelled(&self) -> bool {
        match &self.received {
            Received::Nothing(reply) | Received::Held { reply, .. } => reply.is_closed(),
            Received::Head(_) | Received::Moved => false,
        }
    }

    /// Whether the caller has room for more of the body: [`Sender::poll_room`]. Before the body
    /// there always is room, since heads have a limit of their own.
    ///
    /// # Errors
    ///
    /// [`Gone`] if the body was dropped.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match &mut self.received {
            Received::Head(sender) => sender.poll_room(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// The request has been sent whole.
    pub fn request_sent(&mut self) {
        if self.exchange.upload == Upload::Whole {
            return;
        }
        self.exchange.upload = Upload::Whole;
        if let Received::Head(sender) = &mut self.received {
            sender.request_sent();
        }
    }

    /// Decodes what has come, and hands it on. Returns whether the response is whole. If it is not,
    /// the caller has received all that came.
    ///
    /// # Errors
    ///
    /// [`Decoder::decode`]'s. The caller has then received what came before.
    pub fn receive(
        &mut self,
        decoder: &mut Decoder,
        buffer: &mut BytesMut,
    ) -> Result<bool, Error> {
        loop {
            match decoder.decode(buffer) {
                Ok(Some(event)) => {
                    if self.event(event) {
                        return Ok(true);
                    }
                }
                Ok(None) => {
                    self.deliver();
                    return Ok(false);
                }
                Err(error) => {
                    self.deliver();
                    return Err(error);
                }
            }
        }
    }

    /// Takes one part of the response. Returns whether it was the end.
    pub fn event(&mut self, event: Event) -> bool {
        let connection = self.exchange.connection;
        match event {
            Event::Head(head) => {
                io_model!(frame, connection, why = "head");
                let received = mem::replace(&mut self.received, Received::Moved);
                self.received = match received {
                    Received::Nothing(reply) => {
                        Received::Held { reply, head, first: Bytes::new() }
                    }
                    other => other,
                };
            }
            Event::Data(piece) => {
                io_model!(frame, connection, bytes = piece.len(), why = "data");
                self.data(piece);
            }
            Event::End(trailers) => {
                io_model!(frame, connection, why = "end");
                if trailers.is_some() {
                    self.deliver();
                    self.trailers = trailers;
                }
                return true;
            }
        }
        false
    }

    fn data(&mut self, piece: Bytes) {
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

    /// Gives the caller the head, if it has come. The body streams from now on. A caller that gave
    /// up before gets nothing: see [`Responder::is_cancelled`].
    pub fn deliver(&mut self) {
        // Most calls have nothing to deliver: nothing is moved for them.
        if !matches!(&self.received, Received::Held { reply, .. } if !reply.is_closed()) {
            return;
        }
        let Received::Held { reply, head, first } =
            mem::replace(&mut self.received, Received::Moved)
        else {
            return;
        };
        let expected = match head.length {
            BodyLength::Exact(length) => Some(length),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        };
        let (mut sender, body) = body::channel(self.window, expected, self.exchange);
        sender.push(first);
        // If the caller gives up now, this drops the body, which the sender notices.
        reply.send(Ok(head.into_response(body)));
        self.received = Received::Head(sender);
    }

    /// The reply, to send the request again. `None` if anything of a response has come.
    pub fn into_reply(self) -> Option<R> {
        match self.received {
            Received::Nothing(reply) => Some(reply),
            _ => None,
        }
    }

    /// Completes the call with the end of the response.
    pub fn finish(self) {
        match self.received {
            Received::Held { reply, head, first } => {
                reply.send(Ok(head.into_response(Body::whole(first, self.exchange))));
            }
            Received::Head(sender) => sender.finish(self.trailers),
            Received::Nothing(_) | Received::Moved => {}
        }
    }

    /// Completes the call with an error, after what has come.
    pub fn fail(mut self, error: Error) {
        self.deliver();
        match self.received {
            Received::Nothing(reply) => reply.send(Err(error)),
            Received::Head(sender) => sender.fail(error),
            Received::Held { .. } | Received::Moved => {}
        }
    }
}

/// How a call ends. A connection returns it instead of completing the call, so that the pool knows
/// of the idle or closed connection before the caller can act.
#[derive(Debug)]
#[must_use]
pub enum Completion<R> {
    /// No caller waits.
    Nothing,
    /// The response is whole.
    Finish(Responder<R>),
    /// The response is not, or will not become, whole.
    Fail(Responder<R>, Error),
}

impl<R: Reply> Completion<R> {
    /// Completes the call.
    pub fn complete(self) {
        match self {
            Completion::Nothing => {}
            Completion::Finish(responder) => responder.finish(),
            Completion::Fail(responder, error) => responder.fail(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use http::Method;
    use http_body_util::BodyExt;

    use super::*;
    use crate::decode::Limits;

    #[derive(Clone, Default)]
    struct Caller(Rc<RefCell<Option<Answer>>>);

    impl Reply for Caller {
        fn send(self, answer: Answer) {
            *self.0.borrow_mut() = Some(answer);
        }

        fn is_closed(&self) -> bool {
            false
        }
    }

    impl Caller {
        fn body(&self) -> Body {
            self.0.borrow_mut().take().expect("an answer").expect("a response").into_body()
        }
    }

    fn frames(mut body: Body) -> Vec<Bytes> {
        let mut frames = Vec::new();
        while let Some(frame) = futures::executor::block_on(body.frame()) {
            frames.extend(frame.unwrap().into_data());
        }
        frames
    }

    fn receive(caller: &Caller, bytes: &[u8]) -> (Responder<Caller>, Result<bool, Error>) {
        let mut responder = Responder::new(caller.clone(), 1024);
        let mut decoder = Decoder::new(&Method::GET, Limits::from(&crate::Config::new()));
        let whole = responder.receive(&mut decoder, &mut BytesMut::from(bytes));
        (responder, whole)
    }

    #[test]
    fn a_response_that_comes_whole_is_one_message_at_its_completion() {
        let caller = Caller::default();
        let (responder, whole) =
            receive(&caller, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        assert!(whole.unwrap() && caller.0.borrow().is_none());
        responder.finish();
        assert_eq!(frames(caller.body()), ["hi"]);
    }

    #[test]
    fn pieces_are_not_merged() {
        let caller = Caller::default();
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bytes = format!("{head}1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
        let (responder, whole) = receive(&caller, bytes.as_bytes());
        assert!(whole.unwrap());
        responder.finish();
        assert_eq!(frames(caller.body()), ["a", "b"]);
    }

    #[test]
    fn what_came_before_an_error_is_received_before_it() {
        let caller = Caller::default();
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (responder, whole) = receive(&caller, format!("{head}1\r\na\r\nx").as_bytes());
        let mut body = caller.body();
        responder.fail(whole.unwrap_err());
        let mut next = || futures::executor::block_on(body.frame());
        assert_eq!(next().unwrap().unwrap().into_data().unwrap(), "a");
        assert!(next().unwrap().is_err());
    }
}
