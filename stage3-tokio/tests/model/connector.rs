//! The world on the other side, and what becomes of connects to it.

use std::{collections::VecDeque, sync::Arc, task::Waker};

use loom::sync::Mutex;

/// What comes of a connect.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    Connects,
    Fails,
    /// It does not end by itself.
    Hangs,
}

#[derive(Default)]
pub(crate) struct Connectors {
    pub(crate) connector: Option<Arc<World>>,
}

impl Connectors {
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

/// The other side.
pub(crate) struct World {
    /// What comes of the next connects; all others succeed.
    pub(crate) outcomes: Mutex<VecDeque<Outcome>>,
    /// The end of the first connection.
    pub(crate) end: Mutex<End>,
}

#[derive(Default)]
pub(crate) struct End {
    pub(crate) has_come: bool,
    pub(crate) waker: Option<Waker>,
}

impl World {
    pub(crate) fn new(outcomes: &[Outcome]) -> Arc<Self> {
        let outcomes = Mutex::new(outcomes.iter().copied().collect());
        Arc::new(World { outcomes, end: Mutex::default() })
    }

    /// Ends the first connection.
    pub(crate) fn end_first(&self) {
        let mut end = self.end.lock().unwrap();
        end.has_come = true;
        let waker = end.waker.take();
        drop(end);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
