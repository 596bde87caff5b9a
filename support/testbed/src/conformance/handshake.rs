//! From a TCP connection to one with TLS: what a handshake brings, and each way in which it fails.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use client_core::{ApiClient, CloseReason, Config, ErrorKind, TimeoutPhase};
use http_body_util::BodyExt;

use super::{
    Gated, begin, client, client_of_one, expect, expect_error, fetch, get, pool::patient,
};
use crate::{
    Connection, Gate, Server,
    certs::{self, Leaf},
    reply,
    run::{block_on, eventually},
    server::{Options, ServerTls, TlsLog, Version},
};

/// Short, since it is to run out.
const SHORT: Duration = Duration::from_millis(100);

fn serving(
    tls: ServerTls,
    script: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
) -> Server {
    Options::new().tls(tls).start(script).expect("a server")
}

fn answer(conn: &mut Connection) -> io::Result<()> {
    while conn.next_request()?.is_some() {
        conn.send(reply::ok("x"))?;
    }
    Ok(())
}

/// Answers, and asks for another connection next time.
fn answer_once(conn: &mut Connection) -> io::Result<()> {
    conn.request()?;
    conn.send(reply::respond(200, &[("connection", "close")], "x"))?;
    conn.wait_closed()
}

#[track_caller]
fn tls(server: &Server, connection: usize) -> TlsLog {
    server.log().tls(connection).cloned().expect("a handshake that is over")
}

/// A call that fails in its handshake.
#[track_caller]
fn fails<C: ApiClient>(url: &str) -> String {
    let client = client::<C>(Config::new());
    let error = expect_error(&client, get(url));
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    let stats = client.stats();
    assert_eq!((stats.open, stats.connecting, stats.waiting, stats.created), (0, 0, 0, 0));
    error.to_string()
}

// ===== what it brings =====

/// RFC 5246 and RFC 8446.
pub fn tls_has_two_versions<C: ApiClient>() {
    for version in Version::ALL {
        let server = serving(ServerTls::new().version(version), answer);
        let client = client::<C>(Config::new());
        for reused in [false, true] {
            assert_eq!(expect(&client, get(&server.url("/"))).exchange.reused, reused);
        }
        assert_eq!(tls(&server, 0).version, version);
    }
}

/// RFC 8446 section 2.2, RFC 5246 section 7.3: the second connection costs no full handshake.
pub fn a_session_is_resumed<C: ApiClient>() {
    for version in Version::ALL {
        let server = serving(ServerTls::new().version(version), answer_once);
        let client = client::<C>(Config::new());
        for _ in 0..3 {
            expect(&client, get(&server.url("/")));
        }
        let resumed = [0, 1, 2].map(|connection| tls(&server, connection).resumed);
        assert_eq!(resumed, [false, true, true], "{version:?}");
    }
}

/// It is resumed beside the connection that it comes from, too.
pub fn a_session_is_resumed_while_its_first_connection_is_busy<C: ApiClient>() {
    let server = serving(ServerTls::new(), |conn| {
        while let Some(request) = conn.next_request()? {
            if request.target() == "/hold" {
                conn.wait("answer")?;
            }
            conn.send(reply::ok("x"))?;
        }
        Ok(())
    });
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    let mut held = Box::pin(client.request(get(&server.url("/hold"))));
    begin(&mut held);
    server.wait_requests(2);
    assert_eq!(expect(&client, get(&server.url("/"))).exchange.connection, 2);
    server.open("answer");
    block_on(held).expect("a response");
    assert!(tls(&server, 1).resumed);
}

/// A server that resumes nothing is served by full handshakes.
pub fn a_session_need_not_be_resumed<C: ApiClient>() {
    for version in Version::ALL {
        let tls_of = ServerTls::new().version(version).without_resumption();
        let server = serving(tls_of, answer_once);
        let client = client::<C>(Config::new());
        for _ in 0..2 {
            expect(&client, get(&server.url("/")));
        }
        assert!(!tls(&server, 1).resumed, "{version:?}");
    }
}

/// Clients share no sessions, which would tell one's server of the other.
pub fn a_session_is_not_resumed_by_another_client<C: ApiClient>() {
    let server = serving(ServerTls::new(), answer_once);
    for _ in 0..2 {
        expect(&client::<C>(Config::new()), get(&server.url("/")));
    }
    assert!(!tls(&server, 1).resumed);
}

/// RFC 6066 section 3: a name is sent, an address is none.
pub fn the_name_of_the_server_is_sent<C: ApiClient>() {
    let server = serving(ServerTls::new(), answer);
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url_as("localhost", "/")));
    expect(&client, get(&server.url("/")));
    assert_eq!(tls(&server, 0).server_name.as_deref(), Some("localhost"));
    assert_eq!(tls(&server, 1).server_name, None);
}

/// RFC 7301: what is spoken here is HTTP/1.1.
pub fn the_protocol_is_agreed_on<C: ApiClient>() {
    let choice = ServerTls::new().alpn(&["h2", "http/1.1"]);
    let server = serving(choice, answer);
    expect(&client::<C>(Config::new()), get(&server.url("/")));
    assert_eq!(tls(&server, 0).alpn.as_deref(), Some("http/1.1"));
}

/// A server that does not know of protocols is taken at its word.
pub fn a_server_need_not_agree_on_a_protocol<C: ApiClient>() {
    let server = serving(ServerTls::new().alpn(&[]), answer);
    expect(&client::<C>(Config::new()), get(&server.url("/")));
    assert_eq!(tls(&server, 0).alpn, None);
}

/// RFC 7301 section 3.2: a server that speaks only another protocol says so.
pub fn a_server_of_another_protocol_is_refused<C: ApiClient>() {
    for version in Version::ALL {
        let server = serving(ServerTls::new().version(version).alpn(&["h2"]), answer);
        let message = fails::<C>(&server.url("/"));
        assert!(message.contains("NoApplicationProtocol"), "{message}");
    }
}

/// A server that chooses what nobody offered is broken. Its first flight is clear text in TLS 1.2.
pub fn a_protocol_that_nobody_offered_is_refused<C: ApiClient>() {
    let server = serving(ServerTls::new().version(Version::Tls12), |conn| {
        let mut flight = conn.first_flight()?;
        let offered = b"http/1.1";
        let place = flight.windows(8).position(|window| window == offered);
        let place = place.expect("the protocol in the server's hello");
        flight[place..place + 8].copy_from_slice(b"http/9.9");
        conn.send_raw(flight)?;
        conn.wait_closed()
    });
    fails::<C>(&server.url("/"));
}

/// RFC 8446 section 4.1.4: a server may have the client say hello again.
pub fn a_client_says_hello_again_if_asked<C: ApiClient>() {
    let tls = ServerTls::new().version(Version::Tls13).hello_retry();
    let server = serving(tls, |conn| {
        conn.chop();
        answer(conn)
    });
    expect(&client::<C>(Config::new()), get(&server.url("/")));
}

/// A message of the handshake may take more than one record (RFC 8446 section 5.1), and more than
/// one read: a certificate of 25 KB.
pub fn a_long_certificate_comes_in_several_records<C: ApiClient>() {
    let names = (0..700).map(|n| format!("a-name-that-is-long-{n}.invalid"));
    let leaf = Leaf::server(names.chain(["localhost".to_owned()]));
    let certificate = certs::authority().issue(&leaf);
    assert!(certificate.identity.chain[0].len() > 20_000);
    for version in Version::ALL {
        let tls = ServerTls::new().version(version).certificate(certificate.clone());
        let server = serving(tls, answer);
        expect(&client::<C>(Config::new()), get(&server.url_as("localhost", "/")));
    }
}

// ===== however its bytes come =====

/// Each byte of the server's flights is a piece of its own: a full handshake, then one that
/// resumes.
pub fn a_handshake_may_come_byte_by_byte<C: ApiClient>() {
    for version in Version::ALL {
        let server = serving(ServerTls::new().version(version), |conn| {
            conn.chop();
            conn.handshake()?;
            answer_once(conn)
        });
        let client = client::<C>(Config::new());
        for _ in 0..2 {
            expect(&client, get(&server.url("/")));
        }
        assert!(tls(&server, 1).resumed, "{version:?}");
    }
}

/// An end at any byte of the server's flights is a failure of the handshake: never a hang, never
/// something else.
pub fn a_handshake_that_is_cut_anywhere_is_an_error<C: ApiClient>() {
    for version in Version::ALL {
        // The connection's index is the number of bytes that are sent.
        let server = serving(ServerTls::new().version(version), |conn| {
            if !conn.handshake_until(conn.index())? {
                conn.half_close()?;
                return conn.wait_closed();
            }
            answer(conn)
        });
        let client = client::<C>(Config::new().max_per_origin(1));
        let mut cuts = 0;
        while let Err(error) = super::call(&client, get(&server.url("/"))) {
            assert_eq!(error.kind(), ErrorKind::Tls, "{version:?} after {cuts} bytes: {error}");
            cuts += 1;
        }
        assert!(cuts > 400, "{version:?}: only {cuts} bytes in all flights");
        assert_eq!(client.stats().created, 1);
    }
}

// ===== each way in which it fails =====

/// A server that closes at once, and one that does when it has heard the client.
pub fn an_end_instead_of_a_handshake_is_an_error<C: ApiClient>() {
    for hello in [false, true] {
        let server = Options::new().start(move |conn| {
            if hello {
                conn.read_some()?;
            }
            conn.half_close()?;
            conn.wait_closed()
        });
        let server = server.expect("a server");
        fails::<C>(&server.url_as("localhost", "/").replace("http:", "https:"));
    }
}

/// A reset likewise.
pub fn a_reset_instead_of_a_handshake_is_an_error<C: ApiClient>() {
    let server = serving(ServerTls::new(), |conn| {
        conn.first_flight()?;
        conn.reset()
    });
    fails::<C>(&server.url("/"));
}

/// A server that speaks HTTP where TLS was expected: what a wrong port or proxy gives (curl's
/// "wrong version number").
pub fn a_server_without_tls_is_an_error<C: ApiClient>() {
    let server = Options::new().start(|conn| {
        conn.read_some()?;
        conn.send(reply::respond(400, &[("connection", "close")], "plain HTTP"))?;
        conn.half_close()?;
        conn.wait_closed()
    });
    let url = server.as_ref().expect("a server").url("/").replace("http:", "https:");
    let message = fails::<C>(&url);
    assert!(message.contains("does not speak TLS"), "{message}");
}

/// A server that speaks first, as of mail.
pub fn a_server_that_greets_is_an_error<C: ApiClient>() {
    let server = Options::new().start(|conn| {
        conn.send("220 mail.invalid ESMTP\r\n")?;
        conn.wait_closed()
    });
    let url = server.as_ref().expect("a server").url("/").replace("http:", "https:");
    fails::<C>(&url);
}

/// An alert says why (RFC 8446 section 6.2): here that of a server that is too old.
pub fn an_alert_in_the_handshake_is_passed_on<C: ApiClient>() {
    let server = serving(ServerTls::new(), |conn| {
        conn.first_flight()?;
        conn.without_tls();
        conn.send([21, 3, 1, 0, 2, 2, 70])?;
        conn.half_close()?;
        conn.wait_closed()
    });
    let message = fails::<C>(&server.url("/"));
    assert!(message.contains("ProtocolVersion"), "{message}");
}

/// A flight that was tampered with: the certificate's last byte is another.
pub fn a_flight_that_was_changed_is_refused<C: ApiClient>() {
    for version in Version::ALL {
        let server = serving(ServerTls::new().version(version), |conn| {
            let mut flight = conn.first_flight()?;
            let middle = flight.len() / 2;
            flight[middle] ^= 1;
            conn.send_raw(flight)?;
            conn.wait_closed()
        });
        fails::<C>(&server.url("/"));
    }
}

// ===== time =====

/// `Config::connect_timeout` covers the handshake, from its first byte to its last.
pub fn a_handshake_that_stands_still_is_a_connect_timeout<C: ApiClient>() {
    for length in [0, 1, 200] {
        let server = serving(ServerTls::new(), move |conn| {
            conn.handshake_until(length)?;
            conn.wait_closed()
        });
        let client = client::<C>(Config::new().connect_timeout(SHORT));
        let error = expect_error(&client, get(&server.url("/")));
        assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Connect), "{length}: {error}");
        let stats = client.stats();
        assert_eq!((stats.open, stats.connecting, stats.waiting), (0, 0, 0));
        server.wait_closed(1);
    }
}

/// It is one limit for name, TCP and TLS: neither the resolver nor the handshake takes more than
/// the most of it here, and both together do.
pub fn a_connect_timeout_covers_the_whole_chain<C: ApiClient>() {
    const LIMIT: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_millis(600);
    let server = serving(ServerTls::new(), |conn| {
        conn.wait("go on")?;
        answer(conn)
    });
    let name = Gate::new();
    let config = Config::new().connect_timeout(LIMIT).resolver(Gated(name.clone()));
    let client = client::<C>(config);
    let mut call = Box::pin(client.request(get(&server.url_as("localhost", "/"))));
    begin(&mut call);
    let silent = crate::dead_ends::Silent::new();
    let other = super::client::<C>(Config::new().head_timeout(MOST));
    // A limit of another client's that runs out is how long it takes.
    expect_error(&other, get(&silent.url("/")));
    name.open();
    expect_error(&other, get(&silent.url("/")));
    server.open("go on");
    let error = block_on(call).expect_err("too late");
    assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Connect), "{error}");
    let stats = client.stats();
    assert_eq!((stats.open, stats.connecting, stats.waiting), (0, 0, 0));
}

/// `Config::total_timeout` covers it too. The connection is made all the same (decision 16).
pub fn a_call_that_is_not_whole_in_time_leaves_its_handshake<C: ApiClient>() {
    let server = serving(ServerTls::new(), |conn| {
        conn.wait("go on")?;
        answer(conn)
    });
    let client = client::<C>(Config::new().total_timeout(Duration::from_secs(1)));
    let error = expect_error(&client, get(&server.url("/")));
    assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Total), "{error}");
    server.open("go on");
    eventually("an idle connection", || client.stats().idle == 1);
    assert_eq!(expect(&client, get(&server.url("/"))).exchange.connection, 1);
}

/// A limit that ran while the handshake was under way does not reach the connection.
pub fn a_connect_timeout_does_not_outlive_the_handshake<C: ApiClient>() {
    let server = serving(ServerTls::new(), |conn| {
        conn.request()?;
        conn.wait("answer")?;
        conn.send(reply::ok("x"))?;
        conn.wait_closed()
    });
    let limit = Duration::from_secs(2);
    let client = client_with::<C>(limit);
    let mut call = Box::pin(client.request(get(&server.url("/"))));
    begin(&mut call);
    server.wait_requests(1);
    // Another call whose limit is longer runs into it meanwhile.
    let silent = crate::dead_ends::Silent::new();
    let other = super::client::<C>(Config::new().head_timeout(limit + SHORT));
    expect_error(&other, get(&silent.url("/")));
    server.open("answer");
    assert_eq!(block_on(call).expect("a response").status(), 200);
}

fn client_with<C: ApiClient>(connect_timeout: Duration) -> C {
    client::<C>(Config::new().connect_timeout(connect_timeout))
}

// ===== callers that come and go =====

/// A server whose handshake waits for the step, after the client has said hello.
fn held() -> Server {
    serving(ServerTls::new(), |conn| {
        let flight = conn.first_flight()?;
        conn.open("hello");
        conn.wait("go on")?;
        conn.send_raw(flight)?;
        answer(conn)
    })
}

/// Dropping a call while its connection shakes hands: the connection is made, and serves another.
pub fn a_call_that_is_dropped_leaves_its_handshake<C: ApiClient>() {
    let server = held();
    let client = client::<C>(Config::new());
    let mut call = Box::pin(client.request(get(&server.url("/"))));
    begin(&mut call);
    server.wait_open("hello");
    drop(call);
    eventually("no waiter", || client.stats().waiting == 0);
    server.open("go on");
    eventually("an idle connection", || client.stats().idle == 1);
    assert_eq!(expect(&client, get(&server.url("/next"))).exchange.connection, 1);
    assert_eq!(server.log().targets(), ["/next"]);
}

/// A handshake takes a place of the pool, and counts as connecting until it is over.
pub fn a_handshake_takes_a_place_in_the_pool<C: ApiClient>() {
    let server = held();
    let client = client_of_one::<C>();
    let mut calls = [(); 2].map(|()| Box::pin(client.request(get(&server.url("/")))));
    calls.iter_mut().for_each(begin);
    server.wait_open("hello");
    eventually("two waiters", || client.stats().waiting == 2);
    let stats = client.stats();
    assert_eq!((stats.connecting, stats.created, stats.waiting), (1, 0, 2), "{stats:?}");
    server.open("go on");
    for call in calls {
        let response = block_on(call).expect("a response");
        block_on(response.into_body().collect()).expect("a whole body");
    }
    assert_eq!((client.stats().created, server.log().accepted), (1, 1));
}

/// Handshakes that hang, and whose callers have left, make way for later callers of the same server
/// (golang/go#59017).
pub fn handshakes_without_callers_make_way<C: ApiClient>() {
    const HUNG: usize = 4;
    let accepted = AtomicUsize::new(0);
    let server = serving(ServerTls::new(), move |conn| {
        if accepted.fetch_add(1, Ordering::Relaxed) < HUNG {
            conn.first_flight()?;
            return conn.wait_closed();
        }
        answer(conn)
    });
    let client = client::<C>(patient().max_per_origin(HUNG));
    let mut calls = [(); HUNG].map(|()| Box::pin(client.request(get(&server.url("/")))));
    calls.iter_mut().for_each(begin);
    server.wait_for("four handshakes", |log| log.accepted == HUNG);
    drop(calls);
    eventually("no waiter", || client.stats().waiting == 0);
    let whole = (0..20).map(|_| fetch(&client, get(&server.url("/"))));
    let whole = block_on(futures::future::try_join_all(whole));
    assert_eq!(whole.expect("twenty responses").len(), 20);
    // One at least was given up, and those that nobody needed were not.
    assert!(client.stats().connecting < HUNG, "{}", client.stats());
}

/// `close` lets a call finish whose connection is shaking hands.
pub fn close_lets_a_handshake_finish<C: ApiClient>() {
    let server = held();
    let client = client::<C>(Config::new());
    let mut call = Box::pin(client.request(get(&server.url("/"))));
    begin(&mut call);
    server.wait_open("hello");
    let mut closed = Box::pin(client.close());
    begin(&mut closed);
    server.open("go on");
    let response = block_on(call).expect("an accepted call finishes");
    block_on(response.into_body().collect()).expect("a whole body");
    block_on(closed);
    assert_eq!(client.stats().open, 0);
}

/// A handshake that nobody waits for is no reason to stay, however long it may take.
pub fn close_ends_a_handshake_that_nobody_waits_for<C: ApiClient>() {
    let server = serving(ServerTls::new(), |conn| {
        conn.first_flight()?;
        conn.open("hello");
        conn.wait_closed()
    });
    let client = client::<C>(Config::new().connect_timeout(Duration::from_secs(3600)));
    let mut call = Box::pin(client.request(get(&server.url("/"))));
    begin(&mut call);
    server.wait_open("hello");
    drop(call);
    eventually("no waiter", || client.stats().waiting == 0);
    block_on(client.close());
    assert_eq!(client.stats().connecting, 0);
    server.wait_closed(1);
}

/// A connection is ready when its handshake is, and its tickets come behind (RFC 8446 section
/// 4.6.1): on a connection that is idle by then they are TLS's own affair, not bytes that nobody
/// asked for.
pub fn tickets_on_an_idle_connection_are_no_response<C: ApiClient>() {
    let server = serving(ServerTls::new().version(Version::Tls13), |conn| {
        conn.wait("the caller is gone")?;
        // All but the tickets.
        assert!(conn.handshake_until(usize::MAX)?);
        conn.wait("idle")?;
        conn.handshake()?;
        answer_once(conn)
    });
    let client = client::<C>(Config::new());
    let mut call = Box::pin(client.request(get(&server.url("/"))));
    begin(&mut call);
    server.wait_accepted(1);
    drop(call);
    eventually("no waiter", || client.stats().waiting == 0);
    server.open("the caller is gone");
    eventually("an idle connection", || client.stats().idle == 1);
    server.open("idle");
    assert_eq!(expect(&client, get(&server.url("/"))).exchange.connection, 1);
    assert_eq!(client.stats().closed(CloseReason::Unsolicited), 0);
    // They were not thrown away either.
    expect(&client, get(&server.url("/")));
    assert!(tls(&server, 1).resumed);
}
