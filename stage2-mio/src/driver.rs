//! Runs the loop on the caller's own thread.
//!
//! The thread that waits for a response then also reads it from the socket, and no request passes
//! from one thread to another. In return the client does nothing outside of [`Driver::block_on`]:
//! not even a timeout ends a call there.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use client_core::{Config, Error};

use crate::{
    Client,
    connector::Connectors,
    event_loop::{Batch, EventLoop},
    shared::{EndGuard, Shared},
};

/// The loop of a [`Client`] that was made by [`Client::with_driver`].
///
/// Dropping it ends the client: calls in flight get [`Error::ShutDown`].
pub struct Driver {
    event_loop: EventLoop,
    batch: Batch,
    /// Dropped after the loop, so that the sockets are closed before [`Client::close`] resolves.
    end: EndGuard,
}

/// Wakes the future that runs in [`Driver::block_on`].
struct MainWaker {
    woken: AtomicBool,
    shared: Arc<Shared>,
}

impl Client {
    /// Makes a client whose loop runs only in [`Driver::block_on`], on the thread that calls it.
    /// The handles may be used anywhere.
    ///
    /// # Errors
    ///
    /// [`Client::new`]'s.
    pub fn with_driver(
        config: Config,
        connectors: Connectors,
    ) -> Result<(Self, Driver), Error> {
        let (client, event_loop) = Client::with_loop(config, connectors)?;
        let end = EndGuard(event_loop.shared());
        Ok((client, Driver { event_loop, batch: Batch::new(), end }))
    }
}

impl Driver {
    /// Runs a future on this thread, and the client's loop while the future waits.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system's event queue fails, by which the client ends too.
    pub fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output, Error> {
        let mut future = pin!(future);
        let shared = self.end.0.clone();
        let main = Arc::new(MainWaker { woken: AtomicBool::new(true), shared });
        let waker = Waker::from(main.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            if main.woken.swap(false, Ordering::AcqRel)
                && let Poll::Ready(output) = future.as_mut().poll(&mut cx)
            {
                return Ok(output);
            }
            let turn =
                self.event_loop.turn(&mut self.batch, || main.woken.load(Ordering::Acquire));
            if turn.is_err() || self.event_loop.is_over() {
                self.end.0.end();
            }
            turn.map_err(|error| Error::io("waiting for events", error))?;
        }
    }
}

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.shared.inbox.wake();
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}
