//! A one-shot channel from the loop to one caller, which the caller can cancel.
//!
//! Its rules:
//! - a [`Sender`] sends one value. If it is dropped instead, as when the loop's thread panics, the
//!   receiver gets `None`;
//! - the sender records who holds the request ([`Sender::set_holder`]). A [`Receiver`] that is
//!   cancelled returns this holder, and the caller then asks the loop to cancel the request there.
//!   Both happen under one lock: either the receiver sees the new holder, or the sender sees that
//!   the receiver has been cancelled;
//! - no waker is woken and no value is dropped under the lock.

use std::{
    mem,
    task::{Context, Poll, Waker},
};

use client_core::io_model;

use crate::sync::{Arc, Mutex, MutexGuard};

/// The caller's half.
#[derive(Debug)]
pub(crate) struct Receiver<T, H>(Arc<Shared<T, H>>);

/// The loop's half. `None` once it has sent.
#[derive(Debug)]
pub(crate) struct Sender<T, H>(Option<Arc<Shared<T, H>>>);

#[derive(Debug)]
struct Shared<T, H>(Mutex<State<T, H>>);

#[derive(Debug)]
enum State<T, H> {
    /// The receiver waits. The holder is `None` until the loop has looked at the request.
    Waiting { holder: Option<H>, waker: Option<Waker> },
    /// The value, for the receiver. `None` if the sender was dropped.
    Sent(Option<T>),
    /// The receiver has the value, or was cancelled.
    Done,
}

/// A channel for one value. `H` says who holds the request.
pub(crate) fn channel<T, H>() -> (Sender<T, H>, Receiver<T, H>) {
    let state = State::Waiting { holder: None, waker: None };
    let shared = Arc::new(Shared(Mutex::new(state)));
    (Sender(Some(shared.clone())), Receiver(shared))
}

impl<T, H> Receiver<T, H> {
    /// Waits for the value. `None`: none will be sent.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        match &mut *state {
            State::Waiting { waker, .. } => {
                match waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            State::Sent(value) => {
                let value = value.take();
                *state = State::Done;
                Poll::Ready(value)
            }
            State::Done => Poll::Ready(None),
        }
    }

    /// Stops waiting. Returns the holder that has to cancel the request, if there is one.
    pub(crate) fn cancel(&mut self) -> Option<H> {
        // A value that was sent is dropped after the lock is released.
        let before = mem::replace(&mut *self.0.lock(), State::Done);
        match before {
            State::Waiting { holder, .. } => holder,
            State::Sent(_) | State::Done => None,
        }
    }
}

impl<T, H> Sender<T, H> {
    /// Records who holds the request from now on. Returns false if the receiver was cancelled.
    pub(crate) fn set_holder(&self, new: H) -> bool {
        match self.0.as_deref().map(Shared::lock).as_deref_mut() {
            Some(State::Waiting { holder, .. }) => {
                *holder = Some(new);
                true
            }
            _ => false,
        }
    }

    /// Whether the receiver was cancelled.
    pub(crate) fn is_closed(&self) -> bool {
        let state = self.0.as_deref().map(Shared::lock);
        !matches!(state.as_deref(), Some(State::Waiting { .. }))
    }

    /// Sends the value, and wakes the receiver.
    pub(crate) fn send(mut self, value: T) {
        self.end(Some(value));
    }

    fn end(&mut self, value: Option<T>) {
        let Some(shared) = self.0.take() else { return };
        let mut state = shared.lock();
        if let State::Waiting { waker, .. } = &mut *state {
            let waker = waker.take();
            *state = State::Sent(value);
            drop(state);
            if let Some(waker) = waker {
                io_model!(wake, why = "caller");
                waker.wake();
            }
        }
    }
}

impl<T, H> Drop for Sender<T, H> {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl<T, H> Shared<T, H> {
    /// Locks the state. A poisoned lock is sound: only the clone of a waker can panic under it.
    fn lock(&self) -> MutexGuard<'_, State<T, H>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
