//! The client that users hold: a handle, and the future of a response.
//!
//! Its rules:
//! - nothing happens before a future is polled; then the request is checked, gets its ticket and
//!   goes to the loop;
//! - only handles keep the client open. When the last one goes, what was accepted finishes.

use std::{
    future, mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use client_core::{
    Config, Error, Latch, Outgoing, PoolStats, Request, pool::WaiterId, tls::TlsSetup,
};

use crate::{
    bell::Bell,
    call::{Answer, Call, Holder, Job},
    connector::Connectors,
    event_loop,
    inbox::{Inbox, Ring},
    tls_connector::TlsConnector,
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
    /// Callers check requests against it, the loop puts TLS over streams with it.
    pub(crate) tls: TlsSetup<dyn TlsConnector>,
    /// Rings the pool's machine.
    bell: Arc<Bell>,
    tickets: AtomicU64,
    /// The loop has ended.
    ended: Latch,
}

/// What callers tell the loop.
pub(crate) enum Message {
    Request(Job),
    /// The caller of this waiter has given up.
    Cancel(WaiterId),
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
        lock(&self.handle.shared.stats).clone()
    }

    /// Whether the client is closed.
    pub fn is_closed(&self) -> bool {
        self.handle.shared.inbox.is_closed()
    }

    /// Ends the client: later requests get [`Error::ShutDown`], those that were accepted finish.
    /// It takes effect at once; the future resolves when the last socket is closed.
    pub fn close(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.handle.shared.close();
        let shared = self.handle.shared.clone();
        future::poll_fn(move |cx| shared.ended.poll(cx))
    }
}

client_core::impl_api_client!(Client, ResponseFuture, "stage1-rotor");

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

// ===== impl Shared =====

impl Shared {
    pub(crate) fn new(bell: Arc<Bell>, tls: TlsSetup<dyn TlsConnector>) -> Self {
        Shared {
            inbox: Inbox::new(),
            stats: Arc::default(),
            tls,
            bell,
            tickets: AtomicU64::new(0),
            ended: Latch::default(),
        }
    }

    /// Accepts a request: from here on the loop answers for it.
    fn accept(&self, request: Request) -> Result<Arc<Call>, Error> {
        let outgoing = Outgoing::new(request)?;
        self.tls.check(&outgoing.origin)?;
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
        self.ended.open();
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
    Unsent(Request),
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
