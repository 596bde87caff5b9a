//! A reader that stops reading stops its server, and nobody else.
//!
//!     cargo run --release --example stage1-slow_reader [-- URL]
//!
//! The client reads a body only as far as its window, then leaves the socket alone. The system's
//! receive buffer fills, then the server's send buffer, and the server's `write` blocks: TCP's own
//! flow control, from one end to the other. Other connections go on meanwhile, and when the reader
//! takes half a window, the client reads on.
//!
//! Try: a larger `body_window`, and the server comes further before it blocks (most of what it
//! has sent lies in the two systems' socket buffers); drop `body` instead of reading on.

use std::process::ExitCode;

use futures::executor::block_on;
use http_body_util::BodyExt;
use stage1_rotor::{Client, Config, Error};
use testbed::{
    lesson::{self, Failure, Lesson, Request},
    say,
};

fn main() -> ExitCode {
    lesson::main("stage1-slow_reader", |lesson| block_on(slow_reader(lesson)))
}

async fn slow_reader(lesson: &Lesson) -> Result<(), Failure> {
    let client = Client::new(Config::new().body_window(64 * 1024))?;
    let mut body = client.request(lesson.get(lesson::BIG)).await?.into_body();
    say!("the head of a large response is here, and nobody reads its body");

    // As long as the server gets rid of anything, it is not blocked.
    let (mut sent, mut calls, mut stood) = (lesson.sent(), 0, 0);
    while stood < 200 {
        quote(&client, lesson.get("/quotes/7")).await?;
        calls += 1;
        stood = if lesson.sent() == sent { stood + 1 } else { 0 };
        sent = lesson.sent();
    }
    say!("{sent}, and its send is blocked");
    say!("{calls} other calls were answered meanwhile: {}", client.stats());

    let progress = lesson.progress("MiB", lesson::BIG_MIB);
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let before = read >> 20;
        read += frame?.data_ref().map_or(0, |piece| piece.len());
        (before..read >> 20).for_each(|_| progress.one_done());
    }
    say!("the reader went on, and got all {read} bytes: {}", client.stats());
    client.close().await;
    Ok(())
}

async fn quote(client: &Client, request: Request) -> Result<usize, Error> {
    let response = client.request(request).await?;
    Ok(response.into_body().collect().await?.to_bytes().len())
}
