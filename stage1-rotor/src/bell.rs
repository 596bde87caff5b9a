//! How a machine is told, from anywhere, that it should look around.
//!
//! rotor's `Notifier` puts a token into the loop's queue, which has a fixed size. Its rules:
//! - a machine that has been rung and has not come yet is not rung again: so the queue holds at
//!   most one ring per machine;
//! - a machine that was rung stays until the ring has come: one for an empty slot makes slab 0.1.3
//!   enter that slot into its list of free ones a second time, and a later insertion panics;
//! - a machine silences its bell before it looks around; what happens later rings again;
//! - a ring carries no message, and every machine takes a ring for nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::Wake,
};

use client_core::io_model;
use rotor::{Notifier, Response};

use crate::event_loop::{Fsm, Reply};

/// A machine's bell. As a [`Waker`](std::task::Waker) it is what bodies and resolvers ring.
pub(crate) struct Bell {
    notifier: Notifier,
    state: AtomicU8,
}

const QUIET: u8 = 0;
const RUNG: u8 = 1;
/// The machine has ended, or will at its last ring.
const GONE: u8 = 2;

impl Bell {
    pub(crate) fn new(notifier: Notifier) -> Arc<Self> {
        Arc::new(Bell { notifier, state: AtomicU8::new(QUIET) })
    }

    pub(crate) fn ring(&self) {
        if self.change(QUIET, RUNG) {
            io_model!(wake);
            if self.notifier.wakeup().is_err() {
                // The loop has ended, or its queue is full, which its size rules out.
                self.heard();
            }
        }
    }

    /// The machine has come. It must say so before it looks at anything.
    pub(crate) fn heard(&self) {
        self.change(RUNG, QUIET);
    }

    /// The machine ends, now or when a ring that is under way has arrived: one that found its slot
    /// empty would be taken by slab 0.1.3 for a removal, and spoil the list of free slots.
    pub(crate) fn end(&self) -> Reply {
        match self.state.swap(GONE, Ordering::AcqRel) {
            RUNG => Response::ok(Fsm::Gone),
            _ => Response::done(),
        }
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
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
