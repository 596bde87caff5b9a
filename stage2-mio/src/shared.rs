//! What callers and the loop both know.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use client_core::{Body, Error, Outgoing, PoolStats, io_model, pool::WaiterId};
use http::Response;

use crate::{
    call,
    inbox::{Alarm, Inbox},
    slab::Key,
    timer::Armed,
    tls::Security,
};

/// What a request ends with, as its caller sees it.
pub(crate) type Answer = Result<Response<Body>, Error>;
/// The caller's end of a request.
pub(crate) type Call = call::Call<Answer, Place>;
/// The loop's end of it.
pub(crate) type Reply = call::Reply<Answer, Place>;

/// A request with its way back to the caller.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    pub(crate) request: Outgoing,
    pub(crate) reply: Reply,
    /// When the whole call has to be over.
    pub(crate) deadline: Option<Instant>,
    /// How often it is sent, this time included.
    pub(crate) attempts: u32,
    /// The entry for `deadline`, while it waits in the pool.
    pub(crate) timer: Armed,
}

/// Where the loop keeps a request, so that its caller can cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the pool, as this waiter.
    Pool(WaiterId),
    /// On this connection, where its number tells it from the next request.
    Connection(Key, u64),
}

/// What is said to the loop.
#[derive(Debug)]
// Most messages are requests, and a box for each would be an allocation per request.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Message {
    Request(PendingRequest),
    /// The caller of a request gave up.
    Cancel(Place),
    /// Whatever this key stands for can go on: a resolver has its answer, a body has room, or
    /// its reader is gone.
    Wake(Key),
    /// No more requests will come; the loop ends when the last exchange has.
    Close,
}

/// What the loop shares with handles, response futures and wakers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inbox: Inbox<Message, mio::Waker>,
    /// Callers check requests against it, the loop secures streams with it.
    pub(crate) security: Security,
    /// No more requests are accepted.
    pub(crate) closing: AtomicBool,
    /// The pool, as it was when the loop last told anybody anything.
    stats: Mutex<PoolStats>,
    /// Whether the loop has ended, and who waits for that.
    end: Mutex<End>,
}

#[derive(Debug, Default)]
struct End {
    reached: bool,
    wakers: Vec<Waker>,
}

/// Ends everybody's wait when the loop ends, in whatever way.
#[derive(Debug)]
pub(crate) struct EndGuard(pub(crate) Arc<Shared>);

/// A [`std::task::Waker`] that sends a message.
struct MessageWaker {
    shared: Weak<Shared>,
    key: Key,
}

impl Alarm for mio::Waker {
    fn ring(&self) {
        io_model!(wake, why = "inbox");
        // It fails only if the loop is gone, or about to look: then there is nobody to wake.
        let _ = self.wake();
    }
}

impl Shared {
    pub(crate) fn new(alarm: mio::Waker, security: Security) -> Self {
        Shared {
            inbox: Inbox::new(alarm),
            security,
            closing: AtomicBool::new(false),
            stats: Mutex::default(),
            end: Mutex::default(),
        }
    }

    pub(crate) fn stats(&self) -> PoolStats {
        lock(&self.stats).clone()
    }

    pub(crate) fn publish(&self, stats: PoolStats) {
        *lock(&self.stats) = stats;
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Closes the client, once.
    pub(crate) fn close(&self) {
        if !self.closing.swap(true, Ordering::AcqRel) {
            // A loop that has ended needs not be told to.
            let _ = self.inbox.push(Message::Close);
        }
    }

    /// The loop has ended: nobody is to wait for it any more.
    pub(crate) fn end(&self) {
        self.closing.store(true, Ordering::Release);
        self.inbox.end();
        let mut end = lock(&self.end);
        end.reached = true;
        let wakers = mem::take(&mut end.wakers);
        drop(end);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits for the loop's end.
    pub(crate) fn poll_end(&self, cx: &Context<'_>) -> Poll<()> {
        let mut end = lock(&self.end);
        if end.reached {
            return Poll::Ready(());
        }
        if !end.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            end.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// A waker for whatever this key stands for.
    pub(crate) fn waker(self: &Arc<Self>, key: Key) -> Waker {
        Waker::from(Arc::new(MessageWaker { shared: Arc::downgrade(self), key }))
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Wake for MessageWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(shared) = self.shared.upgrade() {
            // A loop that has ended has nothing left to wake.
            let _ = shared.inbox.push(Message::Wake(self.key));
        }
    }
}

/// Nothing in here runs foreign code under its lock, so a poisoned one is still sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
