//! TCP with a gate before its writes: a send buffer that is full when a test wants it, at the end
//! of a write and not somewhere in it.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use stage3_tokio::{Connector, Opening, Origin, Transport};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Lets so many bytes pass, and the rest of the write that goes beyond; then none.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Mutex<State>>);

struct State {
    left: usize,
    /// Writes that came to nothing.
    refused: usize,
    /// Whom to wake when there is room.
    writer: Option<Waker>,
}

/// Dials TCP, and puts the gate before it.
pub(crate) struct Gated(pub(crate) Gate);

struct Stream {
    tcp: TcpStream,
    gate: Gate,
}

impl Gate {
    /// A gate that is shut after so many bytes.
    pub(crate) fn after(bytes: usize) -> Self {
        Gate(Arc::new(Mutex::new(State { left: bytes, refused: 0, writer: None })))
    }

    /// Lets nothing more pass.
    pub(crate) fn shut(&self) {
        self.state().left = 0;
    }

    /// Lets everything pass.
    pub(crate) fn open(&self) {
        let mut state = self.state();
        state.left = usize::MAX;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }

    /// How often somebody has wanted to write, and could not.
    pub(crate) fn refused(&self) -> usize {
        self.state().refused
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Connector for Gated {
    fn connect(&self, origin: &Origin) -> Opening {
        let (gate, host, port) = (self.0.clone(), origin.host().to_owned(), origin.port());
        Box::pin(async move {
            let tcp = TcpStream::connect((host, port)).await?;
            Ok(Box::new(Stream { tcp, gate }) as Box<dyn Transport>)
        })
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Stream { tcp, gate } = self.get_mut();
        let mut state = gate.state();
        if state.left == 0 {
            state.refused += 1;
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let written = Pin::new(tcp).poll_write(cx, bytes);
        if let Poll::Ready(Ok(n)) = written {
            state.left = state.left.saturating_sub(n);
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
