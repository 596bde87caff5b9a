//! A session over a stream of stages 1 and 2, which says `WouldBlock` and notes what it waits for.

use std::io::{self, Read, Write};

use client_core::io_model;
use openssl::ssl::{ErrorCode, SslStream};

use crate::{
    below::Below,
    connector::{failure, is_to_repeat, read, record_handshake},
};

/// A stream with TLS over it.
pub(crate) struct Session<S> {
    pub(crate) stream: SslStream<Below<S>>,
    /// What the operation waits for that last said `WouldBlock`.
    pub(crate) waits_for: Option<Wait>,
}

/// Which readiness lets an operation continue.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    Read,
    Write,
    Either,
}

impl<S: Read + Write> Session<S> {
    pub(crate) fn new(stream: SslStream<Below<S>>) -> Self {
        Session { stream, waits_for: None }
    }

    /// Continues the handshake.
    pub(crate) fn shake_hands(&mut self) -> io::Result<()> {
        self.drive(SslStream::connect)?;
        record_handshake(self.stream.ssl());
        Ok(())
    }

    /// Sends `close_notify`, if the stream takes it at once.
    pub(crate) fn shut_down(&mut self) {
        if self.stream.get_ref().is_broken() {
            return;
        }
        io_model!(tls, why = "close_notify");
        // A peer that cannot take it now will see the end of the socket instead.
        let _ = self.flush();
        let _ = self.stream.shutdown();
    }

    /// Calls OpenSSL until it is done, or has met the stream's `WouldBlock`.
    fn drive<T>(
        &mut self,
        mut call: impl FnMut(&mut SslStream<Below<S>>) -> Result<T, openssl::ssl::Error>,
    ) -> io::Result<T> {
        loop {
            match call(&mut self.stream) {
                Ok(done) => return Ok(done),
                Err(error) if is_to_repeat(&error) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// OpenSSL's error as that of a stream; what it waits for is noted.
    fn failed(&mut self, error: openssl::ssl::Error) -> io::Error {
        match error.code() {
            ErrorCode::WANT_READ if self.stream.get_ref().holds() => self.block(Wait::Either),
            ErrorCode::WANT_READ => self.block(Wait::Read),
            ErrorCode::WANT_WRITE => self.block(Wait::Write),
            _ => failure(self.stream.ssl(), error),
        }
    }

    fn block(&mut self, wait: Wait) -> io::Error {
        self.waits_for = Some(wait);
        io::ErrorKind::WouldBlock.into()
    }
}

impl<S: Read + Write> Read for Session<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // If it fails for good, so will the read; until then there may be something to read.
        let _ = self.flush();
        self.drive(|stream| read(stream, buffer))
    }
}

impl<S: Read + Write> Write for Session<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        if !self.stream.ssl().is_init_finished() {
            return Err(self.block(Wait::Read));
        }
        self.stream.get_mut().takes_records = true;
        let written = self.drive(|stream| stream.ssl_write(bytes));
        self.stream.get_mut().takes_records = false;
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.get_mut().flush().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => self.block(Wait::Write),
            _ => error,
        })
    }
}
