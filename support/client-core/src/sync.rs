//! The primitives that a body and its sender share, under one name, so that `tests/model.rs` can
//! put a model checker's in their place.

pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
