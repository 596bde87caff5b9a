//! From callers, on whatever thread, to the loop.
//!
//! Its rules:
//! - the message first, then the wake: who is woken finds what it was woken for;
//! - only a loop that sleeps is woken, for a wake is a system call. `awake` says that the loop
//!   will look into the queue before it sleeps. The loop clears it before it looks for the last
//!   time, so that a message which it does not see then finds the flag cleared, and wakes it;
//! - after the end nothing is taken any more, and whatever still lies there is dropped, by which
//!   its sender learns of it.

use std::mem;

use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};

/// What ends the loop's sleep.
pub(crate) trait Alarm {
    fn ring(&self);
}

#[derive(Debug)]
pub(crate) struct Inbox<M, A> {
    state: Mutex<State<M>>,
    /// The loop looks into the queue before it sleeps.
    awake: AtomicBool,
    alarm: A,
}

#[derive(Debug)]
struct State<M> {
    queue: Vec<M>,
    /// The loop has ended.
    ended: bool,
}

impl<M, A: Alarm> Inbox<M, A> {
    pub(crate) fn new(alarm: A) -> Self {
        let state = Mutex::new(State { queue: Vec::new(), ended: false });
        Inbox { state, awake: AtomicBool::new(true), alarm }
    }

    /// Leaves a message. If the loop has ended, the message comes back.
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
            self.alarm.ring();
        }
    }

    /// Whether the loop may sleep. From here on a message wakes it.
    pub(crate) fn may_sleep(&self) -> bool {
        // Exchanged and not stored: so it is ordered against the exchanges of callers, and what
        // they did before them is seen.
        self.awake.swap(false, Ordering::AcqRel);
        self.lock().queue.is_empty()
    }

    /// The loop is awake, and will look into the queue before it sleeps again.
    pub(crate) fn woken(&self) {
        self.awake.swap(true, Ordering::AcqRel);
    }

    /// Takes all messages, and leaves the emptied `batch` for the next ones.
    pub(crate) fn take(&self, batch: &mut Vec<M>) {
        mem::swap(&mut self.lock().queue, batch);
    }

    /// Ends the inbox if no message lies in it; between the look and the end none can come.
    pub(crate) fn end_if_empty(&self) -> bool {
        let mut state = self.lock();
        state.ended = state.queue.is_empty();
        state.ended
    }

    /// Ends the inbox, and drops what lies in it.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let left = mem::take(&mut state.queue);
        drop(state);
        drop(left);
    }

    /// No foreign code runs under the lock, so a poisoned one is still sound.
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
