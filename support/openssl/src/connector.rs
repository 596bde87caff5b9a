//! The settings of OpenSSL, and its errors as those of a stream.

use std::{io, sync::Arc};

use client_core::{Error, Origin, Roots, Tls, io_model, tls::server_name};
use openssl::{
    error::ErrorStack,
    pkey::PKey,
    ssl::{ErrorCode, SslConnector, SslConnectorBuilder, SslMethod, SslRef, SslStream},
    x509::{X509, X509VerifyResult, store::X509StoreBuilder},
};
use rustls::OtherError;

use crate::below::Below;

/// OpenSSL in place of rustls: `Connectors::new().tls_connector(Arc::new(OpenSsl::new(&tls)?))`.
/// Every handshake is a full one.
#[derive(Debug)]
pub struct OpenSsl {
    connector: SslConnector,
}

impl OpenSsl {
    /// A connector with these settings. The system's roots are where OpenSSL looks for them.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if OpenSSL does not take a certificate or the key.
    pub fn new(settings: &Tls) -> Result<Self, Error> {
        let connector = connector(settings).map_err(|error| Error::tls(other(error)))?;
        Ok(OpenSsl { connector })
    }

    /// A session over a stream that is open. Nothing is sent yet.
    pub(crate) fn session<S: io::Read + io::Write>(
        &self,
        origin: &Origin,
        stream: S,
    ) -> io::Result<SslStream<Below<S>>> {
        let name = server_name(origin).map_err(io::Error::other)?;
        let ssl = self.connector.configure()?.into_ssl(&name.to_str())?;
        Ok(SslStream::new(ssl, Below::new(stream))?)
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

/// Gives the client its certificate, if it has one.
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

/// Records that a handshake is done.
pub(crate) fn record_handshake(ssl: &SslRef) {
    let why = if ssl.session_reused() { "resumed" } else { "full handshake" };
    io_model!(tls, why = why);
}

/// Reads what is decrypted. The peer's `close_notify` is the end of the stream.
pub(crate) fn read<S: io::Read + io::Write>(
    stream: &mut SslStream<S>,
    buffer: &mut [u8],
) -> Result<usize, openssl::ssl::Error> {
    match stream.ssl_read(buffer) {
        Err(error) if error.code() == ErrorCode::ZERO_RETURN => Ok(0),
        read => read,
    }
}

/// Whether OpenSSL returned without asking the stream: it took a record that is not HTTP's.
pub(crate) fn is_to_repeat(error: &openssl::ssl::Error) -> bool {
    matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE)
        && error.io_error().is_none()
}

/// OpenSSL's error as that of a stream.
pub(crate) fn failure(ssl: &SslRef, error: openssl::ssl::Error) -> io::Error {
    match error.code() {
        ErrorCode::SYSCALL => {
            error.into_io_error().unwrap_or_else(|_| io::ErrorKind::UnexpectedEof.into())
        }
        _ if is_unannounced_end(&error) => io::ErrorKind::UnexpectedEof.into(),
        _ => match ssl.verify_result() {
            X509VerifyResult::OK => protocol(error),
            reason => protocol(reason),
        },
    }
}

/// Whether the socket ended without `close_notify`: OpenSSL 3 has a reason for it.
fn is_unannounced_end(error: &openssl::ssl::Error) -> bool {
    let reasons = error.ssl_error().map(ErrorStack::errors).unwrap_or_default();
    reasons.iter().any(|one| one.reason() == Some("unexpected eof while reading"))
}

/// An error of TLS, as an error of a stream.
fn protocol(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, other(error))
}

/// An error that is not rustls's own, in the form in which the client reports errors of TLS.
fn other(error: impl std::error::Error + Send + Sync + 'static) -> rustls::Error {
    rustls::Error::Other(OtherError(Arc::new(error)))
}
