//! An event that happens once.
//!
//! Its rules: clones are the same gate; once open it stays open; a wait that ends at
//! [`BOUND`] panics and says so.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use crate::BOUND;

/// Shut until [`open`](Gate::open) is called. It is a future too, for a scripted resolver say:
/// `gate.clone().await`.
#[derive(Clone, Default)]
pub struct Gate(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    /// Tasks to wake; threads wait on the condition variable instead.
    wakers: Vec<Waker>,
}

impl Gate {
    /// A gate that is shut.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        let mut state = self.lock();
        state.open = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.0.opened.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.lock().open
    }

    /// Blocks the thread until the gate is open.
    ///
    /// # Panics
    ///
    /// After [`BOUND`].
    pub fn wait(&self) {
        let wait = self.0.opened.wait_timeout_while(self.lock(), BOUND, |state| !state.open);
        let open = wait.unwrap_or_else(PoisonError::into_inner).0.open;
        assert!(open, "a gate stayed shut for {BOUND:?}");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.open {
            return Poll::Ready(());
        }
        state.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_open() { "Gate(open)" } else { "Gate(shut)" })
    }
}
