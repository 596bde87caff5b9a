//! What the hand-over between threads is built from: a test's model puts its own in this place.

pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};
