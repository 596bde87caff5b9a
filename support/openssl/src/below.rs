//! The stream as OpenSSL sees it.
//!
//! Its rule: a record of `SSL_write` is taken whole. What the stream does not take of it is held here,
//! and until that is out, nothing else is written.

use std::io::{self, Read, Write};

/// A stream that blocks, or says `WouldBlock`.
pub(crate) struct Below<S> {
    pub(crate) stream: S,
    /// The bytes of the last record that the stream has not taken.
    held: Vec<u8>,
    /// `SSL_write` is under way: a record is taken whole.
    pub(crate) takes_records: bool,
    /// How the stream has failed.
    broken: Option<io::ErrorKind>,
}

impl<S> Below<S> {
    pub(crate) fn new(stream: S) -> Self {
        Below { stream, held: Vec::new(), takes_records: false, broken: None }
    }

    /// Whether a part of a record waits here.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Notes how the stream has failed, if it has.
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        match result.as_ref().err().map(io::Error::kind) {
            None | Some(io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            failure => self.broken = failure,
        }
        result
    }
}

impl<S: Read> Read for Below<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.stream.read(buffer);
        match (self.note(result)?, self.broken) {
            // The system reports a failure once: after a write that failed, a read finds the end.
            (0, Some(failure)) => Err(failure.into()),
            (n, _) => Ok(n),
        }
    }
}

impl<S: Write> Write for Below<S> {
    /// Takes a record of `SSL_write` whole, and of a handshake what the stream takes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let result = self.stream.write(bytes);
        let taken = match self.note(result) {
            Err(error) if self.takes_records && error.kind() == io::ErrorKind::WouldBlock => 0,
            other => other?,
        };
        if !self.takes_records {
            return Ok(taken);
        }
        self.held.extend_from_slice(&bytes[taken..]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.held.is_empty() {
            let result = self.stream.write(&self.held);
            let taken = self.note(result)?;
            if taken == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.held.drain(..taken);
        }
        let result = self.stream.flush();
        self.note(result)
    }
}
