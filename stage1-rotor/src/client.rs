//! The client that users hold: a handle, and the future of a response.
//!
//! Its rules:
//! - nothing happens before a future is polled. Then the request is checked, gets its number, and
//!   goes to the loop;
//! - only handles keep the client open. When the last one is dropped, accepted requests finish.

use std::{
    future, mem,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll, ready},
};

use client_core::{Answer, Config, Error, PoolStats, Request};

use crate::{connector::Connectors, event_loop, pending::ReplyReceiver, shared::Shared};

/// A pooled HTTP/1.1 client, whose sockets live on one event loop in a thread of its own. A clone
/// is another handle to the same pool.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// What the clones of a client share. Its end is the client's end.
struct Handle {
    shared: Arc<Shared>,
}

// ===== impl Client =====

impl Client {
    /// Starts a client.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] if a limit is zero that must not be, [`Error::Io`] if the system
    /// refuses a thread or what the event loop needs.
    pub fn new(config: Config) -> Result<Self, Error> {
        Client::with_connectors(config, Connectors::new())
    }

    /// Starts a client that connects by the user's own connectors.
    ///
    /// # Errors
    ///
    /// [`Client::new`]'s.
    pub fn with_connectors(config: Config, connectors: Connectors) -> Result<Self, Error> {
        config.check()?;
        let shared = event_loop::start(config, connectors)
            .map_err(|error| Error::io("starting the event loop", error))?;
        Ok(Client { handle: Arc::new(Handle { shared }) })
    }

    /// Sends a request. Nothing happens before the future is first polled.
    ///
    /// # Errors
    ///
    /// The future's: any [`Error`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up: a request that waits leaves the queue, and a connection in the
    /// middle of the exchange is closed. After the first poll the server may have seen the request.
    pub fn request(&self, request: Request) -> ResponseFuture {
        ResponseFuture { shared: self.handle.shared.clone(), stage: Stage::Unsent(request) }
    }

    /// The pool now.
    pub fn stats(&self) -> PoolStats {
        let stats = self.handle.shared.stats.lock().unwrap_or_else(PoisonError::into_inner);
        stats.clone()
    }

    /// Whether the client is closed.
    pub fn is_closed(&self) -> bool {
        self.handle.shared.inbox.is_closed()
    }

    /// Ends the client: later requests get [`Error::ShutDown`], those that were accepted finish.
    /// It takes effect at once; the future resolves when the last socket is closed.
    pub fn close(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.handle.shared.inbox.close();
        let shared = self.handle.shared.clone();
        future::poll_fn(move |cx| shared.ended.poll(cx))
    }
}

client_core::impl_api_client!(Client, ResponseFuture, "stage1-rotor");

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.inbox.close();
    }
}

// ===== impl ResponseFuture =====

/// The response to come.
///
/// # Cancel safety
///
/// See [`Client::request`].
#[must_use = "nothing is sent before the future is polled"]
pub struct ResponseFuture {
    shared: Arc<Shared>,
    stage: Stage,
}

#[derive(Default)]
// A request is moved once more if it is boxed, and costs an allocation.
#[allow(clippy::large_enum_variant)]
enum Stage {
    Unsent(Request),
    Sent(ReplyReceiver),
    #[default]
    Over,
}

impl Future for ResponseFuture {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let this = &mut *self;
        if let Stage::Unsent(_) = this.stage
            && let Stage::Unsent(request) = mem::take(&mut this.stage)
        {
            this.stage = Stage::Sent(this.shared.accept(request)?);
        }
        let Stage::Sent(receiver) = &mut this.stage else {
            return Poll::Ready(Err(Error::ShutDown));
        };
        let answer = ready!(receiver.poll(cx));
        this.stage = Stage::Over;
        Poll::Ready(answer.unwrap_or(Err(Error::ShutDown)))
    }
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        if let Stage::Sent(receiver) = &mut self.stage {
            self.shared.cancel(receiver);
        }
    }
}
