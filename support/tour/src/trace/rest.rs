//! Waits until nothing goes on in this process, so that what is said next has one cause.
//!
//! Its rules: a process rests if each of its other threads sleeps, and none has run between two
//! looks; where the system does not tell (Linux does), nobody waits, and a recording may have a
//! wakeup more or less than another.

use std::fs;

use testbed::run::eventually;

/// Blocks until all other threads of this process sleep.
pub(super) fn until_all_rest() {
    if cfg!(target_os = "linux") {
        eventually("the moment at which all threads sleep", || {
            let before = others();
            before.is_some() && before == others()
        });
    }
}

/// How often each other thread has slept. `None` if one is awake.
fn others() -> Option<Vec<(String, String)>> {
    // The link's target ends in this thread's number.
    let this = fs::read_link("/proc/thread-self").ok()?;
    let mut found = Vec::new();
    for task in fs::read_dir("/proc/self/task").ok()? {
        let number = task.ok()?.file_name();
        if Some(number.as_os_str()) == this.file_name() {
            continue;
        }
        // One that has ended between the two is as good as one that is awake: look again.
        let path = format!("/proc/self/task/{}/status", number.display());
        found.push((number.display().to_string(), asleep(&fs::read_to_string(path).ok()?)?));
    }
    Some(found)
}

/// The number of times that the thread of this status has gone to sleep, if it sleeps now.
fn asleep(status: &str) -> Option<String> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    let sleeps = field("State:")?.starts_with('S');
    field("voluntary_ctxt_switches:").filter(|_| sleeps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_runs_does_not_rest() {
        let status =
            |state: &str| format!("Name:\tx\nState:\t{state}\nvoluntary_ctxt_switches:\t7\n");
        assert_eq!(asleep(&status("S (sleeping)")).as_deref(), Some("7"));
        assert_eq!(asleep(&status("R (running)")), None);
    }
}
