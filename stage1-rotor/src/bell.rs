//! How a machine is told, from anywhere, that it should look around.
//!
//! rotor's `Notifier` puts a token into the loop's queue, which has a fixed size. Its rules:
//! - a machine that has been rung and has not come yet is not rung again: so the queue holds at
//!   most one ring per machine;
//! - a machine that was rung stays until the ring has come: one for an empty slot makes slab 0.1.3
//!   enter that slot into its list of free ones a second time, and a later insertion panics;
//! - a machine silences its bell before it looks around; what happens later rings again;
//! - a ring carries no message, and every machine takes a ring for nothing.

use std::{sync::Arc, task::Wake};

use client_core::io_model;
use rotor::Notifier;

use crate::sync::{AtomicU8, Ordering};

/// What a bell is connected to.
pub(crate) trait Announce: Send + Sync + 'static {
    /// Makes the machine's `wakeup` run. `false` if that failed.
    fn announce(&self) -> bool;
}

impl Announce for Notifier {
    fn announce(&self) -> bool {
        self.wakeup().is_ok()
    }
}

/// A machine's bell. As a [`Waker`](std::task::Waker) it is what bodies and resolvers ring.
pub(crate) struct Bell<A = Notifier> {
    machine: A,
    state: AtomicU8,
}

const QUIET: u8 = 0;
/// A ring is on its way.
const RUNG: u8 = 1;
/// The machine has ended, or will when the last ring has come.
const GONE: u8 = 2;

impl<A: Announce> Bell<A> {
    pub(crate) fn new(machine: A) -> Arc<Self> {
        Arc::new(Bell { machine, state: AtomicU8::new(QUIET) })
    }

    pub(crate) fn ring(&self) {
        if self.change(QUIET, RUNG) {
            io_model!(wake);
            if !self.machine.announce() {
                // The loop has ended, or its queue is full, which its size rules out.
                self.heard();
            }
        }
    }

    /// The machine has come. It must say so before it looks at anything.
    pub(crate) fn heard(&self) {
        self.change(RUNG, QUIET);
    }

    /// The machine ends, and is not rung any more. `true` if it has to stay for one last ring.
    #[must_use]
    pub(crate) fn end(&self) -> bool {
        self.state.swap(GONE, Ordering::AcqRel) == RUNG
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl<A: Announce> Wake for Bell<A> {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
