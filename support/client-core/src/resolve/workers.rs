//! The threads on which the system's resolver may block.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, ToSocketAddrs},
    sync::{Arc, Mutex, Weak},
};

use super::{lock, lookup::Lookup};
use crate::descriptors::missing_descriptor;

/// Lookups by the system that run at once, in one client. Further names wait for a thread.
///
/// Far more than there are dead names in use at a time, and few enough for a limit on threads.
pub const MOST_LOOKUPS: usize = 64;

/// A piece of work that blocks, for a thread that may.
pub type Work = Box<dyn FnOnce() + Send>;

/// Starts workers.
pub(super) struct Workers {
    start: Box<dyn Fn(Work) -> io::Result<()> + Send + Sync>,
    queue: Arc<Queue>,
}

/// What workers share. They hold nothing else of the client, since none can be stopped while it
/// looks up a name.
pub(super) struct Queue {
    pub(super) state: Mutex<State>,
    look_up: LookUp,
}

type LookUp = Box<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

#[derive(Default)]
pub(super) struct State {
    /// Lookups that no worker has begun. Those without an asker are gone.
    pub(super) waiting: VecDeque<Weak<Lookup>>,
    pub(super) workers: usize,
}

/// One worker, from its start to its end.
struct Worker {
    queue: Arc<Queue>,
    /// It has left the count.
    ended: bool,
}

impl Workers {
    pub(super) fn new(
        start: impl Fn(Work) -> io::Result<()> + Send + Sync + 'static,
        look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        let queue = Queue { state: Mutex::default(), look_up: Box::new(look_up) };
        Workers { start: Box::new(start), queue: Arc::new(queue) }
    }

    #[cfg(test)]
    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Queues a lookup, with one more worker if there may be one.
    pub(super) fn ask(&self, lookup: &Arc<Lookup>) {
        let mut state = lock(&self.queue.state);
        state.waiting.retain(|lookup| lookup.strong_count() > 0);
        state.waiting.push_back(Arc::downgrade(lookup));
        if state.workers == MOST_LOOKUPS {
            return;
        }
        state.workers += 1;
        drop(state);
        let worker = Worker { queue: self.queue.clone(), ended: false };
        if let Err(error) = (self.start)(Box::new(move || worker.run()))
            // Otherwise another worker will come to it.
            && lock(&self.queue.state).workers == 0
        {
            lookup.finish(Err(error));
        }
    }
}

impl Worker {
    fn run(mut self) {
        while let Some(lookup) = self.next() {
            lookup.finish((self.queue.look_up)(lookup.host()));
        }
    }

    /// The next lookup that somebody waits for. If there is none, the worker has ended.
    fn next(&mut self) -> Option<Arc<Lookup>> {
        let mut state = lock(&self.queue.state);
        while let Some(waiting) = state.waiting.pop_front() {
            if let Some(lookup) = waiting.upgrade() {
                return Some(lookup);
            }
        }
        state.workers -= 1;
        self.ended = true;
        None
    }
}

/// A worker may be dropped without being run, by a runtime that has ended.
impl Drop for Worker {
    fn drop(&mut self) {
        if !self.ended {
            lock(&self.queue.state).workers -= 1;
        }
    }
}

/// `getaddrinfo`, which blocks.
pub(super) fn system(host: &str) -> io::Result<Vec<IpAddr>> {
    // Without a descriptor to ask with, glibc says that the name is not known.
    let found =
        (host, 0).to_socket_addrs().map_err(|error| missing_descriptor().unwrap_or(error))?;
    Ok(found.map(|address| address.ip()).collect())
}
