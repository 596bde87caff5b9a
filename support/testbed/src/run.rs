//! Bounded waiting, and what the operating system counts of this process.
//!
//! Its rules: a wait that never ends panics with its name and with the logs of all servers that
//! are running; what a platform does not tell is `None`, never a guess.

use std::{
    panic::resume_unwind,
    pin::pin,
    sync::{Arc, mpsc},
    task::{Context, Poll, Wake},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use crate::{BOUND, server};

/// The bound of a whole test: longer than [`BOUND`], so that the wait inside, which
/// knows best what it waits for, speaks first.
pub const CASE_BOUND: Duration = Duration::from_secs(30);

/// Runs a future on this thread.
///
/// # Panics
///
/// If it is not ready within [`CASE_BOUND`], with the name of this thread (the test harness names
/// it after the test), and the logs of all servers.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    let deadline = Instant::now() + CASE_BOUND;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        match deadline.checked_duration_since(Instant::now()) {
            Some(left) => thread::park_timeout(left),
            None => panic!("{}", hung(thread::current().name().unwrap_or("a future"))),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a case on a thread of its own, so that one that blocks for ever, even inside a `poll`,
/// fails instead of hanging. Its thread is then left behind.
///
/// # Panics
///
/// With the case's own panic; or with `name` and the logs of all servers, after [`CASE_BOUND`].
pub fn bounded(name: &str, case: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel::<()>();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _done = done; // dropped when the case returns, and when it panics
        case();
    });
    let thread = thread.expect("a thread for the case");
    if ended.recv_timeout(CASE_BOUND) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("{}", hung(name));
    }
    if let Err(panic) = thread.join() {
        resume_unwind(panic);
    }
}

/// Waits for a condition that nothing signals, such as a thread's end.
///
/// # Panics
///
/// With `what` and what else is known, after [`BOUND`].
#[track_caller]
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !condition() {
        assert!(Instant::now() < deadline, "never came: {what}\n{}", state());
        thread::park_timeout(Duration::from_millis(1));
    }
}

fn hung(name: &str) -> String {
    format!("{name} hangs: not ready within {CASE_BOUND:?}\n{}", state())
}

/// What is known of this process, in a few lines.
fn state() -> String {
    format!("threads: {:?}\ndescriptors: {:?}\n{}", thread_names(), fd_count(), server::dump())
}

/// The names of this process's threads, cut to 15 bytes by the system. Linux only.
pub fn thread_names() -> Option<Vec<String>> {
    let tasks = list("/proc/self/task")?;
    // A thread that ends while the list is read is no longer one.
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    Some(names.map(|name| name.trim_end().to_owned()).collect())
}

/// How many threads this process has. Linux only.
pub fn thread_count() -> Option<usize> {
    list("/proc/self/task").map(Iterator::count)
}

/// How many file descriptors are open in this process, sockets included. Linux only.
pub fn fd_count() -> Option<usize> {
    // Reading the list takes a descriptor too.
    list("/proc/self/fd").map(|list| list.count().saturating_sub(1))
}

/// The memory of this process that is resident now, in bytes. Linux only.
pub fn rss_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// The most memory of this process that was ever resident, in bytes. Linux only.
pub fn peak_rss_bytes() -> Option<u64> {
    status_bytes("VmHWM:")
}

fn status_bytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn list(folder: &str) -> Option<impl Iterator<Item = std::fs::DirEntry>> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    Some(std::fs::read_dir(folder).ok()?.filter_map(Result::ok))
}
