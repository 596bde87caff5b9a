//! The primitives of what callers and loop share, under one name, so that `tests/model.rs` can
//! put loom's in their place.

pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU8, Ordering},
};
