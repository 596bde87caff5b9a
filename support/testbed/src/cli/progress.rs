//! A line on standard error each second, for whoever waits.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::patient::message;

/// Says how far a program has come, once a second from the first second on. Dropping it ends it.
pub struct Progress {
    done: Arc<AtomicUsize>,
    /// Never sent on: that it is gone is the message.
    _end: mpsc::Sender<()>,
}

impl Progress {
    /// Starts counting to `all`. `what` is counted, in the plural.
    pub fn start(program: &'static str, what: &'static str, all: usize) -> Self {
        let done = Arc::new(AtomicUsize::new(0));
        let (end, ended) = mpsc::channel::<()>();
        let count = done.clone();
        let report = move || {
            let started = Instant::now();
            let second = Duration::from_secs(1);
            while ended.recv_timeout(second) == Err(mpsc::RecvTimeoutError::Timeout) {
                let done = count.load(Ordering::Relaxed);
                let seconds = started.elapsed().as_secs();
                message(format_args!(
                    "{program}: {done} of {all} {what} done after {seconds} s"
                ));
            }
        };
        // Without a thread there is no progress to be seen, and that is all.
        let _ = thread::Builder::new().name("progress".into()).spawn(report);
        Progress { done, _end: end }
    }

    /// Counts one.
    pub fn one_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Progress({})", self.done.load(Ordering::Relaxed))
    }
}
