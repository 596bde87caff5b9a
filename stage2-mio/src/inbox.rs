//! Messages to the loop, from any thread.
//!
//! Its rules:
//! - the message is stored before the loop is notified, so the loop finds it when it wakes;
//! - a notification is a system call, and only a sleeping loop needs one. `awake` is true while the
//!   loop will look into the queue before it sleeps. The loop clears it, and then looks for the last
//!   time. So a message that this look misses finds the flag cleared, and notifies the loop;
//! - when the loop has ended, no message is accepted, and those that are left are dropped. Dropping
//!   a request tells its caller.

use std::mem;

use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};

/// Ends the sleep of the loop.
pub(crate) trait Notifier {
    fn notify(&self);
}

#[derive(Debug)]
pub(crate) struct Inbox<M, N> {
    state: Mutex<State<M>>,
    /// The loop will look into the queue before it sleeps.
    awake: AtomicBool,
    notifier: N,
}

#[derive(Debug)]
struct State<M> {
    queue: Vec<M>,
    /// The loop has ended.
    ended: bool,
}

impl<M, N: Notifier> Inbox<M, N> {
    pub(crate) fn new(notifier: N) -> Self {
        let state = Mutex::new(State { queue: Vec::new(), ended: false });
        Inbox { state, awake: AtomicBool::new(true), notifier }
    }

    /// Adds a message, and wakes the loop.
    ///
    /// # Errors
    ///
    /// The message, if the loop has ended.
    pub(crate) fn push(&self, message: M) -> Result<(), M> {
        let mut state = self.lock();
        if state.ended {
            return Err(message);
        }
        state.queue.push(message);
        drop(state);
        self.wake();
        Ok(())
    }

    /// Wakes the loop, if it sleeps.
    pub(crate) fn wake(&self) {
        if !self.awake.swap(true, Ordering::AcqRel) {
            self.notifier.notify();
        }
    }

    /// Whether the loop may sleep. From now on a message notifies it.
    pub(crate) fn may_sleep(&self) -> bool {
        // A swap, unlike a store, is ordered after the swaps of the callers before it. So the loop
        // sees what they stored before those.
        self.awake.swap(false, Ordering::AcqRel);
        self.lock().queue.is_empty()
    }

    /// The loop is awake. Until it calls [`Inbox::may_sleep`], a message does not notify it.
    pub(crate) fn set_awake(&self) {
        self.awake.swap(true, Ordering::AcqRel);
    }

    /// Swaps all messages into `batch`, which must be empty. Its memory serves the next messages.
    pub(crate) fn take(&self, batch: &mut Vec<M>) {
        mem::swap(&mut self.lock().queue, batch);
    }

    /// Ends the inbox if it is empty. Returns whether it has ended.
    pub(crate) fn end_if_empty(&self) -> bool {
        let mut state = self.lock();
        state.ended = state.queue.is_empty();
        state.ended
    }

    /// Ends the inbox, and drops its messages.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let left = mem::take(&mut state.queue);
        drop(state);
        drop(left);
    }

    /// Locks the state. A poisoned lock is sound: nothing panics half-way through a change.
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
