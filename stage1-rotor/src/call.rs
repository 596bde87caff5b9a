//! One request on its way: the cell that its caller and the loop share.
//!
//! Its rules:
//! - a call is answered exactly once: the loop's side is a [`Job`], and a job that is dropped
//!   without a word, as when the loop's thread panics, answers [`Error::ShutDown`];
//! - a caller that gives up says so in the cell, and tells the [`Holder`] that the loop has named
//!   there: the pool, if the request waits in it, or the machine of a connection. If the loop has
//!   named none yet, it finds out when it does ([`Job::hold`]);
//! - nobody is woken, and nothing foreign dropped, under the lock.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use client_core::{Body, Error, Outgoing, pool::WaiterId};
use http::Response;
use rotor::Time;

use crate::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) type Answer = Result<Response<Body>, Error>;

/// The number of a request in the recordings.
pub(crate) type Ticket = u64;

/// What caller and loop share: one allocation per request.
pub(crate) struct Call {
    pub(crate) ticket: Ticket,
    pub(crate) outgoing: Outgoing,
    reply: Mutex<Reply>,
}

// An answer lies in the call's own allocation: boxing it would be one more per request.
#[allow(clippy::large_enum_variant)]
enum Reply {
    Awaited {
        caller: Option<Waker>,
        holder: Option<Holder>,
    },
    Answered(Answer),
    /// The caller has its answer, or does not want one any more.
    Over,
}

/// Who has a call at the moment, and is told if its caller gives up.
#[derive(Clone)]
pub(crate) enum Holder {
    /// The pool, as this waiter.
    Pool(WaiterId),
    /// A connection's machine.
    Machine(Waker),
}

impl Call {
    pub(crate) fn new(ticket: Ticket, outgoing: Outgoing) -> Arc<Self> {
        let reply = Mutex::new(Reply::Awaited { caller: None, holder: None });
        Arc::new(Call { ticket, outgoing, reply })
    }

    /// The caller's side: waits for the answer.
    pub(crate) fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Answer> {
        let mut reply = self.lock();
        if let Reply::Awaited { caller, .. } = &mut *reply {
            if !caller.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *caller = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        match mem::replace(&mut *reply, Reply::Over) {
            Reply::Answered(answer) => Poll::Ready(answer),
            _ => Poll::Ready(Err(Error::ShutDown)),
        }
    }

    /// The caller's side: gives up. Answers who has to be told, if anyone.
    pub(crate) fn give_up(&self) -> Option<Holder> {
        match mem::replace(&mut *self.lock(), Reply::Over) {
            Reply::Awaited { holder, .. } => holder,
            Reply::Answered(_) | Reply::Over => None,
        }
    }

    fn answer(&self, answer: Answer) {
        let mut reply = self.lock();
        if let Reply::Awaited { caller, .. } = &mut *reply {
            let caller = caller.take();
            *reply = Reply::Answered(answer);
            drop(reply);
            if let Some(caller) = caller {
                caller.wake();
            }
        }
    }

    /// Nothing in here runs foreign code under the lock, so a poisoned one is still sound.
    fn lock(&self) -> MutexGuard<'_, Reply> {
        self.reply.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop's side of a call: the duty to answer it.
pub(crate) struct Job {
    call: Arc<Call>,
    /// When the whole call has to be over.
    pub(crate) deadline: Option<Time>,
    /// How often it was sent before.
    pub(crate) sent: u32,
    answered: bool,
}

impl Job {
    pub(crate) fn new(call: Arc<Call>) -> Self {
        Job { call, deadline: None, sent: 0, answered: false }
    }

    pub(crate) fn call(&self) -> &Arc<Call> {
        &self.call
    }

    pub(crate) fn ticket(&self) -> Ticket {
        self.call.ticket
    }

    /// Whether the caller has given up.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(*self.call.lock(), Reply::Over)
    }

    /// Names who has the call from now on. `false` if the caller has given up already.
    pub(crate) fn hold(&self, by: Holder) -> bool {
        let mut reply = self.call.lock();
        let Reply::Awaited { holder, .. } = &mut *reply else { return false };
        *holder = Some(by);
        true
    }

    pub(crate) fn answer(mut self, answer: Answer) {
        self.answered = true;
        self.call.answer(answer);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.answered {
            self.call.answer(Err(Error::ShutDown));
        }
    }
}
