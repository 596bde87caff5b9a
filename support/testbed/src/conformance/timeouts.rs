//! Each limit of time, and that it names itself. Nothing here measures: a limit that does not
//! exist would run into the bound of the case.

use std::time::Duration;

use client_core::{
    ApiClient, CloseReason, Config, Error, ErrorKind, Name, Resolver, Resolving, TimeoutPhase,
};
use http_body_util::BodyExt;

use super::{client, expect, expect_error, fetch, get, send};
use crate::{
    Server,
    dead_ends::{Blackhole, Silent, blackhole_works},
    reply,
    run::{block_on, eventually},
};

const SHORT: Duration = Duration::from_millis(80);

/// A limit that is not meant to run out, though it could: enough for a call on a machine under load.
const LIMIT: Duration = Duration::from_secs(1);

struct Never;

impl Resolver for Never {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(std::future::pending())
    }
}

#[track_caller]
fn times_out<C: ApiClient>(client: &C, url: &str, phase: TimeoutPhase) {
    let error = expect_error(client, get(url));
    assert_eq!(error.timeout_phase(), Some(phase), "{error}");
    let stats = client.stats();
    assert_eq!((stats.open, stats.connecting, stats.waiting), (0, 0, 0));
}

/// `Config::connect_timeout` covers the name.
pub fn a_resolver_that_never_answers_is_a_connect_timeout<C: ApiClient>() {
    let client = client::<C>(Config::new().connect_timeout(SHORT).resolver(Never));
    times_out(&client, "http://never.invalid/", TimeoutPhase::Connect);
}

/// `Config::connect_timeout` covers TCP.
pub fn an_address_that_never_answers_is_a_connect_timeout<C: ApiClient>() {
    if !blackhole_works() {
        return eprintln!("skipped: a full backlog is not silent on this machine");
    }
    let hole = Blackhole::on([127, 0, 0, 1].into()).expect("a black hole");
    let client = client::<C>(Config::new().connect_timeout(SHORT));
    times_out(&client, &hole.url("/"), TimeoutPhase::Connect);
}

/// The same where one address refuses and another one is silent: nobody knows yet that all fail.
pub fn a_race_that_is_not_decided_is_a_connect_timeout<C: ApiClient>() {
    if !blackhole_works() {
        return eprintln!("skipped: a full backlog is not silent on this machine");
    }
    struct Both;
    impl Resolver for Both {
        fn resolve(&self, _: Name) -> Resolving {
            Box::pin(async { Ok(vec![[127, 0, 0, 1].into(), [127, 0, 0, 2].into()]) })
        }
    }
    let hole = Blackhole::on([127, 0, 0, 2].into()).expect("a black hole");
    let client = client::<C>(Config::new().connect_timeout(SHORT).resolver(Both));
    let url = format!("http://both.invalid:{}/", hole.addr().port());
    times_out(&client, &url, TimeoutPhase::Connect);
}

/// `Config::head_timeout`.
pub fn a_server_that_never_answers_is_a_head_timeout<C: ApiClient>() {
    let silent = Silent::new();
    let client = client::<C>(Config::new().head_timeout(SHORT));
    times_out(&client, &silent.url("/"), TimeoutPhase::Head);
    assert_eq!(client.stats().closed(CloseReason::Timeout), 1);
}

/// Half a head is no head, and 1xx responses do not count either.
pub fn a_head_that_does_not_end_is_a_head_timeout<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new().head_timeout(SHORT));
    times_out(&client, &server.url("/"), TimeoutPhase::Head);
}

/// Nor does a head that comes byte by byte: its limit is for all of it, and no byte begins it anew.
pub fn a_head_that_trickles_is_a_head_timeout<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nX-A: ")?;
        conn.send_in(std::iter::repeat("b"))
    });
    let client = client::<C>(Config::new().head_timeout(SHORT).max_head(1 << 30));
    times_out(&client, &server.url("/"), TimeoutPhase::Head);
}

/// `Config::body_idle_timeout`.
pub fn a_body_that_stands_still_is_a_body_timeout<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new().body_idle_timeout(SHORT));
    times_out(&client, &server.url("/"), TimeoutPhase::BodyIdle);
}

/// A body that moves is not idle, however long it takes in all: each piece comes after the reader
/// has seen the one before.
pub fn a_slow_body_that_moves_does_not_time_out<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")?;
        for piece in ["a", "b", "c", "d"] {
            conn.send(piece)?;
            conn.wait(piece)?;
        }
        Ok(())
    });
    let client = client::<C>(Config::new().body_idle_timeout(Duration::from_secs(5)));
    block_on(async {
        let mut body = client.request(get(&server.url("/"))).await.unwrap().into_body();
        for piece in ["a", "b", "c", "d"] {
            let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(data, piece.as_bytes());
            server.open(piece);
        }
        assert!(body.frame().await.is_none());
    });
}

/// The clock of an idle body stands while its reader is what holds it up (decision 11).
pub fn a_reader_that_pauses_is_no_idle_body<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(reply::ok(vec![b'x'; 4 << 20]))
    });
    let other = Server::start(|conn| {
        conn.request()?;
        conn.wait_closed()
    });
    let config = Config::new().body_window(1024).body_idle_timeout(SHORT);
    let client = client::<C>(config.head_timeout(Duration::from_secs(1)));
    let response = block_on(client.request(get(&server.url("/")))).unwrap();
    // A head timeout many times as long has run out meanwhile: the pause was real.
    let error = expect_error(&client, get(&other.url("/")));
    assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Head));
    let body = block_on(response.into_body().collect()).expect("a whole body").to_bytes();
    assert_eq!(body.len(), 4 << 20);
}

/// `Config::total_timeout` covers the body.
pub fn a_call_that_is_not_whole_in_time_is_a_total_timeout<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new().total_timeout(SHORT));
    times_out(&client, &server.url("/"), TimeoutPhase::Total);
}

/// However the body comes, in drops or in a flood: there is always something more to read, and the
/// limit is reached all the same.
pub fn a_body_without_end_is_a_total_timeout<C: ApiClient>() {
    for piece in [1, 1 << 16] {
        let server = Server::start(move |conn| {
            conn.request()?;
            conn.send("HTTP/1.1 200 OK\r\n\r\n")?;
            if piece == 1 {
                return conn.send_in(std::iter::repeat("x"));
            }
            loop {
                conn.send(vec![b'x'; piece])?;
            }
        });
        let client = client::<C>(Config::new().total_timeout(3 * SHORT));
        let read: Result<(), Error> = block_on(async {
            let mut body = client.request(get(&server.url("/"))).await?.into_body();
            while let Some(frame) = body.frame().await {
                drop(frame?);
            }
            Ok(())
        });
        let error = read.expect_err("a body without end");
        assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Total), "{piece}: {error}");
        assert_eq!(client.stats().open, 0);
    }
}

/// `Config::total_timeout` covers the request: a server that takes nothing of it.
pub fn a_request_that_cannot_be_written_is_a_total_timeout<C: ApiClient>() {
    let server = Server::start(|conn| conn.wait("never"));
    let client = client::<C>(Config::new().total_timeout(SHORT));
    let error = expect_error(&client, send("PUT", &server.url("/"), vec![0; 32 << 20]));
    assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Total), "{error}");
}

/// `Config::total_timeout` covers the queue.
pub fn waiting_for_a_connection_counts<C: ApiClient>() {
    let server = Server::start(|conn| {
        while conn.next_request()?.is_some() {
            conn.wait("answer")?;
            conn.send(reply::ok("x"))?;
        }
        Ok(())
    });
    let client = client::<C>(Config::new().max_per_origin(1).total_timeout(SHORT));
    let calls =
        [fetch(&client, get(&server.url("/a"))), fetch(&client, get(&server.url("/b")))];
    for result in block_on(futures::future::join_all(calls)) {
        let error = result.expect_err("nothing is answered");
        assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Total), "{error}");
    }
    server.open("answer");
    assert_eq!(client.stats().waiting, 0);
}

/// `Config::total_timeout` ends a call whose caller does not poll: the connection is closed, and
/// the caller is told at its next poll.
pub fn a_deadline_acts_though_nobody_polls<C: ApiClient>() {
    let silent = Silent::new();
    let client = client::<C>(Config::new().total_timeout(SHORT));
    let mut call = Box::pin(client.request(get(&silent.url("/"))));
    super::begin(&mut call);
    eventually("the end of the connection", || {
        client.stats().closed(CloseReason::Timeout) == 1
    });
    let error = block_on(call).expect_err("nothing is answered");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

/// The client is as good as new after a timeout.
pub fn after_a_timeout_the_next_call_gets_a_new_connection<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        match conn.index() {
            0 => conn.wait_closed(),
            _ => conn.send(reply::ok("x")),
        }
    });
    // Long enough for the second call, which is answered at once, on a machine under load.
    let limit = Duration::from_secs(1);
    let client = client::<C>(Config::new().max_per_origin(1).head_timeout(limit));
    expect_error(&client, get(&server.url("/")));
    assert_eq!(expect(&client, get(&server.url("/"))).exchange.connection, 2);
}

/// Lets more than [`LIMIT`] pass, by a limit that runs out: a call of another client.
fn pause<C: ApiClient>() {
    let silent = Silent::new();
    let other = client::<C>(Config::new().head_timeout(LIMIT + SHORT));
    expect_error(&other, get(&silent.url("/")));
}

/// A deadline ends with what it was set for: it does not reach the connection that is idle
/// afterwards, nor the next call on it.
pub fn a_deadline_does_not_outlive_its_call<C: ApiClient>() {
    let server = Server::start(|conn| {
        while conn.next_request()?.is_some() {
            conn.send(reply::ok("x"))?;
        }
        Ok(())
    });
    let limits = Config::new().connect_timeout(LIMIT).write_idle_timeout(LIMIT);
    let limits = limits.head_timeout(LIMIT);
    let client = client::<C>(limits.body_idle_timeout(LIMIT).total_timeout(LIMIT));
    expect(&client, get(&server.url("/")));
    pause::<C>();
    assert_eq!(client.stats().idle, 1);
    assert!(expect(&client, get(&server.url("/"))).exchange.reused);
}

/// `Config::total_timeout` ends with the last byte received, whenever the caller reads it
/// (decision 11).
pub fn a_body_that_has_come_is_not_late<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(reply::chunked(&["in ", "time"], &[]))?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new().total_timeout(LIMIT).body_idle_timeout(LIMIT));
    let response = block_on(client.request(get(&server.url("/")))).expect("a response");
    eventually("the whole body", || client.stats().idle == 1);
    pause::<C>();
    let body = block_on(response.into_body().collect()).expect("a whole body");
    assert_eq!(body.to_bytes(), "in time");
}

/// Limits longer than the clock can say are as good as none, and no arithmetic of ours overflows.
pub fn endless_limits_are_no_limits<C: ApiClient>() {
    let server = Server::start(|conn| {
        while conn.next_request()?.is_some() {
            conn.send(reply::chunked(&["x"], &[]))?;
        }
        Ok(())
    });
    let endless = Config::new()
        .idle_timeout(Duration::MAX)
        .connect_timeout(Duration::MAX)
        .write_idle_timeout(Duration::MAX)
        .head_timeout(Duration::MAX)
        .body_idle_timeout(Duration::MAX)
        .total_timeout(Duration::MAX);
    let client = client::<C>(endless);
    expect(&client, get(&server.url("/")));
    assert!(expect(&client, get(&server.url("/"))).exchange.reused);
}
