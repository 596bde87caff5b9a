//! The threads on which the system's resolver blocks.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, ToSocketAddrs},
    sync::{Arc, Mutex},
};

use futures::{channel::oneshot, future::WeakShared};

use super::{Lookup, Name, Running, lock};
use crate::descriptors::missing_descriptor;

/// The most lookups by the system that run at once, in one client. Further names wait for a thread.
///
/// There are seldom that many dead names in use at a time, and a limit on threads is higher.
pub const MOST_LOOKUPS: usize = 64;

/// A piece of work that blocks, for a thread that may.
pub type Work = Box<dyn FnOnce() + Send>;

/// Starts workers.
pub(super) struct Workers {
    start: Box<dyn Fn(Work) -> io::Result<()> + Send + Sync>,
    shared: Arc<Shared>,
}

/// What workers share. They own nothing else of the client, since a worker cannot be stopped while
/// it looks up a name.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    look_up: LookUp,
}

type LookUp = Box<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

#[derive(Default)]
pub(super) struct State {
    pub(super) running: Running,
    /// Jobs that no worker has begun.
    pub(super) waiting: VecDeque<Job>,
    pub(super) workers: usize,
}

/// A name for a worker to look up.
pub(super) struct Job {
    pub(super) name: Name,
    /// What the callers wait for. It ends when all of them have given up.
    pub(super) lookup: Option<WeakShared<Lookup>>,
    pub(super) answer: oneshot::Sender<io::Result<Vec<IpAddr>>>,
}

/// One worker, from its start to its end.
struct Worker {
    shared: Arc<Shared>,
    /// It has left the count.
    ended: bool,
}

impl Workers {
    pub(super) fn new(
        start: impl Fn(Work) -> io::Result<()> + Send + Sync + 'static,
        look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared { state: Mutex::default(), look_up: Box::new(look_up) };
        Workers { start: Box::new(start), shared: Arc::new(shared) }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Queues a job, with one more worker if there may be one.
    pub(super) fn queue(&self, job: Job) {
        let mut state = lock(&self.shared.state);
        state.waiting.retain(|job| !job.answer.is_canceled());
        state.waiting.push_back(job);
        if state.workers == MOST_LOOKUPS {
            return;
        }
        state.workers += 1;
        drop(state);
        let worker = Worker { shared: self.shared.clone(), ended: false };
        if let Err(error) = (self.start)(Box::new(move || worker.run())) {
            self.not_started(&error);
        }
    }

    /// Fails all jobs, unless there is a worker that will take them.
    fn not_started(&self, error: &io::Error) {
        let mut state = lock(&self.shared.state);
        if state.workers > 0 {
            return;
        }
        let jobs = std::mem::take(&mut state.waiting);
        drop(state);
        for job in jobs {
            let code = error.raw_os_error();
            let error = code.map_or(error.kind().into(), io::Error::from_raw_os_error);
            self.shared.finish(job, Err(error));
        }
    }
}

impl Shared {
    /// Answers the callers of a job. From now on, a call begins another lookup.
    fn finish(&self, job: Job, answer: io::Result<Vec<IpAddr>>) {
        lock(&self.state).running.remove(&job.name);
        // The callers may have given up.
        let _ = job.answer.send(answer);
    }
}

impl Worker {
    fn run(mut self) {
        while let Some(job) = self.next() {
            // Kept until the answer comes, so that callers that ask meanwhile join this lookup.
            let lookup = job.lookup.as_ref().and_then(WeakShared::upgrade);
            if lookup.is_some() {
                let answer = (self.shared.look_up)(job.name.as_str());
                self.shared.finish(job, answer);
            }
        }
    }

    /// The next job. If there is none, the worker has ended.
    fn next(&mut self) -> Option<Job> {
        let mut state = lock(&self.shared.state);
        let job = state.waiting.pop_front();
        if job.is_none() {
            state.workers -= 1;
            self.ended = true;
        }
        job
    }
}

/// A runtime that has ended drops a worker without running it.
impl Drop for Worker {
    fn drop(&mut self) {
        if !self.ended {
            lock(&self.shared.state).workers -= 1;
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
