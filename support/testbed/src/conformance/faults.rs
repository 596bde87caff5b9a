//! What goes wrong on a real network, at every place where it can: resets, half-closes, cuts,
//! trickles, and peers that answer before, or instead of, listening.

use client_core::{ApiClient, CloseReason, Config, ErrorKind};
use http_body_util::BodyExt;

use super::{call, client, client_of_one, expect, expect_error, get, send, wait_closed};
use crate::{Server, reply, run::block_on, run::eventually};

/// RFC 9112 section 6.3, item 8: a body that only the connection's end ends is whole wherever that
/// comes, and its head is not.
pub fn a_close_delimited_body_ends_wherever_the_connection_does<C: ApiClient>() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n";
    const BODY: &str = "hello world";
    let server = Server::start(|conn| {
        let request = conn.request()?;
        let at: usize = request.target()[1..].parse().expect("a number");
        conn.send(&[HEAD, BODY].concat()[..at])?;
        conn.half_close()?;
        conn.wait_closed()
    });
    let client = client_of_one::<C>();
    for at in 0..=HEAD.len() + BODY.len() {
        let got = call(&client, get(&server.url(&format!("/{at}"))));
        match at.checked_sub(HEAD.len()) {
            Some(length) => assert_eq!(got.expect("a whole response").body, BODY[..length]),
            None => {
                let error = got.expect_err("half a head");
                assert_eq!(error.kind(), ErrorKind::ClosedEarly, "cut at {at}");
            }
        }
    }
}

/// The same bytes one by one: what a slow or hostile link does (Go's net/http reads its tests
/// through `iotest.OneByteReader` for this).
pub fn a_response_may_come_byte_by_byte<C: ApiClient>() {
    let early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let all = [&early[..], &reply::chunked(&["hel", "lo"], &[("x-sum", "5")])].concat();
    let server = Server::start(move |conn| {
        while conn.next_request()?.is_some() {
            conn.send_in(all.chunks(1))?;
        }
        Ok(())
    });
    let client = client_of_one::<C>();
    for reused in [false, true] {
        let got = expect(&client, get(&server.url("/")));
        assert_eq!((&got.body[..], got.exchange.reused), (&b"hello"[..], reused));
    }
}

/// RFC 9112 section 7.1: ten thousand chunks of a byte are a body of ten thousand bytes. What each
/// chunk costs on the wire may be more than its data.
pub fn a_body_may_come_in_very_small_chunks<C: ApiClient>() {
    let body = "abcdefghij".repeat(1000);
    let pieces: Vec<_> = body.as_bytes().chunks(1).collect();
    let all = reply::chunked(&pieces, &[]);
    let server = Server::start(move |conn| {
        conn.request()?;
        conn.send(&all)?;
        conn.wait_closed()
    });
    assert_eq!(expect(&client::<C>(Config::new()), get(&server.url("/"))).body, body);
}

/// A reset before the first byte of a response, on a connection that has served nobody yet, is an
/// error with its cause: there is no stale connection to blame.
pub fn a_reset_instead_of_a_response_is_an_error<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.reset()
    });
    let client = client::<C>(Config::new());
    let error = expect_error(&client, get(&server.url("/")));
    assert_eq!(error.kind(), ErrorKind::ClosedEarly, "{error}");
    assert!(std::error::Error::source(&error).is_some(), "{error} has the socket's error");
    assert_eq!((client.stats().created, client.stats().retried), (1, 0));
    wait_closed(&client, CloseReason::Reset, 1);
}

/// A reset in the middle of a head or a body, after the client has read what came before it.
pub fn a_reset_in_the_middle_is_an_error_after_what_came<C: ApiClient>() {
    let server = Server::start(|conn| {
        let request = conn.request()?;
        let bytes = reply::ok("hello world");
        let kept = if request.target() == "/head" { 10 } else { bytes.len() - 6 };
        conn.send(&bytes[..kept])?;
        conn.wait_read()?;
        conn.wait(request.target())?;
        conn.reset()
    });
    let client = client::<C>(Config::new());
    server.open("/head");
    let error = expect_error(&client, get(&server.url("/head")));
    assert_eq!(error.kind(), ErrorKind::ClosedEarly, "{error}");
    let mut body = block_on(client.request(get(&server.url("/body")))).unwrap().into_body();
    let first = block_on(body.frame()).expect("a frame").expect("the first bytes");
    assert_eq!(&first.into_data().expect("data")[..], b"hello");
    server.open("/body");
    let error = block_on(body.frame()).expect("a frame").expect_err("the reset");
    assert_eq!(error.kind(), ErrorKind::ClosedEarly, "{error}");
    wait_closed(&client, CloseReason::Reset, 2);
}

/// The same for a body that only the connection's end ends: a reset is no end (RFC 9112 section
/// 8; curl's CURLE_RECV_ERROR against a silent truncation).
pub fn a_reset_does_not_end_a_close_delimited_body<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\n\r\nhello")?;
        conn.wait_read()?;
        conn.wait("the head was seen")?;
        conn.reset()
    });
    let client = client::<C>(Config::new());
    let response = block_on(client.request(get(&server.url("/")))).unwrap();
    server.open("the head was seen");
    let error = block_on(response.into_body().collect()).expect_err("the reset");
    assert_eq!(error.kind(), ErrorKind::ClosedEarly, "{error}");
}

/// A server that ends its side at once will never answer, though it would still read.
pub fn a_server_that_ends_its_side_at_once_is_an_error<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.half_close()?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let error = expect_error(&client, send("POST", &server.url("/"), "x"));
    assert_eq!(error.kind(), ErrorKind::ClosedEarly, "{error}");
    eventually("the connection to be closed", || client.stats().open == 0);
}

/// A server that ends its side right behind a response that it would keep alive: the response is
/// whole, and the connection serves nobody else.
pub fn a_half_close_behind_a_response_ends_the_connection<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(reply::ok("x"))?;
        conn.half_close()?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    for connection in 1..=5 {
        assert_eq!(expect(&client, get(&server.url("/"))).exchange.connection, connection);
        wait_closed(&client, CloseReason::PeerClosed, connection);
    }
}

/// A response that comes before the request is refused: nobody asked for it, and it may be
/// somebody's attempt to be the next response (undici and Node.js treat it as a socket error).
pub fn a_response_without_a_request_is_nobodys<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(reply::ok("asked for"))?;
        if conn.index() > 0 {
            return conn.wait_closed();
        }
        conn.wait("idle")?;
        conn.send(reply::ok("not asked for"))?;
        conn.wait_closed()
    });
    let client = client_of_one::<C>();
    expect(&client, get(&server.url("/")));
    server.open("idle");
    wait_closed(&client, CloseReason::Unsolicited, 1);
    let got = expect(&client, send("POST", &server.url("/"), "x"));
    assert_eq!((&got.body[..], got.exchange.attempts), (&b"asked for"[..], 1));
}

/// Garbage behind the last chunk is no part of the body, and no response (h11 calls it trailing
/// data).
pub fn garbage_after_the_last_chunk_ends_the_connection<C: ApiClient>() {
    let bytes = [&reply::chunked(&["x"], &[])[..], b"garbage"].concat();
    let server = Server::start(move |conn| {
        conn.request()?;
        conn.send(&bytes)?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    assert_eq!(expect(&client, get(&server.url("/"))).body, "x");
    let stats = client.stats();
    assert_eq!((stats.open, stats.closed(CloseReason::Unsolicited)), (0, 1));
}

/// A body where none may be, after a 204, a 304 or the answer to a HEAD, is garbage too (undici
/// and Go's net/http had to learn it: golang issue 8725).
pub fn a_body_where_none_may_be_ends_the_connection<C: ApiClient>() {
    for (method, status) in [("GET", 204), ("GET", 304), ("HEAD", 200)] {
        let bytes = format!("HTTP/1.1 {status} X\r\nContent-Length: 4\r\n\r\nbody");
        let server = Server::start(move |conn| {
            conn.request()?;
            conn.send(&bytes)?;
            conn.wait_closed()
        });
        let client = client::<C>(Config::new());
        assert!(expect(&client, send(method, &server.url("/"), "")).body.is_empty());
        let stats = client.stats();
        assert_eq!((stats.open, stats.closed(CloseReason::Unsolicited)), (0, 1), "{status}");
    }
}

/// Many 1xx, and then the end: no response at all.
pub fn informational_responses_alone_are_no_response<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 100 Continue\r\n\r\n".repeat(3))?;
        conn.half_close()?;
        conn.wait_closed()
    });
    let error = expect_error(&client::<C>(Config::new()), get(&server.url("/")));
    assert_eq!(error.kind(), ErrorKind::ClosedEarly, "{error}");
}

/// A 1xx byte is a byte of a response: a connection that was stale would not have sent it, so the
/// request is not sent again (decision of RFC 9112 section 9.3.1: only when nothing was received).
pub fn an_informational_response_forbids_a_second_attempt<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(reply::ok("x"))?;
        if conn.next_request()?.is_some() {
            conn.send("HTTP/1.1 100 Continue\r\n\r\n")?;
            conn.half_close()?;
        }
        conn.wait_closed()
    });
    let client = client_of_one::<C>();
    expect(&client, get(&server.url("/")));
    let error = expect_error(&client, get(&server.url("/")));
    assert_eq!((error.kind(), client.stats().retried), (ErrorKind::ClosedEarly, 0));
}

/// A connection that fails takes no other with it: one of several exchanges is reset, and the
/// others go on where they were.
pub fn a_reset_of_one_connection_leaves_the_others_alone<C: ApiClient>() {
    let server = Server::start(|conn| {
        let request = conn.request()?;
        if request.target() == "/reset" {
            return conn.reset();
        }
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")?;
        conn.wait("rest")?;
        conn.send("lf")
    });
    let client = client::<C>(Config::new());
    let open = |_| block_on(client.request(get(&server.url("/")))).unwrap().into_body();
    let bodies: Vec<_> = (0..4).map(open).collect();
    expect_error(&client, get(&server.url("/reset")));
    server.open("rest");
    for body in bodies {
        assert_eq!(block_on(body.collect()).expect("a whole body").to_bytes(), "half");
    }
}
