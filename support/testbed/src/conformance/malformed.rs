//! Responses that break a rule: an error by type, and the end of the connection; never a guess.

use client_core::{ApiClient, CloseReason, Config, ErrorKind};

use super::{client, client_of_one, expect, expect_error, get};
use crate::{Server, reply, run::eventually};

/// Checks that this response is a protocol error, and closes its connection.
#[track_caller]
fn refused<C: ApiClient>(response: impl AsRef<[u8]>) {
    let response = response.as_ref().to_vec();
    let server = Server::start(move |conn| {
        conn.request()?;
        conn.send(&response)?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let error = expect_error(&client, get(&server.url("/")));
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    let stats = client.stats();
    assert_eq!((stats.open, stats.closed(CloseReason::ProtocolError)), (0, 1));
}

/// The same for a head with this field.
#[track_caller]
fn refused_field<C: ApiClient>(field: &str) {
    refused::<C>(format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
}

/// The same for a chunked body.
#[track_caller]
fn refused_chunks<C: ApiClient>(body: &str) {
    refused::<C>(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
}

/// The peer is no HTTP server.
pub fn another_protocol_is_refused<C: ApiClient>() {
    refused::<C>("SSH-2.0-OpenSSH_9.2\r\n");
}

/// RFC 9112 section 2.3: not a version that this client speaks.
pub fn an_unknown_version_is_refused<C: ApiClient>() {
    refused::<C>("HTTP/2.0 200 OK\r\n\r\n");
}

/// RFC 9112 section 4: three digits.
pub fn a_status_that_is_no_number_is_refused<C: ApiClient>() {
    refused::<C>("HTTP/1.1 2x0 OK\r\n\r\n");
}

/// RFC 9112 section 4: no fewer, and no more.
pub fn a_status_has_three_digits<C: ApiClient>() {
    for status in ["20", "2000", "-20", ""] {
        refused::<C>(format!("HTTP/1.1 {status} OK\r\nContent-Length: 0\r\n\r\n"));
    }
}

/// RFC 9112 section 6.3, item 3: a sign of request smuggling or response splitting.
pub fn a_length_beside_a_transfer_coding_is_refused<C: ApiClient>() {
    refused_field::<C>("Content-Length: 5\r\nTransfer-Encoding: chunked");
}

/// RFC 9112 section 6.3, item 3: for every status that has a body, and in either order of the fields.
/// Item 1, which comes before it, is about no other response (response splitting, CWE-113).
pub fn a_length_beside_a_transfer_coding_is_refused_where_a_body_may_be<C: ApiClient>() {
    let fields = [
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nContent-Length: x",
    ];
    for status in [200, 201, 202, 203, 205, 206, 300, 303, 305, 404, 500] {
        let fields = fields[status % 3];
        refused::<C>(format!("HTTP/1.1 {status} X\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
    }
}

/// RFC 9112 section 6.3, item 4: chunked has to be the last coding; a body that something else ends
/// would have to be decoded by what this client does not know.
pub fn a_transfer_coding_that_does_not_end_with_chunked_is_refused<C: ApiClient>() {
    for coding in ["gzip", "identity", "chunked, gzip", "chunked;a=b", "", ","] {
        refused_field::<C>(&format!("Transfer-Encoding: {coding}"));
    }
}

/// RFC 9112 section 6.3, item 5.
pub fn two_lengths_that_differ_are_refused<C: ApiClient>() {
    refused_field::<C>("Content-Length: 5\r\nContent-Length: 6");
}

/// RFC 9112 section 6.3, item 5, as a list in one field.
pub fn a_list_of_lengths_that_differ_is_refused<C: ApiClient>() {
    refused_field::<C>("Content-Length: 5, 6");
}

/// RFC 9110 section 8.6: digits only; number parsers tend to take a sign.
pub fn a_signed_length_is_refused<C: ApiClient>() {
    refused_field::<C>("Content-Length: +5");
}

/// RFC 9110 section 8.6: digits, one at the least, and nothing else.
pub fn a_length_that_is_no_number_is_refused<C: ApiClient>() {
    for length in ["", "-5", "0x5", "5 5", "5;", "5.0", "five", ",5"] {
        refused_field::<C>(&format!("Content-Length: {length}"));
    }
}

/// RFC 9110 section 8.6: an integer overflow must be anticipated.
pub fn a_length_that_overflows_is_refused<C: ApiClient>() {
    refused_field::<C>("Content-Length: 18446744073709551616");
}

/// RFC 9112 section 6.1: a coding that the client did not ask for and cannot take off.
pub fn an_unknown_transfer_coding_is_refused<C: ApiClient>() {
    for coding in ["gzip, chunked", "caf\u{e9}, chunked", "chunked, \u{e9}", "\u{a0}chunked"] {
        refused_field::<C>(&format!("Transfer-Encoding: {coding}"));
    }
}

/// RFC 9112 section 7.1: chunked is applied once.
pub fn chunked_twice_is_refused<C: ApiClient>() {
    refused_field::<C>("Transfer-Encoding: chunked, chunked");
}

/// RFC 9112 section 6.1: the framing of such a message is faulty.
pub fn a_transfer_coding_in_http_1_0_is_refused<C: ApiClient>() {
    refused::<C>("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

/// RFC 9112 section 5.1: a way to hide a field from one of two readers.
pub fn white_space_before_a_colon_is_refused<C: ApiClient>() {
    refused_field::<C>("Content-Length : 5");
}

/// RFC 9112 section 2.2.
pub fn a_bare_cr_in_a_head_is_refused<C: ApiClient>() {
    refused_field::<C>("X-A: b\rc");
}

/// RFC 9110 section 5.5.
pub fn a_nul_in_a_head_is_refused<C: ApiClient>() {
    refused_field::<C>("X-A: b\0c");
}

/// RFC 9112 section 5.
pub fn a_field_without_a_colon_is_refused<C: ApiClient>() {
    refused_field::<C>("no colon");
}

/// RFC 9110 section 5.1: a name is a token.
pub fn a_field_name_that_is_no_token_is_refused<C: ApiClient>() {
    for name in ["X A", "X(A)", "", "X\u{e9}"] {
        refused_field::<C>(&format!("{name}: b"));
    }
}

/// RFC 9112 section 2.2: white space between the status line and the first field.
pub fn white_space_before_the_first_field_is_refused<C: ApiClient>() {
    refused_field::<C>(" Content-Length: 5");
}

/// RFC 9110 section 15.2.2: only an answer to a request for it.
pub fn a_switch_of_protocols_is_refused<C: ApiClient>() {
    refused::<C>("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
}

/// RFC 9112 section 7.1: one digit at the least.
pub fn a_chunk_without_a_size_is_refused<C: ApiClient>() {
    refused_chunks::<C>("\r\nhello\r\n");
}

/// RFC 9112 section 7.1: hexadecimal digits.
pub fn a_chunk_size_that_is_no_number_is_refused<C: ApiClient>() {
    refused_chunks::<C>("5x\r\nhello\r\n");
}

/// RFC 9112 section 7.1: what number parsers take beside digits.
pub fn a_chunk_size_with_a_sign_or_a_prefix_is_refused<C: ApiClient>() {
    for size in ["+5", "-5", "0x5", " 5", "_5"] {
        refused_chunks::<C>(&format!("{size}\r\nhello\r\n0\r\n\r\n"));
    }
}

/// RFC 9112 section 7.1: large sizes must be anticipated.
pub fn a_chunk_size_that_overflows_is_refused<C: ApiClient>() {
    for size in ["10000000000000000", "0010000000000000005", "f0000000000000003"] {
        refused_chunks::<C>(&format!("{size}\r\nhello\r\n0\r\n\r\n"));
    }
}

/// RFC 9112 section 7.1: data longer than its size says.
pub fn a_chunk_that_does_not_end_where_it_says_is_refused<C: ApiClient>() {
    refused_chunks::<C>("5\r\nhello!\r\n0\r\n\r\n");
}

/// RFC 9112 section 7.1: CR LF and nothing less; readers that differ here can be split.
pub fn a_size_line_that_ends_with_lf_alone_is_refused<C: ApiClient>() {
    refused_chunks::<C>("5\nhello\r\n0\r\n\r\n");
}

/// RFC 9112 section 7.1.1: a lone LF inside an extension hides a chunk from some readers.
pub fn a_lone_lf_in_a_chunk_extension_is_refused<C: ApiClient>() {
    refused_chunks::<C>("5;a\nb\r\nhello\r\n0\r\n\r\n");
}

/// RFC 9112 section 7.1.2: trailers are fields, held to the same rules.
pub fn a_malformed_trailer_is_refused<C: ApiClient>() {
    for trailer in ["no colon", "X-A : b", "X-A: b\0", " X-A: b"] {
        refused_chunks::<C>(&format!("5\r\nhello\r\n0\r\n{trailer}\r\n\r\n"));
    }
}

/// What follows a broken response is no part of any other: the next caller, who waits already, is
/// served on a new connection.
pub fn a_broken_response_does_not_reach_the_next_caller<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        if conn.index() == 0 {
            conn.wait("both have come")?;
            let poison = reply::ok("poison");
            conn.send([b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", &poison[..]].concat())?;
            return conn.wait_closed();
        }
        conn.send(reply::ok("clean"))
    });
    let client = client_of_one::<C>();
    let first = {
        let (client, request) = (client.clone(), get(&server.url("/")));
        std::thread::spawn(move || expect_error(&client, request).kind())
    };
    server.wait_requests(1);
    let second = {
        let (client, request) = (client.clone(), get(&server.url("/")));
        std::thread::spawn(move || expect(&client, request).body)
    };
    eventually("a waiter", || client.stats().waiting == 1);
    server.open("both have come");
    assert_eq!(first.join().expect("an error"), ErrorKind::Protocol);
    assert_eq!(second.join().expect("a whole response"), "clean");
}
