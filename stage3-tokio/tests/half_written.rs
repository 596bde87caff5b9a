//! What of a request counts as written under TLS, when the stream fails in the middle of it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use client_core::Error;
use http::Request;
use http_body_util::{BodyExt, Full};
use stage3_tokio::{Client, Connector, Connectors, ErrorKind, Opening, Origin, Transport};
use testbed::{
    Server, certs, reply,
    run::{block_on, bounded},
    server::over_tls,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

const NEVER: usize = usize::MAX;

/// Dials TCP that fails, once, after so many bytes written.
#[derive(Clone)]
struct Brittle(Arc<AtomicUsize>);

struct Stream {
    tcp: TcpStream,
    left: Brittle,
    broken: bool,
}

impl Connector for Brittle {
    fn connect(&self, origin: &Origin) -> Opening {
        let (left, host, port) = (self.clone(), origin.host().to_owned(), origin.port());
        Box::pin(async move {
            let tcp = TcpStream::connect((host, port)).await?;
            Ok(Box::new(Stream { tcp, left, broken: false }) as Box<dyn Transport>)
        })
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let left = self.left.0.load(Ordering::SeqCst);
        if left == 0 {
            self.broken = true;
            self.left.0.store(NEVER, Ordering::SeqCst);
        }
        if self.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let written = Pin::new(&mut self.tcp).poll_write(cx, &bytes[..bytes.len().min(left)]);
        if let Poll::Ready(Ok(n)) = written
            && left != NEVER
        {
            self.left.0.store(left - n, Ordering::SeqCst);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// Sends a request of three records on a connection that has served before, and whose stream then
/// takes so many bytes. What comes of it, and how often the request was sent again.
fn post(left: usize) -> (Result<Bytes, Error>, u64) {
    let server = over_tls(|| {
        Server::start(|conn| {
            loop {
                conn.request()?;
                conn.send(reply::ok("hello"))?;
            }
        })
    });
    let brittle = Brittle(Arc::new(AtomicUsize::new(NEVER)));
    let connectors = Connectors::new().connector(Arc::new(brittle.clone()));
    let client = Client::with_connectors(certs::trusting_config(), connectors).unwrap();
    let send = |body: Vec<u8>| {
        let request = Request::post(server.url("/")).body(Full::from(body)).unwrap();
        let call = client.request(request);
        block_on(async { Ok(call.await?.into_body().collect().await?.to_bytes()) })
    };
    send(Vec::new()).unwrap();
    brittle.0.store(left, Ordering::SeqCst);
    (send(vec![b'~'; 40_000]), client.stats().retried)
}

#[test]
fn a_post_of_which_a_record_is_out_is_not_sent_again() {
    bounded("a_post_of_which_a_record_is_out_is_not_sent_again", || {
        let (result, retried) = post(20_000);
        assert_eq!((result.unwrap_err().kind(), retried), (ErrorKind::ClosedEarly, 0));
    });
}

#[test]
fn a_post_of_which_nothing_is_out_is_sent_again() {
    bounded("a_post_of_which_nothing_is_out_is_sent_again", || {
        let (result, retried) = post(0);
        assert_eq!((&result.unwrap()[..], retried), (&b"hello"[..], 1));
    });
}
