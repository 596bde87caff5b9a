//! The handle that users hold, and the future of one response.
//!
//! Its rules:
//! - a future is lazy: the request is checked and accepted, and its clock starts, when it is first
//!   polled;
//! - the future then waits for one answer. Dropped before, it says so to the loop;
//! - only handles count: with the last one the client closes, and what was accepted is finished.

use std::{
    future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    thread,
    time::Instant,
};

use client_core::{Answer, Config, Error, Outgoing, PoolStats, Request, after, io_model};

use crate::{
    connector::Connectors,
    event_loop::EventLoop,
    oneshot,
    pending::{PendingRequest, ReplyReceiver},
    shared::{EndGuard, Message, Shared},
    timer::Armed,
};

/// A pooled HTTP/1.1 client on an event loop of its own.
///
/// The loop runs on one thread. Handles, response futures and bodies may be used on any thread and
/// from any executor. Clones share the pool; dropping the last one is [`Client::close`] without
/// waiting.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// What all clones hold together.
struct Handle {
    shared: Arc<Shared>,
    config: Arc<Config>,
}

/// The future of one response's head; its body streams afterwards.
///
/// # Cancel safety
///
/// Dropped before its first poll it has done nothing. Dropped later, the server may have seen the
/// request: a waiter leaves the queue, and a connection in the middle of the exchange is closed.
#[must_use = "a request is not sent before its future is polled"]
pub struct ResponseFuture {
    state: State,
    shared: Arc<Shared>,
    config: Arc<Config>,
}

// The request lies inline: a box for it would be an allocation per request.
#[allow(clippy::large_enum_variant)]
enum State {
    /// Not yet polled.
    New(Request),
    /// Accepted.
    Waiting(ReplyReceiver),
    Done,
}

// ===== impl Client =====

impl Client {
    /// Makes a client and starts its loop.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] for limits with which no request could be answered, [`Error::Io`]
    /// if the system refuses the event queue or the thread.
    pub fn new(config: Config) -> Result<Self, Error> {
        Client::with_connectors(config, Connectors::new())
    }

    /// Makes a client that connects by the user's own connectors, and starts its loop.
    ///
    /// # Errors
    ///
    /// [`Client::new`]'s.
    pub fn with_connectors(config: Config, connectors: Connectors) -> Result<Self, Error> {
        let (client, event_loop) = Client::with_loop(config, connectors)?;
        let guard = EndGuard(event_loop.shared());
        io_model!(spawn, why = "event loop");
        thread::Builder::new()
            .name("stage2-mio".into())
            .spawn(move || {
                // Dropped last: the sockets are closed before anybody is told of the end.
                let _guard = guard;
                event_loop.run();
            })
            .map_err(|error| Error::io("starting the event loop's thread", error))?;
        Ok(client)
    }

    /// A client and its loop, which the caller has to run.
    pub(crate) fn with_loop(
        config: Config,
        connectors: Connectors,
    ) -> Result<(Self, EventLoop), Error> {
        config.check()?;
        let config = Arc::new(config);
        let event_loop = EventLoop::new(config.clone(), connectors)
            .map_err(|error| Error::io("making the event loop", error))?;
        let shared = event_loop.shared();
        Ok((Client { handle: Arc::new(Handle { shared, config }) }, event_loop))
    }

    /// Sends a request. Nothing happens before the future is first polled.
    ///
    /// # Errors
    ///
    /// The future resolves to [`Error`]: [`Error::InvalidRequest`] before anything was sent,
    /// [`Error::PoolBusy`] at once if too many wait, [`Error::ShutDown`] after [`Client::close`],
    /// otherwise what happened on the way to the response's head. What happens to its body comes
    /// out of the [`Body`](crate::Body).
    ///
    /// # Cancel safety
    ///
    /// [`ResponseFuture`]'s.
    pub fn request(&self, request: Request) -> ResponseFuture {
        ResponseFuture {
            state: State::New(request),
            shared: self.handle.shared.clone(),
            config: self.handle.config.clone(),
        }
    }

    /// The pool now: never older than what a caller has been told.
    pub fn stats(&self) -> PoolStats {
        self.handle.shared.stats()
    }

    /// Whether the client is closed.
    pub fn is_closed(&self) -> bool {
        self.handle.shared.is_closing()
    }

    /// Ends the client: later requests get [`Error::ShutDown`], those that are accepted finish, and
    /// idle connections are closed. Takes effect without being polled; resolves when the last
    /// socket is closed. Several may wait.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the wait, not the end.
    pub fn close(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.handle.shared.close();
        let shared = self.handle.shared.clone();
        future::poll_fn(move |cx| shared.ended.poll(cx))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

client_core::impl_api_client!(Client, ResponseFuture, "stage2-mio");

// ===== impl ResponseFuture =====

impl ResponseFuture {
    /// Checks the request and gives it to the loop.
    fn accept(&self, request: Request) -> Result<ReplyReceiver, Error> {
        let request = Outgoing::new(request)?;
        if self.shared.is_closing() {
            return Err(Error::ShutDown);
        }
        self.shared.tls.check(&request.origin)?;
        let deadline = self.config.total_timeout.map(|total| after(Instant::now(), total));
        let (reply, answer) = oneshot::channel();
        let timer = Armed::default();
        let pending = PendingRequest { request, reply, deadline, attempts: 1, timer };
        self.shared.inbox.push(Message::Request(pending)).map_err(|_| Error::ShutDown)?;
        Ok(answer)
    }
}

impl Future for ResponseFuture {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        if let State::New(_) = self.state
            && let State::New(request) = std::mem::replace(&mut self.state, State::Done)
        {
            match self.accept(request) {
                Ok(answer) => self.state = State::Waiting(answer),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let State::Waiting(answer) = &mut self.state else {
            return Poll::Ready(Err(Error::ShutDown));
        };
        let answer = ready!(answer.poll(cx));
        self.state = State::Done;
        Poll::Ready(answer.unwrap_or(Err(Error::ShutDown)))
    }
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        if let State::Waiting(answer) = &mut self.state
            && let Some(holder) = answer.cancel()
        {
            // A loop that has ended holds no request.
            let _ = self.shared.inbox.push(Message::Cancel(holder));
        }
    }
}
