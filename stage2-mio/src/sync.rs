//! The synchronisation primitives that callers and the loop share. `tests/model.rs` replaces them by
//! those of a model checker.

pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
