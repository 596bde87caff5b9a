//! Who gets a connection, and who waits for one.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread::JoinHandle,
    time::Duration,
};

use client_core::{
    ApiClient, CloseReason, Config, Error, ErrorKind, Name, Resolver, Resolving,
};

use super::{Got, begin, call, client, client_of_one, expect, expect_error, get, wait_closed};
use crate::{
    Gate, Server,
    dead_ends::{Blackhole, Refusing, blackhole_works},
    reply,
    run::{block_on, eventually},
};

/// A server that answers the request for `/x` when the step `/x` is opened.
fn stepped() -> Server {
    Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            conn.wait(request.target())?;
            conn.send(reply::ok(request.target()))?;
        }
        Ok(())
    })
}

/// A call in a thread of its own.
fn spawn<C: ApiClient>(client: &C, url: String) -> JoinHandle<Result<Got, Error>> {
    let client = client.clone();
    std::thread::spawn(move || call(&client, get(&url)))
}

#[track_caller]
fn wait_waiting<C: ApiClient>(client: &C, count: usize) {
    eventually(&format!("{count} waiting"), || client.stats().waiting == count);
}

/// `Config::max_per_origin`.
pub fn connections_to_one_origin_have_a_limit<C: ApiClient>() {
    let server = Server::start(|conn| {
        while conn.next_request()?.is_some() {
            conn.wait("all have come")?;
            conn.send(reply::ok("x"))?;
        }
        Ok(())
    });
    let client = client::<C>(Config::new().max_per_origin(3));
    let calls: Vec<_> = (0..20).map(|_| spawn(&client, server.url("/"))).collect();
    server.wait_requests(3);
    wait_waiting(&client, 17);
    let stats = client.stats();
    assert_eq!((stats.open, stats.in_use, stats.idle), (3, 3, 0));
    server.open("all have come");
    for call in calls {
        call.join().expect("no panic").expect("a whole response");
    }
    assert_eq!((server.log().most_open, client.stats().created), (3, 3));
}

/// `Config::max_total`, over two origins.
pub fn connections_in_all_have_a_limit<C: ApiClient>() {
    let servers = [stepped(), stepped()];
    let client = client::<C>(Config::new().max_total(2));
    let calls: Vec<_> = servers.iter().map(|server| spawn(&client, server.url("/a"))).collect();
    servers.iter().for_each(|server| server.wait_requests(1));
    let third = spawn(&client, servers[0].url("/b"));
    wait_waiting(&client, 1);
    assert_eq!(client.stats().open, 2);
    for server in &servers {
        server.open("/a");
        server.open("/b");
    }
    for call in calls.into_iter().chain([third]) {
        call.join().expect("no panic").expect("a whole response");
    }
}

/// First come, first served, on a pool of one.
pub fn waiters_are_served_in_the_order_of_arrival<C: ApiClient>() {
    let server = stepped();
    let client = client_of_one::<C>();
    let mut calls = vec![spawn(&client, server.url("/0"))];
    server.wait_requests(1);
    for n in 1..6 {
        calls.push(spawn(&client, server.url(&format!("/{n}"))));
        wait_waiting(&client, n);
    }
    (0..6).for_each(|n| server.open(&format!("/{n}")));
    for call in calls {
        call.join().expect("no panic").expect("a whole response");
    }
    assert_eq!(server.log().targets(), ["/0", "/1", "/2", "/3", "/4", "/5"]);
    assert_eq!((client.stats().created, client.stats().reused), (1, 5));
}

/// Each caller gets the response to its own request.
pub fn no_response_goes_to_another_caller<C: ApiClient>() {
    let server = Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            conn.send(reply::ok(request.target()))?;
        }
        Ok(())
    });
    let client = client::<C>(Config::new().max_per_origin(4));
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let (client, url) = (client.clone(), server.url(""));
            std::thread::spawn(move || {
                for n in 0..100 {
                    let path = format!("/{thread}/{n}");
                    let got = expect(&client, get(&format!("{url}{path}")));
                    assert_eq!(got.body, path.as_bytes());
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("its own responses"));
}

/// `Config::max_waiting`: load is shed at once, with a typed error.
pub fn waiters_have_a_limit<C: ApiClient>() {
    let server = stepped();
    let client = client::<C>(Config::new().max_per_origin(1).max_waiting(1));
    let busy = spawn(&client, server.url("/a"));
    server.wait_requests(1);
    let waits = spawn(&client, server.url("/b"));
    wait_waiting(&client, 1);
    let error = expect_error(&client, get(&server.url("/c")));
    assert_eq!(error.kind(), ErrorKind::PoolBusy, "{error}");
    server.open("/a");
    server.open("/b");
    for call in [busy, waits] {
        call.join().expect("no panic").expect("a whole response");
    }
}

/// A request for which there is a connection does not wait.
pub fn without_waiting_allowed_a_free_connection_still_serves<C: ApiClient>() {
    let server = stepped();
    let client = client::<C>(Config::new().max_per_origin(1).max_waiting(0));
    let busy = spawn(&client, server.url("/a"));
    server.wait_requests(1);
    assert_eq!(expect_error(&client, get(&server.url("/b"))).kind(), ErrorKind::PoolBusy);
    server.open("/a");
    busy.join().expect("no panic").expect("a whole response");
    server.open("/c");
    expect(&client, get(&server.url("/c")));
}

/// One failure never fails all who wait: the next waiter gets a chain of its own. (In hyper's
/// rotor days a failed connect failed the whole queue.)
pub fn a_failed_connect_fails_one_waiter_only<C: ApiClient>() {
    let refusing = Refusing::new();
    let client = client_of_one::<C>();
    let calls: Vec<_> = (0..5).map(|_| spawn(&client, refusing.url("/"))).collect();
    for call in calls {
        let error = call.join().expect("no panic").expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    }
    let stats = client.stats();
    assert_eq!((stats.open, stats.connecting, stats.waiting, stats.created), (0, 0, 0, 0));
}

/// An idle connection of another origin makes way before anybody waits.
pub fn an_idle_connection_elsewhere_is_evicted<C: ApiClient>() {
    let servers = [stepped(), stepped()];
    servers.iter().for_each(|server| server.open("/"));
    let client = client::<C>(Config::new().max_total(1));
    expect(&client, get(&servers[0].url("/")));
    expect(&client, get(&servers[1].url("/")));
    wait_closed(&client, CloseReason::Evicted, 1);
    servers[0].wait_closed(1);
    assert_eq!(client.stats().open, 1);
}

/// An origin that hogs does not starve another: a freed connection makes way for an origin that
/// is below its share.
pub fn an_origin_below_its_share_gets_the_freed_slot<C: ApiClient>() {
    let (hog, modest) = (stepped(), stepped());
    let client = client::<C>(Config::new().max_total(2));
    let busy = [spawn(&client, hog.url("/a")), spawn(&client, hog.url("/a"))];
    hog.wait_requests(2);
    let queue: Vec<_> = (0..4).map(|_| spawn(&client, hog.url("/b"))).collect();
    wait_waiting(&client, 4);
    let served = spawn(&client, modest.url("/c"));
    wait_waiting(&client, 5);
    modest.open("/c");
    hog.open("/a");
    // Nobody of the hog's queue is answered before the modest one is.
    served.join().expect("no panic").expect("a whole response");
    hog.open("/b");
    for call in busy.into_iter().chain(queue) {
        call.join().expect("no panic").expect("a whole response");
    }
}

/// A waiter that gives up is skipped, and nobody behind it is forgotten.
pub fn a_waiter_that_gives_up_is_skipped<C: ApiClient>() {
    let server = stepped();
    let client = client_of_one::<C>();
    let busy = spawn(&client, server.url("/a"));
    server.wait_requests(1);
    let mut gone = Box::pin(client.request(get(&server.url("/gone"))));
    begin(&mut gone);
    wait_waiting(&client, 1);
    let last = spawn(&client, server.url("/b"));
    wait_waiting(&client, 2);
    drop(gone);
    wait_waiting(&client, 1);
    server.open("/a");
    server.open("/b");
    for call in [busy, last] {
        call.join().expect("no panic").expect("a whole response");
    }
    assert_eq!(server.log().targets(), ["/a", "/b"]);
}

/// What `stats` says while nothing happens, and that it says so of the right moment.
pub fn stats_agree_with_what_the_caller_sees<C: ApiClient>() {
    let server = stepped();
    let client = client::<C>(Config::new());
    assert_eq!(client.stats(), client_core::PoolStats::default());
    let mut call = Box::pin(client.request(get(&server.url("/a"))));
    begin(&mut call);
    server.wait_requests(1);
    let stats = client.stats();
    assert_eq!((stats.open, stats.in_use, stats.idle, stats.created), (1, 1, 0, 1));
    server.open("/a");
    block_on(async { http_body_util::BodyExt::collect(call.await.unwrap().into_body()).await })
        .unwrap();
    let stats = client.stats();
    assert_eq!((stats.open, stats.in_use, stats.idle, stats.waiting), (1, 0, 1, 0));
}

/// With one connection in all, two origins take turns on it, and never have one more.
pub fn two_origins_take_turns_on_one_connection<C: ApiClient>() {
    let server = Server::start(|conn| {
        while conn.next_request()?.is_some() {
            conn.send(reply::ok("x"))?;
        }
        Ok(())
    });
    let client = client::<C>(Config::new().max_total(1));
    let urls = [server.url("/"), server.url_as("localhost", "/")];
    urls.iter().cycle().take(10).for_each(|url| drop(expect(&client, get(url))));
    assert_eq!(client.stats().closed(CloseReason::Evicted), 9);
    assert_eq!(server.finish().most_open, 1);
}

/// A connection that its server closes takes nobody with it who waits for it.
pub fn a_waiter_outlives_the_connection_it_waits_for<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.wait("all have come")?;
        conn.send(reply::respond(200, &[("connection", "close")], "x"))?;
        conn.wait_closed()
    });
    let client = client_of_one::<C>();
    let calls: Vec<_> = (0..5).map(|_| spawn(&client, server.url("/"))).collect();
    wait_waiting(&client, 4);
    server.wait_requests(1);
    server.open("all have come");
    for call in calls {
        call.join().expect("no panic").expect("a whole response");
    }
    assert_eq!((client.stats().created, server.log().most_open), (5, 1));
}

/// Nor does an exchange that fails.
pub fn a_failed_exchange_fails_its_own_caller_only<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        if conn.index() == 0 {
            conn.wait("both have come")?;
            return conn.reset();
        }
        conn.send(reply::ok("x"))
    });
    let client = client_of_one::<C>();
    let failing = spawn(&client, server.url("/a"));
    server.wait_requests(1);
    let waiting = spawn(&client, server.url("/b"));
    wait_waiting(&client, 1);
    server.open("both have come");
    let error = failing.join().expect("no panic").expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ClosedEarly, "{error}");
    waiting.join().expect("no panic").expect("a whole response");
}

/// However an exchange, or what should have become one, ends: its place under the limits is free
/// again. One place for all, so that a single one that is lost shows.
pub fn every_failure_gives_its_place_back<C: ApiClient>() {
    let server = Server::start(|conn| {
        let request = conn.request()?;
        match request.target() {
            "/broken" => conn.send("HTTP/9")?,
            "/cut" => return conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1"),
            "/reset" => return conn.reset(),
            "/half" => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1")?,
            "/good" => conn.send(reply::respond(200, &[("connection", "close")], "x"))?,
            _ => {}
        }
        conn.wait_closed()
    });
    let config = Config::new().max_total(1).max_per_origin(1);
    let client = client::<C>(config.head_timeout(std::time::Duration::from_secs(1)));
    let failures = [
        ("/broken", ErrorKind::Protocol),
        ("/cut", ErrorKind::ClosedEarly),
        ("/reset", ErrorKind::ClosedEarly),
        ("/silent", ErrorKind::Timeout),
    ];
    for (path, kind) in failures {
        assert_eq!(expect_error(&client, get(&server.url(path))).kind(), kind, "{path}");
        expect(&client, get(&server.url("/good")));
    }
    let refused = expect_error(&client, get(&Refusing::new().url("/")));
    assert_eq!(refused.kind(), ErrorKind::Connect);
    expect(&client, get(&server.url("/good")));
    let unknown = expect_error(&client, get("http://nowhere.invalid/"));
    assert_eq!(unknown.kind(), ErrorKind::Resolve);
    expect(&client, get(&server.url("/good")));
    let mut cancelled = Box::pin(client.request(get(&server.url("/silent"))));
    begin(&mut cancelled);
    drop(cancelled);
    expect(&client, get(&server.url("/good")));
    drop(block_on(client.request(get(&server.url("/half")))).expect("a head"));
    expect(&client, get(&server.url("/good")));
    assert_eq!(client.stats().open, 0);
}

/// With more origins than places, each is served in its turn.
pub fn more_origins_than_places_are_all_served<C: ApiClient>() {
    let servers = [stepped(), stepped(), stepped(), stepped()];
    let client = client::<C>(Config::new().max_total(2));
    let calls: Vec<_> = (0..6)
        .flat_map(|_| servers.iter().map(|server| spawn(&client, server.url("/"))))
        .collect();
    wait_waiting(&client, 22);
    servers.iter().for_each(|server| server.open("/"));
    for call in calls {
        call.join().expect("no panic").expect("a whole response");
    }
    assert!(client.stats().open <= 2);
}

/// A waiter takes a connection that becomes free while its own is still being made; that one, when
/// it is made, is there for the next (Go's net/http and hyper-util do so too).
pub fn a_waiter_need_not_wait_for_its_own_connect<C: ApiClient>() {
    /// Answers the first question at once, later ones when the gate opens.
    struct FirstAtOnce(Gate, AtomicUsize);
    impl Resolver for FirstAtOnce {
        fn resolve(&self, _: Name) -> Resolving {
            let (gate, first) = (self.0.clone(), self.1.fetch_add(1, Ordering::Relaxed) == 0);
            Box::pin(async move {
                if !first {
                    gate.await;
                }
                Ok(vec![[127, 0, 0, 1].into()])
            })
        }
    }
    let (server, gate) = (stepped(), Gate::new());
    let resolver = FirstAtOnce(gate.clone(), AtomicUsize::new(0));
    let client = client::<C>(Config::new().resolver(resolver));
    let first = spawn(&client, server.url_as("gated.invalid", "/a"));
    server.wait_requests(1);
    let second = spawn(&client, server.url_as("gated.invalid", "/b"));
    eventually("a second chain", || client.stats().connecting == 1);
    server.open("/a");
    server.open("/b");
    first.join().expect("no panic").expect("a whole response");
    let got = second.join().expect("no panic").expect("a whole response");
    assert_eq!((got.exchange.connection, got.exchange.reused), (1, true));
    gate.open();
    eventually("the second connection", || client.stats().idle == 2);
    assert_eq!(server.log().received, 2);
}

/// A connection that goes from one caller to the next was never idle.
pub fn a_connection_is_handed_over_though_none_may_be_idle<C: ApiClient>() {
    let server = stepped();
    let client = client::<C>(Config::new().max_per_origin(1).max_idle_per_origin(0));
    let busy = spawn(&client, server.url("/a"));
    server.wait_requests(1);
    let waiting = spawn(&client, server.url("/b"));
    wait_waiting(&client, 1);
    server.open("/a");
    server.open("/b");
    busy.join().expect("no panic").expect("a whole response");
    let got = waiting.join().expect("no panic").expect("a whole response");
    assert_eq!((got.exchange.connection, got.exchange.reused), (1, true));
    let stats = client.stats();
    assert_eq!((stats.open, stats.closed(CloseReason::IdleLimit)), (0, 1));
}

/// Settings with which an attempt ends by the pool's decision only, and a call that gets no
/// connection before the limit of its case.
pub(super) fn patient() -> Config {
    Config::new()
        .connect_timeout(Duration::from_secs(3600))
        .total_timeout(Duration::from_secs(20))
}

/// A resolver whose first answer is an address that stays silent, 127.0.0.2. Later ones are
/// 127.0.0.1.
struct SilentAtFirst(AtomicUsize);

impl Resolver for SilentAtFirst {
    fn resolve(&self, _: Name) -> Resolving {
        let last = if self.0.fetch_add(1, Ordering::Relaxed) == 0 { 2 } else { 1 };
        Box::pin(async move { Ok(vec![[127, 0, 0, last].into()]) })
    }
}

/// A server, the silent address that a client tries first, and a client of one connection.
fn silent_at_first<C: ApiClient>() -> Option<(Server, Blackhole, C)> {
    if !blackhole_works() {
        eprintln!("skipped: a full backlog is not silent on this machine");
        return None;
    }
    let server = Server::start(|conn| {
        while conn.next_request()?.is_some() {
            conn.send(reply::ok("x"))?;
        }
        Ok(())
    });
    let hole = Blackhole::at(([127, 0, 0, 2], server.port()).into()).expect("a port");
    let config = patient().max_per_origin(1).resolver(SilentAtFirst(AtomicUsize::new(0)));
    Some((server, hole, client(config)))
}

/// An attempt whose caller has left is given up for another origin's caller when all slots are
/// taken (golang/go#76784): silent hosts whose callers lost patience must not hide a healthy host.
pub fn attempts_without_callers_make_way_for_another_origin<C: ApiClient>() {
    if !blackhole_works() {
        return eprintln!("skipped: a full backlog is not silent on this machine");
    }
    let server = Server::start(|conn| {
        while conn.next_request()?.is_some() {
            conn.send(reply::ok("x"))?;
        }
        Ok(())
    });
    let client = client::<C>(patient().max_total(4));
    let holes = [(); 4].map(|()| Blackhole::on([127, 0, 0, 1].into()).expect("a black hole"));
    let mut calls = holes.each_ref().map(|hole| Box::pin(client.request(get(&hole.url("/")))));
    calls.iter_mut().for_each(begin);
    eventually("four attempts", || client.stats().connecting == 4);
    drop(calls);
    wait_waiting(&client, 0);
    // They go on while no caller needs their slots.
    assert_eq!(client.stats().connecting, 4);
    expect(&client, get(&server.url("/")));
    eventually("an attempt less", || client.stats().connecting == 3);
    assert_eq!((client.stats().created, client.stats().closed_in_all()), (1, 0));
}

/// The same for the next caller of the same origin (golang/go#59017, envoyproxy/envoy#4684).
pub fn an_attempt_without_a_caller_makes_way_for_the_next_caller<C: ApiClient>() {
    let Some((server, _hole, client)) = silent_at_first::<C>() else { return };
    let url = server.url_as("gated.invalid", "/");
    let mut call = Box::pin(client.request(get(&url)));
    begin(&mut call);
    eventually("an attempt", || client.stats().connecting == 1);
    drop(call);
    wait_waiting(&client, 0);
    expect(&client, get(&url));
    assert_eq!((client.stats().created, client.stats().connecting), (1, 0));
}

/// The same for callers who waited for the attempt's slot while its own caller left.
pub fn an_attempt_without_a_caller_makes_way_for_waiters<C: ApiClient>() {
    let Some((server, _hole, client)) = silent_at_first::<C>() else { return };
    let url = server.url_as("gated.invalid", "/");
    let mut first = Box::pin(client.request(get(&url)));
    begin(&mut first);
    eventually("an attempt", || client.stats().connecting == 1);
    let waiters: Vec<_> = (0..3).map(|_| spawn(&client, url.clone())).collect();
    wait_waiting(&client, 4);
    drop(first);
    for waiter in waiters {
        assert_eq!(waiter.join().expect("no panic").expect("a response").status, 200);
    }
    assert_eq!(client.stats().created, 1);
}
