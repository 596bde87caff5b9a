//! Attempts to connect whose callers have given up. They go on while no waiter needs their slot
//! (`cancel`, `handshake`), and must not keep a waiter from its connection (golang/go#76784,
//! golang/go#59017, envoyproxy/envoy#4684).

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use client_core::{ApiClient, Config, Name, Resolve, Resolving};

use super::{Gated, begin, client, expect, get};
use crate::{
    Connection, Gate, Server,
    dead_ends::{Blackhole, Silent, blackhole_works},
    reply,
    run::eventually,
    server::{Options, ServerTls},
};

/// Attempts end by the pool's decision only, and a call that gets no connection ends before the
/// test's own limit.
fn config() -> Config {
    Config::new()
        .connect_timeout(Duration::from_secs(3600))
        .total_timeout(Duration::from_secs(20))
}

fn answer(conn: &mut Connection) -> io::Result<()> {
    while conn.next_request()?.is_some() {
        conn.send(reply::ok("x"))?;
    }
    Ok(())
}

/// Begins these calls, and gives them up while their connections are being made.
fn give_up<C: ApiClient>(client: &C, urls: &[String]) {
    let mut calls: Vec<_> = urls.iter().map(|url| Box::pin(client.request(get(url)))).collect();
    calls.iter_mut().for_each(begin);
    eventually("attempts", || client.stats().connecting == urls.len());
    drop(calls);
    eventually("no waiter", || client.stats().waiting == 0);
    assert_eq!(client.stats().connecting, urls.len(), "nobody needs their slots yet");
}

/// Two attempts take all slots. Another origin gets the slot of one of them, and only of one.
#[track_caller]
fn another_origin_is_served<C: ApiClient>(dead: &[String; 2]) {
    let [server, other] = [(); 2].map(|()| Server::start(answer));
    let client = client::<C>(config().max_total(2).resolver(Gated(Gate::new())));
    give_up(&client, dead);
    expect(&client, get(&server.url("/")));
    let stats = client.stats();
    assert_eq!((stats.connecting, stats.created, stats.idle), (1, 1, 1), "{stats:?}");
    // The second attempt goes before the idle connection does.
    expect(&client, get(&other.url("/")));
    let stats = client.stats();
    assert_eq!((stats.connecting, stats.created, stats.idle), (0, 2, 2), "{stats:?}");
}

/// While their names are being resolved.
pub fn lookups_without_callers_make_way_for_another_origin<C: ApiClient>() {
    another_origin_is_served::<C>(&["http://a.invalid/".into(), "http://b.invalid/".into()]);
}

/// While TCP connects, to addresses that are silent.
pub fn connects_without_callers_make_way_for_another_origin<C: ApiClient>() {
    if !blackhole_works() {
        return eprintln!("skipped: a full backlog is not silent on this machine");
    }
    let hole = || Blackhole::on([127, 0, 0, 1].into()).expect("a black hole");
    let holes = [hole(), hole()];
    another_origin_is_served::<C>(&[holes[0].url("/"), holes[1].url("/")]);
}

/// While they shake hands, with servers that are silent.
pub fn handshakes_without_callers_make_way_for_another_origin<C: ApiClient>() {
    let silent = [Silent::new(), Silent::new()];
    another_origin_is_served::<C>(
        &silent.each_ref().map(|at| format!("https://{}/", at.addr())),
    );
}

/// A name server that is silent at first, and answers the next time that it is asked.
struct SilentOnce(AtomicBool);

impl Resolve for SilentOnce {
    fn resolve(&self, _: Name) -> Resolving {
        let asked_before = self.0.swap(true, Ordering::Relaxed);
        Box::pin(async move {
            if !asked_before {
                std::future::pending::<()>().await;
            }
            Ok(vec![[127, 0, 0, 1].into()])
        })
    }
}

/// A caller of the same origin gets a slot too, and with it an attempt of its own: the one before may
/// be what the other caller gave up on.
pub fn a_lookup_without_a_caller_makes_way_in_its_own_origin<C: ApiClient>() {
    let server = Server::start(answer);
    let resolver = SilentOnce(AtomicBool::new(false));
    let client = client::<C>(config().max_per_origin(1).resolver(resolver));
    let url = server.url_as("gated.invalid", "/");
    give_up(&client, std::slice::from_ref(&url));
    expect(&client, get(&url));
    assert_eq!((client.stats().created, client.stats().connecting), (1, 0));
}

/// The same for handshakes, of which eight stand still and all later ones would work.
pub fn handshakes_without_callers_make_way_in_their_own_origin<C: ApiClient>() {
    const STILL: usize = 8;
    let begun = Arc::new(AtomicUsize::new(0));
    let count = begun.clone();
    let server = Options::new().tls(ServerTls::new()).start(move |conn| {
        if count.fetch_add(1, Ordering::Relaxed) < STILL {
            conn.first_flight()?;
            conn.wait_closed()?;
            conn.open("the end of an attempt");
            return Ok(());
        }
        answer(conn)
    });
    let server = server.expect("a server");
    let client = client::<C>(config().max_per_origin(STILL));
    give_up(&client, &vec![server.url("/"); STILL]);
    eventually("handshakes", || begun.load(Ordering::Relaxed) == STILL);
    for _ in 0..STILL {
        expect(&client, get(&server.url("/")));
    }
    assert_eq!((client.stats().created, client.stats().connecting), (1, STILL - 1));
    server.wait_open("the end of an attempt");
}
