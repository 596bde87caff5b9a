//! Lets the three clients do the same things, and prints what each did.

use std::{
    error::Error,
    fmt::Display,
    future::ready,
    time::{Duration, Instant},
};

use bytes::Bytes;
use client_core::{ApiClient, CloseReason, Config, Exchange};
use futures::{StreamExt, executor::block_on, future::poll_immediate, stream};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use testbed::{Server, api, run::eventually, run::thread_count};

use crate::{
    parts::Parts,
    screen::{self, Strong, say},
};

type Failure = Box<dyn Error>;

/// How many calls the pool has to cope with, how many of them at once, and with how many sockets.
const CALLS: usize = 1000;
const AT_ONCE: usize = 64;
const CONNECTIONS: usize = 8;

/// How long a call waits for a server that never answers.
const PATIENCE: Duration = Duration::from_millis(100);

/// The stages, and what to try next.
///
/// # Errors
///
/// The names of the stages that failed.
pub(crate) fn all() -> Result<(), Failure> {
    stages()?;
    say(
        "\nNext, see what an I/O model does: start `cargo run --release -- serve`, and beside it\n\
         cargo run --release --example stage1-fetch -- --trace http://localhost:8080/quotes/7\n\
         and the same with stage2-fetch and stage3-fetch.",
    )
}

/// The three stages in their order. One that fails does not keep the others from it.
///
/// # Errors
///
/// The names of those that failed.
pub(crate) fn stages() -> Result<(), Failure> {
    let server = api::start()?;
    say(format_args!(
        "{} A server listens on {}.",
        Strong("One client, three I/O models."),
        server.addr()
    ))?;
    say_if_debug()?;
    let mut parts = Parts::default();
    #[cfg(unix)]
    stage::<stage1_rotor::Client>(
        &mut parts,
        &server,
        "state machines on rotor 0.6.3 and mio 0.5",
    )?;
    #[cfg(not(unix))]
    say("\nstage1-rotor is left out: mio 0.5 is unsound on Windows (RUSTSEC-2020-0080).")?;
    let model = "a hand-written event loop on mio 1.x";
    stage::<stage2_mio::Client>(&mut parts, &server, model)?;
    stage::<stage3_tokio::Client>(&mut parts, &server, "async functions on tokio 1.x")?;
    parts.verdict()
}

/// Says so if times of this build say nothing.
pub(crate) fn say_if_debug() -> Result<(), Failure> {
    match cfg!(debug_assertions) {
        true => say("This is a debug build, its times say nothing: use cargo run --release."),
        false => Ok(()),
    }
}

fn stage<C: ApiClient>(parts: &mut Parts, server: &Server, model: &str) -> Result<(), Failure> {
    say(format_args!("\n{}: {model}", Strong(C::STAGE)))?;
    parts.attempt(C::STAGE, || screen::during(C::STAGE, || one_stage::<C>(server)))
}

fn one_stage<C: ApiClient>(server: &Server) -> Result<(), Failure> {
    let threads = thread_count();
    let config = Config::new().max_per_origin(CONNECTIONS).max_idle_per_origin(CONNECTIONS);
    let client = C::new(config)?;
    one_call(&client, server)?;
    many_calls(&client, server)?;
    a_server_that_is_silent::<C>(server)?;
    a_caller_that_gives_up(&client, server)?;
    the_end(client, threads)
}

/// One row. Whoever reads may have closed the pipe: an error like any other, and no panic.
fn line(what: impl Display, seen: impl Display) -> Result<(), Failure> {
    say(format_args!("  {what:<26} {seen}"))
}

fn get(url: &str) -> Result<Request<Full<Bytes>>, Failure> {
    Ok(Request::get(url).body(Full::default())?)
}

/// A whole exchange: status, body, and what carried them.
pub(crate) async fn fetch<C: ApiClient>(
    client: &C,
    url: &str,
) -> Result<(StatusCode, Bytes, Exchange), Failure> {
    let response = client.request(get(url)?).await?;
    let (status, exchange) = (response.status(), response.body().exchange());
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, body, exchange))
}

fn one_call<C: ApiClient>(client: &C, server: &Server) -> Result<(), Failure> {
    for what in ["GET /quotes/7", "the same again"] {
        let (status, body, exchange) = block_on(fetch(client, &server.url("/quotes/7")))?;
        let how = if exchange.reused { "reused" } else { "new" };
        let (length, number) = (body.len(), exchange.connection);
        line(what, format!("{status}, {length} bytes, connection {number} ({how})"))?;
    }
    Ok(())
}

fn many_calls<C: ApiClient>(client: &C, server: &Server) -> Result<(), Failure> {
    let begun = Instant::now();
    let calls = stream::repeat(server.url("/quotes/7")).take(CALLS);
    let calls = calls.map(|url| async move { fetch(client, &url).await });
    let whole = calls.buffer_unordered(AT_ONCE).filter(|result| ready(result.is_ok()));
    let whole = block_on(whole.count());
    let (took, stats) = (begun.elapsed(), client.stats());
    line(
        format!("{CALLS} calls, {AT_ONCE} at once"),
        format!(
            "{whole} whole in {took:.0?}, over {} connections, {} times reused",
            stats.created, stats.reused
        ),
    )?;
    if whole == CALLS { Ok(()) } else { Err("expected every call to succeed".into()) }
}

/// Waits for a response that does not come: a deadline has to notice.
fn a_server_that_is_silent<C: ApiClient>(server: &Server) -> Result<(), Failure> {
    let client = C::new(Config::new().head_timeout(PATIENCE))?;
    match block_on(fetch(&client, &server.url(api::SILENT))) {
        Ok(_) => Err("expected the silent server not to answer".into()),
        Err(error) => line("a server that is silent", error),
    }
}

/// Drops a call in the middle of its exchange: its connection must go, and nothing else.
fn a_caller_that_gives_up<C: ApiClient>(client: &C, server: &Server) -> Result<(), Failure> {
    let seen = |server: &Server| server.look(|log| log.requests.len());
    let before = seen(server);
    let mut call = Box::pin(client.request(get(&server.url(api::SILENT))?));
    // One poll hands the request over; from then on the client needs no caller to go on.
    if block_on(poll_immediate(&mut call)).is_some() {
        return Err("expected the silent server not to answer".into());
    }
    server
        .wait_for("the request of the caller that gives up", |log| log.requests.len() > before);
    drop(call);
    eventually("the end of the call's connection", || {
        client.stats().closed(CloseReason::Cancelled) == 1
    });
    let left = client.stats();
    line("a caller that gives up", format!("1 connection closed, {} others kept", left.open))
}

fn the_end<C: ApiClient>(client: C, threads: Option<usize>) -> Result<(), Failure> {
    block_on(client.close());
    let open = client.stats().open;
    drop(client);
    let Some(before) = threads else {
        return line("after close", format!("{open} connections"));
    };
    eventually("the end of the client's threads", || thread_count() <= Some(before));
    line("after close", format!("{open} connections and no thread left"))
}
