//! Wakes a machine from anywhere. Wakeups coalesce.
//!
//! rotor's own `Notifier` puts a token into the loop's queue, which has a fixed size. Rules:
//! - while a notification is on its way, further ones are coalesced with it. So the queue holds at
//!   most one per machine;
//! - a machine that ends stays in the loop until the notification on its way has arrived. If rotor
//!   delivers one to an empty slot, slab 0.1.3 enters that slot into its free list a second time,
//!   and a later insertion panics;
//! - a machine calls [`Notifier::rearm`] before it inspects any state. A change that comes later
//!   then notifies again;
//! - a notification carries no message, and every machine tolerates one without a cause.

use std::{sync::Arc, task::Wake};

use client_core::io_model;

use crate::sync::{AtomicU8, Ordering};

/// What delivers a notification: rotor's queue, or a test's.
pub(crate) trait Deliver: Send + Sync + 'static {
    /// Makes the machine's `wakeup` run. Returns false if that failed.
    fn deliver(&self) -> bool;
}

impl Deliver for rotor::Notifier {
    fn deliver(&self) -> bool {
        self.wakeup().is_ok()
    }
}

/// Notifies one machine. As a [`Waker`](std::task::Waker) it serves bodies and resolvers too.
pub(crate) struct Notifier<D = rotor::Notifier> {
    machine: D,
    state: AtomicU8,
}

/// No notification is on its way.
const ARMED: u8 = 0;
/// A notification is on its way.
const NOTIFIED: u8 = 1;
/// The machine has ended, or ends when the notification on its way has arrived.
const CLOSED: u8 = 2;

impl<D: Deliver> Notifier<D> {
    pub(crate) fn new(machine: D) -> Arc<Self> {
        Arc::new(Notifier { machine, state: AtomicU8::new(ARMED) })
    }

    pub(crate) fn notify(&self) {
        if self.change(ARMED, NOTIFIED) {
            io_model!(wake, why = "machine");
            if !self.machine.deliver() {
                // The loop has ended. Its queue cannot be full: its size rules that out.
                self.rearm();
            }
        }
    }

    /// Re-arms the notifier. Call before inspecting state, or a wakeup is lost.
    pub(crate) fn rearm(&self) {
        self.change(NOTIFIED, ARMED);
    }

    /// Ends notifications. Returns true if one is on its way, for which the machine has to stay.
    #[must_use]
    pub(crate) fn close(&self) -> bool {
        self.state.swap(CLOSED, Ordering::AcqRel) == NOTIFIED
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl<D: Deliver> Wake for Notifier<D> {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}
