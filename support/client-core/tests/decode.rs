//! The decoder: each rule by example, and by property that cutting the input changes nothing.

use std::time::Duration;

use bytes::BytesMut;
use client_core::decode::{BodyLength, Decoder, Event, KeepAlive, Limits};
use client_core::{Error, ErrorKind};
use http::{HeaderMap, Method};
use proptest::prelude::*;

const LIMITS: Limits = Limits { head: 1024, headers: 20, body: Some(100_000) };

/// What a response says, with the pieces of its body put together.
#[derive(Debug, Default, PartialEq)]
struct Decoded {
    status: Option<u16>,
    headers: Vec<(String, Vec<u8>)>,
    length: Option<BodyLength>,
    body: Vec<u8>,
    trailers: Option<Vec<(String, Vec<u8>)>>,
    done: bool,
    kept: bool,
    left_over: usize,
    error: Option<(ErrorKind, String)>,
}

fn fields(map: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// Feeds the pieces one after another, then the end of the connection if it is still wanted.
fn decode(method: &Method, pieces: &[&[u8]], close: bool) -> Decoded {
    let mut decoded = Decoded::default();
    let mut decoder = Decoder::new(method, LIMITS);
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if let Err(error) = drain(&mut decoder, &mut buffer, &mut decoded) {
            decoded.error = Some((error.kind(), error.to_string()));
            return decoded;
        }
    }
    if close && !decoder.is_done() {
        decoded.error = decoder.eof(&buffer).err().map(|e| (e.kind(), e.to_string()));
    }
    decoded.done = decoder.is_done();
    decoded.kept = decoder.keep_alive().is_some();
    decoded.left_over = if decoded.error.is_some() { 0 } else { buffer.len() };
    decoded
}

fn drain(
    decoder: &mut Decoder,
    buffer: &mut BytesMut,
    decoded: &mut Decoded,
) -> Result<(), Error> {
    while let Some(event) = decoder.decode(buffer)? {
        match event {
            Event::Head(head) => {
                decoded.status = Some(head.status.as_u16());
                decoded.headers = fields(&head.headers);
                decoded.length = Some(head.length);
            }
            Event::Data(piece) => {
                assert!(!piece.is_empty(), "a piece of data is never empty");
                decoded.body.extend_from_slice(&piece);
            }
            Event::End(trailers) => decoded.trailers = trailers.as_ref().map(fields),
        }
    }
    Ok(())
}

fn get(response: &str) -> Decoded {
    decode(&Method::GET, &[response.as_bytes()], true)
}

fn fails_with(response: &str) -> ErrorKind {
    let decoded = get(response);
    decoded
        .error
        .unwrap_or_else(|| panic!("no error for {response:?}, status {:?}", decoded.status))
        .0
}

#[test]
fn a_length_is_the_end_of_a_body() {
    let decoded = get("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello!");
    assert_eq!(
        (decoded.status, decoded.body, decoded.left_over),
        (Some(200), b"hello".to_vec(), 1)
    );
    assert!(decoded.done && decoded.kept);
    assert_eq!(decoded.headers[1], ("x-a".into(), b"b".to_vec()));
}

#[test]
fn chunks_end_with_an_empty_one_and_may_have_trailers() {
    let decoded = get("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n\
         5;a=\"b\"\r\nhello\r\n006 \r\n world\r\n0\r\nSum: 11\r\n\r\n");
    assert_eq!(decoded.body, b"hello world");
    assert_eq!(decoded.trailers, Some(vec![("sum".into(), b"11".to_vec())]));
    assert!(decoded.done && decoded.kept);
}

#[test]
fn without_a_length_the_connection_ends_the_body() {
    let decoded = get("HTTP/1.1 200 OK\r\n\r\nall of it");
    assert_eq!(decoded.body, b"all of it");
    assert!(decoded.done && !decoded.kept && decoded.error.is_none());
}

#[test]
fn some_responses_have_no_body_whatever_they_say() {
    for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304)] {
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 7\r\n\r\n");
        let decoded = decode(&method, &[text.as_bytes()], false);
        assert!(decoded.done && decoded.kept && decoded.body.is_empty(), "{method} {status}");
    }
}

/// RFC 9112 section 6.3: its first item comes before all that looks at a field.
#[test]
fn the_fields_of_a_response_without_a_body_are_not_read() {
    for fields in FRAMED_WRONG {
        for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304)] {
            let text = format!("HTTP/1.1 {status} X\r\n{fields}\r\n");
            let decoded = decode(&method, &[text.as_bytes()], false);
            assert_eq!(decoded.error, None, "{method} {status} {fields:?}");
            assert_eq!(
                decoded.length,
                Some(BodyLength::Exact(0)),
                "{method} {status} {fields:?}"
            );
            assert!(
                decoded.done && decoded.kept && decoded.body.is_empty(),
                "{method} {status}"
            );
        }
        let early = format!("HTTP/1.1 103 X\r\n{fields}\r\n");
        let decoded = get(&(early + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        assert_eq!((decoded.status, &decoded.body[..]), (Some(200), &b"ok"[..]), "{fields:?}");
    }
}

/// RFC 9112 section 6.3: its first item is about no other status, and about HEAD alone.
#[test]
fn with_a_body_the_same_fields_are_an_error() {
    for fields in FRAMED_WRONG {
        for status in [200, 201, 202, 203, 205, 206, 300, 302, 303, 305, 400, 404, 500, 599] {
            for method in [Method::GET, Method::POST, Method::OPTIONS, Method::DELETE] {
                let text =
                    format!("HTTP/1.1 {status} X\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\n");
                let decoded = decode(&method, &[text.as_bytes()], true);
                let kind = decoded.error.map(|(kind, _)| kind);
                assert_eq!(kind, Some(ErrorKind::Protocol), "{method} {status} {fields:?}");
            }
        }
    }
}

#[test]
fn informational_responses_are_skipped_up_to_a_limit() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let most = LIMITS.head / early.len();
    assert_eq!(get(&(early.repeat(most) + last)).status, Some(200));
    let flood = early.repeat(most + 1) + last;
    assert_eq!(fails_with(&flood), ErrorKind::TooLarge);
    assert_eq!(fails_with("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"), ErrorKind::Protocol);
}

#[test]
fn keep_alive_follows_version_and_connection_field() {
    let kept = |version: &str, field: &str| {
        get(&format!("HTTP/{version} 200 OK\r\nContent-Length: 0\r\n{field}\r\n")).kept
    };
    assert!(kept("1.1", "") && !kept("1.0", ""));
    assert!(!kept("1.1", "Connection: foo, CLOSE\r\n"));
    assert!(kept("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!kept("1.0", "Connection: keep-alive, close\r\n"));
    assert!(!kept("1.1", "Keep-Alive: timeout=5, max=0\r\n"));
}

#[test]
fn the_keep_alive_field_is_read() {
    let mut decoder = Decoder::new(&Method::GET, LIMITS);
    let mut buffer = BytesMut::from(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: Timeout = 5, x, max=7\r\n\r\n",
    );
    while decoder.decode(&mut buffer).unwrap().is_some() {}
    let decoded = decoder.keep_alive().unwrap();
    let timeout = Duration::from_secs(5) - KeepAlive::MARGIN;
    assert_eq!(decoded, KeepAlive { timeout: Some(timeout), max: Some(7) });
}

#[test]
fn a_time_that_the_margin_uses_up_is_no_time() {
    let kept =
        |decoded: &str| get(&format!("HTTP/1.1 204 No\r\nKeep-Alive: {decoded}\r\n\r\n")).kept;
    assert!(kept("timeout=2") && kept("max=1") && kept("timeout=2, max=1"));
    for decoded in ["timeout=0", "timeout=1", "timeout=1, max=9", "timeout=9, timeout=1"] {
        assert!(!kept(decoded), "{decoded}");
    }
}

#[test]
fn equal_lengths_are_one_and_an_old_folded_line_is_a_space() {
    let decoded = get("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\ncontent-length: 2\r\n\
         A: b\r\n\t c\r\n\r\nhi");
    assert_eq!(decoded.body, b"hi");
    assert_eq!(decoded.headers.last().unwrap(), &("a".into(), b"b c".to_vec()));
}

#[test]
fn lines_may_end_with_lf_alone() {
    assert_eq!(get("HTTP/1.1 200 OK\nContent-Length: 2\n\nhi").body, b"hi");
}

/// Fields that no message with a body may have.
const FRAMED_WRONG: [&str; 17] = [
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    "Content-Length: x\r\nTransfer-Encoding: gzip\r\n",
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5, 6\r\n",
    "Content-Length: 5, 5, x\r\n",
    "Content-Length: \r\n",
    "Content-Length: +5\r\n",
    "Content-Length: five\r\n",
    "Content-Length: \u{665}\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, gzip\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: chunked;a=b\r\n",
    "Transfer-Encoding: \r\n",
];

#[test]
fn what_could_be_read_in_two_ways_is_an_error() {
    let heads = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: \r\n",
        "Content-Length: 5,\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length : 5\r\n",
        " Content-Length: 5\r\n",
        "Content-Length: 5\r\nA: b\rc\r\n",
        "A: b\0c\r\n",
        "A\0: b\r\n",
        "no colon\r\n",
        ": no name\r\n",
    ];
    for head in heads {
        let response = format!("HTTP/1.1 200 OK\r\n{head}\r\n5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(fails_with(&response), ErrorKind::Protocol, "{head:?}");
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(fails_with(old), ErrorKind::Protocol);
}

#[test]
fn a_status_line_is_what_a_response_starts_with() {
    let lines = [
        "SSH-2.0-x",
        "http/1.1 200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 099 OK",
        "\r\nHTTP/1.1 200 OK",
        "HTTP/1.1 200 a\rb",
        "HTTP/1.1",
    ];
    for line in lines {
        assert_eq!(fails_with(&format!("{line}\r\n\r\n")), ErrorKind::Protocol, "{line:?}");
    }
    assert_eq!(get("HTTP/1.1 299\r\ncontent-length: 0\r\n\r\n").status, Some(299));
}

#[test]
fn malformed_chunks_are_errors() {
    let bodies = [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        " 5\r\nhello\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5;a\nb\r\nhello",
        "5;a\rb\r\nhello",
        "10000000000000000\r\n",
        "5 5\r\nhello",
        "0\r\nno colon\r\n\r\n",
    ];
    for body in bodies {
        let response = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert_eq!(fails_with(&response), ErrorKind::Protocol, "{body:?}");
    }
}

#[test]
fn everything_that_a_peer_controls_has_a_limit() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let responses = [
        format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(LIMITS.head)),
        format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(LIMITS.head)),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(LIMITS.headers + 1)),
        "HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n".into(),
        format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_001)),
        format!("{chunked}186A1\r\n{}", "x".repeat(100_001)),
        format!("{chunked}5;{}", "x".repeat(Limits::CHUNK_LINE)),
        format!("{chunked}{}", format!("1;{}\r\nx\r\n", "e".repeat(2000)).repeat(9)),
        format!("{chunked}{}", format!("1{}\r\nx\r\n", " ".repeat(2000)).repeat(9)),
        format!("{chunked}{}", format!("{}1\r\nx\r\n", "0".repeat(2000)).repeat(9)),
        format!("{chunked}{}", format!("1;{}\r\nx\r\n", "e".repeat(50)).repeat(500)),
        // A long chunk does not pay for short ones that come after it.
        format!(
            "{chunked}8000\r\n{}\r\n{}",
            "x".repeat(0x8000),
            format!("1;{}\r\nx\r\n", "e".repeat(50)).repeat(500)
        ),
        format!("{chunked}0\r\nA: {}\r\n\r\n", "x".repeat(LIMITS.head)),
        format!("{chunked}0\r\n{}\r\n", "A: b\r\n".repeat(LIMITS.headers + 1)),
    ];
    for response in &responses {
        let shown = &response[..response.len().min(80)];
        assert_eq!(fails_with(response), ErrorKind::TooLarge, "{shown:?}");
    }
}

/// The overhead of chunks is measured by the data that they carry, so a body has no largest size
/// because of it (python-hyper/h11#133, erikdubbelboer/fasthttp#34).
#[test]
fn padded_sizes_and_short_extensions_set_no_limit_to_a_body() {
    let line = |size: usize, pad: &str| format!("{size:x}{pad}\r\n{}\r\n", "x".repeat(size));
    for (count, chunk, length) in [
        (4_300, line(8192, "    "), 8192), // 33 MiB and more.
        (500, line(8192, &" ".repeat(4000)), 8192),
        (500, line(8192, &format!(";signature={}", "0".repeat(64))), 8192),
        (1_000, line(100, &"\t".repeat(100)), 100),
        (20_000, line(1, "       "), 1),
        (20_000, line(1, ";a=b"), 1),
        (20_000, format!("{:0>24}\r\nx\r\n", 1), 1),
    ] {
        let limits = Limits { body: None, ..LIMITS };
        let mut decoder = Decoder::new(&Method::GET, limits);
        let mut buffer =
            BytesMut::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut received = 0;
        for _ in 0..count {
            buffer.extend_from_slice(chunk.as_bytes());
            while let Some(event) = decoder.decode(&mut buffer).expect("no error") {
                if let Event::Data(piece) = event {
                    received += piece.len();
                }
            }
        }
        buffer.extend_from_slice(b"0\r\n\r\n");
        assert!(matches!(decoder.decode(&mut buffer), Ok(Some(Event::End(None)))));
        assert_eq!(received, count * length);
    }
}

#[test]
fn an_early_end_says_what_was_still_to_come() {
    let cut = [
        ("", "no byte"),
        ("HTTP/1.1 200 OK\r\n", "head"),
        ("HTTP/1.1 100 Continue\r\n\r\n", "head"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "content-length"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "chunked"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "chunked"),
    ];
    for (response, word) in cut {
        let (kind, message) = get(response).error.expect(response);
        assert_eq!(kind, ErrorKind::ClosedEarly, "{response:?}");
        assert!(message.contains(word), "{message}");
    }
}

/// Pieces out of which responses are put together: right ones, wrong ones, and halves.
fn response() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 204 \r\n",
        "HTTP/1.1 100 Go\r\n\r\n",
        "HTTP/1.1 500\r\n",
        "HTTP/1.1 2x0\r\n",
        "HTTQ/1.1 200 OK\r\n",
    ]);
    let field = prop::sample::select(vec![
        "Content-Length: 11\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "A: b\n",
        "B: c\r\n d\r\n",
        "Bad : d\r\n",
        "Keep-Alive: max=3\r\n",
        "C: \u{e9}\r\n",
    ]);
    let body = prop::sample::select(vec![
        "hello world",
        "5\r\nhello\r\n6;x\r\n world\r\n0\r\n\r\n",
        "b\r\nhello world\r\n0\r\nT: u\r\n\r\n",
        "",
        "5\r\nhello",
        "zz",
        "0\r\n",
        "5\nhello",
    ]);
    (prop::collection::vec(line, 1..3), prop::collection::vec(field, 0..4), body).prop_map(
        |(lines, fields, body)| {
            [lines.concat(), fields.concat(), "\r\n".into(), body.into()].concat().into_bytes()
        },
    )
}

#[test]
fn what_fits_under_a_limit_comes_before_the_error_however_it_was_cut() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186A1\r\n";
    for head in ["HTTP/1.1 200 OK\r\n\r\n", chunked] {
        let input = format!("{head}{}", "x".repeat(100_001));
        for size in [1, 1000, input.len()] {
            let decoded =
                decode(&Method::GET, &input.as_bytes().chunks(size).collect::<Vec<_>>(), true);
            assert_eq!(decoded.body.len(), 100_000);
            assert_eq!(decoded.error.map(|(kind, _)| kind), Some(ErrorKind::TooLarge));
        }
    }
}

fn cut<'a>(input: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    at.extend([0, input.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn cutting_the_input_changes_nothing(
        input in response(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        head in any::<bool>(),
        close in any::<bool>(),
    ) {
        let method = if head { Method::HEAD } else { Method::GET };
        let whole = decode(&method, &[&input], close);
        prop_assert_eq!(&decode(&method, &cut(&input, &cuts), close), &whole);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(&decode(&method, &bytes, close), &whole);
    }

    #[test]
    fn no_input_makes_it_panic(input in prop::collection::vec(any::<u8>(), 0..200), start in any::<bool>()) {
        let start: &[u8] = if start { b"HTTP/1.1 200 OK\r\n" } else { b"" };
        decode(&Method::GET, &[start, &input], true);
    }

    #[test]
    fn what_was_encoded_in_chunks_comes_out(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..10),
    ) {
        let mut input = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for piece in &pieces {
            input.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            input.extend_from_slice(piece);
            input.extend_from_slice(b"\r\n");
        }
        input.extend_from_slice(b"0\r\n\r\n");
        let decoded = decode(&Method::GET, &[&input], false);
        prop_assert_eq!(decoded.body, pieces.concat());
        prop_assert!(decoded.done && decoded.kept);
    }
}
