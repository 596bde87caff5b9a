//! The primitives that callers and the loop share, under one name, so that `tests/model.rs` can
//! put a model checker's in their place.

pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
