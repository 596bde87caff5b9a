//! A latch: an event that happens once, and the tasks that wait for it.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// An event that happens once, such as the end of a client. Any number of tasks can wait for it.
#[derive(Debug, Default)]
pub struct Latch {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_open: bool,
    waiting: Vec<Waker>,
}

impl Latch {
    /// The event has happened: wakes all tasks that wait.
    pub fn open(&self) {
        let mut state = self.lock();
        state.is_open = true;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ready once the event has happened.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_open {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// No foreign code runs under the lock, so a poisoned one is still sound.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::Arc, thread};

    use super::*;

    #[test]
    fn all_who_wait_are_woken() {
        let latch = Arc::new(Latch::default());
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let latch = latch.clone();
                thread::spawn(move || futures::executor::block_on(poll_fn(|cx| latch.poll(cx))))
            })
            .collect();
        latch.open();
        waiting.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(latch.poll(&Context::from_waker(Waker::noop())).is_ready());
    }
}
