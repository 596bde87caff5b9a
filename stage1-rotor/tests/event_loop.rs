//! What is this stage's own: the loop's thread, its deadlines, its limits.

#![cfg(unix)]

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use client_core::{CloseReason, Config, Error, Name, Resolve, Resolving, TimeoutPhase};
use http::Request;
use http_body_util::{BodyExt, Full};
use stage1_rotor::Client;
use testbed::{
    Server,
    dead_ends::Refusing,
    reply::ok,
    run::{block_on, eventually},
};

fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).unwrap()
}

/// The body of a response, and the number of its connection.
async fn fetch(client: &Client, url: &str) -> Result<(Bytes, u64), Error> {
    let body = client.request(get(url)).await?.into_body();
    let connection = body.exchange().connection;
    Ok((body.collect().await?.to_bytes(), connection))
}

fn echo_server() -> Server {
    Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            conn.send(ok(request.target()))?;
        }
        Ok(())
    })
}

#[test]
fn requests_in_a_row_share_a_connection() {
    let server = echo_server();
    let client = Client::new(Config::new()).unwrap();
    block_on(async {
        assert_eq!(fetch(&client, &server.url("/a")).await.unwrap(), ("/a".into(), 1));
        assert_eq!(fetch(&client, &server.url("/b")).await.unwrap(), ("/b".into(), 1));
    });
    let stats = client.stats();
    assert_eq!((stats.open, stats.idle, stats.created, stats.reused), (1, 1, 1, 1));
    block_on(client.close());
    assert_eq!(client.stats().open, 0);
}

#[test]
fn many_callers_share_few_connections() {
    let server = echo_server();
    let client = Client::new(Config::new().max_per_origin(3)).unwrap();
    let url = server.url("/x");
    let calls = (0..200).map(|_| fetch(&client, &url));
    let answers = block_on(futures::future::join_all(calls));
    assert!(answers.iter().all(|answer| answer.is_ok()), "{answers:?}");
    assert!(client.stats().created <= 3);
    assert_eq!(client.stats().waiting, 0);
}

#[test]
fn a_refused_connection_is_an_error_and_the_loop_goes_on() {
    let server = echo_server();
    let client = Client::new(Config::new()).unwrap();
    block_on(async {
        let refusing = Refusing::new();
        let error = fetch(&client, &refusing.url("/")).await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }), "{error}");
        assert!(fetch(&client, &server.url("/a")).await.is_ok());
    });
}

#[test]
fn a_head_that_does_not_come_is_a_timeout() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.wait_closed()
    });
    let config = Config::new().head_timeout(Duration::from_millis(50));
    let client = Client::new(config).unwrap();
    let error = block_on(fetch(&client, &server.url("/"))).unwrap_err();
    assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Head), "{error}");
    server.wait_closed(1);
}

/// A resolver that panics, when asked or when polled.
struct Panics(bool);

impl Resolve for Panics {
    fn resolve(&self, _: Name) -> Resolving {
        assert!(self.0, "when asked");
        Box::pin(std::future::poll_fn(|_| -> std::task::Poll<std::io::Result<Vec<IpAddr>>> {
            panic!("when polled")
        }))
    }
}

#[test]
fn a_resolver_that_panics_fails_its_request_and_not_the_loop() {
    let server = echo_server();
    for late in [false, true] {
        let client = Client::new(Config::new().resolver(Panics(late))).unwrap();
        block_on(async {
            let error = fetch(&client, "http://name.test/").await.unwrap_err();
            assert!(matches!(error, Error::Resolve { .. }), "{error}");
            assert!(fetch(&client, &server.url("/a")).await.is_ok());
        });
    }
}

#[test]
fn names_are_resolved_off_the_loop() {
    let server = echo_server();
    let client = Client::new(Config::new()).unwrap();
    assert!(block_on(fetch(&client, &server.url_as("localhost", "/a"))).is_ok());
}

#[test]
fn the_most_connections_that_a_client_may_have_are_no_more_than_it_has() {
    let server = echo_server();
    let client = Client::new(Config::new().max_total(1)).unwrap();
    let urls = [server.url("/a"), server.url_as("localhost", "/b")];
    block_on(async {
        for url in urls.iter().cycle().take(10) {
            assert!(fetch(&client, url).await.is_ok());
        }
    });
    assert_eq!(client.stats().closed(CloseReason::Evicted), 9);
    assert_eq!(server.finish().most_open, 1);
}

#[test]
fn a_call_that_is_dropped_closes_its_connection() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.wait_closed()
    });
    let client = Client::new(Config::new()).unwrap();
    block_on(async {
        let mut call = Box::pin(client.request(get(&server.url("/"))));
        let mut seen = Box::pin(server.until("a request", |log| log.received == 1));
        futures::future::select(&mut call, &mut seen).await;
    });
    server.wait_closed(1);
    eventually("the pool has counted it", || {
        client.stats().closed(CloseReason::Cancelled) == 1
    });
}

#[test]
fn an_idle_connection_that_dies_is_noticed_without_a_request() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(ok("a"))?;
        conn.wait("close")
    });
    let client = Client::new(Config::new()).unwrap();
    block_on(fetch(&client, &server.url("/"))).unwrap();
    assert_eq!(client.stats().idle, 1);
    server.open("close");
    eventually("the pool has noticed", || {
        client.stats().closed(CloseReason::PeerClosed) == 1 && client.stats().open == 0
    });
}

#[test]
fn an_idle_connection_expires() {
    let server = echo_server();
    let config = Config::new().idle_timeout(Duration::from_millis(20));
    let client = Client::new(config).unwrap();
    block_on(fetch(&client, &server.url("/"))).unwrap();
    server.wait_closed(1);
    eventually("the pool has counted it", || {
        client.stats().closed(CloseReason::IdleExpired) == 1
    });
}

#[test]
fn a_large_body_passes_through_a_small_window() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(ok(vec![b'x'; 3 << 20]))?;
        conn.wait_closed()
    });
    let client = Client::new(Config::new().body_window(1024)).unwrap();
    let (body, _) = block_on(fetch(&client, &server.url("/"))).unwrap();
    assert_eq!(body.len(), 3 << 20);
}

/// Rings that are on their way to machines that end: with slab 0.1.3 they did harm.
#[test]
fn many_callers_that_give_up_leave_the_loop_in_order() {
    let server = echo_server();
    let client = Client::new(Config::new().max_per_origin(16)).unwrap();
    let url = server.url("/a");
    for round in 0..50 {
        block_on(async {
            let mut calls: Vec<_> =
                (0..16).map(|_| Box::pin(client.request(get(&url)))).collect();
            futures::future::join_all(calls.drain(..round % 16)).await;
            let rest = futures::future::select_all(calls);
            drop(rest.await);
        });
    }
    assert!(block_on(fetch(&client, &url)).is_ok());
    block_on(client.close());
    assert_eq!(client.stats().open, 0);
}
