//! The client that users hold: a handle, and the future of a response.
//!
//! Its rules:
//! - nothing happens before a future is polled; then the request is checked, gets its ticket and
//!   goes to the loop;
//! - only handles keep the client open. When the last one goes, what was accepted finishes.

use std::{
    fmt, mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use client_core::{ApiClient, Body, Config, Error, Outgoing, PoolStats, pool::WaiterId};
use http::{Request, Response};
use http_body_util::Full;
use tower_service::Service;

use crate::{
    bell::Bell,
    call::{Answer, Call, Holder, Job},
    event_loop,
    inbox::{Inbox, Ring},
    parts::Parts,
    tls::Security,
};

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

/// What callers and loop share.
pub(crate) struct Shared {
    pub(crate) inbox: Inbox<Message>,
    pub(crate) stats: Arc<Mutex<PoolStats>>,
    /// Callers check requests against it, the loop secures streams with it.
    pub(crate) security: Security,
    /// Rings the pool's machine.
    bell: Arc<Bell>,
    tickets: AtomicU64,
    ended: Mutex<Ended>,
}

/// What callers tell the loop.
pub(crate) enum Message {
    Request(Job),
    /// The caller of this waiter has given up.
    Cancel(WaiterId),
}

/// Whether the loop has ended, and who waits for it.
#[derive(Default)]
struct Ended {
    yes: bool,
    waiting: Vec<Waker>,
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
        Client::with_parts(config, Parts::new())
    }

    /// Starts a client of which the user has replaced parts.
    ///
    /// # Errors
    ///
    /// [`Client::new`]'s.
    pub fn with_parts(config: Config, parts: Parts) -> Result<Self, Error> {
        config.check()?;
        let shared = event_loop::start(config, parts)
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
    pub fn request(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        ResponseFuture { shared: self.handle.shared.clone(), stage: Stage::Unsent(request) }
    }

    /// The pool now.
    pub fn stats(&self) -> PoolStats {
        lock(&self.handle.shared.stats).clone()
    }

    /// Ends the client: later requests get [`Error::ShutDown`], those that were accepted finish.
    /// It takes effect at once; the future resolves when the last socket is closed.
    pub fn close(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.handle.shared.close();
        let shared = self.handle.shared.clone();
        std::future::poll_fn(move |cx| shared.poll_ended(cx))
    }
}

impl ApiClient for Client {
    const STAGE: &'static str = "stage1-rotor";

    fn new(config: Config) -> Result<Self, Error> {
        Client::new(config)
    }

    fn request(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        Client::request(self, request)
    }

    fn stats(&self) -> PoolStats {
        Client::stats(self)
    }

    fn close(&self) -> impl Future<Output = ()> + Send + 'static {
        Client::close(self)
    }
}

/// `poll_ready` reserves nothing, since the clones of a client share its pool: it fails once the
/// client is closed. Load is shed by the call itself ([`Error::PoolBusy`]).
impl Service<Request<Full<Bytes>>> for Client {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let closed = self.handle.shared.inbox.is_closed();
        Poll::Ready(if closed { Err(Error::ShutDown) } else { Ok(()) })
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> ResponseFuture {
        self.request(request)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

// ===== impl Shared =====

impl Shared {
    pub(crate) fn new(bell: Arc<Bell>, security: Security) -> Self {
        Shared {
            inbox: Inbox::new(),
            stats: Arc::default(),
            security,
            bell,
            tickets: AtomicU64::new(0),
            ended: Mutex::default(),
        }
    }

    /// Accepts a request: from here on the loop answers for it.
    fn accept(&self, request: Request<Full<Bytes>>) -> Result<Arc<Call>, Error> {
        let outgoing = Outgoing::new(request)?;
        self.security.check(&outgoing.origin)?;
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let call = Call::new(ticket, outgoing);
        let submitted = self.inbox.submit(Message::Request(Job::new(call.clone())));
        self.ring(submitted.map_err(|_| Error::ShutDown)?);
        Ok(call)
    }

    fn give_up(&self, call: &Call) {
        match call.give_up() {
            Some(Holder::Machine(machine)) => machine.wake(),
            Some(Holder::Pool(waiter)) => self.ring(self.inbox.send(Message::Cancel(waiter))),
            None => {}
        }
    }

    fn close(&self) {
        self.inbox.close();
        self.bell.ring();
    }

    fn ring(&self, ring: Ring) {
        if ring == Ring::Needed {
            self.bell.ring();
        }
    }

    /// The loop has ended: nothing is accepted any more, and what nobody will look at is answered.
    pub(crate) fn end(&self) {
        self.inbox.close();
        let mut left = Vec::new();
        self.inbox.take(&mut left);
        drop(left);
        let mut ended = lock(&self.ended);
        ended.yes = true;
        let waiting = mem::take(&mut ended.waiting);
        drop(ended);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ended = lock(&self.ended);
        if ended.yes {
            return Poll::Ready(());
        }
        if !ended.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            ended.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    Unsent(Request<Full<Bytes>>),
    Sent(Arc<Call>),
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
        let Stage::Sent(call) = &this.stage else { return Poll::Ready(Err(Error::ShutDown)) };
        let answer = std::task::ready!(call.poll_answer(cx));
        this.stage = Stage::Over;
        Poll::Ready(answer)
    }
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        if let Stage::Sent(call) = mem::take(&mut self.stage) {
            self.shared.give_up(&call);
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
