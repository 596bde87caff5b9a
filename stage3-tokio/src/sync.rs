//! The primitives that callers and tasks share, under one name, so that `tests/model` can put
//! others in their place, between whose steps a model checker tries every order.

pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use tokio::sync::{Notify, oneshot};
pub(crate) use tokio_util::task::TaskTracker;
