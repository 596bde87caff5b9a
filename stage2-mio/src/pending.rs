//! A request inside the client, with the way back to its caller.

use std::time::Instant;

use client_core::{Answer, Outgoing, Reply, pool::WaiterId};

use crate::{oneshot, timer::Armed, token::Key};

/// The loop's half of the channel to a caller.
pub(crate) type ReplySender = oneshot::Sender<Answer, Holder>;
/// The caller's half.
pub(crate) type ReplyReceiver = oneshot::Receiver<Answer, Holder>;
/// The last thing that a caller gets.
pub(crate) type Completion = client_core::Completion<ReplySender>;

/// A request that was accepted and is not on a connection yet.
#[derive(Debug)]
pub(crate) struct PendingRequest {
    pub(crate) request: Outgoing,
    pub(crate) reply: ReplySender,
    /// When the whole call has to be over.
    pub(crate) deadline: Option<Instant>,
    /// How often the request has been sent, counting the next time.
    pub(crate) attempts: u32,
    /// The queue entry for `deadline`, while the request waits for a connection.
    pub(crate) timer: Armed,
}

/// Where the loop finds a request whose caller cancels it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// In the pool, as this waiter.
    Waiter(WaiterId),
    /// On this connection. The number tells the request from the next one there.
    Connection(Key, u64),
}

impl Reply for ReplySender {
    fn send(self, answer: Answer) {
        oneshot::Sender::send(self, answer);
    }

    fn is_closed(&self) -> bool {
        oneshot::Sender::is_closed(self)
    }
}
