//! What occupies a slot, and what may happen to it next: one table, which the pool runs on.

use super::{IdleSince, WaiterId};
use crate::CloseReason;

/// What occupies a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A connection attempt for this waiter.
    Connecting(WaiterId),
    /// This waiter's attempt ran out of descriptors. The next one begins when another slot closes.
    Paused(WaiterId),
    /// A connection attempt without a waiter.
    Orphaned(Orphan),
    /// A connection that this waiter's request will take. If it was idle: since when.
    Reserved(WaiterId, Option<IdleSince>),
    /// A connection that serves this waiter. The pool keeps the waiter for a retry.
    InUse(WaiterId),
    /// A connection that serves no waiter, before the pool has decided what it does. No slot is in
    /// this state between two events.
    Free(Option<IdleSince>),
    /// A connection without a request, and since when.
    Idle(IdleSince),
    /// An attempt or a connection that the stage has to end. The slot then passes to `next`.
    Closing { attempt: bool, reason: CloseReason, next: Option<WaiterId> },
    /// The slot is given back.
    Gone,
}

/// Why an attempt has no waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orphan {
    /// The waiter gave up, perhaps because of this very attempt. No other waiter depends on it.
    GivenUp,
    /// The waiter took another connection. The next waiter of the origin takes the attempt over.
    Overtaken,
}

/// What happens to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    // The stage reports it:
    Connected,
    Failed,
    OutOfDescriptors,
    Take,
    CheckIn,
    Closed,
    // The pool decides it:
    Begin(WaiterId),
    Resume,
    /// The waiter no longer needs the slot.
    Leave(Orphan),
    Adopt(WaiterId),
    Reserve(WaiterId),
    MarkIdle(IdleSince),
    Close(CloseReason),
    /// A closing slot is assigned to this waiter.
    Assign(WaiterId),
}

impl State {
    /// What a slot is after a step. None: the step cannot happen in this state.
    #[inline(always)]
    pub(super) fn after(self, step: Step) -> Option<State> {
        use State::*;
        Some(match (self, step) {
            // Attempts.
            (Gone, Step::Begin(waiter)) => Connecting(waiter),
            (Connecting(waiter), Step::Connected) => Reserved(waiter, None),
            (Connecting(_), Step::Failed) => Gone,
            (Connecting(_), Step::Leave(why)) => Orphaned(why),
            (Connecting(waiter), Step::OutOfDescriptors) => Paused(waiter),
            (Paused(waiter), Step::Resume) => Connecting(waiter),
            (Paused(_), Step::Failed | Step::Leave(_)) => Gone,
            (Orphaned(_), Step::Connected) => Free(None),
            (Orphaned(_), Step::Failed) => Gone,
            (Orphaned(_), Step::Adopt(waiter)) => Connecting(waiter),
            (Orphaned(_), Step::Close(reason)) => Closing { attempt: true, reason, next: None },
            // Connections.
            (Reserved(waiter, _), Step::Take) => InUse(waiter),
            (Reserved(_, since), Step::Leave(_)) => Free(since),
            (InUse(_), Step::CheckIn) => Free(None),
            (Free(since), Step::Reserve(waiter)) => Reserved(waiter, since),
            (Free(since), Step::MarkIdle(now)) => Idle(since.unwrap_or(now)),
            (Idle(since), Step::Reserve(waiter)) => Reserved(waiter, Some(since)),
            (Free(_) | Idle(_), Step::Close(reason)) => {
                Closing { attempt: false, reason, next: None }
            }
            (Reserved(..) | InUse(_) | Idle(_), Step::Closed) => Gone,
            // Closing. An attempt may succeed before the stage abandons it.
            (Closing { attempt: true, reason, next }, Step::Connected) => {
                Closing { attempt: false, reason, next }
            }
            (Closing { attempt: true, .. }, Step::Failed)
            | (Closing { attempt: false, .. }, Step::Closed) => Gone,
            (Closing { attempt, reason, next: None }, Step::Assign(waiter)) => {
                Closing { attempt, reason, next: Some(waiter) }
            }
            (Closing { attempt, reason, .. }, Step::Leave(_)) => {
                Closing { attempt, reason, next: None }
            }
            _ => return None,
        })
    }
}
