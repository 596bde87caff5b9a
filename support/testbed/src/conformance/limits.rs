//! Everything that a peer controls has a limit.

use client_core::{ApiClient, CloseReason, Config, ErrorKind};

use super::{client, expect, expect_error, get};
use crate::{Server, reply};

fn server(response: impl Into<Vec<u8>>) -> Server {
    let response = response.into();
    Server::start(move |conn| {
        conn.request()?;
        conn.send(&response)?;
        conn.wait_closed()
    })
}

/// Checks that this response exceeds a limit, and that its connection is closed.
#[track_caller]
fn too_large<C: ApiClient>(config: Config, response: impl Into<Vec<u8>>) {
    let server = server(response);
    let client = client::<C>(config);
    let error = expect_error(&client, get(&server.url("/")));
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    let stats = client.stats();
    assert_eq!((stats.open, stats.closed(CloseReason::ProtocolError)), (0, 1));
}

/// `Config::max_head`, with and without an end in sight.
pub fn a_head_has_a_largest_size<C: ApiClient>() {
    let field = "x".repeat(2000);
    let config = Config::new().max_head(1000);
    too_large::<C>(config.clone(), format!("HTTP/1.1 200 OK\r\nX: {field}\r\n\r\n"));
    too_large::<C>(config, format!("HTTP/1.1 200 OK\r\nX: {field}"));
}

/// A head as long as the limit is no longer than the limit.
pub fn a_head_as_long_as_the_limit_is_taken<C: ApiClient>() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: some more\r\n\r\n";
    let server = server(head);
    expect(&client::<C>(Config::new().max_head(head.len())), get(&server.url("/")));
    too_large::<C>(Config::new().max_head(head.len() - 1), head);
}

/// A head without end is given up, however willing the server is to go on.
pub fn a_head_without_end_is_given_up<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 200 OK\r\n")?;
        while conn.send("X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(100)).is_ok() {}
        Ok(())
    });
    let client = client::<C>(Config::new());
    let error = expect_error(&client, get(&server.url("/")));
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    server.wait_closed(1);
}

/// `Config::max_headers`.
pub fn a_head_has_a_largest_number_of_fields<C: ApiClient>() {
    let fields = "X: y\r\n".repeat(11);
    let config = Config::new().max_headers(10);
    too_large::<C>(config.clone(), format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
    let server = server(format!("HTTP/1.1 204 No\r\n{}\r\n", "X: y\r\n".repeat(10)));
    assert_eq!(expect(&client::<C>(config), get(&server.url("/"))).headers.len(), 10);
}

/// `Config::max_body` against an announced length.
pub fn an_announced_body_has_a_largest_size<C: ApiClient>() {
    too_large::<C>(Config::new().max_body(4), reply::ok("hello"));
    let server = server(reply::ok("four"));
    expect(&client::<C>(Config::new().max_body(4)), get(&server.url("/")));
}

/// `Config::max_body` against chunks.
pub fn a_chunked_body_has_a_largest_size<C: ApiClient>() {
    too_large::<C>(Config::new().max_body(4), reply::chunked(&["hel", "lo"], &[]));
}

/// `Config::max_body` against a body that only the close ends.
pub fn a_body_without_length_has_a_largest_size<C: ApiClient>() {
    too_large::<C>(Config::new().max_body(4), "HTTP/1.1 200 OK\r\n\r\nhello");
}

/// RFC 9110 section 15.2 sets no limit to 1xx responses; a client must. `Config::max_head` is that of
/// all of them together (as in golang/go#65035).
pub fn informational_responses_have_a_largest_size_in_all<C: ApiClient>() {
    let early = "HTTP/1.1 100 Continue\r\n\r\n";
    too_large::<C>(Config::new().max_head(1000), early.repeat(100));
    too_large::<C>(Config::new(), early.repeat(10_000));
}

/// RFC 9112 section 7.1.1: a recipient must limit the length of chunk extensions.
pub fn a_chunk_extension_has_a_largest_size<C: ApiClient>() {
    let endless = "x".repeat(10_000);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    too_large::<C>(Config::new(), format!("{head}1;{endless}"));
}

/// Many small extensions are as much work as a long one (as in Go's CVE-2023-39326).
pub fn chunk_extensions_have_a_largest_size_in_all<C: ApiClient>() {
    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(1000)).repeat(50);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    too_large::<C>(Config::new(), format!("{head}{chunk}0\r\n\r\n"));
}

/// The same for what else can make a size line longer than its chunk, and for extensions each of which
/// is short. Data of another chunk do not pay for them.
pub fn chunks_may_not_cost_much_more_than_their_data<C: ApiClient>() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let paid = format!("{head}10000\r\n{}\r\n", "x".repeat(0x10000));
    let (blanks, zeros, extension) = (" ".repeat(1000), "0".repeat(1000), "e".repeat(40));
    for chunks in [
        format!("1{blanks}\r\nx\r\n").repeat(50),
        format!("{zeros}1\r\nx\r\n").repeat(50),
        format!("1;{extension}\r\nx\r\n").repeat(1000),
    ] {
        too_large::<C>(Config::new(), format!("{head}{chunks}0\r\n\r\n"));
        too_large::<C>(Config::new(), format!("{paid}{chunks}0\r\n\r\n"));
    }
}

/// Trailers are held to the limits of a head.
pub fn trailers_have_a_largest_size<C: ApiClient>() {
    let trailer = "x".repeat(2000);
    let config = Config::new().max_head(1000);
    too_large::<C>(config, reply::chunked(&["x"], &[("x-t", &trailer)]));
}

/// The same for their number.
pub fn trailers_have_a_largest_number<C: ApiClient>() {
    let trailers = vec![("x-t", "y"); 11];
    too_large::<C>(Config::new().max_headers(10), reply::chunked(&["x"], &trailers));
}

/// Settings with which nothing could ever be answered are refused when the client is made.
pub fn impossible_settings_are_refused<C: ApiClient>() {
    let impossible = [
        Config::new().max_per_origin(0),
        Config::new().max_total(0),
        Config::new().max_head(0),
        Config::new().body_window(0),
    ];
    for config in impossible {
        let error = C::new(config).err().expect("an error");
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
    }
}
