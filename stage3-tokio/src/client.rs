//! The handle that users hold, and the future of a response.
//!
//! Its rules: a request is accepted at its future's first poll and not before; only handles keep
//! the client open, futures and bodies do not; nothing here polls a socket or a timer, so that the
//! future runs on any executor.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use client_core::{
    Answer, Config, Error, Outgoing, PoolStats, Request, after, io_model, pool::WaiterId,
};
use tokio::time::Instant;

use crate::{
    connector::Connectors, owner, pending::PendingRequest, pool::Pool, runtime::RuntimeChoice,
    sync::oneshot,
};

/// A pooled HTTP/1.1 client. Clones share one pool; dropping the last one closes it without
/// waiting, and what is accepted still finishes.
///
/// It lives on the runtime in which it was made, and as long as that is driven, or on one of its
/// own: [`Client::on`] chooses. Its futures run on any executor.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// What the clones share. Futures, bodies and tasks hold the pool itself, so this one's drop says
/// that no caller can send any more.
struct Handle {
    pool: Arc<Pool>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.pool.close();
    }
}

impl Client {
    /// Makes a client, on the runtime that this is called in, or outside of one on a runtime of its
    /// own.
    ///
    /// # Errors
    ///
    /// [`Client::on`]'s.
    pub fn new(config: Config) -> Result<Self, Error> {
        Client::with_connectors(config, Connectors::new())
    }

    /// Makes a client that connects by the user's own connectors.
    ///
    /// # Errors
    ///
    /// [`Client::on`]'s.
    pub fn with_connectors(config: Config, connectors: Connectors) -> Result<Self, Error> {
        Client::on(RuntimeChoice::Auto, config, connectors)
    }

    /// Makes a client on this runtime.
    ///
    /// A runtime that it shares must have been built with I/O and time; without, every call ends
    /// with [`Error::ShutDown`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] for limits with which nothing could be sent, [`Error::Io`] if the
    /// system refuses a thread or a runtime, or if [`RuntimeChoice::Current`] is asked for where
    /// there is none.
    pub fn on(
        runtime: RuntimeChoice,
        config: Config,
        connectors: Connectors,
    ) -> Result<Self, Error> {
        config.check()?;
        let pool = Pool::new(runtime, config, connectors, |slot| Box::pin(owner::run(slot)))?;
        Ok(Client { handle: Arc::new(Handle { pool }) })
    }

    /// Sends a request. Nothing happens before the future is first polled.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; [`Error::ShutDown`] once the client is closed, or if its runtime has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the request. If it waits for a connection, it leaves the queue;
    /// if it is under way, its connection is closed. After the first poll the server may have
    /// seen it.
    pub fn request(&self, request: Request) -> ResponseFuture {
        ResponseFuture { pool: self.handle.pool.clone(), state: State::New(request) }
    }

    /// The pool now.
    pub fn stats(&self) -> PoolStats {
        self.handle.pool.stats()
    }

    /// Whether the client is closed.
    pub fn is_closed(&self) -> bool {
        self.handle.pool.is_closing()
    }

    /// Ends the client: later requests get [`Error::ShutDown`], idle connections are closed at
    /// once, and what is accepted finishes under its own limits of time. The future resolves when
    /// the last socket is closed.
    ///
    /// # Cancel safety
    ///
    /// The client is closed when this returns; its future only waits.
    pub fn close(&self) -> impl Future<Output = ()> + Send + 'static {
        self.handle.pool.close();
        let pool = self.handle.pool.clone();
        async move { pool.ended().await }
    }
}

client_core::impl_api_client!(Client, ResponseFuture, "stage3-tokio");

/// The future of a response: [`Client::request`] says what dropping it does.
///
/// Polled again after its end, it says [`Error::ShutDown`].
#[must_use = "a request is sent when its future is polled"]
pub struct ResponseFuture {
    pool: Arc<Pool>,
    state: State,
}

// Boxing the request would cost every call an allocation to make an unpolled future smaller.
#[allow(clippy::large_enum_variant)]
enum State {
    New(Request),
    Accepted {
        reply: oneshot::Receiver<Answer>,
        /// Its number in the pool, by which to leave it.
        waiter: WaiterId,
    },
    Done,
}

impl Future for ResponseFuture {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let State::New(_) = this.state {
            let State::New(request) = mem::replace(&mut this.state, State::Done) else {
                return Poll::Ready(Err(Error::ShutDown));
            };
            this.state = accept(&this.pool, request)?;
        }
        let State::Accepted { reply, .. } = &mut this.state else {
            return Poll::Ready(Err(Error::ShutDown));
        };
        let Poll::Ready(answer) = Pin::new(reply).poll(cx) else { return Poll::Pending };
        this.state = State::Done;
        // A request that is dropped without an answer was on a runtime that has ended.
        Poll::Ready(answer.unwrap_or(Err(Error::ShutDown)))
    }
}

/// Checks a request, starts its clock and hands it to the pool.
fn accept(pool: &Arc<Pool>, request: Request) -> Result<State, Error> {
    let outgoing = Outgoing::new(request)?;
    pool.setup.tls.check(&outgoing.origin)?;
    let (sender, reply) = oneshot::channel();
    let deadline = pool.config.total_timeout.map(|limit| after(Instant::now(), limit));
    let request = PendingRequest::new(outgoing, sender, deadline, pool.config.body_window);
    Ok(State::Accepted { reply, waiter: pool.checkout(request)? })
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        if let State::Accepted { reply, waiter } = &mut self.state {
            // First, so that a connection that takes the request right now sees it.
            reply.close();
            if self.pool.cancel(*waiter).is_some() {
                io_model!(cancel, request = waiter.number(), why = "waiting");
            }
        }
    }
}
