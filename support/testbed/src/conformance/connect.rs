//! From a name to a connection: resolver, addresses, race (RFC 8305).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use client_core::{
    ApiClient, Config, Error, ErrorKind, Name, Resolver, Resolving, TimeoutPhase,
};

use super::{begin, client, expect, expect_error, get, pool::patient};
use crate::{
    Gate, Server,
    dead_ends::{Blackhole, Refusing, blackhole_works},
    reply::ok,
    run::{block_on, eventually},
    server::{Options, has_ipv6},
};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OTHER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A limit that runs out on purpose, but not before a call to a server that answers at once.
const LIMIT: Duration = Duration::from_secs(1);

/// A resolver that knows one answer, and counts how often it is asked.
#[derive(Clone)]
struct Fixed(Result<Vec<IpAddr>, io::ErrorKind>, Arc<AtomicUsize>);

impl Fixed {
    fn new(addresses: impl Into<Vec<IpAddr>>) -> Self {
        Fixed(Ok(addresses.into()), Arc::default())
    }

    fn asked(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl Resolver for Fixed {
    fn resolve(&self, _: Name) -> Resolving {
        self.1.fetch_add(1, Ordering::Relaxed);
        let answer = self.0.clone();
        Box::pin(async move { answer.map_err(io::Error::from) })
    }
}

fn script(conn: &mut crate::Connection) -> io::Result<()> {
    while conn.next_request()?.is_some() {
        conn.send(ok("x"))?;
    }
    Ok(())
}

/// The system's resolver knows `localhost`.
pub fn localhost_is_found_by_the_systems_resolver<C: ApiClient>() {
    let server = Server::start(script);
    expect(&client::<C>(Config::new()), get(&server.url_as("localhost", "/")));
}

/// An address is no name.
pub fn an_address_asks_no_resolver<C: ApiClient>() {
    let server = Server::start(script);
    let resolver = Fixed(Err(io::ErrorKind::NotFound), Arc::default());
    expect(&client::<C>(Config::new().resolver(resolver.clone())), get(&server.url("/")));
    assert_eq!(resolver.asked(), 0);
}

/// RFC 3986 section 3.2.2: an IPv6 address in brackets.
pub fn an_ipv6_address_in_brackets_is_connected_to<C: ApiClient>() {
    if !has_ipv6() {
        return eprintln!("skipped: this machine has no IPv6 loopback");
    }
    let server = Options::new().ipv6().start(script).expect("a server");
    expect(&client::<C>(Config::new()), get(&server.url("/")));
    let host = format!("[::1]:{}", server.port());
    assert_eq!(server.log().requests[0].header("host"), Some(&host[..]));
}

/// The resolver is replaceable.
pub fn a_resolver_of_the_users_is_asked<C: ApiClient>() {
    let server = Server::start(script);
    let resolver = Fixed::new([V4]);
    let client = client::<C>(Config::new().resolver(resolver.clone()));
    expect(&client, get(&server.url_as("nowhere.invalid", "/")));
    expect(&client, get(&server.url_as("nowhere.invalid", "/")));
    assert_eq!(resolver.asked(), 1, "a connection that is reused needs no name");
}

/// A name without an address is a typed error that repeats it.
pub fn a_name_that_is_not_found_says_so<C: ApiClient>() {
    let resolver = Fixed(Err(io::ErrorKind::NotFound), Arc::default());
    let error = expect_error(
        &client::<C>(Config::new().resolver(resolver)),
        get("http://nowhere.invalid/"),
    );
    assert_eq!(error.kind(), ErrorKind::Resolve, "{error}");
    assert!(error.to_string().contains("nowhere.invalid"), "{error}");
}

/// A resolver that answers with nothing has found nothing.
pub fn an_answer_without_addresses_is_an_error<C: ApiClient>() {
    let client = client::<C>(Config::new().resolver(Fixed::new([])));
    assert_eq!(
        expect_error(&client, get("http://nowhere.invalid/")).kind(),
        ErrorKind::Resolve
    );
}

/// Foreign code may panic, when it is asked and when it is polled: one request fails, and the
/// client goes on.
pub fn a_resolver_that_panics_fails_one_request<C: ApiClient>() {
    struct Panics {
        at_once: bool,
    }
    impl Resolver for Panics {
        fn resolve(&self, name: Name) -> Resolving {
            assert!(!self.at_once, "a resolver's own bug");
            Box::pin(async move { panic!("a resolver's own bug, for {name}") })
        }
    }
    let server = Server::start(script);
    for at_once in [false, true] {
        let client = client::<C>(Config::new().resolver(Panics { at_once }));
        let error = expect_error(&client, get("http://a.invalid/"));
        assert_eq!(error.kind(), ErrorKind::Resolve, "{error}");
        expect(&client, get(&server.url("/")));
    }
}

/// A resolver that is silent about most names until its gate opens, and then answers with
/// `self.late`. One name is 127.0.0.1 at once.
#[derive(Clone)]
struct Slow {
    gate: Gate,
    late: Result<IpAddr, i32>,
    asked: Arc<AtomicUsize>,
    /// Lookups whose future was dropped.
    over: Arc<AtomicUsize>,
}

/// The name that [`Slow`] knows.
const FOUND: &str = "nowhere.invalid";

impl Slow {
    fn new(late: Result<IpAddr, i32>) -> Self {
        Slow { gate: Gate::new(), late, asked: Arc::default(), over: Arc::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn over(&self) -> usize {
        self.over.load(Ordering::Relaxed)
    }
}

impl Resolver for Slow {
    fn resolve(&self, name: Name) -> Resolving {
        struct Over(Arc<AtomicUsize>);
        impl Drop for Over {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (gate, late, over) = (self.gate.clone(), self.late, Over(self.over.clone()));
        Box::pin(async move {
            let _over = over;
            if name.as_str() == FOUND {
                return Ok(vec![V4]);
            }
            gate.await;
            late.map(|address| vec![address]).map_err(io::Error::from_raw_os_error)
        })
    }
}

/// Calls of one name whose lookup is silent, each with a connection that is being made for it.
fn calls_of_a_silent_name<C: ApiClient>(
    client: &C,
    server: &Server,
    count: usize,
) -> Vec<Pin<Box<C::Future>>> {
    let url = server.url_as("gated.invalid", "/");
    let mut calls: Vec<_> = (0..count).map(|_| Box::pin(client.request(get(&url)))).collect();
    calls.iter_mut().for_each(begin);
    eventually("connections in the making", || client.stats().connecting == count);
    // What drives the client has come to each of them before it came to this.
    expect(client, get(&server.url("/")));
    calls
}

/// One dead name must not stop other names (nodejs/node#8436, dotnet/runtime#48566): with more
/// callers of silent names than any client has threads for lookups, another name is found.
pub fn silent_names_do_not_stop_another_name<C: ApiClient>() {
    let server = Server::start(script);
    let resolver = Slow::new(Ok(V4));
    for silent in [8, 70] {
        let client = client::<C>(Config::new().resolver(resolver.clone()));
        let mut calls: Vec<_> = (0..silent)
            .map(|n| server.url_as(&format!("silent-{n}.invalid"), "/"))
            .map(|url| Box::pin(client.request(get(&url))))
            .collect();
        calls.iter_mut().for_each(begin);
        eventually("lookups", || client.stats().connecting == silent);
        expect(&client, get(&server.url_as(FOUND, "/")));
        drop(calls);
    }
}

/// The same sources: a name is looked up once at a time, whoever asks.
pub fn two_calls_of_one_name_make_one_lookup<C: ApiClient>() {
    let server = Server::start(script);
    let resolver = Slow::new(Ok(V4));
    let client = client::<C>(Config::new().resolver(resolver.clone()));
    let calls = calls_of_a_silent_name(&client, &server, 2);
    resolver.gate.open();
    for response in block_on(futures::future::join_all(calls)) {
        response.expect("a response");
    }
    assert_eq!(resolver.asked(), 1);
}

/// Each caller of a lookup learns how it failed, with the system's code.
pub fn an_error_of_a_lookup_reaches_each_caller<C: ApiClient>() {
    const NOT_PERMITTED: i32 = 13;
    let server = Server::start(script);
    let resolver = Slow::new(Err(NOT_PERMITTED));
    let client = client::<C>(Config::new().resolver(resolver.clone()));
    let calls = calls_of_a_silent_name(&client, &server, 3);
    resolver.gate.open();
    for response in block_on(futures::future::join_all(calls)) {
        let Err(Error::Resolve { source, .. }) = response else {
            panic!("expected no address, got {response:?}");
        };
        let cause = source.downcast_ref::<io::Error>();
        assert_eq!(cause.and_then(io::Error::raw_os_error), Some(NOT_PERMITTED), "{cause:?}");
    }
    assert_eq!(resolver.asked(), 1);
}

/// A lookup that everybody has given up is dropped, and not before.
pub fn a_lookup_that_nobody_waits_for_is_dropped<C: ApiClient>() {
    let server = Server::start(script);
    let resolver = Slow::new(Ok(V4));
    let config = Config::new().resolver(resolver.clone()).connect_timeout(LIMIT);
    let client = client::<C>(config);
    let calls = calls_of_a_silent_name(&client, &server, 2);
    assert_eq!((resolver.asked(), resolver.over()), (1, 0));
    for response in block_on(futures::future::join_all(calls)) {
        let error = response.expect_err("a silent name");
        assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Connect), "{error}");
    }
    eventually("the end of the lookup", || resolver.over() == 1);
    let calls = calls_of_a_silent_name(&client, &server, 1);
    assert_eq!(resolver.asked(), 2);
    drop(calls);
}

/// A resolver that never answers whoever asks first, and everybody else at once.
#[derive(Clone, Default)]
struct SilentAtFirst(Arc<AtomicUsize>);

impl Resolver for SilentAtFirst {
    fn resolve(&self, _: Name) -> Resolving {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => Box::pin(std::future::pending()),
            _ => Box::pin(async { Ok(vec![V4]) }),
        }
    }
}

/// An attempt whose caller has left is given up for the next caller also while it resolves
/// (golang/go#76784), for another origin and for its own.
pub fn a_lookup_without_a_caller_makes_way<C: ApiClient>() {
    let server = Server::start(script);
    for next in [FOUND, "gated.invalid"] {
        let resolver = SilentAtFirst::default();
        let client = client::<C>(patient().max_total(1).resolver(resolver.clone()));
        let mut call = Box::pin(client.request(get(&server.url_as("gated.invalid", "/"))));
        begin(&mut call);
        eventually("a lookup", || resolver.0.load(Ordering::Relaxed) == 1);
        drop(call);
        eventually("no waiter", || client.stats().waiting == 0);
        assert_eq!(client.stats().connecting, 1, "it goes on while its slot is not needed");
        expect(&client, get(&server.url_as(next, "/")));
        assert_eq!((client.stats().created, client.stats().connecting), (1, 0));
    }
}

/// The system's answer for a name that cannot exist (RFC 6761 section 6.4).
pub fn an_invalid_name_is_not_found_by_the_systems_resolver<C: ApiClient>() {
    let error = expect_error(&client::<C>(Config::new()), get("http://nowhere.invalid/"));
    assert_eq!(error.kind(), ErrorKind::Resolve, "{error}");
}

/// Nobody listens: the error names the address.
pub fn a_refused_connection_names_its_address<C: ApiClient>() {
    let refusing = Refusing::new();
    let error = expect_error(&client::<C>(Config::new()), get(&refusing.url("/")));
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    assert!(error.to_string().contains(&refusing.addr().to_string()), "{error}");
}

/// RFC 8305 section 5: a failure starts the next attempt at once.
pub fn a_refusing_address_gives_way_to_the_next<C: ApiClient>() {
    let server = Server::start(script);
    let client = client::<C>(Config::new().resolver(Fixed::new([OTHER_V4, V4])));
    expect(&client, get(&server.url_as("two.invalid", "/")));
    assert_eq!((client.stats().created, server.log().accepted), (1, 1));
}

/// RFC 8305 section 5: a silent address delays the next one by 250 ms, and no longer.
pub fn a_silent_address_gives_way_to_the_next<C: ApiClient>() {
    if !blackhole_works() {
        return eprintln!("skipped: a full backlog is not silent on this machine");
    }
    let server = Server::start(script);
    let port = server.port();
    let _hole = Blackhole::at((OTHER_V4, port).into()).expect("a port of 127.0.0.2");
    let client = client::<C>(Config::new().resolver(Fixed::new([OTHER_V4, V4])));
    expect(&client, get(&server.url_as("two.invalid", "/")));
    assert_eq!(client.stats().created, 1, "the loser is no connection");
    // It resolves when the last socket is closed, and the loser's is one.
    block_on(client.close());
}

/// The same where the silent one is of IPv6, which is what a broken tunnel gives: the families take
/// turns, so IPv4 comes next.
pub fn a_silent_family_gives_way_to_the_other<C: ApiClient>() {
    if !has_ipv6() || !blackhole_works() {
        return eprintln!("skipped: there is no silence over IPv6 on this machine");
    }
    // Somebody else may have the port of the other family.
    let (server, _hole) = std::iter::repeat_with(|| Server::start(script))
        .find_map(|server| {
            let hole = Blackhole::at((V6, server.port()).into()).ok()?;
            Some((server, hole))
        })
        .expect("a port of both families");
    let client = client::<C>(Config::new().resolver(Fixed::new([V6, V4])));
    expect(&client, get(&server.url_as("both.invalid", "/")));
    assert_eq!((client.stats().created, server.log().accepted), (1, 1));
    block_on(client.close());
}

/// RFC 8305 section 4: the families take turns, so a dead family is no obstacle.
pub fn a_dead_family_gives_way_to_the_other<C: ApiClient>() {
    let server = Server::start(script);
    let client = client::<C>(Config::new().resolver(Fixed::new([V6, V4])));
    expect(&client, get(&server.url_as("both.invalid", "/")));
}

/// One error that names each address.
pub fn when_all_addresses_fail_each_is_named<C: ApiClient>() {
    let refusing = Refusing::new();
    let client = client::<C>(Config::new().resolver(Fixed::new([V4, OTHER_V4])));
    let url = format!("http://two.invalid:{}/", refusing.addr().port());
    match expect_error(&client, get(&url)) {
        Error::Connect { attempts, .. } => {
            let tried: Vec<_> = attempts.iter().map(|attempt| attempt.address.ip()).collect();
            assert_eq!(tried, [V4, OTHER_V4]);
        }
        other => panic!("expected a connect error, got {other}"),
    }
}
