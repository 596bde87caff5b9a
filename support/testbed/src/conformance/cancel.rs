//! Dropping a call, in each of its phases: nothing leaks, and no dirty connection serves again.

use client_core::{ApiClient, CloseReason, Config};
use http_body_util::BodyExt;

use super::{Gated, begin, client, client_of_one, expect, get, send, wait_closed};
use crate::{
    Gate, Server,
    dead_ends::{Blackhole, blackhole_works},
    reply,
    run::{block_on, eventually},
};

/// A server that answers `/hold` when the step is opened, everything else at once.
fn server() -> Server {
    Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            if request.target() == "/hold" {
                conn.wait("answer")?;
            }
            conn.send(reply::ok(request.target()))?;
        }
        Ok(())
    })
}

/// While it waits for a connection.
pub fn a_call_that_waits_leaves_the_queue<C: ApiClient>() {
    let server = server();
    let client = client_of_one::<C>();
    let mut first = Box::pin(client.request(get(&server.url("/hold"))));
    begin(&mut first);
    server.wait_requests(1);
    let mut second = Box::pin(client.request(get(&server.url("/second"))));
    begin(&mut second);
    eventually("a waiter", || client.stats().waiting == 1);
    drop(second);
    eventually("an empty queue", || client.stats().waiting == 0);
    server.open("answer");
    block_on(async { first.await.unwrap().into_body().collect().await }).unwrap();
    expect(&client, get(&server.url("/third")));
    assert_eq!(server.log().targets(), ["/hold", "/third"]);
    assert_eq!(client.stats().created, 1);
}

/// While its name is being resolved: the connection is made all the same, and becomes idle.
pub fn a_call_that_resolves_leaves_its_connection_to_others<C: ApiClient>() {
    let (server, gate) = (server(), Gate::new());
    let client = client::<C>(Config::new().resolver(Gated(gate.clone())));
    let mut call = Box::pin(client.request(get(&server.url_as("gated.invalid", "/"))));
    begin(&mut call);
    eventually("a chain", || client.stats().connecting == 1);
    drop(call);
    eventually("no waiter", || client.stats().waiting == 0);
    gate.open();
    eventually("an idle connection", || client.stats().idle == 1);
    expect(&client, get(&server.url_as("gated.invalid", "/next")));
    assert_eq!((server.log().targets(), client.stats().created), (vec!["/next"], 1));
}

/// While TCP connects, to an address that is silent at first: likewise.
pub fn a_call_that_connects_leaves_its_connection_to_others<C: ApiClient>() {
    if !blackhole_works() {
        return eprintln!("skipped: a full backlog is not silent on this machine");
    }
    let hole = Blackhole::on([127, 0, 0, 1].into()).expect("a black hole");
    let client = client::<C>(Config::new());
    let mut call = Box::pin(client.request(get(&hole.url("/"))));
    begin(&mut call);
    eventually("a chain", || client.stats().connecting == 1);
    drop(call);
    eventually("no waiter", || client.stats().waiting == 0);
    assert_eq!((client.stats().connecting, client.stats().open), (1, 0));
    hole.let_one_in().expect("the connection in the one place");
    eventually("an idle connection", || client.stats().idle == 1);
    assert_eq!(client.stats().created, 1);
}

/// While its request is being written.
pub fn a_call_that_writes_closes_its_connection<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.read_exact(1000)?;
        conn.open("begun");
        conn.wait("cancelled")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let mut call = Box::pin(client.request(send("PUT", &server.url("/"), vec![0; 32 << 20])));
    begin(&mut call);
    server.wait_open("begun");
    drop(call);
    wait_closed(&client, CloseReason::Cancelled, 1);
    server.open("cancelled");
    server.wait_closed(1);
    assert_eq!(client.stats().open, 0);
}

/// While it waits for the response's head: a late response must not reach the next caller.
pub fn a_call_that_waits_for_the_head_closes_its_connection<C: ApiClient>() {
    let server = server();
    let client = client_of_one::<C>();
    let mut call = Box::pin(client.request(get(&server.url("/hold"))));
    begin(&mut call);
    server.wait_requests(1);
    drop(call);
    wait_closed(&client, CloseReason::Cancelled, 1);
    server.open("answer");
    let got = expect(&client, get(&server.url("/next")));
    assert_eq!((&got.body[..], got.exchange.connection), (&b"/next"[..], 2));
}

/// In the middle of its body.
pub fn a_body_that_is_dropped_closes_its_connection<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let mut body = block_on(client.request(get(&server.url("/")))).unwrap().into_body();
    block_on(body.frame()).expect("a frame").expect("half of the body");
    drop(body);
    wait_closed(&client, CloseReason::BodyDropped, 1);
    server.wait_closed(1);
}

/// In the middle of its body, while the server is held up by a full window: the connection ends,
/// and who waits for it gets another.
pub fn a_body_that_nobody_reads_any_more_frees_its_place<C: ApiClient>() {
    let server = Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            match request.target() {
                "/big" => conn.send(reply::ok(vec![b'x'; 16 << 20]))?,
                _ => conn.send(reply::ok("small"))?,
            }
        }
        Ok(())
    });
    let client = client::<C>(Config::new().max_per_origin(1).body_window(1024));
    let response = block_on(client.request(get(&server.url("/big")))).unwrap();
    server.wait_for("more than the window", |log| log.connections[0].bytes_out >= 1 << 17);
    let mut waiting = Box::pin(client.request(get(&server.url("/small"))));
    begin(&mut waiting);
    eventually("a waiter", || client.stats().waiting == 1);
    drop(response);
    let response = block_on(waiting).expect("a response");
    assert_eq!(response.into_body().exchange().connection, 2);
    assert_eq!(client.stats().closed(CloseReason::BodyDropped), 1);
}

/// Dropped unread, though all of it is here: the connection is as good as new.
pub fn a_body_that_is_here_may_be_dropped_unread<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    drop(block_on(client.request(get(&server.url("/a")))).unwrap());
    eventually("an idle connection", || client.stats().idle == 1);
    assert!(expect(&client, get(&server.url("/b"))).exchange.reused);
    assert_eq!(client.stats().closed_in_all(), 0);
}

/// Dropped while its rest lies in the socket, because the window is full: one read that does not
/// wait completes it, and the connection serves on (decision 21).
pub fn a_body_whose_rest_has_come_may_be_dropped<C: ApiClient>() {
    let server = Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            if request.target() == "/a" {
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")?;
                conn.wait("the head was seen")?;
                conn.send("more")?;
                conn.open("all was sent");
            } else {
                conn.send(reply::ok("x"))?;
            }
        }
        Ok(())
    });
    let other = self::server();
    let client = client::<C>(Config::new().max_per_origin(1).body_window(1));
    let response = block_on(client.request(get(&server.url("/a")))).unwrap();
    server.open("the head was seen");
    server.wait_open("all was sent");
    // A later event was handled, so what drives the client knows of the bytes before it.
    expect(&client, get(&other.url("/")));
    drop(response);
    assert_eq!(expect(&client, get(&server.url("/b"))).exchange.connection, 1);
    assert_eq!(client.stats().closed_in_all(), 0);
}

/// A response that nobody took from its future is dropped with it.
pub fn a_response_that_nobody_takes_leaks_nothing<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    let mut call = Box::pin(client.request(get(&server.url("/a"))));
    begin(&mut call);
    eventually("the response", || client.stats().idle == 1);
    drop(call);
    assert!(expect(&client, get(&server.url("/b"))).exchange.reused);
}

/// Many calls at once, half of which are dropped at all moments: the rest come whole, each to its
/// caller, and nothing is left over.
pub fn a_storm_of_cancelled_calls_leaks_nothing<C: ApiClient>() {
    let server = Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            conn.send(reply::chunked(&["got ", request.target()], &[]))?;
        }
        Ok(())
    });
    let client = client::<C>(Config::new().max_per_origin(4));
    block_on(async {
        let calls = (0..200).map(|n| {
            let (client, path) = (client.clone(), format!("/{n}"));
            let request = get(&server.url(&path));
            async move {
                if n % 2 == 0 {
                    let got = super::fetch(&client, request).await.expect("a whole response");
                    assert_eq!(got.body, format!("got {path}").as_bytes());
                } else {
                    let mut call = Box::pin(client.request(request));
                    let polls = n % 5;
                    let mut seen = 0;
                    // Dropped after some polls, wherever the call is by then.
                    std::future::poll_fn(|cx| {
                        seen += 1;
                        if seen > polls || call.as_mut().poll(cx).is_ready() {
                            return std::task::Poll::Ready(());
                        }
                        cx.waker().wake_by_ref();
                        std::task::Poll::Pending
                    })
                    .await;
                }
            }
        });
        futures::future::join_all(calls).await;
    });
    eventually("a pool at rest", || {
        let stats = client.stats();
        (stats.in_use, stats.waiting, stats.connecting) == (0, 0, 0)
    });
    let stats = client.stats();
    assert_eq!(stats.created - stats.closed_in_all(), stats.open as u64);
    expect(&client, get(&server.url("/last")));
}

/// Callers that give up while their answers arrive, again and again. In stage 1 a wakeup for a
/// machine that had just ended once corrupted the loop's slab (slab 0.1.3), and its thread died.
pub fn many_callers_that_give_up_leave_the_client_in_order<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new().max_per_origin(16));
    let url = server.url("/a");
    for round in 0..50 {
        block_on(async {
            let mut calls: Vec<_> =
                (0..16).map(|_| Box::pin(client.request(get(&url)))).collect();
            futures::future::join_all(calls.drain(..round % 16)).await;
            drop(futures::future::select_all(calls).await);
        });
    }
    expect(&client, get(&url));
    block_on(client.close());
    assert_eq!(client.stats().open, 0);
}
