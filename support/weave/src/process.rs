//! Programs that this one runs, and that must not outlive it.
//!
//! A terminal interrupts a whole process group, so a program that dies of the interrupt needs
//! nothing from here. A program that handles signals itself calls [`adopt`] once: from then on every
//! child leads a process group of its own, and [`end_all`] ends these groups, grandchildren included.

use std::collections::BTreeSet;
use std::io;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Whether [`end_all`] will be called.
static ADOPTED: AtomicBool = AtomicBool::new(false);

/// The process ids of the children that run, each the number of its group. `None` after
/// [`end_all`]: nothing more is started.
static RUNNING: Mutex<Option<BTreeSet<u32>>> = Mutex::new(Some(BTreeSet::new()));

/// Promises that this process calls [`end_all`] when it is interrupted.
pub fn adopt() {
    ADOPTED.store(true, Ordering::Relaxed);
}

/// Ends every child that was started by [`start`], with everything that it started.
///
/// Starts after this one fail, since the process is about to end.
pub fn end_all() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).take();
    if ADOPTED.load(Ordering::Relaxed) {
        running.into_iter().flatten().for_each(end_group);
    }
}

/// Ends a child that leads a process group, with all of the group.
#[cfg(unix)]
pub(crate) fn end_group(id: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};

    if let Some(group) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // A group that has ended by itself is as good.
        let _ = kill_process_group(group, Signal::TERM);
    }
}

/// There are no process groups here.
#[cfg(not(unix))]
pub(crate) fn end_group(_: u32) {}

/// A child that [`end_all`] knows of.
#[derive(Debug)]
pub struct Running {
    /// For its pipes and its end.
    pub child: Child,
    registered: Registered,
}

/// An entry of [`RUNNING`].
#[derive(Debug)]
struct Registered(u32);

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(ids) = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            ids.remove(&self.0);
        }
    }
}

/// Starts a program.
///
/// # Errors
/// The system's; `Interrupted` after [`end_all`].
pub fn start(command: &mut Command) -> io::Result<Running> {
    #[cfg(unix)]
    if ADOPTED.load(Ordering::Relaxed) {
        std::os::unix::process::CommandExt::process_group(command, 0);
    }
    // The lock is held across the start, so that `end_all` misses no child.
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(ids) = running.as_mut() else {
        return Err(io::ErrorKind::Interrupted.into());
    };
    let child = command.spawn()?;
    let registered = Registered(child.id());
    ids.insert(registered.0);
    Ok(Running { child, registered })
}

/// Runs a program without input to its end, as [`Command::status`] does.
///
/// # Errors
/// As [`start`].
pub fn status(command: &mut Command) -> io::Result<ExitStatus> {
    start(command.stdin(Stdio::null()))?.child.wait()
}

/// Runs a program without input to its end, and reads its standard output; its standard error is
/// read too if the command says so.
///
/// # Errors
/// As [`start`].
pub fn output(command: &mut Command) -> io::Result<Output> {
    let Running { child, registered } =
        start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let output = child.wait_with_output();
    drop(registered);
    output
}
