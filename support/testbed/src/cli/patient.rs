//! Output that waits for its reader.
//!
//! Another program may have made standard output or standard error non-blocking: the flag belongs to
//! the open file, which all processes that inherit it share. Then a full pipe is an error of kind
//! `WouldBlock`, and the standard library passes it on as if the output were lost.

use std::{
    fmt,
    io::{self, Write},
};

/// A writer that waits where the one inside says `WouldBlock`.
pub(super) struct Patient<W>(pub(super) W);

/// What can be waited for.
#[cfg(unix)]
pub(super) trait Stream: Write + std::os::fd::AsFd {}

#[cfg(unix)]
impl<W: Write + std::os::fd::AsFd> Stream for W {}

/// What can be waited for: elsewhere such an error does not occur.
#[cfg(not(unix))]
pub(super) trait Stream: Write {}

#[cfg(not(unix))]
impl<W: Write> Stream for W {}

impl<W: Stream> Patient<W> {
    fn patiently<T>(&mut self, work: impl Fn(&mut W) -> io::Result<T>) -> io::Result<T> {
        loop {
            match work(&mut self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait_until_writable(&self.0, error)?;
                }
                result => return result,
            }
        }
    }
}

impl<W: Stream> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patiently(|stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.patiently(W::flush)
    }
}

/// Blocks this thread. A reader that goes away ends the wait too: the next write finds out.
#[cfg(unix)]
fn wait_until_writable(stream: &impl Stream, _: io::Error) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    match poll(&mut [PollFd::new(stream, PollFlags::OUT)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
fn wait_until_writable(_: &impl Stream, error: io::Error) -> io::Result<()> {
    Err(error)
}

/// Writes a line to standard error. A failure is ignored: `eprintln!` panics if standard error is
/// closed.
pub(super) fn message(line: fmt::Arguments<'_>) {
    let _ = Patient(io::stderr().lock()).write_all(format!("{line}\n").as_bytes());
}
