//! TLS by rustls, over any stream.
//!
//! tokio-rustls moves the records, and keeps the waker of a read or a write where it is needed. The
//! rules of this file are those that tokio-rustls does not promise:
//! - what was decrypted before an error is read before the error is returned;
//! - a read that has to wait flushes: the session may owe its peer an alert, and the client polls
//!   nothing else while it waits for a response;
//! - a write hands over one record at most. So if it fails, the peer cannot have decrypted a byte
//!   of what it was given, and it was nothing.

use std::{
    io::{self, IoSlice, Read},
    pin::Pin,
    task::{Context, Poll},
};

use client_core::{
    Error, Origin, io_model,
    tls::{TlsClient, TlsSetup, server_name},
};
use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    tls_connector::TlsConnector,
    transport::{Stream, Transport, catch_open},
};

/// The most that a record carries (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;

/// A stream with TLS over it.
struct TlsStream<S> {
    stream: tokio_rustls::client::TlsStream<S>,
    /// It has failed. The error is returned when all that was decrypted before has been read.
    failed: Option<io::Error>,
}

impl<S: Transport> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let failed = match this.failed.take() {
            Some(error) => error,
            None => match Pin::new(&mut this.stream).poll_read(cx, buffer) {
                Poll::Ready(Err(error)) => error,
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    // If this fails, the next read fails, too.
                    _ = Pin::new(&mut this.stream).poll_flush(cx);
                    return Poll::Pending;
                }
            },
        };
        let (_, session) = this.stream.get_mut();
        match session.reader().read(buffer.initialize_unfilled()) {
            Ok(length @ 1..) => {
                buffer.advance(length);
                this.failed = Some(failed);
                Poll::Ready(Ok(()))
            }
            _ => Poll::Ready(Err(failed)),
        }
    }
}

impl<S: Transport> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // A plain write of tokio-rustls goes on to the next record.
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, pieces)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        io_model!(tls, why = "close_notify");
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Puts TLS over a stream.
///
/// # Errors
///
/// [`Error::Tls`] if the handshake fails.
pub(crate) async fn connect(
    setup: &TlsSetup<dyn TlsConnector>,
    origin: &Origin,
    stream: Stream,
) -> Result<Stream, Error> {
    io_model!(tls, why = "handshake");
    let stream = match setup {
        TlsSetup::Rustls(client) => rustls(client, origin, stream).await?,
        TlsSetup::Replaced(connector) => {
            catch_open(|| connector.connect(origin, Box::new(stream)))
                .await
                .map_err(Error::handshake)?
        }
    };
    Ok(Stream::Other(stream))
}

async fn rustls(
    client: &TlsClient,
    origin: &Origin,
    stream: Stream,
) -> Result<Box<dyn Transport>, Error> {
    let stream = tokio_rustls::TlsConnector::from(client.config()?)
        .connect_with(server_name(origin)?, stream, |session| {
            session.set_buffer_limit(Some(RECORD));
        })
        .await
        .map_err(Error::handshake)?;
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    io_model!(tls, why = if resumed { "resumed" } else { "full handshake" });
    Ok(Box::new(TlsStream { stream, failed: None }))
}
