//! A thousand calls at once, through a pool of eight connections.
//!
//!     cargo run --release --example stage3-fan_out [-- URL]
//!
//! Each call is a future, and all of them are polled by this one thread. The pool lets eight
//! exchanges run and keeps the other callers in a queue, first come, first served; a connection
//! that gets free goes straight to the caller that has waited longest. So a thousand calls cost
//! the server eight connections, and this program no thread of its own.
//!
//! Try: another number for `max_per_origin`; `.max_waiting(100)`, and most calls end with
//! `pool busy` at once instead of waiting.

use std::process::ExitCode;

use futures::{StreamExt, executor::block_on, stream::FuturesUnordered};
use http_body_util::BodyExt;
use stage3_tokio::{Client, Config, Error};
use testbed::{
    lesson::{self, Failure, Lesson, Request},
    say,
};

const CALLS: usize = 1000;

fn main() -> ExitCode {
    lesson::main("stage3-fan_out", |lesson| block_on(fan_out(lesson)))
}

async fn fan_out(lesson: &Lesson) -> Result<(), Failure> {
    let client = Client::new(Config::new().max_per_origin(8))?;
    let progress = lesson.progress("calls", CALLS);
    let mut calls: FuturesUnordered<_> = (0..CALLS)
        .map(|n| quote(&client, lesson.get(&format!("/quotes/{}", n % 10))))
        .collect();

    let (mut answers, mut bytes) = (0, 0);
    while let Some(length) = calls.next().await {
        bytes += length?;
        answers += 1;
        progress.one_done();
        if answers % 250 == 1 {
            say!("{answers:4} answers: {}", client.stats());
        }
    }
    say!("{answers:4} answers: {}", client.stats());
    say!("{bytes} bytes of quotes in all");
    client.close().await;
    Ok(())
}

/// One call: the length of its answer. The pool cannot be seen from here.
async fn quote(client: &Client, request: Request) -> Result<usize, Error> {
    let response = client.request(request).await?;
    Ok(response.into_body().collect().await?.to_bytes().len())
}
