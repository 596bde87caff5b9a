//! A future that has taken half a line from a stream, and is dropped.
//!
//! `cargo run -p book-programs --example lost_in_select -- begin-again` loses that half.
//! `cargo run -p book-programs --example lost_in_select -- keep` goes on with the same future.

use std::{env, error::Error, io, pin::pin};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    select,
    sync::mpsc,
};

/// What interrupts the reader: a timer, in a real program.
type Ticks = mpsc::UnboundedReceiver<()>;

/// The next line. What it has read so far is in a variable of its own.
async fn line(stream: &mut DuplexStream) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            byte => line.push(byte),
        }
    }
}

/// Makes a new future after each tick. The old one is dropped, with its variable.
async fn begin_again(stream: &mut DuplexStream, ticks: &mut Ticks) -> io::Result<String> {
    loop {
        select! {
            line = line(stream) => return line,
            Some(()) = ticks.recv() => println!("tick"),
        }
    }
}

/// Polls the same future again after each tick.
async fn keep(stream: &mut DuplexStream, ticks: &mut Ticks) -> io::Result<String> {
    let mut line = pin!(line(stream));
    loop {
        select! {
            line = &mut line => return line,
            Some(()) = ticks.recv() => println!("tick"),
        }
    }
}

/// Half a line, a tick once the reader has taken it, and the other half.
async fn peer(mut stream: DuplexStream, ticks: mpsc::UnboundedSender<()>) -> io::Result<()> {
    stream.write_all(b"quote 7: ").await?;
    tokio::task::yield_now().await;
    // Nobody may have gone: the reader waits for the rest.
    let _ = ticks.send(());
    tokio::task::yield_now().await;
    stream.write_all(b"who waits?\n").await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut near, far) = duplex(64);
    let (sender, mut ticks) = mpsc::unbounded_channel();
    let peer = tokio::spawn(peer(far, sender));
    let line = match env::args().nth(1).as_deref() {
        Some("begin-again") => begin_again(&mut near, &mut ticks).await?,
        Some("keep") => keep(&mut near, &mut ticks).await?,
        _ => return Err("expected begin-again or keep".into()),
    };
    println!("line: {line:?}");
    peer.await??;
    Ok(())
}
