//! Which connections serve again, and which must not (RFC 9112 section 9).

use std::time::Duration;

use client_core::{ApiClient, CloseReason, Config};

use super::{client, client_of_one, expect, get, wait_closed};
use crate::{Server, reply, run::eventually};

/// A server that answers each request of a connection with these bytes.
fn always(bytes: impl Into<Vec<u8>>) -> Server {
    let bytes = bytes.into();
    Server::start(move |conn| {
        while conn.next_request()?.is_some() {
            conn.send(&bytes)?;
        }
        Ok(())
    })
}

/// RFC 9112 section 9.3: persistent by default.
pub fn a_connection_serves_the_next_request<C: ApiClient>() {
    let server = always(reply::ok("x"));
    let client = client::<C>(Config::new());
    let first = expect(&client, get(&server.url("/"))).exchange;
    let second = expect(&client, get(&server.url("/"))).exchange;
    assert_eq!((first.connection, first.reused, first.attempts), (1, false, 1));
    assert_eq!((second.connection, second.reused, second.attempts), (1, true, 1));
    let stats = client.stats();
    assert_eq!((stats.created, stats.reused, stats.idle, stats.open), (1, 1, 1, 1));
}

/// A connection is back in the pool before its caller can know that the body has ended, so calls
/// one after another need one connection. hyper-util's users met the opposite (hyper issue 2136).
pub fn calls_in_a_row_need_one_connection<C: ApiClient>() {
    let server = always(reply::chunked(&["a", "b", "c"], &[]));
    let client = client::<C>(Config::new());
    for _ in 0..50 {
        expect(&client, get(&server.url("/")));
    }
    assert_eq!((client.stats().created, server.log().accepted), (1, 1));
}

/// RFC 9112 section 9.6: the server's close option.
pub fn connection_close_is_honoured<C: ApiClient>() {
    let server = always(reply::respond(200, &[("connection", "close")], "x"));
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    let stats = client.stats();
    assert_eq!((stats.open, stats.closed(CloseReason::PeerAsked)), (0, 1));
    assert!(!expect(&client, get(&server.url("/"))).exchange.reused);
}

/// RFC 9112 section 9.6: the client's own.
pub fn the_callers_connection_close_is_honoured<C: ApiClient>() {
    let server = always(reply::ok("x"));
    let client = client::<C>(Config::new());
    let mut request = get(&server.url("/"));
    request.headers_mut().insert("connection", "close".parse().unwrap());
    expect(&client, request);
    assert_eq!(client.stats().open, 0);
}

/// RFC 9110 section 7.6.1: a list, whose members have no case, and stand beside others that nobody
/// can read.
pub fn the_close_option_is_found_in_a_list<C: ApiClient>() {
    for options in ["x-other , CLOSE", "caf\u{e9}, close"] {
        let server = always(reply::respond(200, &[("connection", options)], "x"));
        let client = client::<C>(Config::new());
        expect(&client, get(&server.url("/")));
        assert_eq!(client.stats().closed(CloseReason::PeerAsked), 1, "{options}");
    }
}

/// A server that closes after each response and does not say so costs a connection, and no call
/// (Node.js issue 47130 is what happens otherwise).
pub fn a_close_right_after_a_response_fails_no_call<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(reply::ok("x"))
    });
    let client = client::<C>(Config::new());
    for _ in 0..50 {
        expect(&client, get(&server.url("/")));
    }
    // Once the close has been noticed, no request is sent in vain, so this one needs no repetition.
    eventually("the close to be noticed", || client.stats().open == 0);
    let got = expect(&client, super::send("POST", &server.url("/"), "x"));
    assert_eq!((got.exchange.attempts, got.exchange.reused), (1, false));
}

/// RFC 9112 section 9.6 wins over `keep-alive`, whatever their order (curl's test 1512 and others).
pub fn close_wins_over_keep_alive<C: ApiClient>() {
    for option in ["keep-alive, close", "close, keep-alive"] {
        let server = always(reply::respond(200, &[("connection", option)], "x"));
        let client = client::<C>(Config::new());
        expect(&client, get(&server.url("/")));
        assert_eq!(client.stats().closed(CloseReason::PeerAsked), 1, "{option}");
    }
}

/// RFC 9112 section 9.6, for responses that have no body.
pub fn close_is_honoured_without_a_body<C: ApiClient>() {
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let server = always(reply::head(status, &[("connection", "close")]));
        let client = client::<C>(Config::new());
        expect(&client, super::send(method, &server.url("/"), ""));
        let stats = client.stats();
        assert_eq!((stats.open, stats.closed(CloseReason::PeerAsked)), (0, 1), "{status}");
    }
}

/// RFC 9110 section 7.6.1: an option is a whole token, and other fields have none.
pub fn what_only_looks_like_close_is_ignored<C: ApiClient>() {
    for (name, value) in
        [("connection", "closed"), ("connection", "x-close"), ("proxy-connection", "close")]
    {
        let server = always(reply::respond(200, &[(name, value)], "x"));
        let client = client::<C>(Config::new());
        expect(&client, get(&server.url("/")));
        assert!(expect(&client, get(&server.url("/"))).exchange.reused, "{name}: {value}");
    }
}

/// A `Keep-Alive` that nobody can understand says nothing (undici parses it by a regular
/// expression for this reason).
pub fn a_malformed_keep_alive_is_ignored<C: ApiClient>() {
    for value in
        ["", "timeout", "timeout=", "timeout=soon", "max=-1", "=5", ";;,", "timeout=\u{ff}"]
    {
        let server = always(reply::respond(200, &[("keep-alive", value)], "x"));
        let client = client::<C>(Config::new());
        expect(&client, get(&server.url("/")));
        assert!(expect(&client, get(&server.url("/"))).exchange.reused, "{value}");
    }
}

/// A number beyond every clock is no limit, and no overflow.
pub fn an_endless_keep_alive_is_kept<C: ApiClient>() {
    for value in ["timeout=18446744073709551615", "max=18446744073709551615", "timeout=1e9"] {
        let server = always(reply::respond(200, &[("keep-alive", value)], "x"));
        let client = client::<C>(Config::new());
        expect(&client, get(&server.url("/")));
        assert!(expect(&client, get(&server.url("/"))).exchange.reused, "{value}");
    }
}

/// A server that will keep the connection for no time at all is taken at its word: the next request
/// gets another connection, however soon it comes. So does one after a second, which the margin of a
/// second uses up. The three clients disagreed on it once.
pub fn an_idle_timeout_of_nothing_keeps_no_connection<C: ApiClient>() {
    for told in ["timeout=0", "timeout=1", "timeout=0, max=100", "max=100, timeout=1"] {
        let server = always(reply::respond(200, &[("keep-alive", told)], "x"));
        let client = client::<C>(Config::new());
        for _ in 0..20 {
            assert!(!expect(&client, get(&server.url("/"))).exchange.reused, "{told}");
        }
        let stats = client.stats();
        assert_eq!((stats.created, stats.open), (20, 0), "{told}");
        assert_eq!(stats.closed(CloseReason::PeerAsked), 20, "{told}");
        assert_eq!(server.log().accepted, 20, "{told}");
    }
}

/// A server counts `Keep-Alive: timeout` on its own clock, which is ahead by the time that a message
/// is under way. A request that it gets too late is lost, so the connection is given up a second
/// earlier (nodejs/node#52649, dotnet/runtime#73585).
pub fn the_servers_idle_timeout_ends_a_second_early<C: ApiClient>() {
    let server = always(reply::respond(200, &[("keep-alive", "timeout=3")], "x"));
    let early = client::<C>(Config::new());
    expect(&early, get(&server.url("/")));
    // Another client, whose own limit runs out later than that, and before the three seconds. Its
    // server says nothing of a timeout.
    let silent = always(reply::ok("x"));
    let later = client::<C>(Config::new().idle_timeout(Duration::from_millis(2800)));
    expect(&later, get(&silent.url("/")));
    wait_closed(&later, CloseReason::IdleExpired, 1);
    assert_eq!(early.stats().closed(CloseReason::IdleExpired), 1);
}

/// RFC 9110 section 15: a status of failure is a response like others.
pub fn an_error_status_keeps_the_connection<C: ApiClient>() {
    for status in [404, 429, 500, 503] {
        let server = always(reply::respond(status, &[], "no"));
        let client = client::<C>(Config::new());
        assert_eq!(expect(&client, get(&server.url("/"))).status.as_u16(), status);
        assert!(expect(&client, get(&server.url("/"))).exchange.reused, "{status}");
    }
}

/// RFC 9112 section 9.2: bytes after a response belong to no request.
pub fn bytes_after_a_response_end_the_connection<C: ApiClient>() {
    let mut twice = reply::ok("x");
    twice.extend_from_slice(&reply::ok("poison"));
    let server = always(twice);
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    let stats = client.stats();
    assert_eq!((stats.open, stats.closed(CloseReason::Unsolicited)), (0, 1));
}

/// Above all they are no response for whoever waits for this connection (CWE-444, "response
/// queue poisoning").
pub fn bytes_after_a_response_reach_no_waiter<C: ApiClient>() {
    let server = Server::start(|conn| {
        let request = conn.request()?;
        let mut bytes = reply::ok(request.target());
        if conn.index() == 0 {
            conn.wait("both have come")?;
            bytes.extend_from_slice(&reply::ok("poison"));
        }
        conn.send(bytes)?;
        conn.wait_closed()
    });
    let client = client_of_one::<C>();
    let call = |path| {
        let (client, request) = (client.clone(), get(&server.url(path)));
        std::thread::spawn(move || expect(&client, request))
    };
    let first = call("/first");
    server.wait_requests(1);
    let second = call("/second");
    eventually("a waiter", || client.stats().waiting == 1);
    server.open("both have come");
    assert_eq!(first.join().expect("a whole response").body, "/first");
    let got = second.join().expect("a whole response");
    assert_eq!((&got.body[..], got.exchange.connection), (&b"/second"[..], 2));
}

/// The same while the connection is idle: a 408 from a server that is tired of waiting, or worse.
/// Go's net/http logs it as "unsolicited response"; no request may get it.
pub fn bytes_on_an_idle_connection_end_it<C: ApiClient>() {
    let server = Server::start(|conn| {
        while conn.next_request()?.is_some() {
            conn.send(reply::ok("x"))?;
            if conn.index() == 0 {
                conn.wait("idle")?;
                conn.send(reply::respond(408, &[], "too slow"))?;
            }
        }
        Ok(())
    });
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    server.open("idle");
    wait_closed(&client, CloseReason::Unsolicited, 1);
    assert_eq!(expect(&client, get(&server.url("/"))).status, 200);
}

/// A dead idle connection is noticed when it dies, and not at the next request (hyper issue 1382).
pub fn a_close_is_noticed_while_the_connection_is_idle<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(reply::ok("x"))?;
        conn.wait("idle")
    });
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    assert_eq!(client.stats().idle, 1);
    server.open("idle");
    wait_closed(&client, CloseReason::PeerClosed, 1);
    assert_eq!(client.stats().open, 0);
}

/// The same for a reset.
pub fn a_reset_is_noticed_while_the_connection_is_idle<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(reply::ok("x"))?;
        conn.wait("idle")?;
        conn.reset()
    });
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    server.open("idle");
    wait_closed(&client, CloseReason::Reset, 1);
}

/// `Config::idle_timeout`.
pub fn an_idle_connection_expires<C: ApiClient>() {
    let server = always(reply::ok("x"));
    let client = client::<C>(Config::new().idle_timeout(Duration::from_millis(50)));
    expect(&client, get(&server.url("/")));
    wait_closed(&client, CloseReason::IdleExpired, 1);
    server.wait_closed(1);
}

/// A limit that runs out for nothing, since what it was set for is over, does not hide the next
/// one on the same connection.
pub fn an_idle_connection_expires_after_a_limit_that_ran_for_nothing<C: ApiClient>() {
    let server = always(reply::ok("x"));
    let config = Config::new()
        .head_timeout(Duration::from_millis(700))
        .idle_timeout(Duration::from_millis(1400));
    let client = client::<C>(config);
    expect(&client, get(&server.url("/")));
    wait_closed(&client, CloseReason::IdleExpired, 1);
}

/// A shorter time that the server announces (`Keep-Alive: timeout`) is kept too: reusing the
/// connection later would race its close.
pub fn the_servers_idle_timeout_is_honoured<C: ApiClient>() {
    let server = always(reply::respond(200, &[("keep-alive", "timeout=2")], "x"));
    let client = client::<C>(Config::new());
    for reused in [false, true] {
        assert_eq!(expect(&client, get(&server.url("/"))).exchange.reused, reused);
    }
    wait_closed(&client, CloseReason::IdleExpired, 1);
}

/// `Keep-Alive: max`: a connection that will serve no more is not kept, whether the server says so
/// again or counts in silence.
pub fn the_servers_number_of_uses_is_honoured<C: ApiClient>() {
    for last in ["max=0", "unrelated"] {
        let server = Server::start(move |conn| {
            for told in ["max=1", last] {
                conn.request()?;
                conn.send(reply::respond(200, &[("keep-alive", told)], "x"))?;
            }
            conn.wait_closed()
        });
        let client = client::<C>(Config::new());
        let used = |client: &C| expect(client, get(&server.url("/"))).exchange;
        let connections = [used(&client), used(&client), used(&client)].map(|e| e.connection);
        assert_eq!(connections, [1, 1, 2], "{last}");
        assert_eq!(client.stats().closed(CloseReason::PeerAsked), 1, "{last}");
    }
}

/// `Keep-Alive: max` again: the server's last word counts, and not the least of its words. The three
/// clients disagreed on it once.
pub fn a_number_of_uses_may_be_renewed<C: ApiClient>() {
    let server = Server::start(|conn| {
        for told in ["max=1", "max=1", "max=0"] {
            conn.request()?;
            conn.send(reply::respond(200, &[("keep-alive", told)], "x"))?;
        }
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let connections =
        [(); 4].map(|()| expect(&client, get(&server.url("/"))).exchange.connection);
    assert_eq!(connections, [1, 1, 1, 2]);
}

/// `Config::max_idle_per_origin`.
pub fn more_idle_connections_than_the_limit_are_closed<C: ApiClient>() {
    let server = Server::start(|conn| {
        while conn.next_request()?.is_some() {
            conn.wait("answer")?;
            conn.send(reply::ok("x"))?;
        }
        Ok(())
    });
    let client = client::<C>(Config::new().max_idle_per_origin(2));
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let (client, request) = (client.clone(), get(&server.url("/")));
            std::thread::spawn(move || expect(&client, request))
        })
        .collect();
    server.wait_requests(4);
    server.open("answer");
    calls.into_iter().for_each(|call| drop(call.join().expect("a whole response")));
    let stats = client.stats();
    assert_eq!((stats.idle, stats.closed(CloseReason::IdleLimit)), (2, 2));
}

/// The most recently used connection is the least likely to be stale.
pub fn the_most_recently_used_connection_is_taken_first<C: ApiClient>() {
    let server = Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            if request.target() != "/free" {
                conn.wait(request.target())?;
            }
            conn.send(reply::ok("x"))?;
        }
        Ok(())
    });
    let client = client::<C>(Config::new());
    let busy = |path: &str| {
        let (client, request) = (client.clone(), get(&server.url(path)));
        std::thread::spawn(move || expect(&client, request).exchange.connection)
    };
    let first = busy("/a");
    server.wait_requests(1);
    let second = busy("/b");
    server.wait_requests(2);
    server.open("/b");
    let second = second.join().expect("a whole response");
    server.open("/a");
    let first = first.join().expect("a whole response");
    assert_ne!(first, second);
    assert_eq!(expect(&client, get(&server.url("/free"))).exchange.connection, first);
}

/// Two names are two origins, though they lead to one address (RFC 9110 section 4.3.1).
pub fn two_names_of_one_server_share_no_connection<C: ApiClient>() {
    let server = always(reply::ok("x"));
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    assert!(!expect(&client, get(&server.url_as("localhost", "/"))).exchange.reused);
    assert!(expect(&client, get(&server.url_as("LOCALHOST", "/"))).exchange.reused);
}
