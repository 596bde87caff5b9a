//! What comes in: where a response ends, however its bytes arrive (RFC 9112 sections 6 and 7).

use client_core::{ApiClient, Config, ErrorKind};
use http::Version;

use super::{client, client_of_one, expect, expect_error, get, send};
use crate::{Server, reply};

/// A server that sends these bytes once to each connection, then closes it.
fn once(bytes: impl Into<Vec<u8>>) -> Server {
    let bytes = bytes.into();
    Server::start(move |conn| {
        conn.request()?;
        conn.send(&bytes)?;
        conn.half_close()?;
        conn.wait_closed()
    })
}

/// A server that sends these bytes for every request of a connection.
fn always(bytes: impl Into<Vec<u8>>) -> Server {
    let bytes = bytes.into();
    Server::start(move |conn| {
        while conn.next_request()?.is_some() {
            conn.send(&bytes)?;
        }
        Ok(())
    })
}

/// RFC 9112 section 6.2.
pub fn a_content_length_ends_a_body<C: ApiClient>() {
    let server = always(reply::respond(201, &[("x-a", "b")], "hello"));
    let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
    assert_eq!((got.status.as_u16(), got.version), (201, Version::HTTP_11));
    assert_eq!((&got.body[..], &got.headers["x-a"]), (&b"hello"[..], &"b".parse().unwrap()));
}

/// RFC 9112 section 6.3, item 5: a length that is repeated is one length.
pub fn two_lengths_that_agree_are_one<C: ApiClient>() {
    for fields in ["Content-Length: 2\r\nContent-Length: 2", "Content-Length: 2, 2"] {
        let server = always(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nok"));
        let client = client::<C>(Config::new());
        assert_eq!(&expect(&client, get(&server.url("/"))).body[..], b"ok", "{fields}");
        assert!(expect(&client, get(&server.url("/"))).exchange.reused, "{fields}");
    }
}

/// A length of zero is a body too, and the connection stays.
pub fn an_empty_body_leaves_the_connection_usable<C: ApiClient>() {
    let server = always(reply::ok(""));
    let client = client::<C>(Config::new());
    assert!(expect(&client, get(&server.url("/"))).body.is_empty());
    assert!(expect(&client, get(&server.url("/"))).exchange.reused);
}

/// RFC 9112 section 7.1.
pub fn chunks_are_put_together<C: ApiClient>() {
    let server = always(reply::chunked(&["hel", "lo ", "world"], &[]));
    let client = client::<C>(Config::new());
    assert_eq!(&expect(&client, get(&server.url("/"))).body[..], b"hello world");
    assert!(expect(&client, get(&server.url("/"))).exchange.reused);
}

/// RFC 9112 section 7.1.2.
pub fn trailers_come_after_the_body<C: ApiClient>() {
    let server = always(reply::chunked(&["x"], &[("x-sum", "1"), ("x-more", "2")]));
    let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
    let trailers = got.trailers.expect("trailers");
    assert_eq!((trailers.len(), &trailers["x-sum"]), (2, &"1".parse().unwrap()));
}

/// RFC 9112 section 7.1.1: extensions mean nothing to a client that does not know them.
pub fn chunk_extensions_are_skipped<C: ApiClient>() {
    let body = "5;a=1;b=\"two\"\r\nhello\r\n0;last\r\n\r\n";
    let server = always(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
    assert_eq!(&expect(&client::<C>(Config::new()), get(&server.url("/"))).body[..], b"hello");
}

/// RFC 9112 section 7.1: digits in either case.
pub fn chunk_sizes_have_digits_of_either_case<C: ApiClient>() {
    let body = "a\r\n0123456789\r\nB\r\nabcdefghijk\r\n0\r\n\r\n";
    let server = always(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n{body}"));
    let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
    assert_eq!(&got.body[..], b"0123456789abcdefghijk");
}

/// RFC 9112 section 7.1: and any number of leading zeros, more than the digits of the largest size
/// too (hyper's decoder takes them; Go's `internal/chunked_test.go` says that it could).
pub fn chunk_sizes_may_have_leading_zeros<C: ApiClient>() {
    let zeros = "0".repeat(40);
    let body = format!("000a\r\n0123456789\r\n{zeros}b\r\nabcdefghijk\r\n{zeros}\r\n\r\n");
    let server = always(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
    let client = client::<C>(Config::new());
    assert_eq!(&expect(&client, get(&server.url("/"))).body[..], b"0123456789abcdefghijk");
    assert!(expect(&client, get(&server.url("/"))).exchange.reused);
}

/// RFC 9112 section 7.1: a last chunk alone is an empty body, and its connection serves again.
pub fn a_last_chunk_alone_is_an_empty_body<C: ApiClient>() {
    let server = always(reply::chunked::<&str>(&[], &[]));
    let client = client::<C>(Config::new());
    let got = expect(&client, get(&server.url("/")));
    assert_eq!((got.body.len(), got.trailers), (0, None));
    assert!(expect(&client, get(&server.url("/"))).exchange.reused);
}

/// RFC 9112 section 6.3, item 8: with nothing else, the connection's end is the body's.
pub fn the_close_ends_a_body_without_length<C: ApiClient>() {
    let server = once("HTTP/1.1 200 OK\r\n\r\nall of it");
    let client = client::<C>(Config::new());
    assert_eq!(&expect(&client, get(&server.url("/"))).body[..], b"all of it");
    assert_eq!(client.stats().open, 0);
}

/// RFC 9112 section 6.3, item 1: whatever its fields say.
pub fn a_response_to_head_has_no_body<C: ApiClient>() {
    let server = always("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    let client = client::<C>(Config::new());
    let got = expect(&client, send("HEAD", &server.url("/"), ""));
    assert_eq!((got.body.len(), &got.headers["content-length"]), (0, &"1000".parse().unwrap()));
    assert!(expect(&client, send("HEAD", &server.url("/"), "")).exchange.reused);
}

/// RFC 9112 section 6.3, item 1.
pub fn a_204_and_a_304_have_no_body<C: ApiClient>() {
    for head in ["204 No Content\r\n", "304 Not Modified\r\nContent-Length: 1000\r\n"] {
        let server = always(format!("HTTP/1.1 {head}\r\n"));
        let client = client::<C>(Config::new());
        assert!(expect(&client, get(&server.url("/"))).body.is_empty(), "{head}");
        assert!(expect(&client, get(&server.url("/"))).exchange.reused, "{head}");
    }
}

/// RFC 9110 section 15.2: any number of 1xx may come before the response.
pub fn informational_responses_are_skipped<C: ApiClient>() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let all = format!(
        "HTTP/1.1 100 Continue\r\n\r\n{early}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    );
    let server = always(all);
    let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
    assert_eq!((got.status.as_u16(), got.headers.contains_key("link")), (200, false));
}

/// RFC 9110 section 15.2 sets no limit to their number: a server may report the progress of a long
/// call with 102, or of an upload with 104 (golang/go#65035).
pub fn many_short_informational_responses_are_skipped<C: ApiClient>() {
    let progress = "HTTP/1.1 102 Processing\r\n\r\n".repeat(500);
    let server = always([progress.into_bytes(), reply::ok("done")].concat());
    let client = client::<C>(Config::new());
    assert_eq!(expect(&client, get(&server.url("/"))).body, "done");
    assert!(expect(&client, get(&server.url("/"))).exchange.reused);
}

/// RFC 9112 section 9.3: HTTP/1.0 closes, unless it says otherwise.
pub fn http_1_0_closes_by_default<C: ApiClient>() {
    let server = always("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let client = client::<C>(Config::new());
    assert_eq!(expect(&client, get(&server.url("/"))).version, Version::HTTP_10);
    assert!(!expect(&client, get(&server.url("/"))).exchange.reused);
}

/// RFC 9112 section 9.3 and appendix C.2.2.
pub fn http_1_0_is_kept_alive_if_it_says_so<C: ApiClient>() {
    let server =
        always("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok");
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    assert!(expect(&client, get(&server.url("/"))).exchange.reused);
}

/// RFC 9112 section 5.2: a user agent replaces an obsolete line folding by spaces.
pub fn an_obsolete_line_folding_becomes_a_space<C: ApiClient>() {
    let server = always("HTTP/1.1 200 OK\r\nX-A: b\r\n\t c\r\nContent-Length: 0\r\n\r\n");
    let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
    assert_eq!(got.headers["x-a"], "b c");
}

/// The same among trailers, which are fields of the response too (h11 and curl agree).
pub fn a_line_folding_in_trailers_becomes_a_space<C: ApiClient>() {
    let body = "2\r\nok\r\n0\r\nX-A: b\r\n\t c\r\nX-B: d\r\n \r\n\r\n";
    let server = always(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
    let client = client::<C>(Config::new());
    for reused in [false, true] {
        let got = expect(&client, get(&server.url("/")));
        let trailers = got.trailers.expect("trailers");
        assert_eq!((&got.body[..], got.exchange.reused), (&b"ok"[..], reused));
        assert_eq!(
            (&trailers["x-a"], &trailers["x-b"]),
            (&"b c".parse().unwrap(), &"d".parse().unwrap())
        );
    }
}

/// RFC 9112 section 2.2: a recipient may take a lone LF for the end of a line.
pub fn lines_may_end_with_lf_alone<C: ApiClient>() {
    let server = always("HTTP/1.1 200 OK\nContent-Length: 2\n\nok");
    assert_eq!(&expect(&client::<C>(Config::new()), get(&server.url("/"))).body[..], b"ok");
}

/// RFC 9110 section 5.3: fields of one name are several values, in order.
pub fn repeated_fields_keep_their_order<C: ApiClient>() {
    let server =
        always(reply::respond(200, &[("set-cookie", "a=1"), ("set-cookie", "b=2")], ""));
    let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
    let cookies: Vec<_> = got.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

/// RFC 9112 section 4: the reason phrase may be missing.
pub fn a_missing_reason_is_no_error<C: ApiClient>() {
    let server = always("HTTP/1.1 299\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(expect(&client::<C>(Config::new()), get(&server.url("/"))).status.as_u16(), 299);
}

/// RFC 9110 section 5.5: white space around a value is no part of it, and a value may be empty.
pub fn white_space_around_a_value_is_taken_off<C: ApiClient>() {
    let server =
        always("HTTP/1.1 200 OK\r\nX-A: \t b c \t\r\nX-B:\r\nContent-Length:0\r\n\r\n");
    let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
    assert_eq!(
        (&got.headers["x-a"], &got.headers["x-b"]),
        (&"b c".parse().unwrap(), &"".parse().unwrap())
    );
}

/// RFC 9110 section 8.4: a content coding is a property of the content, which a layer above may
/// take off; the client delivers the bytes that came.
pub fn a_content_coding_is_left_to_the_caller<C: ApiClient>() {
    let coded = b"\x1f\x8b\x08 not even gzip";
    let server = always(reply::respond(200, &[("content-encoding", "gzip")], coded));
    let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
    assert_eq!(
        (&got.body[..], &got.headers["content-encoding"]),
        (&coded[..], &"gzip".parse().unwrap())
    );
}

/// RFC 9110 section 5.5: bytes beyond ASCII are opaque, and pass.
pub fn field_values_beyond_ascii_pass_as_bytes<C: ApiClient>() {
    let server = always(b"HTTP/1.1 200 \xe9t\xe9\r\nX-A: caf\xe9\r\nContent-Length: 0\r\n\r\n");
    let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
    assert_eq!(got.headers["x-a"].as_bytes(), b"caf\xe9");
}

/// RFC 9110 section 15: a status of an unknown code is one of its class, up to 599; what is beyond
/// is passed on.
pub fn unknown_statuses_are_passed_on<C: ApiClient>() {
    for status in [299, 499, 599, 600, 999] {
        let server = always(reply::respond(status, &[], "x"));
        let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
        assert_eq!((got.status.as_u16(), &got.body[..]), (status, &b"x"[..]));
    }
}

/// RFC 9112 section 6.3 knows no more statuses without a body: a 205 is framed like others.
pub fn a_205_is_framed_like_others<C: ApiClient>() {
    let server = always(reply::respond(205, &[], "x"));
    let client = client::<C>(Config::new());
    assert_eq!(expect(&client, get(&server.url("/"))).body, "x");
    assert!(expect(&client, get(&server.url("/"))).exchange.reused);
}

/// RFC 9112 section 6.3, item 1, for a body that would be chunked: it is not there.
pub fn a_chunked_response_to_head_has_no_body<C: ApiClient>() {
    let server = always(reply::head(200, &[("transfer-encoding", "chunked")]));
    let client = client::<C>(Config::new());
    for reused in [false, true] {
        let got = expect(&client, send("HEAD", &server.url("/"), ""));
        assert_eq!((got.body.len(), got.exchange.reused), (0, reused));
    }
}

/// Fields with which a message that has a body is refused.
const FRAMED_WRONG: [&str; 8] = [
    "Content-Length: 1\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: x",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: +5",
    "Content-Length: ",
    "Content-Length: 18446744073709551616",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked, chunked",
];

/// RFC 9112 section 6.3, item 1, comes before the items that look at a field. Apache answers HEAD with
/// both a length and a transfer coding (openstreetmap/operations#910).
pub fn the_fields_of_a_response_without_a_body_are_not_read<C: ApiClient>() {
    for fields in FRAMED_WRONG {
        for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
            let server = always(format!("HTTP/1.1 {status} X\r\n{fields}\r\n\r\n"));
            let client = client::<C>(Config::new());
            for reused in [false, true] {
                let got = expect(&client, send(method, &server.url("/"), ""));
                assert_eq!(got.status, status, "{fields}");
                let (name, value) =
                    fields.split("\r\n").next().unwrap().split_once(": ").unwrap();
                assert_eq!(got.headers[name], value, "the field is passed on");
                assert_eq!((got.body.len(), got.exchange.reused), (0, reused), "{fields}");
            }
        }
    }
}

/// RFC 9112 section 6.3, item 1, for 1xx responses: the response follows their empty line.
pub fn an_informational_response_has_no_body_whatever_it_says<C: ApiClient>() {
    for fields in FRAMED_WRONG {
        let early = format!("HTTP/1.1 103 Early Hints\r\n{fields}\r\n\r\n");
        let server = always([early.into_bytes(), reply::ok("x")].concat());
        let client = client::<C>(Config::new());
        for reused in [false, true] {
            let got = expect(&client, get(&server.url("/")));
            assert_eq!((&got.body[..], got.exchange.reused), (&b"x"[..], reused), "{fields}");
        }
    }
}

/// RFC 9112 section 7.1.1: blanks after a size are no extension. A server that pads its sizes to a
/// fixed width sends more of them than any limit on a whole body allows (python-hyper/h11#133,
/// erikdubbelboer/fasthttp#34).
pub fn chunk_sizes_may_be_padded_with_blanks<C: ApiClient>() {
    const CHUNKS: usize = 33 * 128 + 1; // A bit more than 33 MiB.
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = format!("{:<8}\r\n{}\r\n", "2000", "x".repeat(0x2000));
        let chunks = chunk.repeat(128);
        for _ in 0..CHUNKS / 128 {
            conn.send(&chunks)?;
        }
        conn.send(format!("{chunk}0       \r\n\r\n"))
    });
    let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
    assert_eq!(got.body.len(), CHUNKS * 0x2000);
}

/// RFC 9112 section 7.1.1: what is spent on extensions is measured by the data that comes with them.
/// Each chunk may carry a signature, however many chunks there are.
pub fn extensions_that_are_shorter_than_their_data_have_no_limit<C: ApiClient>() {
    let chunk = format!("200;chunk-signature={}\r\n{}\r\n", "0".repeat(64), "x".repeat(0x200));
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let server = always(format!("{head}{}0\r\n\r\n", chunk.repeat(1000)));
    let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
    assert_eq!(got.body.len(), 1000 * 0x200);
}

/// RFC 9112 section 6.3, item 1: without any length too, so that the connection stays.
pub fn a_response_to_head_needs_no_length<C: ApiClient>() {
    let server = always(reply::head(200, &[]));
    let client = client::<C>(Config::new());
    expect(&client, send("HEAD", &server.url("/"), ""));
    assert!(expect(&client, send("HEAD", &server.url("/"), "")).exchange.reused);
}

/// RFC 9110 section 8.6: leading zeros are digits (llhttp, Go and hyper agree).
pub fn a_length_may_have_leading_zeros<C: ApiClient>() {
    let server = always("HTTP/1.1 200 OK\r\nContent-Length: 0002\r\n\r\nok");
    let client = client::<C>(Config::new());
    assert_eq!(expect(&client, get(&server.url("/"))).body, "ok");
    assert!(expect(&client, get(&server.url("/"))).exchange.reused);
}

/// RFC 9110 section 6.5.1: framing is no matter of trailers; a length there is a field.
pub fn a_length_in_the_trailers_changes_nothing<C: ApiClient>() {
    let server = always(reply::chunked(&["hello"], &[("content-length", "1")]));
    let client = client::<C>(Config::new());
    assert_eq!(expect(&client, get(&server.url("/"))).body, "hello");
    assert!(expect(&client, get(&server.url("/"))).exchange.reused);
}

/// RFC 9110 section 5.1: names have no case.
pub fn field_names_have_no_case<C: ApiClient>() {
    let server = always("HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh: 2\r\nX-a: b\r\n\r\nok");
    let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
    assert_eq!((&got.body[..], &got.headers["x-a"]), (&b"ok"[..], &"b".parse().unwrap()));
}

/// `http_body::Body::size_hint`: exact where the head says it, open where it does not.
pub fn a_body_says_how_long_it_is<C: ApiClient>() {
    let server = Server::start(|conn| {
        let request = conn.request()?;
        match request.target() {
            "/length" => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nfirst")?,
            "/chunked" => conn.send(&reply::chunked(&["first"], &[])[..60])?,
            _ => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?,
        }
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let hint = |path: &str| {
        let response = crate::run::block_on(client.request(get(&server.url(path)))).unwrap();
        let body = response.into_body();
        (http_body::Body::size_hint(&body).exact(), http_body::Body::is_end_stream(&body))
    };
    assert_eq!(hint("/length"), (Some(1000), false));
    assert_eq!(hint("/chunked"), (None, false));
    assert_eq!(hint("/empty"), (Some(0), true));
}

/// A body larger than every buffer and window on the way.
pub fn a_large_body_comes_whole<C: ApiClient>() {
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let server = always(reply::ok(&body));
    let got = expect(&client::<C>(Config::new()), get(&server.url("/")));
    assert!(got.body == body, "the body that came differs");
}

/// The head is delivered when it is whole, not when the body is.
pub fn the_head_comes_before_the_body<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")?;
        conn.wait("the head was seen")?;
        conn.send("body")
    });
    let client = client::<C>(Config::new());
    let response = crate::run::block_on(client.request(get(&server.url("/")))).unwrap();
    server.open("the head was seen");
    let body = http_body_util::BodyExt::collect(response.into_body());
    assert_eq!(&crate::run::block_on(body).unwrap().to_bytes()[..], b"body");
}

/// A response with a bit of everything that is framed.
fn sample() -> Vec<u8> {
    let early = "HTTP/1.1 103 Early Hints\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{early}{head}5;x\r\nhello\r\n06\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n").into_bytes()
}

/// Cutting the stream in two anywhere changes nothing.
pub fn every_byte_boundary_is_a_good_place_to_split<C: ApiClient>() {
    let all = sample();
    let splits = all.len();
    let server = Server::start(move |conn| {
        while let Some(request) = conn.next_request()? {
            let at = request.target()[1..].parse().expect("a number");
            conn.send_split_at(&all, at)?;
        }
        Ok(())
    });
    let client = client_of_one::<C>();
    for at in 1..splits {
        let got = expect(&client, get(&server.url(&format!("/{at}"))));
        assert_eq!(&got.body[..], b"hello world", "split at {at}");
        assert_eq!(got.trailers.expect("trailers")["x-sum"], "11", "split at {at}");
    }
    assert_eq!(client.stats().created, 1);
}

/// RFC 9112 section 8: a message that is cut off is incomplete, at every byte.
pub fn a_response_that_is_cut_anywhere_is_an_error<C: ApiClient>() {
    refuses_cuts::<C>(sample());
}

/// RFC 9112 section 8: the same where a length marks the end.
pub fn a_body_that_is_shorter_than_its_length_is_an_error<C: ApiClient>() {
    refuses_cuts::<C>(reply::ok("hello world"));
}

/// Checks that this response is incomplete if the connection ends before its last byte, wherever.
fn refuses_cuts<C: ApiClient>(all: Vec<u8>) {
    let cuts = all.len();
    let server = Server::start(move |conn| {
        let request = conn.request()?;
        let at: usize = request.target()[1..].parse().expect("a number");
        conn.send(&all[..at])?;
        conn.half_close()?;
        conn.wait_closed()
    });
    let client = client_of_one::<C>();
    for at in 0..cuts {
        let error = expect_error(&client, get(&server.url(&format!("/{at}"))));
        assert_eq!(error.kind(), ErrorKind::ClosedEarly, "cut at {at}: {error}");
    }
    assert_eq!(client.stats().open, 0);
}

/// What came before an error is the caller's.
pub fn bytes_before_a_cut_are_delivered<C: ApiClient>() {
    let server = once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    let client = client::<C>(Config::new());
    let mut body =
        crate::run::block_on(client.request(get(&server.url("/")))).unwrap().into_body();
    let mut frames = || crate::run::block_on(http_body_util::BodyExt::frame(&mut body));
    assert_eq!(&frames().unwrap().unwrap().into_data().unwrap()[..], b"half");
    assert_eq!(frames().unwrap().unwrap_err().kind(), ErrorKind::ClosedEarly);
    assert!(frames().is_none());
}
