//! One exchange as an async function and as a machine written by hand, and what each takes while
//! it waits.
//!
//! `cargo run -p book-programs --example future_sizes`

use std::{
    error::Error,
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};

/// Sends a request, and reads until the peer closes.
async fn exchange(mut socket: DuplexStream, request: &[u8]) -> io::Result<Vec<u8>> {
    socket.write_all(request).await?;
    let mut bytes = Vec::new();
    while socket.read_buf(&mut bytes).await? > 0 {}
    Ok(bytes)
}

/// The same, reading as the blocking client does: into a buffer of its own.
async fn exchange_with_buffer(mut socket: DuplexStream, request: &[u8]) -> io::Result<Vec<u8>> {
    socket.write_all(request).await?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer).await? {
            0 => return Ok(bytes),
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

/// The same, by hand.
struct Machine<'a> {
    socket: DuplexStream,
    state: State<'a>,
}

/// Where the exchange waits, and what it needs there.
enum State<'a> {
    Writing { rest: &'a [u8] },
    Reading { bytes: Vec<u8> },
}

impl Future for Machine<'_> {
    type Output = io::Result<Vec<u8>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Machine { socket, state } = &mut *self;
        loop {
            match state {
                State::Writing { rest: [] } => *state = State::Reading { bytes: Vec::new() },
                State::Writing { rest } => {
                    let n = ready!(Pin::new(&mut *socket).poll_write(cx, rest))?;
                    if n == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    *rest = &rest[n..];
                }
                State::Reading { bytes } => {
                    let mut buffer = [0; 4096];
                    let mut buffer = ReadBuf::new(&mut buffer);
                    ready!(Pin::new(&mut *socket).poll_read(cx, &mut buffer))?;
                    if buffer.filled().is_empty() {
                        return Poll::Ready(Ok(mem::take(bytes)));
                    }
                    bytes.extend_from_slice(buffer.filled());
                }
            }
        }
    }
}

/// The other side: takes the request, and answers in two pieces.
async fn serve(mut socket: DuplexStream, request: &[u8]) -> io::Result<()> {
    socket.read_exact(&mut vec![0; request.len()]).await?;
    let answer = book_programs::answer("/quotes/7");
    let (first, second) = answer.split_at(20);
    socket.write_all(first).await?;
    tokio::task::yield_now().await; // so that whoever reads has to wait in the middle
    socket.write_all(second).await
}

/// Runs an exchange and says what it took.
async fn show<F: Future<Output = io::Result<Vec<u8>>>>(
    name: &str,
    begin: impl FnOnce(DuplexStream, &'static [u8]) -> F,
) -> Result<(), Box<dyn Error>> {
    let request = b"GET /quotes/7 HTTP/1.1\r\nhost: quotes\r\n\r\n";
    let (near, far) = duplex(16); // so small that writing has to wait too
    let exchange = begin(near, request);
    let size = size_of_val(&exchange);
    let (bytes, ()) = tokio::try_join!(exchange, serve(far, request))?;
    println!("{name}: {size} bytes while it waits, {} bytes received", bytes.len());
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    show("async function", exchange).await?;
    show("async function with a buffer", exchange_with_buffer).await?;
    show("machine written by hand", |socket, rest| Machine {
        socket,
        state: State::Writing { rest },
    })
    .await
}
