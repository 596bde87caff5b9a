//! What the figures were taken on, and where the two sides of the comparison run.
//!
//! Its rules: the client has one processor, the server the others, where the system lets us say
//! so; what the system does not tell is left out, never guessed.

use std::{fs, thread};

use serde_json::{Value, json};

/// Which side of the comparison a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// Keeps this thread, and those that it starts from now on, to its side's processors. Says whether
/// the system did so: Linux only, and only with two processors or more.
pub(crate) fn pin(side: Side) -> bool {
    system::pin(side)
}

/// Gives this thread, and those that it starts from now on, all processors again.
pub(crate) fn unpin() {
    system::unpin();
}

#[cfg(target_os = "linux")]
mod system {
    use std::sync::LazyLock;

    use rustix::{
        io::Result,
        thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    };

    use super::Side;

    /// What this process may use, as it was started.
    static ALL: LazyLock<Result<CpuSet>> = LazyLock::new(|| sched_getaffinity(None));

    pub(super) fn pin(side: Side) -> bool {
        let Ok(all) = &*ALL else { return false };
        let mut each = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu));
        let (Some(first), true) = (each.next(), all.count() > 1) else { return false };
        let mut mine = CpuSet::new();
        match side {
            Side::Client => mine.set(first),
            Side::Server => each.for_each(|cpu| mine.set(cpu)),
        }
        sched_setaffinity(None, &mine).is_ok()
    }

    pub(super) fn unpin() {
        if let Ok(all) = &*ALL {
            // What could be taken away can be given back.
            let _ = sched_setaffinity(None, all);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn pin(_: super::Side) -> bool {
        false
    }

    pub(super) fn unpin() {}
}

/// The machine, as the result's reader has to know it.
pub(crate) fn describe(pinned: bool) -> Value {
    json!({
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "kernel": first_line("/proc/sys/kernel/osrelease"),
        "processor": processor(),
        "processors": processors(),
        "load": first_line("/proc/loadavg").and_then(|line| line.split(' ').next()?.parse::<f64>().ok()),
        "pinned": pinned,
    })
}

/// Those of the machine, whatever part of it this thread is kept to.
fn processors() -> Option<usize> {
    let info = fs::read_to_string("/proc/cpuinfo").ok();
    let listed = info.map(|info| info.lines().filter(|l| l.starts_with("processor")).count());
    listed.filter(|n| *n > 0).or_else(|| thread::available_parallelism().ok().map(usize::from))
}

fn processor() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn first_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.to_owned())
}
