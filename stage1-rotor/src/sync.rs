//! What callers and loop share is built from these, under one name, so that `tests/model.rs` can
//! put a model checker's in their place.

pub(crate) use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU8, Ordering},
};
