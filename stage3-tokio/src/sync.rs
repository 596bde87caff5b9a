//! The primitives that callers and tasks share. In `tests/model` this module is another one, whose
//! primitives let a model checker try every order of their steps.

pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use tokio::sync::{Notify, oneshot};
pub(crate) use tokio_util::task::TaskTracker;
