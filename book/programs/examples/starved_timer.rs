//! A stream that always has something more, and a limit of time beside it.
//!
//! `cargo run -p book-programs --example starved_timer -- stream-first` never looks at the clock.
//! `cargo run -p book-programs --example starved_timer -- timer-first` stops in time.

use std::{
    env,
    error::Error,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, ReadBuf, Repeat, repeat},
    time::{Sleep, sleep},
};

/// How long reading may take.
const LIMIT: Duration = Duration::from_millis(20);

/// Reads that we watch after that. A task is sent away after a hundred or so, and the runtime looks
/// at its timers every sixty-one times or so.
const LATE_READS: u32 = 100_000;

enum Step {
    Read,
    Expired,
}

fn read(stream: &mut Repeat, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    Pin::new(stream).poll_read(cx, &mut ReadBuf::new(&mut [0; 16]))
}

/// The timer is polled only if the stream has nothing.
fn stream_first(
    stream: &mut Repeat,
    timer: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Step>> {
    if let Poll::Ready(result) = read(stream, cx) {
        return Poll::Ready(result.map(|()| Step::Read));
    }
    timer.poll(cx).map(|()| Ok(Step::Expired))
}

/// The stream is polled only if there is still time.
fn timer_first(
    stream: &mut Repeat,
    timer: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Step>> {
    if timer.poll(cx).is_ready() {
        return Poll::Ready(Ok(Step::Expired));
    }
    read(stream, cx).map(|result| result.map(|()| Step::Read))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let step = match env::args().nth(1).as_deref() {
        Some("stream-first") => stream_first,
        Some("timer-first") => timer_first,
        _ => return Err("expected stream-first or timer-first".into()),
    };
    let mut stream = repeat(b'x');
    let mut timer = pin!(sleep(LIMIT));
    let begun = Instant::now();
    let mut late = 0;
    while late < LATE_READS {
        match poll_fn(|cx| step(&mut stream, timer.as_mut(), cx)).await? {
            Step::Read => late += u32::from(begun.elapsed() > LIMIT),
            Step::Expired => {
                println!("the limit of {LIMIT:?} has stopped it");
                return Ok(());
            }
        }
    }
    println!("{late} reads after the limit of {LIMIT:?}, it still reads");
    Err("the timer was never heard".into())
}
