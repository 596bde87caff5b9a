//! TLS by rustls, over any transport.
//!
//! rustls does no I/O: records go in and out of its `ClientConnection` when they are asked for.
//!
//! Its rules:
//! - what TLS has to say goes out before anything else is done, whatever caused it: a flight of the
//!   handshake, an alert, a request that was accepted earlier. So at most one write's worth of
//!   records waits here, and the socket's send buffer slows the writer down as TCP's does;
//! - what was decrypted before an error is read before the error is told;
//! - a stream that has failed is not written to again;
//! - the end of the socket without TLS's own (RFC 8446 section 6.1) is an error, `UnexpectedEof`.

use std::{
    io::{self, IoSlice, Read, Write},
    sync::Arc,
};

use client_core::{
    Origin, catch_panic, io_model,
    tls::{TlsSetup, server_name},
};
use mio::{Interest, Registry, Token, event::Source};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, pki_types::ServerName};

use crate::{
    tls_connector::TlsConnector,
    transport::{Blocked, Stream, Transport},
};

/// A stream with TLS over it.
pub(crate) struct TlsStream<S> {
    stream: S,
    session: ClientConnection,
    /// What the operation waits for that last returned `WouldBlock`.
    blocked: Option<Blocked>,
    /// TLS has failed. The error is returned when all that was decrypted before has been read.
    failed: Option<rustls::Error>,
    /// How the stream has failed.
    broken: Option<io::ErrorKind>,
    /// Bytes of records that the stream has taken. If a failed write added none, the peer has seen
    /// nothing of it.
    sent: u64,
}

impl<S: Transport> TlsStream<S> {
    /// A session over a stream that is open. Nothing is sent before [`TlsStream::handshake`].
    ///
    /// # Errors
    ///
    /// [`rustls::Error`] if the settings do not allow a session.
    pub(crate) fn new(
        stream: S,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        let session = ClientConnection::new(config, name)?;
        Ok(TlsStream { stream, session, blocked: None, failed: None, broken: None, sent: 0 })
    }

    /// Sends the records that wait, as far as the stream takes them.
    fn send(&mut self) -> io::Result<()> {
        if let Some(failure) = self.broken {
            return Err(failure.into());
        }
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.sent += n as u64,
                Err(error) => return Err(self.note(error, Blocked::Write)),
            }
        }
        self.stream.flush().map_err(|error| self.note(error, Blocked::Write))
    }

    /// Takes in what one read of the stream gives, or the end of the stream, which is 0 bytes.
    fn receive(&mut self) -> io::Result<usize> {
        if let Some(error) = &self.failed {
            return Err(protocol(error.clone()));
        }
        match (self.session.read_tls(&mut self.stream), self.broken) {
            // The system reports a failure once: after a write that failed, a read finds the end.
            (Ok(0), Some(failure)) => Err(failure.into()),
            (Ok(n), _) => {
                self.failed = self.session.process_new_packets().err();
                Ok(n)
            }
            (Err(error), _) => {
                let either = self.session.wants_write();
                Err(self.note(error, if either { Blocked::Either } else { Blocked::Read }))
            }
        }
    }

    /// Notes why an operation of the stream failed. If it has to wait: what for, as the stream says
    /// or else as its own kind of operation does.
    fn note(&mut self, error: io::Error, own: Blocked) -> io::Error {
        match error.kind() {
            io::ErrorKind::WouldBlock if own == Blocked::Either => self.blocked = Some(own),
            io::ErrorKind::WouldBlock => self.blocked = self.stream.blocked().or(Some(own)),
            io::ErrorKind::Interrupted => {}
            failure => self.broken = Some(failure),
        }
        error
    }
}

impl<S: Transport> Transport for TlsStream<S> {
    fn handshake(&mut self) -> io::Result<()> {
        loop {
            let sent = self.send();
            if !self.session.is_handshaking() {
                // What is not sent yet goes out with the first request.
                let resumed = self.session.handshake_kind() == Some(HandshakeKind::Resumed);
                io_model!(tls, why = if resumed { "resumed" } else { "full handshake" });
                return Ok(());
            }
            if self.failed.is_none() {
                sent?;
            }
            if self.receive()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn blocked(&self) -> Option<Blocked> {
        self.blocked
    }

    fn close(&mut self) {
        if self.broken.is_some() {
            return;
        }
        io_model!(tls, why = "close_notify");
        self.session.send_close_notify();
        // A peer that cannot take it now will see the end of the socket instead.
        let _ = self.send();
    }
}

impl<S: Transport> Read for TlsStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // If it fails for good, so will the read; until then there may be something to read.
            let _ = self.send();
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.receive()?,
                done => return done,
            };
        }
    }
}

impl<S: Transport> Write for TlsStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send()?;
        let accepted = self.session.writer().write_vectored(pieces)?;
        let before = self.sent;
        match self.send() {
            Err(error) if self.sent == before && error.kind() != io::ErrorKind::WouldBlock => {
                Err(error) // The peer has seen no byte of it.
            }
            // What the stream did not take goes out with `flush`.
            _ => Ok(accepted),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

/// The socket below is what the loop watches.
impl<S: Transport> Source for TlsStream<S> {
    fn register(&mut self, by: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.stream.register(by, token, what)
    }

    fn reregister(&mut self, by: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.stream.reregister(by, token, what)
    }

    fn deregister(&mut self, by: &Registry) -> io::Result<()> {
        self.stream.deregister(by)
    }
}

/// An error of TLS, as an error of a stream.
fn protocol(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Puts TLS over a stream.
///
/// # Errors
///
/// Any error that keeps TLS from being begun.
pub(crate) fn connect(
    setup: &TlsSetup<dyn TlsConnector>,
    origin: &Origin,
    stream: Stream,
) -> io::Result<Stream> {
    let stream = match setup {
        TlsSetup::Replaced(connector) => {
            catch_panic(|| connector.connect(origin, stream.into_box())).flatten()?
        }
        TlsSetup::Rustls(client) => {
            let config = client.config().map_err(io::Error::other)?;
            let name = server_name(origin).map_err(io::Error::other)?;
            Box::new(TlsStream::new(stream, config, name).map_err(protocol)?)
        }
    };
    Ok(Stream::Other(stream))
}

#[cfg(test)]
mod tests;
