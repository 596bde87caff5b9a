//! From the callers' threads to the loop's: one queue, and the rule when to ring.
//!
//! Its rules:
//! - who finds the queue empty rings the loop; whoever comes later rides on that ring. The loop
//!   takes the whole queue at once, so a ring that is on its way covers all that lies in it;
//! - `close` and `submit` share one lock: a request is either refused, or it will be seen.

use crate::sync::{Mutex, MutexGuard, PoisonError};

/// A queue with many writers and one reader.
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    queue: Vec<T>,
    /// No further requests.
    closed: bool,
}

/// Whether the reader has to be told that there is something in its inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Ring {
    Needed,
    /// Somebody else has rung, and the reader has not come yet.
    OnItsWay,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        Inbox { state: Mutex::new(State { queue: Vec::new(), closed: false }) }
    }

    /// Puts in a request; gives it back if the inbox is closed.
    pub(crate) fn submit(&self, item: T) -> Result<Ring, T> {
        let state = self.lock();
        if state.closed { Err(item) } else { Ok(put(state, item)) }
    }

    /// Puts in word about a request that was submitted before; this is possible after `close` too.
    pub(crate) fn send(&self, item: T) -> Ring {
        put(self.lock(), item)
    }

    /// Exchanges the queue for `spare`, which should be empty. So two buffers serve for ever.
    pub(crate) fn take(&self, spare: &mut Vec<T>) {
        std::mem::swap(&mut self.lock().queue, spare);
    }

    /// Refuses further requests. What lies in the queue stays there.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Nothing in here runs foreign code under the lock, so a poisoned one is still sound.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put<T>(mut state: MutexGuard<'_, State<T>>, item: T) -> Ring {
    state.queue.push(item);
    if state.queue.len() == 1 { Ring::Needed } else { Ring::OnItsWay }
}
