//! The session as a stream of stage 3, polled with a waker.
//!
//! Its rule: the session does not note what an operation waits for. The stream below keeps the waker,
//! in the direction that is waited for. Only a write that waits for reads has its waker here.

use std::{
    future::poll_fn,
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use client_core::{Origin, io_model};
use openssl::ssl::{ErrorCode, SslStream};
use stage3_tokio::{Opening, TlsConnector, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    OpenSsl,
    below::Below,
    connector::{failure, is_to_repeat, read, record_handshake},
};

impl TlsConnector for OpenSsl {
    fn connect(&self, origin: &Origin, stream: Box<dyn Transport>) -> Opening {
        let polled = Polled { stream, waker: Waker::noop().clone() };
        let session = self.session(origin, polled);
        Box::pin(async move {
            let mut session = Session { stream: session?, writer: None };
            poll_fn(|cx| session.drive(cx, SslStream::connect)).await?;
            record_handshake(session.stream.ssl());
            Ok(Box::new(session) as Box<dyn Transport>)
        })
    }
}

/// A stream with TLS over it.
struct Session {
    stream: SslStream<Below<Polled>>,
    /// A write that waits for the end of a renegotiation, and so for reads.
    writer: Option<Waker>,
}

/// A stream that is polled, as one that says `WouldBlock`.
struct Polled {
    stream: Box<dyn Transport>,
    /// The task to wake; OpenSSL does not pass a context on.
    waker: Waker,
}

impl Session {
    /// Calls OpenSSL until it is done, or the stream has a waker.
    fn drive<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut call: impl FnMut(&mut SslStream<Below<Polled>>) -> Result<T, openssl::ssl::Error>,
    ) -> Poll<io::Result<T>> {
        self.below(cx);
        loop {
            let error = match call(&mut self.stream) {
                Ok(done) => return Poll::Ready(Ok(done)),
                Err(error) => error,
            };
            match error.code() {
                _ if is_to_repeat(&error) => {}
                ErrorCode::WANT_READ => return Poll::Pending,
                ErrorCode::WANT_WRITE => {
                    io_model!(blocked_on, direction = "read", why = "write");
                    return Poll::Pending;
                }
                _ => return Poll::Ready(Err(failure(self.stream.ssl(), error))),
            }
        }
    }

    /// The stream below, which wakes this task.
    fn below(&mut self, cx: &Context<'_>) -> &mut Below<Polled> {
        let below = self.stream.get_mut();
        below.stream.waker.clone_from(cx.waker());
        below
    }
}

impl AsyncRead for Session {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = this.drive(cx, |stream| read(stream, buffer.initialize_unfilled()));
        if this.stream.ssl().is_init_finished()
            && let Some(writer) = this.writer.take()
        {
            writer.wake();
        }
        done.map_ok(|length| buffer.advance(length))
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
        this.stream.get_mut().takes_records = true;
        let written = this.drive(cx, |stream| stream.ssl_write(bytes));
        this.stream.get_mut().takes_records = false;
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().below(cx).flush() {
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
        Pin::new(&mut this.below(cx).stream.stream).poll_shutdown(cx)
    }
}

impl Read for Polled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        let cx = &mut Context::from_waker(&self.waker);
        at_once(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl Write for Polled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let cx = &mut Context::from_waker(&self.waker);
        at_once(Pin::new(&mut self.stream).poll_write(cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        let cx = &mut Context::from_waker(&self.waker);
        at_once(Pin::new(&mut self.stream).poll_flush(cx))
    }
}

fn at_once<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
