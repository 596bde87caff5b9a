//! The end of a client: in order, and without leaving anybody waiting.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use client_core::{ApiClient, CloseReason, Config, ErrorKind, Name, Resolver, Resolving};
use http_body_util::BodyExt;

use super::{Gated, begin, client, client_of_one, expect, expect_error, get};
use crate::{
    Gate, Server,
    dead_ends::{Blackhole, blackhole_works},
    reply,
    run::{block_on, eventually},
};

fn server() -> Server {
    Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            if request.target() == "/hold" {
                conn.wait("answer")?;
            }
            conn.send(reply::ok("x"))?;
        }
        Ok(())
    })
}

/// Idle connections are closed at once.
pub fn close_closes_idle_connections<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    block_on(client.close());
    let stats = client.stats();
    assert_eq!((stats.open, stats.closed(CloseReason::ClientClosed)), (0, 1));
    server.wait_closed(1);
}

/// It does not depend on being polled.
pub fn close_takes_effect_without_being_polled<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    drop(client.close());
    server.wait_closed(1);
    assert_eq!(expect_error(&client, get(&server.url("/"))).kind(), ErrorKind::ShutDown);
}

/// Later requests are refused by type, through every clone.
pub fn after_close_requests_are_refused<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    let clone = client.clone();
    block_on(client.close());
    for client in [client, clone] {
        assert_eq!(expect_error(&client, get(&server.url("/"))).kind(), ErrorKind::ShutDown);
    }
    assert_eq!(server.log().accepted, 0);
}

/// What is accepted is finished: an exchange, and a waiter behind it.
pub fn close_lets_accepted_calls_finish<C: ApiClient>() {
    let server = server();
    let client = client_of_one::<C>();
    let mut calls = [get(&server.url("/hold")), get(&server.url("/"))]
        .map(|request| Box::pin(client.request(request)));
    begin(&mut calls[0]);
    server.wait_requests(1);
    begin(&mut calls[1]);
    eventually("a waiter", || client.stats().waiting == 1);
    let mut closed = Box::pin(client.close());
    begin(&mut closed);
    server.open("answer");
    for call in calls {
        let response = block_on(call).expect("an accepted call finishes");
        block_on(response.into_body().collect()).expect("a whole body");
    }
    block_on(closed);
    assert_eq!(client.stats().open, 0);
}

/// A call that is still connecting is accepted too.
pub fn close_lets_a_connect_finish<C: ApiClient>() {
    let (server, gate) = (server(), Gate::new());
    let client = client::<C>(Config::new().resolver(Gated(gate.clone())));
    let mut call = Box::pin(client.request(get(&server.url_as("gated.invalid", "/"))));
    begin(&mut call);
    eventually("a chain", || client.stats().connecting == 1);
    let mut closed = Box::pin(client.close());
    begin(&mut closed);
    gate.open();
    let response = block_on(call).expect("an accepted call finishes");
    block_on(response.into_body().collect()).expect("a whole body");
    block_on(closed);
}

/// A connection that is being made for nobody is no reason to stay, however long it may take.
pub fn close_ends_a_connect_that_nobody_waits_for<C: ApiClient>() {
    let config = Config::new().connect_timeout(Duration::from_secs(3600));
    let client = client::<C>(config.resolver(Gated(Gate::new())));
    let mut call = Box::pin(client.request(get("http://gated.invalid/")));
    begin(&mut call);
    eventually("a chain", || client.stats().connecting == 1);
    drop(call);
    eventually("no waiter", || client.stats().waiting == 0);
    block_on(client.close());
    assert_eq!(client.stats().connecting, 0);
}

/// The same where a name was found, and its address is silent.
pub fn close_ends_an_attempt_that_nobody_waits_for<C: ApiClient>() {
    if !blackhole_works() {
        return eprintln!("skipped: a full backlog is not silent on this machine");
    }
    let hole = Blackhole::on([127, 0, 0, 1].into()).expect("a black hole");
    let client = client::<C>(Config::new().connect_timeout(Duration::from_secs(3600)));
    let mut call = Box::pin(client.request(get(&hole.url("/"))));
    begin(&mut call);
    eventually("a chain", || client.stats().connecting == 1);
    drop(call);
    block_on(client.close());
    assert_eq!(client.stats().connecting, 0);
}

/// The same for a request that is being sent again, whose caller goes while it connects.
pub fn close_ends_a_reconnect_that_nobody_waits_for<C: ApiClient>() {
    /// Answers once, and never again.
    #[derive(Default)]
    struct Once(AtomicBool);
    impl Resolver for Once {
        fn resolve(&self, _: Name) -> Resolving {
            if self.0.swap(true, Ordering::Relaxed) {
                return Box::pin(std::future::pending());
            }
            Box::pin(async { Ok(vec![[127, 0, 0, 1].into()]) })
        }
    }
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(reply::ok("x"))?;
        conn.request()?;
        conn.reset()
    });
    let config = Config::new().connect_timeout(Duration::from_secs(3600));
    let client = client::<C>(config.resolver(Once::default()));
    let url = server.url_as("once.invalid", "/");
    expect(&client, get(&url));
    let mut call = Box::pin(client.request(get(&url)));
    begin(&mut call);
    eventually("a second attempt", || {
        client.stats().retried == 1 && client.stats().connecting == 1
    });
    drop(call);
    block_on(client.close());
    assert_eq!(client.stats().connecting, 0);
}

/// A body that is still being read is in flight: `close` waits for it, and for no longer.
pub fn close_lets_a_body_finish<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf ")?;
        conn.wait("closing")?;
        conn.send("more")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let response = block_on(client.request(get(&server.url("/")))).expect("a response");
    let mut closed = Box::pin(client.close());
    begin(&mut closed);
    server.open("closing");
    let body = block_on(response.into_body().collect()).expect("a whole body");
    assert_eq!(body.to_bytes(), "half more");
    block_on(closed);
    assert_eq!(client.stats().open, 0);
}

/// Several may wait for it, and more than once.
pub fn close_may_be_called_many_times<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    let closes: Vec<_> = (0..4).map(|_| client.close()).collect();
    block_on(futures::future::join_all(closes));
    block_on(client.close());
}

/// A body that is still held goes on after close, and after the last handle.
pub fn a_body_outlives_the_last_handle<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")?;
        conn.wait("the handle is gone")?;
        conn.send("body")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let response = block_on(client.request(get(&server.url("/")))).unwrap();
    drop(client);
    server.open("the handle is gone");
    let body = block_on(response.into_body().collect()).expect("a whole body").to_bytes();
    assert_eq!(&body[..], b"body");
    server.wait_closed(1);
}

/// The same for a call that was accepted.
pub fn a_call_outlives_the_last_handle<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    let mut call = Box::pin(client.request(get(&server.url("/hold"))));
    begin(&mut call);
    drop(client);
    server.wait_requests(1);
    server.open("answer");
    assert_eq!(block_on(call).expect("an accepted call finishes").status(), 200);
}

/// Dropping the last handle closes idle connections; a clone keeps them.
pub fn the_last_handle_closes_idle_connections<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    let clone = client.clone();
    drop(client);
    assert!(expect(&clone, get(&server.url("/"))).exchange.reused);
    drop(clone);
    server.wait_closed(1);
}

/// A future that was made before the end, and polled after it, is refused.
pub fn a_call_that_is_polled_after_close_is_refused<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    let call = client.request(get(&server.url("/")));
    block_on(client.close());
    assert_eq!(block_on(call).expect_err("too late").kind(), ErrorKind::ShutDown);
}
