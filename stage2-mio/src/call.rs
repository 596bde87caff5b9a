//! From the loop back to one caller: a oneshot channel that can be cancelled.
//!
//! Its rules:
//! - [`Reply`], the loop's end, answers once; dropped without an answer, as when the loop's thread
//!   panics, it ends the caller's wait;
//! - [`Call`], the caller's end, that is dropped first learns where the loop keeps the request, so
//!   that it can say there that nobody waits any more. The loop notes the place before it begins,
//!   and learns then if it is too late. Both happen under one lock: either the caller sees the new
//!   place, or the loop sees that the caller is gone.

use std::{
    mem,
    task::{Context, Poll, Waker},
};

use crate::sync::{Arc, Mutex, MutexGuard};

/// The caller's end.
#[derive(Debug)]
pub(crate) struct Call<A, P>(Arc<Shared<A, P>>);

/// The loop's end.
#[derive(Debug)]
pub(crate) struct Reply<A, P>(Option<Arc<Shared<A, P>>>);

#[derive(Debug)]
struct Shared<A, P>(Mutex<State<A, P>>);

#[derive(Debug)]
enum State<A, P> {
    /// The loop has the request, at this place once it has looked at it.
    Waiting { place: Option<P>, waker: Option<Waker> },
    /// The answer lies here; `None` if there will never be one.
    Answered(Option<A>),
    /// The caller is gone, or has its answer.
    Over,
}

/// A channel for one answer.
pub(crate) fn channel<A, P>() -> (Call<A, P>, Reply<A, P>) {
    let state = State::Waiting { place: None, waker: None };
    let shared = Arc::new(Shared(Mutex::new(state)));
    (Call(shared.clone()), Reply(Some(shared)))
}

impl<A, P> Call<A, P> {
    /// The answer; `None` if there will never be one.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<A>> {
        let mut state = self.0.lock();
        match &mut *state {
            State::Waiting { waker, .. } => {
                match waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            State::Answered(answer) => {
                let answer = answer.take();
                *state = State::Over;
                Poll::Ready(answer)
            }
            State::Over => Poll::Ready(None),
        }
    }

    /// Gives up. The place at which the loop keeps the request, if it has one to give up.
    pub(crate) fn cancel(&mut self) -> Option<P> {
        // An answer that nobody took is dropped after the lock is given back.
        let before = mem::replace(&mut *self.0.lock(), State::Over);
        match before {
            State::Waiting { place, .. } => place,
            State::Answered(_) | State::Over => None,
        }
    }
}

impl<A, P> Reply<A, P> {
    /// Notes where the loop keeps the request from now on; false if the caller is gone.
    pub(crate) fn place(&self, at: P) -> bool {
        match self.0.as_deref().map(Shared::lock).as_deref_mut() {
            Some(State::Waiting { place, .. }) => {
                *place = Some(at);
                true
            }
            _ => false,
        }
    }

    /// Whether the caller has given up.
    pub(crate) fn is_gone(&self) -> bool {
        match self.0.as_deref().map(Shared::lock).as_deref() {
            Some(State::Waiting { .. }) => false,
            Some(State::Answered(_) | State::Over) | None => true,
        }
    }

    /// Answers, and wakes the caller.
    pub(crate) fn answer(mut self, answer: A) {
        self.end(Some(answer));
    }

    fn end(&mut self, answer: Option<A>) {
        let Some(shared) = self.0.take() else { return };
        let mut state = shared.lock();
        if let State::Waiting { waker, .. } = &mut *state {
            let waker = waker.take();
            *state = State::Answered(answer);
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<A, P> Drop for Reply<A, P> {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl<A, P> Shared<A, P> {
    /// Only a waker's clone runs under the lock, so a poisoned one is still sound.
    fn lock(&self) -> MutexGuard<'_, State<A, P>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
