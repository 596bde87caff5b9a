//! From the callers' threads to the loop's: one queue, and when the loop is notified.
//!
//! Its rules:
//! - a message that finds the queue empty notifies the loop. Those after it need not, since the
//!   loop takes the whole queue at once;
//! - [`Inbox::close`] and [`Inbox::submit`] share a lock: a request is either refused, or is in the
//!   queue when the loop sees that the inbox is closed.

use std::mem;

use crate::{
    notifier::{Deliver, Notifier},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A queue with many writers and one reader.
pub(crate) struct Inbox<T, D = rotor::Notifier> {
    state: Mutex<State<T>>,
    /// Notifies the reader.
    notifier: std::sync::Arc<Notifier<D>>,
}

struct State<T> {
    queue: Vec<T>,
    /// No further requests.
    closed: bool,
}

impl<T, D: Deliver> Inbox<T, D> {
    pub(crate) fn new(notifier: std::sync::Arc<Notifier<D>>) -> Self {
        let state = Mutex::new(State { queue: Vec::new(), closed: false });
        Inbox { state, notifier }
    }

    /// Puts in a request. Gives it back if the inbox is closed.
    pub(crate) fn submit(&self, item: T) -> Result<(), T> {
        let state = self.lock();
        if state.closed {
            return Err(item);
        }
        self.put(state, item);
        Ok(())
    }

    /// Puts in a message about a request that was submitted before, even if the inbox is closed.
    pub(crate) fn send(&self, item: T) {
        self.put(self.lock(), item);
    }

    /// Takes the whole queue, and leaves the empty `spare` in its place.
    pub(crate) fn take(&self, spare: &mut Vec<T>) {
        mem::swap(&mut self.lock().queue, spare);
    }

    /// Refuses further requests. What is in the queue stays there.
    pub(crate) fn close(&self) {
        let was_closed = mem::replace(&mut self.lock().closed, true);
        if !was_closed {
            self.notifier.notify();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn put(&self, mut state: MutexGuard<'_, State<T>>, item: T) {
        let is_first = state.queue.is_empty();
        state.queue.push(item);
        drop(state);
        if is_first {
            self.notifier.notify();
        }
    }

    /// No foreign code runs under the lock, so a poisoned one is still sound.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
