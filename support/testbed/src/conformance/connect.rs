//! From a name to a connection: resolver, addresses, race (RFC 8305).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use client_core::{ApiClient, Config, Error, ErrorKind, Name, Resolve, Resolving};

use super::{client, expect, expect_error, get};
use crate::{
    Server,
    dead_ends::{Blackhole, Refusing, blackhole_works},
    reply::ok,
    run::block_on,
    server::{Options, has_ipv6},
};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OTHER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

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

impl Resolve for Fixed {
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
    impl Resolve for Panics {
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
