//! The primitives that a body and its sender share. `tests/model.rs` replaces them by a model
//! checker's.

pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
