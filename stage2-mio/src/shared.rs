//! What callers and the loop share.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use client_core::{Latch, PoolStats, io_model, tls::TlsSetup};

use crate::{
    inbox::{Inbox, Notifier},
    pending::{Holder, PendingRequest},
    tls_connector::TlsConnector,
    token::Key,
};

/// A message to the loop.
#[derive(Debug)]
// Most messages are requests, and a box for each would be an allocation per request.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Message {
    Request(PendingRequest),
    /// The caller of the request that is there has gone.
    Cancel(Holder),
    /// The owner of this key can continue: a lookup is done, a body has room, or the reader of a
    /// body has gone.
    Wake(Key),
    /// No more requests will come. The loop ends after the last exchange.
    Close,
}

/// What the loop shares with handles, response futures and wakers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inbox: Inbox<Message, mio::Waker>,
    /// Callers check requests with it, the loop secures streams with it.
    pub(crate) tls: TlsSetup<dyn TlsConnector>,
    /// No more requests are accepted.
    pub(crate) closing: AtomicBool,
    /// The pool's numbers, as last published.
    stats: Mutex<PoolStats>,
    /// Open once the loop has ended.
    pub(crate) ended: Latch,
}

/// Ends the client when the loop ends, even by a panic.
#[derive(Debug)]
pub(crate) struct EndGuard(pub(crate) Arc<Shared>);

/// A [`Waker`] that sends [`Message::Wake`].
struct MessageWaker {
    shared: Weak<Shared>,
    key: Key,
}

impl Notifier for mio::Waker {
    fn notify(&self) {
        io_model!(wake, why = "inbox");
        // This fails only if the loop has ended, and then nothing needs to wake.
        let _ = self.wake();
    }
}

impl Shared {
    pub(crate) fn new(notifier: mio::Waker, tls: TlsSetup<dyn TlsConnector>) -> Self {
        Shared {
            inbox: Inbox::new(notifier),
            tls,
            closing: AtomicBool::new(false),
            stats: Mutex::default(),
            ended: Latch::default(),
        }
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.lock_stats().clone()
    }

    pub(crate) fn publish(&self, stats: PoolStats) {
        *self.lock_stats() = stats;
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Closes the client. Further calls do nothing.
    pub(crate) fn close(&self) {
        if !self.closing.swap(true, Ordering::AcqRel) {
            // A loop that has ended needs no message.
            let _ = self.inbox.push(Message::Close);
        }
    }

    /// The loop has ended.
    pub(crate) fn end(&self) {
        self.closing.store(true, Ordering::Release);
        self.inbox.end();
        self.ended.open();
    }

    /// A waker for the owner of this key.
    pub(crate) fn waker(self: &Arc<Self>, key: Key) -> Waker {
        Waker::from(Arc::new(MessageWaker { shared: Arc::downgrade(self), key }))
    }

    /// Locks the numbers. A poisoned lock is sound: they are replaced as a whole.
    fn lock_stats(&self) -> MutexGuard<'_, PoolStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
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
            // A loop that has ended owns nothing that could continue.
            let _ = shared.inbox.push(Message::Wake(self.key));
        }
    }
}
