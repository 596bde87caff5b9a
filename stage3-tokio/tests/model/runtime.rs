//! Threads of loom's in place of a runtime.

use client_core::Error;
use loom::{
    future::block_on,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::sync::TaskTracker;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuntimeChoice {
    Auto,
    Own,
    Current,
}

/// Each task is a thread. After the end of a runtime of the client's own it is dropped instead.
#[derive(Clone)]
pub(crate) struct Handle {
    ended: Arc<AtomicBool>,
}

impl Handle {
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<()>
    where
        F: Future + Send + 'static,
    {
        if self.ended.load(Ordering::SeqCst) {
            drop(future);
            return thread::spawn(|| {});
        }
        thread::spawn(move || drop(block_on(future)))
    }
}

/// No call has a limit of time here, so none is made.
pub(crate) struct AbortOnDropHandle<T> {
    _handle: JoinHandle<T>,
}

impl<T> AbortOnDropHandle<T> {
    pub(crate) fn new(_handle: JoinHandle<T>) -> Self {
        AbortOnDropHandle { _handle }
    }
}

pub(crate) fn choose(choice: RuntimeChoice, tasks: &TaskTracker) -> Result<Handle, Error> {
    let ended = Arc::new(AtomicBool::new(false));
    if choice == RuntimeChoice::Own {
        let (end, tasks) = (ended.clone(), tasks.clone());
        thread::spawn(move || {
            block_on(tasks.wait());
            end.store(true, Ordering::SeqCst);
        });
    }
    Ok(Handle { ended })
}
