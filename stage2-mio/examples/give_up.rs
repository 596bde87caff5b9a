//! Giving up: a call is cancelled by dropping its future, in whatever phase it is.
//!
//!     cargo run --release --example stage2-give_up [-- URL]
//!
//! What is dropped must leave nothing behind: no waiter that is served though it has gone, no
//! connection on which half an exchange is still under way. A connection in the middle of an
//! exchange cannot be used again, since the next caller would get the rest of this one's
//! response; so it is closed, and the pool counts why. (A URL has to have a name and no address,
//! since one call is given up while its name is looked up.)
//!
//! Try: read the body to its end before dropping it, or ask for `/quotes/7`, whose body has come
//! with its head: then the connection becomes idle.

use std::process::ExitCode;

use futures::{executor::block_on, poll};
use http_body_util::BodyExt;
use stage2_mio::{Client, Config};
use testbed::{
    lesson::{self, Failure, Gated, Lesson, until},
    say,
};

fn main() -> ExitCode {
    lesson::main("stage2-give_up", |lesson| block_on(give_up(lesson)))
}

async fn give_up(lesson: &Lesson) -> Result<(), Failure> {
    let names = Gated::default();
    let client = Client::new(Config::new().max_per_origin(1).resolver(names.clone()))?;
    let start = |path| Box::pin(client.request(lesson.get_by_name(path)));

    drop(start("/quotes/7"));
    say!("before its first poll: nothing has happened\n    {}", client.stats());

    let mut call = start("/quotes/7");
    let _ = poll!(&mut call);
    until("the look-up", || client.stats().connecting == 1)?;
    drop(call);
    names.0.open();
    until("the connection", || client.stats().idle == 1)?;
    say!(
        "while it connects: the connection is made all the same, and kept\n    {}",
        client.stats()
    );

    let mut call = start(lesson::SILENT);
    let _ = poll!(&mut call);
    lesson.until_received(lesson::SILENT)?;
    let mut waiter = start("/quotes/7");
    let _ = poll!(&mut waiter);
    until("the waiter", || client.stats().waiting == 1)?;
    say!("one call is answered never, one waits for the connection\n    {}", client.stats());
    drop(waiter);
    until("an empty queue", || client.stats().waiting == 0)?;
    say!("while it waits: it leaves the queue\n    {}", client.stats());
    drop(call);
    until("the close", || client.stats().open == 0)?;
    say!("after it is sent: its connection is closed\n    {}", client.stats());

    let mut body = start(lesson::BIG).await?.into_body();
    let _ = body.frame().await;
    drop(body);
    until("the close", || client.stats().open == 0)?;
    say!("in its body: the same\n    {}", client.stats());

    let answer = start("/quotes/7").await?.into_body().collect().await?;
    say!("the pool works on: {} bytes\n    {}", answer.to_bytes().len(), client.stats());
    client.close().await;
    say!("closed: nothing is left\n    {}", client.stats());
    Ok(())
}
