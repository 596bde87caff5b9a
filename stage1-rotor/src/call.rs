//! One request on its way: the cell that its caller and the loop share.
//!
//! Its rules:
//! - a call is answered exactly once: the loop's side is a [`Job`], and a job that is dropped
//!   without a word, as when the loop's thread panics, answers [`Error::ShutDown`];
//! - a caller that gives up says so in the cell, and wakes whoever carries the call at that moment:
//!   a connection, or the pool if none has taken it yet;
//! - nobody is woken, and nothing foreign dropped, under the lock.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use client_core::{Body, Error, Outgoing};
use http::Response;
use rotor::Time;

use crate::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) type Answer = Result<Response<Body>, Error>;

/// The order of arrival.
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
        /// The machine that carries the call, to be woken if the caller gives up.
        carrier: Option<Waker>,
    },
    Answered(Answer),
    /// The caller has its answer, or does not want one any more.
    Over,
}

impl Call {
    pub(crate) fn new(ticket: Ticket, outgoing: Outgoing) -> Arc<Self> {
        let reply = Mutex::new(Reply::Awaited { caller: None, carrier: None });
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

    /// The caller's side: gives up. Answers who has to be told, if anybody.
    pub(crate) fn give_up(&self) -> GivenUp {
        let before = mem::replace(&mut *self.lock(), Reply::Over);
        match before {
            Reply::Awaited { carrier: Some(carrier), .. } => GivenUp::Carried(carrier),
            Reply::Awaited { carrier: None, .. } => GivenUp::Waiting,
            Reply::Answered(_) | Reply::Over => GivenUp::Nothing,
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

/// What a caller that gives up leaves behind.
pub(crate) enum GivenUp {
    /// A connection that works on the call.
    Carried(Waker),
    /// A waiter in the pool.
    Waiting,
    /// The call is over.
    Nothing,
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

    /// Names the machine that is to be woken if the caller gives up; none: the pool is told.
    /// `false` if it has given up already.
    pub(crate) fn carry(&self, by: Option<&Waker>) -> bool {
        let mut reply = self.call.lock();
        let Reply::Awaited { carrier, .. } = &mut *reply else { return false };
        *carrier = by.cloned();
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
