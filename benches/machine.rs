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

/// Keeps this process, and every thread that it starts from now on, to its side's processors.
/// Says whether the system did so: Linux only, and only with two processors or more.
#[cfg(target_os = "linux")]
pub(crate) fn pin(side: Side) -> bool {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let Ok(allowed) = sched_getaffinity(None) else { return false };
    let mut all = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let (Some(first), true) = (all.next(), allowed.count() > 1) else { return false };
    let mut mine = CpuSet::new();
    match side {
        Side::Client => mine.set(first),
        Side::Server => all.for_each(|cpu| mine.set(cpu)),
    }
    sched_setaffinity(None, &mine).is_ok()
}

/// Keeps this process to its side's processors: not on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_: Side) -> bool {
    false
}

/// The machine, as the result's reader has to know it.
pub(crate) fn describe(pinned: bool) -> Value {
    json!({
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "kernel": first_line("/proc/sys/kernel/osrelease"),
        "processor": processor(),
        "processors": thread::available_parallelism().ok().map(usize::from),
        "load": first_line("/proc/loadavg").and_then(|line| line.split(' ').next()?.parse::<f64>().ok()),
        "pinned": pinned,
    })
}

fn processor() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn first_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.to_owned())
}
