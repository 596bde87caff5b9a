//! The model checker, and what it takes for a step.

use loom::{
    model::Builder,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Steps on one thing that threads share: loom tries them in every order.
#[derive(Clone)]
pub(crate) struct Steps(Arc<AtomicUsize>);

impl Steps {
    pub(crate) fn new() -> Self {
        Steps(Arc::default())
    }

    pub(crate) fn step(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.step();
        }
    }
}

/// Tries every order of a model's threads, within a bound on interruptions.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    // A task that waits for a limit makes a timer, though none is ever polled here.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}
