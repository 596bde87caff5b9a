//! tokio's channels and trackers, with a step of the model before each of theirs; the lock is loom's.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

pub(crate) use loom::sync::{Mutex, MutexGuard};
use tokio_util::task::task_tracker::TrackedFuture;

use super::steps::Steps;

/// tokio's, and a step of the model before each of its own.
pub(crate) struct Notify {
    inner: tokio::sync::Notify,
    steps: Steps,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Notify { inner: tokio::sync::Notify::new(), steps: Steps::new() }
    }

    pub(crate) fn notified(&self) -> impl Future<Output = ()> {
        self.steps.step();
        self.inner.notified()
    }

    pub(crate) fn notify_one(&self) {
        self.steps.step();
        self.inner.notify_one();
    }
}

/// tokio's, and a step of the model before each of its own.
#[derive(Clone)]
pub(crate) struct TaskTracker {
    inner: tokio_util::task::TaskTracker,
    steps: Steps,
}

impl TaskTracker {
    pub(crate) fn new() -> Self {
        TaskTracker { inner: tokio_util::task::TaskTracker::new(), steps: Steps::new() }
    }

    pub(crate) fn track_future<F: Future>(&self, future: F) -> TrackedFuture<F> {
        self.steps.step();
        self.inner.track_future(future)
    }

    pub(crate) fn close(&self) {
        self.steps.step();
        self.inner.close();
    }

    pub(crate) async fn wait(&self) {
        self.steps.step();
        self.inner.wait().await;
    }
}

/// tokio's, and a step of the model before each of its own, drops included.
pub(crate) mod oneshot {
    use tokio::sync::oneshot as inner;

    use super::*;

    pub(crate) struct Sender<T> {
        steps: Steps,
        inner: inner::Sender<T>,
    }

    pub(crate) struct Receiver<T> {
        steps: Steps,
        inner: inner::Receiver<T>,
    }

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = inner::channel();
        let steps = Steps::new();
        let sender = Sender { steps: steps.clone(), inner: sender };
        (sender, Receiver { steps, inner: receiver })
    }

    impl<T> Sender<T> {
        pub(crate) fn send(self, value: T) -> Result<(), T> {
            self.steps.step();
            self.inner.send(value)
        }

        pub(crate) fn is_closed(&self) -> bool {
            self.steps.step();
            self.inner.is_closed()
        }

        pub(crate) async fn closed(&mut self) {
            self.steps.step();
            self.inner.closed().await;
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn close(&mut self) {
            self.steps.step();
            self.inner.close();
        }
    }

    impl<T> Future for Receiver<T> {
        type Output = Result<T, inner::error::RecvError>;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            self.steps.step();
            Pin::new(&mut self.inner).poll(cx)
        }
    }
}
