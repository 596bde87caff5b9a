//! What callers and the loop share.
//!
//! Its rules:
//! - a request is checked on the caller's thread. Once it is accepted, the loop completes its call;
//! - whatever ends the loop, the end is noted here. From then on requests are refused.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use client_core::{Error, Latch, Outgoing, PoolStats, Request, pool::WaiterId, tls::TlsSetup};

use crate::{
    inbox::Inbox,
    notifier::Notifier,
    oneshot,
    pending::{Holder, PendingRequest, ReplyReceiver},
    tls_connector::TlsConnector,
};

/// What callers and loop share.
pub(crate) struct Shared {
    pub(crate) inbox: Inbox<Message>,
    pub(crate) stats: Arc<Mutex<PoolStats>>,
    /// Callers check requests against it, the loop puts TLS over streams with it.
    pub(crate) tls: TlsSetup<dyn TlsConnector>,
    /// The number of the next request.
    numbers: AtomicU64,
    /// The loop has ended.
    pub(crate) ended: Latch,
}

/// What callers send to the loop.
// Most messages are requests, and a box for each would be an allocation per request.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Message {
    Request(PendingRequest),
    /// The caller of this waiter has given up.
    Cancel(WaiterId),
}

impl Shared {
    pub(crate) fn new(notifier: Arc<Notifier>, tls: TlsSetup<dyn TlsConnector>) -> Self {
        Shared {
            inbox: Inbox::new(notifier),
            stats: Arc::default(),
            tls,
            numbers: AtomicU64::new(0),
            ended: Latch::default(),
        }
    }

    /// Accepts a request: from here on the loop completes its call.
    pub(crate) fn accept(&self, request: Request) -> Result<ReplyReceiver, Error> {
        let outgoing = Outgoing::new(request)?;
        self.tls.check(&outgoing.origin)?;
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let pending = PendingRequest::new(number, outgoing, sender);
        self.inbox.submit(Message::Request(pending)).map_err(|_| Error::ShutDown)?;
        Ok(receiver)
    }

    /// The caller gives up.
    pub(crate) fn cancel(&self, receiver: &mut ReplyReceiver) {
        match receiver.cancel() {
            Some(Holder::Connection(machine)) => machine.wake(),
            Some(Holder::Waiter(waiter)) => self.inbox.send(Message::Cancel(waiter)),
            None => {}
        }
    }

    /// The loop has ended. No request is accepted any more, and those in the inbox fail.
    pub(crate) fn end(&self) {
        self.inbox.close();
        let mut left = Vec::new();
        self.inbox.take(&mut left);
        drop(left);
        self.ended.open();
    }
}
