//! Promises about many calls at once, and about a whole process: what is left of a client, and what
//! it takes while it works. Those that count threads, descriptors or memory are not in the list of
//! all cases, since each has to be the only test of its binary.

use std::time::Duration;

use client_core::{ApiClient, Config, ErrorKind};
use futures::StreamExt;
use http_body_util::BodyExt;

use super::{client, expect, fetch, get};
use crate::{
    Server,
    api::{self, pattern},
    reply,
    run::{self, block_on, eventually},
    server::over_tls,
};

/// Once the last handle, response future and body are gone, so is every thread and descriptor that
/// the client made, whichever of them goes last and whatever was going on, with TLS or without.
pub fn nothing_is_left_of_a_client<C: ApiClient>() {
    nothing_is_left::<C>(&api::start().expect("a server"));
    nothing_is_left::<C>(&over_tls(api::start).expect("a server"));
}

fn nothing_is_left<C: ApiClient>(server: &Server) {
    let before = (run::thread_count(), run::fd_count());
    if before.0.is_none() {
        eprintln!("threads and descriptors are counted on Linux only");
    }
    for last in 0..3 {
        use_and_drop::<C>(server, last);
    }
    server.wait_for("the end of every connection", |log| log.open == 0);
    eventually("threads and descriptors as they were", || {
        (run::thread_count(), run::fd_count()) == before
    });
}

/// Leaves calls in every phase, then drops handle, calls and bodies; `last` says which go last.
fn use_and_drop<C: ApiClient>(server: &Server, last: usize) {
    let client = client::<C>(Config::new().max_per_origin(4));
    // By name, so that the resolver has been at work.
    expect(&client, get(&server.url_as("localhost", "/quotes/7")));
    let response = |path| block_on(client.request(get(&server.url(path)))).expect("a response");
    let bodies = ["/bytes/4000000", "/quotes/7"].map(|path| response(path).into_body());
    let mut calls: Vec<_> =
        (0..8).map(|_| Box::pin(client.request(get(&server.url("/silent"))))).collect();
    calls.iter_mut().for_each(super::begin);
    match last {
        0 => drop((calls, bodies, client)),
        1 => drop((client, bodies, calls)),
        _ => {
            drop((client, calls));
            let whole = block_on(bodies.map(BodyExt::collect).into_iter().last().expect("two"));
            assert_eq!(whole.expect("a whole body").to_bytes().len(), 128);
        }
    }
}

/// 1,000 requests, 64 at a time, over 8 connections: each response whole and its own.
pub fn many_calls_share_few_connections<C: ApiClient>() {
    let server = Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            conn.send(reply::ok(request.target()))?;
        }
        Ok(())
    });
    let client = client::<C>(Config::new().max_per_origin(8));
    let calls = futures::stream::iter(0..1000).map(|n| {
        let path = format!("/{n}");
        let call = fetch(&client, get(&server.url(&path)));
        async move { assert_eq!(call.await.expect("a whole response").body, path.as_bytes()) }
    });
    let whole = block_on(calls.buffer_unordered(64).count());
    let log = server.log();
    assert_eq!((whole, log.received), (1000, 1000));
    assert!(log.accepted <= 8 && client.stats().created <= 8, "{log}");
}

/// A body of 100 MB passes through a window: each byte right, and little memory, with TLS or
/// without.
pub fn a_hundred_megabytes_pass_through_little_memory<C: ApiClient>() {
    a_large_body_passes::<C>(&api::start().expect("a server"));
    a_large_body_passes::<C>(&over_tls(api::start).expect("a server"));
}

fn a_large_body_passes<C: ApiClient>(server: &Server) {
    const LENGTH: u64 = 100_000_000;
    const MEMORY: u64 = 64 << 20;
    let client = client::<C>(Config::new());
    let mut check = pattern::Check::new();
    block_on(async {
        let url = server.url(&format!("/bytes/{LENGTH}"));
        let mut body = client.request(get(&url)).await.expect("a response").into_body();
        while let Some(frame) = body.frame().await {
            check.update(&frame.expect("a frame").into_data().expect("data"));
        }
    });
    assert!(check.is_whole(LENGTH), "the body differs from what was sent");
    match run::peak_rss_bytes() {
        Some(peak) => assert!(peak < MEMORY, "{peak} bytes were resident, server included"),
        None => eprintln!("skipped: memory is measured on Linux only"),
    }
}

/// The server dies in mid-run: every caller gets an error within its timeout, nobody hangs.
pub fn every_caller_learns_that_the_server_is_gone<C: ApiClient>() {
    let mut server = Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            if request.target() == "/held" {
                conn.wait("never")?;
            }
            conn.send(reply::ok("x"))?;
        }
        Ok(())
    });
    let config = Config::new().max_per_origin(8).total_timeout(Duration::from_secs(5));
    let client = client::<C>(config);
    let url = server.url("");
    let calls: Vec<_> = (0..100)
        .map(|n| {
            let path = if n % 4 == 0 { "/held" } else { "/" };
            let (client, request) = (client.clone(), get(&format!("{url}{path}")));
            std::thread::spawn(move || super::call(&client, request).map(|got| got.status))
        })
        .collect();
    server.wait_for("all connections held", |log| {
        log.requests.iter().filter(|request| request.target() == "/held").count() >= 8
    });
    server.stop();
    for call in calls {
        match call.join().expect("no panic") {
            Ok(status) => assert_eq!(status, 200),
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    ErrorKind::Connect
                        | ErrorKind::Tls // over TLS, in mid-handshake
                        | ErrorKind::ClosedEarly
                        | ErrorKind::Timeout
                ),
                "{error}"
            ),
        }
    }
    let stats = client.stats();
    assert_eq!((stats.open, stats.waiting, stats.connecting), (0, 0, 0), "{stats:?}");
}
