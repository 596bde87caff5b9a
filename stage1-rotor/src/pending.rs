//! A request inside the client, with the way back to its caller.

use std::task::Waker;

use client_core::{Answer, Outgoing, Reply, pool::WaiterId};
use rotor::Time;

use crate::oneshot;

/// The loop's half of the channel to a caller.
pub(crate) type ReplySender = oneshot::Sender<Answer, Holder>;
/// The caller's half.
pub(crate) type ReplyReceiver = oneshot::Receiver<Answer, Holder>;
/// How a call is completed.
pub(crate) type Completion = client_core::Completion<ReplySender>;

/// A request that was accepted and is not on a connection yet.
pub(crate) struct PendingRequest {
    /// Its number in the recordings.
    pub(crate) number: u64,
    pub(crate) request: Outgoing,
    pub(crate) reply: ReplySender,
    /// When the whole call has to be over.
    pub(crate) deadline: Option<Time>,
    /// How often the request has been sent, counting the next time.
    pub(crate) attempts: u32,
}

/// Where the loop finds a request whose caller cancels it.
pub(crate) enum Holder {
    /// In the pool, as this waiter.
    Waiter(WaiterId),
    /// On the connection of this machine.
    Connection(Waker),
}

impl PendingRequest {
    pub(crate) fn new(number: u64, request: Outgoing, reply: ReplySender) -> Self {
        PendingRequest { number, request, reply, deadline: None, attempts: 1 }
    }
}

impl Reply for ReplySender {
    fn send(self, answer: Answer) {
        oneshot::Sender::send(self, answer);
    }

    fn is_closed(&self) -> bool {
        oneshot::Sender::is_closed(self)
    }
}
