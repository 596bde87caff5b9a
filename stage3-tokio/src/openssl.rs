//! TLS by OpenSSL, in place of rustls (feature `openssl`).
//!
//! OpenSSL reads and writes the stream itself, and with TLS 1.2 a server may begin a second
//! handshake in the middle of a response. Then a read has to write, and a write has to read.
//!
//! Its rules:
//! - what blocked is nobody's business: a waker is left with whatever is waited for, the stream's
//!   one direction or the other. Only a write that waits for reads has its waker here;
//! - while a renegotiation is under way, only reads drive it. `SSL_write` would take a piece of the
//!   body that lies in the socket for a part of the handshake, and kill the connection. So a write
//!   waits for reads, whatever it has waited for before;
//! - a record is never left half written. OpenSSL would put a renegotiation off until it is out,
//!   and then begin it in the next `SSL_write`. So what the socket does not take of a record is
//!   held here ([`Below`]), and until it is out, nothing is written;
//! - `SSL_OP_NO_RENEGOTIATION` is not set: with a full send buffer its refusal breaks the stream.

use std::{
    future::poll_fn,
    io::{self, Read, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use client_core::{Error, Origin, Roots, Tls, io_model, tls::server_name};
use openssl::{
    error::ErrorStack,
    pkey::PKey,
    ssl::{ErrorCode, SslConnector, SslConnectorBuilder, SslMethod, SslStream},
    x509::{X509, X509VerifyResult, store::X509StoreBuilder},
};
use rustls::OtherError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    tls_connector::TlsConnector,
    transport::{Opening, Transport},
};

/// OpenSSL in place of rustls: `Connectors::new().tls_connector(Arc::new(OpenSsl::new(&tls)?))`.
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
    fn connect(&self, origin: &Origin, stream: Box<dyn Transport>) -> Opening {
        let session = self.session(origin, stream);
        Box::pin(async move {
            let mut session = session?;
            poll_fn(|cx| session.drive(cx, SslStream::connect)).await?;
            let resumed = session.stream.ssl().session_reused();
            io_model!(tls, why = if resumed { "resumed" } else { "full handshake" });
            Ok(Box::new(session) as Box<dyn Transport>)
        })
    }
}

impl OpenSsl {
    fn session(&self, origin: &Origin, stream: Box<dyn Transport>) -> io::Result<Session> {
        let name = server_name(origin).map_err(io::Error::other)?;
        let ssl = self.connector.configure()?.into_ssl(&name.to_str())?;
        let waker = Waker::noop().clone();
        let below = Below { stream, waker, held: Vec::new(), whole: false };
        Ok(Session { stream: SslStream::new(ssl, below)?, writer: None })
    }
}

/// A stream with TLS over it.
struct Session {
    stream: SslStream<Below>,
    /// A write that waits for the end of a renegotiation, and so for reads.
    writer: Option<Waker>,
}

/// The stream as OpenSSL sees it: one that blocks, or says that it would.
struct Below {
    stream: Box<dyn Transport>,
    /// Who is to be woken; OpenSSL does not pass a context on.
    waker: Waker,
    /// What the stream has not taken of the last record.
    held: Vec<u8>,
    /// `SSL_write` is under way: a record is taken whole.
    whole: bool,
}

impl Session {
    /// Calls OpenSSL until it is done, or the stream has a waker.
    fn drive<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut call: impl FnMut(&mut SslStream<Below>) -> Result<T, openssl::ssl::Error>,
    ) -> Poll<io::Result<T>> {
        self.stream.get_mut().waker.clone_from(cx.waker());
        loop {
            let error = match call(&mut self.stream) {
                Ok(done) => return Poll::Ready(Ok(done)),
                Err(error) => error,
            };
            match (error.code(), error.io_error()) {
                // The stream was not asked: it was a record that is not HTTP's.
                (ErrorCode::WANT_READ | ErrorCode::WANT_WRITE, None) => {}
                (ErrorCode::WANT_READ, _) => return Poll::Pending,
                (ErrorCode::WANT_WRITE, _) => {
                    io_model!(blocked_on, direction = "read", why = "write");
                    return Poll::Pending;
                }
                _ => return Poll::Ready(Err(self.failure(error))),
            }
        }
    }

    /// OpenSSL's error as that of a stream.
    fn failure(&self, error: openssl::ssl::Error) -> io::Error {
        match error.code() {
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
}

impl AsyncRead for Session {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read =
            this.drive(cx, |stream| match stream.ssl_read(buffer.initialize_unfilled()) {
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => Ok(0),
                other => other,
            });
        if this.stream.ssl().is_init_finished()
            && let Some(writer) = this.writer.take()
        {
            writer.wake();
        }
        read.map_ok(|length| buffer.advance(length))
    }
}

impl AsyncWrite for Session {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut *this).poll_flush(cx))?;
        if !this.stream.ssl().is_init_finished() {
            io_model!(blocked_on, direction = "write", why = "read");
            this.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        this.stream.get_mut().whole = true;
        let written = this.drive(cx, |stream| stream.ssl_write(bytes));
        this.stream.get_mut().whole = false;
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let below = self.get_mut().stream.get_mut();
        below.waker.clone_from(cx.waker());
        match below.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            done => Poll::Ready(done),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut *this).poll_flush(cx))?;
        io_model!(tls, why = "close_notify");
        // The peer's own is not waited for.
        let _ = this.stream.shutdown();
        Pin::new(&mut this.stream.get_mut().stream).poll_shutdown(cx)
    }
}

impl Read for Below {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        let cx = &mut Context::from_waker(&self.waker);
        at_once(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl Write for Below {
    /// Takes a record of `SSL_write` whole, and of a handshake what the stream takes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let cx = &mut Context::from_waker(&self.waker);
        let taken = match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending if self.whole => 0,
            other => at_once(other)?,
        };
        if !self.whole {
            return Ok(taken);
        }
        self.held.extend_from_slice(&bytes[taken..]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let cx = &mut Context::from_waker(&self.waker);
        while !self.held.is_empty() {
            let taken = at_once(Pin::new(&mut self.stream).poll_write(cx, &self.held))?;
            if taken == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.held.drain(..taken);
        }
        at_once(Pin::new(&mut self.stream).poll_flush(cx))
    }
}

fn at_once<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
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
