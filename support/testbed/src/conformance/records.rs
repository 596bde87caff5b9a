//! A connection with TLS, once its handshake is over: records, keys, alerts and ends (RFC 8446
//! sections 4.6.3, 5 and 6, RFC 9112 section 9.8).

use std::{io, time::Duration};

use client_core::{ApiClient, CloseReason, Config, Error, ErrorKind};
use http_body_util::BodyExt;

use super::{client, client_of_one, expect, expect_error, get, send, wait_closed};
use crate::{
    Connection, Server,
    api::pattern,
    reply,
    run::{block_on, eventually},
    server::{Options, ServerTls, Version},
};

const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
const CHUNK: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
const ENDLESS: &str = "HTTP/1.1 200 OK\r\n\r\nhalf";

fn serving(
    script: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
) -> Server {
    Options::new().tls(ServerTls::new()).start(script).expect("a server")
}

fn serving_with(
    version: Version,
    script: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
) -> Server {
    let tls = ServerTls::new().version(version);
    Options::new().tls(tls).start(script).expect("a server")
}

/// Answers one request with these bytes, and ends: with a word of TLS, or with the socket's end
/// alone.
fn answering(bytes: impl Into<Vec<u8>>, notify: bool) -> Server {
    let bytes = bytes.into();
    serving(move |conn| {
        conn.request()?;
        conn.send(&bytes)?;
        if !notify {
            conn.without_tls();
        }
        conn.half_close()?;
        conn.wait_closed()
    })
}

/// What comes of a body, and how it ends.
fn read<C: ApiClient>(client: &C, url: &str) -> (Vec<u8>, Result<(), Error>) {
    block_on(async {
        let mut body = client.request(get(url)).await.expect("a head").into_body();
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(error) => return (bytes, Err(error)),
            }
        }
        (bytes, Ok(()))
    })
}

// ===== ends =====

/// RFC 9112 section 9.8: a body whose end is the connection's is whole only if TLS says that this
/// is the end. A truncation attack ends the socket without it.
pub fn an_end_without_notice_cuts_a_body_without_length<C: ApiClient>() {
    let server = answering(ENDLESS, false);
    let (bytes, end) = read(&client::<C>(Config::new()), &server.url("/"));
    let error = end.expect_err("a body that was cut");
    assert_eq!((&bytes[..], error.kind()), (&b"half"[..], ErrorKind::ClosedEarly), "{error}");
}

/// With the notice it is whole.
pub fn an_end_with_notice_ends_a_body_without_length<C: ApiClient>() {
    let server = answering(ENDLESS, true);
    let client = client::<C>(Config::new());
    assert_eq!(expect(&client, get(&server.url("/"))).body, "half");
    assert_eq!(client.stats().open, 0);
}

/// The notice is the end, though the socket stays open.
pub fn the_notice_alone_ends_a_body_without_length<C: ApiClient>() {
    let server = serving(|conn| {
        conn.request()?;
        conn.send(ENDLESS)?;
        conn.close_notify()?;
        conn.wait_closed()
    });
    assert_eq!(expect(&client::<C>(Config::new()), get(&server.url("/"))).body, "half");
}

/// RFC 9112 section 9.8: a body that says where it ends may be whole without the notice, which
/// many servers leave out.
pub fn a_whole_body_needs_no_notice<C: ApiClient>() {
    for response in [reply::ok("whole"), reply::chunked(&["who", "le"], &[])] {
        for notify in [false, true] {
            let server = answering(response.clone(), notify);
            let client = client::<C>(Config::new());
            assert_eq!(expect(&client, get(&server.url("/"))).body, "whole");
            wait_closed(&client, CloseReason::PeerClosed, 1);
        }
    }
}

/// A body that says where it ends, and does not come that far, is cut, whatever TLS says.
pub fn a_notice_makes_no_body_whole<C: ApiClient>() {
    for (response, place) in [(HALF, "length"), (CHUNK, "chunks")] {
        for notify in [false, true] {
            let server = answering(response, notify);
            let (bytes, end) = read(&client::<C>(Config::new()), &server.url("/"));
            let error = end.expect_err("a body that was cut");
            assert_eq!(error.kind(), ErrorKind::ClosedEarly, "{place}, {notify}: {error}");
            assert_eq!(bytes, b"half", "{place}, {notify}");
        }
    }
}

/// An end before or within the head is an error of the same kind.
pub fn an_end_within_the_head_is_an_error<C: ApiClient>() {
    for response in ["", "HTTP/1.1 200 OK\r\nContent-Le"] {
        for notify in [false, true] {
            let server = answering(response, notify);
            let error = expect_error(&client::<C>(Config::new()), get(&server.url("/")));
            assert_eq!(error.kind(), ErrorKind::ClosedEarly, "{response:?}: {error}");
        }
    }
}

/// A response that is cut within a record never shows a part of that record (RFC 8446 section 5.2).
pub fn a_record_that_is_cut_is_no_data<C: ApiClient>() {
    let server = serving(|conn| {
        conn.request()?;
        conn.send(ENDLESS)?;
        let record = conn.seal(" more")?;
        conn.without_tls();
        conn.send(&record[..record.len() - 1])?;
        conn.half_close()?;
        conn.wait_closed()
    });
    let (bytes, end) = read(&client::<C>(Config::new()), &server.url("/"));
    assert_eq!(end.expect_err("a body that was cut").kind(), ErrorKind::ClosedEarly);
    assert_eq!(bytes, b"half");
}

/// Each way in which a server ends an idle connection is noticed, and is no error of anybody's.
pub fn an_end_of_an_idle_connection_is_noticed<C: ApiClient>() {
    for end in ["notice and end", "end alone", "notice alone"] {
        let server = serving(move |conn| {
            conn.request()?;
            conn.send(reply::ok("x"))?;
            conn.wait("idle")?;
            match end {
                "notice alone" => conn.close_notify()?,
                "end alone" => {
                    conn.without_tls();
                    conn.half_close()?;
                }
                _ => conn.half_close()?,
            }
            conn.wait_closed()
        });
        let client = client::<C>(Config::new());
        expect(&client, get(&server.url("/")));
        server.open("idle");
        wait_closed(&client, CloseReason::PeerClosed, 1);
        assert_eq!(client.stats().open, 0, "{end}");
        server.wait_closed(1);
    }
}

/// A reset is told from an end.
pub fn a_reset_of_an_idle_connection_with_tls_is_noticed<C: ApiClient>() {
    let server = serving(|conn| {
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

/// RFC 8446 section 6.1: who closes says so first, so that the server can tell an end from a cut.
pub fn the_client_gives_notice_of_its_end<C: ApiClient>() {
    for version in Version::ALL {
        for how in ["close", "last handle", "idle timeout", "peer asked"] {
            let server = serving_with(version, move |conn| {
                conn.request()?;
                let close = [("connection", "close")];
                let fields = if how == "peer asked" { &close[..] } else { &[] };
                conn.send(reply::respond(200, fields, "x"))?;
                conn.wait_closed()
            });
            let idle = Duration::from_millis(if how == "idle timeout" { 50 } else { 60_000 });
            let client = client::<C>(Config::new().idle_timeout(idle));
            expect(&client, get(&server.url("/")));
            match how {
                "close" => block_on(client.close()),
                "last handle" => drop(client.clone()),
                _ => {}
            }
            let kept = (how != "last handle").then_some(client);
            server.wait_closed(1);
            let log = server.finish();
            assert_eq!(log.tls(0).map(|tls| tls.close_notify), Some(true), "{how}: {log}");
            drop(kept);
        }
    }
}

// ===== records =====

/// A record may come in any pieces: here byte by byte, each after the one before was read.
pub fn a_response_may_come_in_pieces_of_records<C: ApiClient>() {
    for version in Version::ALL {
        let server = serving_with(version, |conn| {
            while conn.next_request()?.is_some() {
                conn.chop();
                conn.send(reply::chunked(&["in ", "pieces"], &[("a", "b")]))?;
            }
            Ok(())
        });
        let client = client_of_one::<C>();
        for _ in 0..2 {
            assert_eq!(expect(&client, get(&server.url("/"))).body, "in pieces");
        }
    }
}

/// A record may hold as little as one byte, and a segment many records.
pub fn a_record_may_hold_one_byte<C: ApiClient>() {
    let server = serving(|conn| {
        while conn.next_request()?.is_some() {
            let mut records = Vec::new();
            for byte in reply::chunked(&["one ", "by one"], &[]) {
                records.extend(conn.seal([byte])?);
            }
            conn.send_raw(records)?;
        }
        Ok(())
    });
    let client = client_of_one::<C>();
    for _ in 0..2 {
        assert_eq!(expect(&client, get(&server.url("/"))).body, "one by one");
    }
}

/// What was decrypted with the last read comes though the socket is silent from then on: no event
/// announces it. Many records in one segment, more than any window, and the connection stays open.
pub fn what_is_decrypted_needs_no_event<C: ApiClient>() {
    let mut body = Vec::new();
    pattern::extend(&mut body, 0, 200_000);
    let expected = body.clone();
    let server = serving(move |conn| {
        while conn.next_request()?.is_some() {
            let records = conn.seal(reply::ok(&body))?;
            conn.send_raw(records)?;
        }
        Ok(())
    });
    for window in [1, 1000, 16 * 1024, 1 << 20] {
        let client = client::<C>(Config::new().body_window(window));
        let got = expect(&client, get(&server.url("/"))).body;
        assert!(got == expected, "window {window}: the body that came differs");
        assert_eq!(client.stats().idle, 1);
    }
}

/// A reader that stops while decrypted bytes wait, and goes on later, gets them.
pub fn a_reader_that_stops_within_a_record_gets_the_rest<C: ApiClient>() {
    let server = serving(|conn| {
        conn.request()?;
        let records = conn.seal(reply::ok([b'x'; 16_000]))?;
        conn.send_raw(records)?;
        conn.open("sent");
        conn.wait_closed()
    });
    let client = client::<C>(Config::new().body_window(100));
    let mut body = block_on(client.request(get(&server.url("/")))).expect("a head").into_body();
    server.wait_open("sent");
    let mut length = 0;
    while let Some(frame) = block_on(body.frame()) {
        length += frame.expect("a frame").into_data().expect("data").len();
    }
    assert_eq!(length, 16_000);
}

/// Bytes that nobody asked for are that under TLS too.
pub fn data_on_an_idle_connection_is_nobodys<C: ApiClient>() {
    let server = serving(|conn| {
        conn.request()?;
        conn.send(reply::ok("x"))?;
        conn.wait("idle")?;
        conn.send("x")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    server.open("idle");
    wait_closed(&client, CloseReason::Unsolicited, 1);
}

// ===== alerts, and what is no record =====

/// A fatal alert is an error of TLS, after what came before it (decision 30).
pub fn data_before_a_fatal_alert_is_delivered<C: ApiClient>() {
    for version in Version::ALL {
        let server = serving_with(version, |conn| {
            conn.request()?;
            conn.send(HALF)?;
            conn.fatal_alert()?;
            conn.without_tls();
            conn.wait_closed()
        });
        let client = client::<C>(Config::new());
        let (bytes, end) = read(&client, &server.url("/"));
        let error = end.expect_err("an alert");
        assert_eq!((&bytes[..], error.kind()), (&b"half"[..], ErrorKind::Tls), "{error}");
        wait_closed(&client, CloseReason::ProtocolError, 1);
    }
}

/// The same for a record that no key fits, in one segment with good ones.
pub fn data_before_a_broken_record_is_delivered<C: ApiClient>() {
    for version in Version::ALL {
        let server = serving_with(version, |conn| {
            conn.request()?;
            let mut records = conn.seal(HALF)?;
            let mut broken = conn.seal("more")?;
            *broken.last_mut().expect("a record") ^= 1;
            records.extend(broken);
            conn.send_raw(records)?;
            conn.wait_closed()
        });
        let client = client::<C>(Config::new());
        let (bytes, end) = read(&client, &server.url("/"));
        let error = end.expect_err("a broken record");
        assert_eq!((&bytes[..], error.kind()), (&b"half"[..], ErrorKind::Tls), "{error}");
        wait_closed(&client, CloseReason::ProtocolError, 1);
    }
}

/// A broken record in place of a response is no reason to ask again: it was an answer.
pub fn a_broken_record_is_not_asked_for_again<C: ApiClient>() {
    let server = serving(|conn| {
        conn.request()?;
        conn.send(reply::ok("x"))?;
        conn.request()?;
        conn.without_tls();
        conn.send("this is no record at all")?;
        conn.wait_closed()
    });
    let client = client_of_one::<C>();
    expect(&client, get(&server.url("/first")));
    let error = expect_error(&client, get(&server.url("/second")));
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert_eq!((server.log().received, client.stats().retried), (2, 0));
}

/// A broken record on an idle connection ends it, and fails nobody.
pub fn a_broken_record_ends_an_idle_connection<C: ApiClient>() {
    let server = serving(|conn| {
        conn.request()?;
        conn.send(reply::ok("x"))?;
        if conn.index() == 0 {
            conn.wait("idle")?;
            conn.send_raw("this is no record at all")?;
        }
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    server.open("idle");
    wait_closed(&client, CloseReason::ProtocolError, 1);
    assert_eq!(expect(&client, get(&server.url("/"))).exchange.attempts, 1);
}

/// The other side learns of it by an alert (RFC 8446 section 6.2), which goes out by itself.
pub fn a_broken_record_is_answered_by_an_alert<C: ApiClient>() {
    let server = serving(|conn| {
        conn.request()?;
        conn.send_raw("this is no record at all")?;
        conn.wait_closed()
    });
    expect_error(&client::<C>(Config::new()), get(&server.url("/")));
    server.wait_closed(1);
    let log = server.finish();
    let alert = matches!(log.end(0), Some(crate::End::Tls(why)) if why.contains("alert"));
    assert!(alert, "{log}");
}

// ===== keys =====

/// RFC 8446 section 4.6.3: the server may change its keys at any time, and ask the client to.
pub fn keys_may_change_in_the_middle_of_a_body<C: ApiClient>() {
    let server = serving_with(Version::Tls13, |conn| {
        while let Some(request) = conn.next_request()? {
            conn.send(reply::head(200, &[("transfer-encoding", "chunked")]))?;
            for piece in request.target().split('.') {
                conn.key_update()?;
                conn.send(reply::chunk(piece))?;
            }
            conn.send("0\r\n\r\n")?;
        }
        Ok(())
    });
    let client = client_of_one::<C>();
    // The second request goes out with the new keys, or its server could not read it.
    for _ in 0..3 {
        let got = expect(&client, get(&server.url("/a.b.c.d.e.f")));
        assert_eq!((&got.body[..], got.exchange.connection), (&b"/abcdef"[..], 1));
    }
}

/// The same on an idle connection: a change of keys is no response.
pub fn keys_may_change_on_an_idle_connection<C: ApiClient>() {
    let server = serving_with(Version::Tls13, |conn| {
        conn.request()?;
        conn.send(reply::ok("x"))?;
        for _ in 0..10 {
            conn.key_update()?;
        }
        conn.wait_read()?;
        conn.open("read");
        conn.request()?;
        conn.send(reply::ok("y"))?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    server.wait_open("read");
    let got = expect(&client, get(&server.url("/")));
    assert_eq!((&got.body[..], got.exchange.reused), (&b"y"[..], true));
}

/// The same while the client sends: its records change keys in mid-request.
pub fn keys_may_change_in_the_middle_of_a_request<C: ApiClient>() {
    const LENGTH: usize = 4 << 20;
    /// Sixteen changes: rustls suspects a peer that asks for more than 32.
    const PIECE: usize = LENGTH / 16;
    let server = serving_with(Version::Tls13, |conn| {
        conn.request_head()?;
        let mut right = true;
        for start in (0..LENGTH).step_by(PIECE) {
            let piece = conn.read_exact(PIECE)?;
            conn.key_update()?;
            right &= (start..).zip(&piece).all(|(at, byte)| *byte == pattern::at(at as u64));
        }
        conn.send(reply::ok(if right { "right" } else { "wrong" }))?;
        conn.wait_closed()
    });
    let mut body = Vec::new();
    pattern::extend(&mut body, 0, LENGTH);
    let client = client::<C>(Config::new());
    assert_eq!(expect(&client, send("PUT", &server.url("/"), body)).body, "right");
}

/// RFC 8446 section 4.6.3: a server that changes its own keys need not ask the client to. Only
/// OpenSSL does that here.
pub fn keys_may_change_on_one_side<C: ApiClient>() {
    #[cfg(unix)]
    if let Some(mut server) = crate::s_server::SServer::start(Version::Tls13) {
        let client = client::<C>(Config::new());
        let mut call = Box::pin(client.request(get(&server.url("/"))));
        super::begin(&mut call);
        server.wait_for("GET / HTTP/1.1");
        server.say("HTTP/1.1 200 OK\ncontent-length: 8\n\n123\n");
        server.key_update(false);
        server.key_update(false);
        server.say("567\n");
        let response = block_on(call).expect("a head");
        let body = block_on(response.into_body().collect()).expect("a whole body");
        assert_eq!(body.to_bytes(), "123\n567\n");
        eventually("an idle connection", || client.stats().idle == 1);
    }
}

/// RFC 5246 section 7.2.2: a second handshake is refused, since rustls has none, and OpenSSL ends
/// the connection on that: an error of TLS, after what came before.
pub fn a_renegotiation_is_refused<C: ApiClient>() {
    #[cfg(unix)]
    if let Some(mut server) = crate::s_server::SServer::start(Version::Tls12) {
        let client = client::<C>(Config::new());
        let mut call = Box::pin(client.request(get(&server.url("/"))));
        super::begin(&mut call);
        server.wait_for("GET / HTTP/1.1");
        server.say("HTTP/1.1 200 OK\ncontent-length: 8\n\n123\n");
        let mut body = block_on(call).expect("a head").into_body();
        let first = block_on(body.frame()).expect("a piece").expect("data");
        assert_eq!(first.into_data().expect("data"), "123\n");
        server.renegotiate();
        let error = block_on(body.frame()).expect("an error").expect_err("an alert");
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        wait_closed(&client, CloseReason::ProtocolError, 1);
    }
}
