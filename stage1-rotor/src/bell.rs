//! How a machine is told, from anywhere, that it should look around.
//!
//! rotor's `Notifier` puts a token into the loop's queue, which has a fixed size. Its rules:
//! - a machine that has been rung and has not come yet is not rung again: so the queue holds at
//!   most one ring per machine, and a few for machines that are gone;
//! - a machine silences its bell before it looks around; what happens later rings again;
//! - a ring carries no message. Tokens are used again, so it can reach the wrong machine, and
//!   every machine takes a ring for nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use client_core::io_model;
use rotor::Notifier;

/// A machine's bell. As a [`Waker`](std::task::Waker) it is what bodies and resolvers ring.
pub(crate) struct Bell {
    notifier: Notifier,
    rung: AtomicBool,
}

impl Bell {
    pub(crate) fn new(notifier: Notifier) -> Arc<Self> {
        Arc::new(Bell { notifier, rung: AtomicBool::new(false) })
    }

    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            io_model!(wake);
            if self.notifier.wakeup().is_err() {
                // The loop has ended, or its queue is full, which its size rules out.
                self.heard();
            }
        }
    }

    /// The machine has come. It must say so before it looks at anything.
    pub(crate) fn heard(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
