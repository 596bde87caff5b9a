//! Where the I/O models cannot be alike, and what the schedules do about it.
//!
//! The claim is *same events, same decisions*. The models deliver some events in another order, or
//! at another time. Each such case has a name here, a reason, and what keeps it out of the
//! schedules. The book lists them by these names (`book/src/proof.md`), and a test compares the
//! lists.

/// Events that not every I/O model delivers alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exception {
    /// A connection that is reserved for a waiter dies before it takes the request.
    ///
    /// In stages 1 and 3 the machine or the task takes the request later than the pool reserves
    /// its connection. If the connection dies between, the waiter goes back to its old position. In
    /// stage 2 the loop hands the request over in the same turn, so the death comes during the
    /// exchange, and a retry is counted.
    ReservedDies,
    /// A caller gives up while its request changes hands.
    ///
    /// In stages 1 and 2 giving up is a message to the loop. In stage 3 the caller's thread takes
    /// the waiter out of the pool itself. An event between message and arrival finds the waiter
    /// still there.
    CancelledInPassing,
    /// An attempt is given up while its connection is made.
    ///
    /// In stages 1 and 2 one thread does both. In stage 3 the attempt is another task than the one
    /// that decides, so the connection can be made before the task is notified.
    AbandonedAtOnce,
    /// A socket and a message are ready in the same turn of the loop.
    ///
    /// Stage 2 serves sockets first, stage 1 and tokio have orders of their own.
    SocketAndMessage,
    /// A limit of time runs out at the time of another event.
    ///
    /// Stage 1's timers fire up to two ticks of 10 ms late, so another event can come first.
    TimerGranularity,
    /// Several attempts end in one turn of the loop.
    ///
    /// Which socket is connected first is up to the kernel, and which is served first to the loop.
    /// Such an act is played if all orders lead to the same, and each new connection can be known
    /// by the request that it serves.
    SimultaneousAttempts,
}

impl Exception {
    pub(crate) const ALL: [Exception; 6] = [
        Exception::ReservedDies,
        Exception::CancelledInPassing,
        Exception::AbandonedAtOnce,
        Exception::SocketAndMessage,
        Exception::TimerGranularity,
        Exception::SimultaneousAttempts,
    ];

    /// Its name in the book.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Exception::ReservedDies => "a reserved connection dies",
            Exception::CancelledInPassing => "a caller gives up in passing",
            Exception::AbandonedAtOnce => "an attempt is abandoned as it succeeds",
            Exception::SocketAndMessage => "a socket and a message in one turn",
            Exception::TimerGranularity => "the granularity of timers",
            Exception::SimultaneousAttempts => "several attempts end at once",
        }
    }
}
