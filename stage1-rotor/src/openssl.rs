//! TLS by OpenSSL, in place of rustls (feature `openssl`).
//!
//! OpenSSL reads and writes the stream itself, and with TLS 1.2 a server may begin a second
//! handshake in the middle of a response. Then a read has to write, and a write has to read, and
//! [`Transport::blocked`] tells.
//!
//! Its rules:
//! - while such a renegotiation is under way, only reads drive it. `SSL_write` would take a piece
//!   of the body that lies in the socket for a part of the handshake, and kill the connection. So a
//!   write waits for reads, whatever it has waited for before;
//! - a record is never left half written. OpenSSL would put a renegotiation off until it is out,
//!   and then begin it in the next `SSL_write`. So what the socket does not take of a record is
//!   held here ([`Below`]), and until it is out, nothing is written;
//! - `SSL_OP_NO_RENEGOTIATION` is not set: with a full send buffer its refusal breaks the stream.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use client_core::{Error, Origin, Roots, Tls, io_model, tls::server_name};
use openssl::{
    error::ErrorStack,
    pkey::PKey,
    ssl::{ErrorCode, SslConnector, SslConnectorBuilder, SslMethod, SslStream},
    x509::{X509, X509VerifyResult, store::X509StoreBuilder},
};
use rotor::{
    EventSet, Evented, PollOpt,
    mio::{Selector, Token},
};
use rustls::OtherError;

use crate::{
    tls_connector::TlsConnector,
    transport::{Blocked, Transport},
};

/// OpenSSL in place of rustls: `Connectors::new().tls_connector(Arc::new(OpenSsl::new(&tls)?))`. Every handshake is a full
/// one.
#[derive(Debug)]
pub struct OpenSsl {
    connector: SslConnector,
}

impl OpenSsl {
    /// With these settings. The system's roots are where OpenSSL looks for them.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if OpenSSL does not take a certificate or the key.
    pub fn new(settings: &Tls) -> Result<Self, Error> {
        let connector = connector(settings).map_err(|error| Error::tls(other(error)))?;
        Ok(OpenSsl { connector })
    }
}

fn connector(settings: &Tls) -> Result<SslConnector, ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_alpn_protos(b"\x08http/1.1")?;
    if let Roots::Only(roots) = &settings.roots {
        let mut store = X509StoreBuilder::new()?;
        for root in roots {
            store.add_cert(X509::from_der(root)?)?;
        }
        builder.set_cert_store(store.build());
    }
    identify(&mut builder, settings)?;
    Ok(builder.build())
}

/// Says who the client is, if it has a certificate.
fn identify(builder: &mut SslConnectorBuilder, settings: &Tls) -> Result<(), ErrorStack> {
    let Some(identity) = &settings.identity else { return Ok(()) };
    if let Some((own, rest)) = identity.chain.split_first() {
        builder.set_certificate(&*X509::from_der(own)?)?;
        for certificate in rest {
            builder.add_extra_chain_cert(X509::from_der(certificate)?)?;
        }
    }
    builder.set_private_key(&*PKey::private_key_from_der(identity.key.secret_der())?)
}

impl TlsConnector for OpenSsl {
    fn connect(
        &self,
        origin: &Origin,
        stream: Box<dyn Transport>,
    ) -> io::Result<Box<dyn Transport>> {
        let name = server_name(origin).map_err(io::Error::other)?;
        let ssl = self.connector.configure()?.into_ssl(&name.to_str())?;
        let below = Below { stream, held: Vec::new(), whole: false, broken: None };
        Ok(Box::new(Session { stream: SslStream::new(ssl, below)?, blocked: None }))
    }
}

/// A stream with TLS over it.
struct Session {
    stream: SslStream<Below>,
    /// What the operation waits for that last said `WouldBlock`.
    blocked: Option<Blocked>,
}

/// The stream as OpenSSL sees it.
struct Below {
    stream: Box<dyn Transport>,
    /// What the stream has not taken of the last record.
    held: Vec<u8>,
    /// How the stream has failed.
    broken: Option<io::ErrorKind>,
    /// `SSL_write` is under way: a record is taken whole.
    whole: bool,
}

impl Session {
    /// Calls OpenSSL until it is done, or has met the stream's `WouldBlock`.
    fn drive<T>(
        &mut self,
        mut call: impl FnMut(&mut SslStream<Below>) -> Result<T, openssl::ssl::Error>,
    ) -> io::Result<T> {
        loop {
            match call(&mut self.stream) {
                Ok(done) => return Ok(done),
                // The stream was not asked: it was a record that is not HTTP's.
                Err(error) if is_blocked(&error) && error.io_error().is_none() => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// OpenSSL's error as that of a stream; what it waits for is noted.
    fn failed(&mut self, error: openssl::ssl::Error) -> io::Error {
        match error.code() {
            ErrorCode::WANT_READ if self.stream.get_ref().held.is_empty() => {
                self.block(Blocked::Read)
            }
            ErrorCode::WANT_READ => self.block(Blocked::Either),
            ErrorCode::WANT_WRITE => self.block(Blocked::Write),
            ErrorCode::SYSCALL => {
                error.into_io_error().unwrap_or_else(|_| io::ErrorKind::UnexpectedEof.into())
            }
            _ if is_unannounced_end(&error) => io::ErrorKind::UnexpectedEof.into(),
            _ => match self.stream.ssl().verify_result() {
                X509VerifyResult::OK => protocol(error),
                reason => protocol(reason),
            },
        }
    }

    fn block(&mut self, on: Blocked) -> io::Error {
        self.blocked = Some(on);
        io::ErrorKind::WouldBlock.into()
    }
}

impl Transport for Session {
    fn handshake(&mut self) -> io::Result<()> {
        self.drive(SslStream::connect)?;
        let resumed = self.stream.ssl().session_reused();
        io_model!(tls, why = if resumed { "resumed" } else { "full handshake" });
        Ok(())
    }

    fn blocked(&self) -> Option<Blocked> {
        self.blocked
    }

    fn close(&mut self) {
        if self.stream.get_ref().broken.is_some() {
            return;
        }
        io_model!(tls, why = "close_notify");
        // A peer that cannot take it now will see the end of the socket instead.
        let _ = self.flush();
        let _ = self.stream.shutdown();
    }
}

impl Read for Session {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // If it fails for good, so will the read; and till then there may be something to read.
        let _ = self.flush();
        self.drive(|stream| match stream.ssl_read(buffer) {
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => Ok(0),
            other => other,
        })
    }
}

impl Write for Session {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        if !self.stream.ssl().is_init_finished() {
            return Err(self.block(Blocked::Read));
        }
        self.stream.get_mut().whole = true;
        let written = self.drive(|stream| stream.ssl_write(bytes));
        self.stream.get_mut().whole = false;
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.get_mut().flush().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => self.block(Blocked::Write),
            _ => error,
        })
    }
}

impl Below {
    /// Notes how the stream has failed, if it has.
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        match result.as_ref().err().map(io::Error::kind) {
            None | Some(io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            failure => self.broken = failure,
        }
        result
    }
}

impl Read for Below {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.stream.read(buffer);
        match (self.note(result)?, self.broken) {
            // The system tells a failure once: a write that got it leaves an end for the read.
            (0, Some(failure)) => Err(failure.into()),
            (n, _) => Ok(n),
        }
    }
}

impl Write for Below {
    /// Takes a record of `SSL_write` whole, and of a handshake what the stream takes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let result = self.stream.write(bytes);
        let n = match self.note(result) {
            Err(error) if self.whole && error.kind() == io::ErrorKind::WouldBlock => 0,
            other => other?,
        };
        if !self.whole {
            return Ok(n);
        }
        self.held.extend_from_slice(&bytes[n..]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.held.is_empty() {
            let result = self.stream.write(&self.held);
            let n = self.note(result)?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.held.drain(..n);
        }
        let result = self.stream.flush();
        self.note(result)
    }
}

/// The socket below is what the loop watches.
impl Evented for Session {
    fn register(
        &self,
        by: &mut Selector,
        token: Token,
        what: EventSet,
        mode: PollOpt,
    ) -> io::Result<()> {
        self.stream.get_ref().stream.register(by, token, what, mode)
    }

    fn reregister(
        &self,
        by: &mut Selector,
        token: Token,
        what: EventSet,
        mode: PollOpt,
    ) -> io::Result<()> {
        self.stream.get_ref().stream.reregister(by, token, what, mode)
    }

    fn deregister(&self, by: &mut Selector) -> io::Result<()> {
        self.stream.get_ref().stream.deregister(by)
    }
}

fn is_blocked(error: &openssl::ssl::Error) -> bool {
    matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE)
}

/// Whether the socket has ended without a word of TLS: OpenSSL 3 has a reason for it.
fn is_unannounced_end(error: &openssl::ssl::Error) -> bool {
    let reasons = error.ssl_error().map(ErrorStack::errors).unwrap_or_default();
    reasons.iter().any(|one| one.reason() == Some("unexpected eof while reading"))
}

/// An error of TLS, as an error of a stream.
fn protocol(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, other(error))
}

/// What is not rustls's own, in the form in which errors of TLS are told.
fn other(error: impl std::error::Error + Send + Sync + 'static) -> rustls::Error {
    rustls::Error::Other(OtherError(Arc::new(error)))
}
