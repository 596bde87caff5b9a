//! What ends the tour from outside: an interrupt (Ctrl-C), or a polite `kill`.
//!
//! Its rules: the process ends at once, and every program that it started with it; while it works the
//! signal is the cause of its end, as for any program; once it only serves, the signal is how it is
//! meant to end, and its exit status says how the work went.

use std::{
    io,
    sync::atomic::{AtomicI32, Ordering},
};

/// The exit status while there is still something to do: none, the signal itself.
const WORKING: i32 = -1;

static STATUS: AtomicI32 = AtomicI32::new(WORKING);

/// From now on an interrupt is the end that was meant: with status 0, or 1 if some part failed.
pub(crate) fn only_serving(failed: bool) {
    STATUS.store(i32::from(failed), Ordering::Relaxed);
}

/// Ends this process and its children when a signal asks for it.
///
/// # Errors
///
/// The system's, if there can be no handler or thread.
#[cfg(unix)]
pub(crate) fn watch() -> io::Result<()> {
    use signal_hook::{
        consts::{SIGINT, SIGTERM},
        iterator::Signals,
        low_level::emulate_default_handler,
    };

    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    weave::process::adopt();
    std::thread::Builder::new().name("interrupt".into()).spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        // What the end of the children looks like to the rest of this process is not printed.
        let _silence = crate::screen::silence();
        weave::process::end_all();
        let status = STATUS.load(Ordering::Relaxed);
        // Raising the signal ends the process, if that is possible.
        if status == WORKING && emulate_default_handler(signal).is_err() {
            std::process::exit(1);
        }
        std::process::exit(status);
    })?;
    Ok(())
}

/// Elsewhere the system ends the process and all that share its console.
#[cfg(not(unix))]
pub(crate) fn watch() -> io::Result<()> {
    Ok(())
}
