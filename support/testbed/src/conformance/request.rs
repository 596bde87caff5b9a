//! What goes out: request line, fields, body.

use std::{
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use client_core::{ApiClient, Config, ErrorKind, Name, Resolver, Resolving};
use http::{HeaderValue, Request, Version};
use http_body_util::Full;

use super::{call, client, expect, expect_error, get, send};
use crate::{Server, reply::ok};

/// A resolver that remembers what it was asked for. It finds what it was told of.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    names: Vec<(String, u16)>,
    answers: Vec<String>,
}

impl Asked {
    /// Finds 127.0.0.1 for this name from now on.
    fn answer(&self, name: &str) {
        self.0.lock().unwrap().answers.push(name.to_owned());
    }

    fn names(&self) -> Vec<(String, u16)> {
        self.0.lock().unwrap().names.clone()
    }
}

impl Resolver for Asked {
    fn resolve(&self, name: Name) -> Resolving {
        let mut known = self.0.lock().unwrap();
        known.names.push((name.as_str().to_owned(), name.port()));
        let found = known.answers.iter().any(|answer| answer == name.as_str());
        let none = || io::Error::from(io::ErrorKind::NotFound);
        let answer = found.then(|| vec![Ipv4Addr::LOCALHOST.into()]).ok_or_else(none);
        Box::pin(async move { answer })
    }
}

/// Answers every request with an empty 200.
fn server() -> Server {
    Server::start(|conn| {
        while conn.next_request()?.is_some() {
            conn.send(ok(""))?;
        }
        Ok(())
    })
}

fn head(server: &Server) -> String {
    server.look(|log| String::from_utf8_lossy(&log.requests[0].head).into_owned())
}

/// RFC 9112 sections 3.2.1 and 3.2: origin form, and exactly one host field.
pub fn a_get_is_a_request_line_and_a_host<C: ApiClient>() {
    let server = server();
    expect(&client::<C>(Config::new()), get(&server.url("/a/b?c=d&e")));
    let host = server.addr();
    assert_eq!(head(&server), format!("GET /a/b?c=d&e HTTP/1.1\r\nhost: {host}\r\n\r\n"));
}

/// RFC 9112 section 3.2.1: an empty path is sent as a slash.
pub fn an_empty_path_is_a_slash<C: ApiClient>() {
    let server = server();
    expect(&client::<C>(Config::new()), get(&server.url("")));
    assert!(head(&server).starts_with("GET / HTTP/1.1\r\n"));
}

/// RFC 9112 section 3.2: what is percent-encoded stays so, dots and empty segments too; RFC 9110
/// section 4.2.5: a fragment is not sent.
pub fn a_target_is_sent_as_it_was_written<C: ApiClient>() {
    let server = server();
    let target = "/a%20b/%0D%0Ax-evil:1/../c//d?x=%2F&&y=?";
    expect(&client::<C>(Config::new()), get(&server.url(&format!("{target}#part"))));
    assert_eq!(server.log().targets(), [target]);
}

/// RFC 9112 section 3.2 allows no other bytes in a target than RFC 3986 does, and `http::Uri` lets
/// more through. They are percent-encoded, those beyond ASCII as UTF-8 (RFC 3987 section 3.1).
pub fn what_no_target_may_hold_is_percent_encoded<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    let targets = [
        ("/caf\u{e9}?q=\u{20ac}", "/caf%C3%A9?q=%E2%82%AC"),
        ("?\u{1f980}", "/?%F0%9F%A6%80"),
        ("/{\"a\"}|\\^?b[]=`", "/%7B%22a%22%7D%7C%5C%5E?b%5B%5D=%60"),
    ];
    for (written, _) in targets {
        expect(&client, get(&server.url(written)));
    }
    assert_eq!(server.log().targets(), targets.map(|(_, sent)| sent));
}

/// RFC 9110 section 9.1: methods are case-sensitive, and there are more than the known ones.
pub fn a_method_is_sent_as_it_is<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    let methods = ["DELETE", "OPTIONS", "PATCH", "PURGE", "report"];
    for method in methods {
        expect(&client, send(method, &server.url("/"), "x"));
    }
    let log = server.log();
    assert_eq!(log.requests.iter().map(|r| r.method()).collect::<Vec<_>>(), methods);
}

/// RFC 9110 section 8.6.
pub fn a_body_is_sent_with_its_length<C: ApiClient>() {
    let server = server();
    expect(&client::<C>(Config::new()), send("POST", &server.url("/"), "hello"));
    assert!(head(&server).contains("\r\ncontent-length: 5\r\n"));
    assert_eq!(server.log().requests[0].body, b"hello");
}

/// RFC 9110 section 8.6: a method that anticipates content announces that there is none.
pub fn an_empty_post_says_that_it_is_empty<C: ApiClient>() {
    let server = server();
    expect(&client::<C>(Config::new()), send("POST", &server.url("/"), ""));
    assert!(head(&server).contains("\r\ncontent-length: 0\r\n"));
}

/// RFC 9110 section 5.3: fields of one name keep their order.
pub fn the_callers_fields_are_sent_in_order<C: ApiClient>() {
    let server = server();
    let mut request = get(&server.url("/"));
    request.headers_mut().append("x-one", HeaderValue::from_static("1"));
    request.headers_mut().append("x-one", HeaderValue::from_static("2"));
    expect(&client::<C>(Config::new()), request);
    assert!(head(&server).contains("\r\nx-one: 1\r\nx-one: 2\r\n"));
}

/// RFC 9110 section 5.5: bytes above ASCII are opaque, and pass.
pub fn field_values_pass_as_bytes<C: ApiClient>() {
    let server = server();
    let mut request = get(&server.url("/"));
    request.headers_mut().insert("x-raw", HeaderValue::from_bytes(b"caf\xe9\t!").unwrap());
    expect(&client::<C>(Config::new()), request);
    let raw = server.look(|log| log.requests[0].head.clone());
    assert!(raw.windows(8).any(|window| window == b" caf\xe9\t!\r"));
}

/// A caller may talk to one host about another, as curl's `-H Host:` does.
pub fn the_callers_host_replaces_that_of_the_url<C: ApiClient>() {
    let server = server();
    let request =
        Request::get(server.url("/")).header("host", "example.org").body(Full::default());
    expect(&client::<C>(Config::new()), request.unwrap());
    assert_eq!(head(&server), "GET / HTTP/1.1\r\nhost: example.org\r\n\r\n");
}

/// A body larger than every buffer on the way.
pub fn a_large_body_arrives_whole<C: ApiClient>() {
    let server = server();
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    expect(&client::<C>(Config::new()), send("PUT", &server.url("/"), body.clone()));
    assert!(server.log().requests[0].body == body, "the body that arrived differs");
}

/// RFC 9110 section 10.1.1: the expectation is the caller's; its body is sent without waiting for
/// a 100 that may never come (decision: bodies are whole before they are sent).
pub fn an_expectation_is_passed_on_and_not_waited_for<C: ApiClient>() {
    let server = server();
    let mut request = send("POST", &server.url("/"), "hello");
    request.headers_mut().insert("expect", HeaderValue::from_static("100-continue"));
    expect(&client::<C>(Config::new()), request);
    let log = server.log();
    assert_eq!(log.requests[0].header("expect"), Some("100-continue"));
    assert_eq!(log.requests[0].body, b"hello");
}

/// Checks that a request is refused by type, and that no server hears of it.
#[track_caller]
fn refused<C: ApiClient>(change: impl Fn(&mut Request<Full<bytes::Bytes>>)) {
    let server = server();
    let client = client::<C>(Config::new());
    let mut request = get(&server.url("/"));
    change(&mut request);
    let error = expect_error(&client, request);
    assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
    expect(&client, get(&server.url("/next")));
    assert_eq!(server.log().targets(), ["/next"]);
}

/// RFC 9110 section 4.2: an absolute http URL with a host.
pub fn a_url_without_scheme_and_host_is_refused<C: ApiClient>() {
    refused::<C>(|request| *request.uri_mut() = "/path".parse().unwrap());
}

/// Other schemes are another client's business.
pub fn an_unknown_scheme_is_refused<C: ApiClient>() {
    refused::<C>(|request| *request.uri_mut() = "ftp://127.0.0.1/".parse().unwrap());
}

/// RFC 9110 section 4.2.4: user information disguises the host.
pub fn user_information_in_a_url_is_refused<C: ApiClient>() {
    refused::<C>(|request| *request.uri_mut() = "http://me:pw@127.0.0.1/".parse().unwrap());
}

/// No connection can be made to port 0.
pub fn port_zero_is_refused<C: ApiClient>() {
    refused::<C>(|request| *request.uri_mut() = "http://127.0.0.1:0/".parse().unwrap());
}

/// Checks that each of these hosts is refused by type, before a resolver is asked or a server hears
/// of it. `PORT` stands for the port of a server that would answer.
#[track_caller]
fn refused_hosts<C: ApiClient>(hosts: &[&str]) {
    let server = server();
    let resolver = Asked::default();
    let client = client::<C>(Config::new().resolver(resolver.clone()));
    for host in hosts {
        let host = host.replace("PORT", &server.port().to_string());
        let error = expect_error(&client, get(&format!("{}://{host}/", server.scheme())));
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{host}: {error}");
    }
    assert_eq!(resolver.names(), []);
    expect(&client, get(&server.url("/next")));
    assert_eq!(server.log().targets(), ["/next"]);
    assert_eq!(client.stats().created, 1);
}

/// RFC 3986 section 3.2.2: brackets hold an IPv6 address, and only a port may follow. Another reader
/// takes `[::1].evil.example` for a name (CVE-2024-11168, CVE-2025-0938, CVE-2025-47912).
pub fn only_an_ipv6_address_stands_in_brackets<C: ApiClient>() {
    refused_hosts::<C>(&[
        "[::1].evil.example",
        "[::1].evil.example:PORT",
        "[::1]PORT",
        "[::1]evil:PORT",
        "[127.0.0.1]:PORT",
        "[localhost]:PORT",
        "[]:PORT",
        "[::ffff:127.0.0.1.1]:PORT",
        "[1::2::3]:PORT",
        "[v1.127]:PORT",
        "localhost[::1]:PORT",
        "local[h]ost:PORT",
    ]);
}

/// An address is never looked up as a name. RFC 9844: a zone is no part of a URL, and a connection to
/// another zone than the one meant is a connection to another host.
pub fn an_ipv6_address_with_a_zone_is_refused<C: ApiClient>() {
    refused_hosts::<C>(&["[::1%25lo]:PORT", "[fe80::1%25eth0]:PORT", "[fe80::1%251]:PORT"]);
}

/// RFC 3986 section 7.4: other forms of an IPv4 address. A check that goes by the grammar takes them
/// for names, and a system's resolver for addresses (whatwg/url#560).
pub fn an_ipv4_address_has_four_decimal_numbers<C: ApiClient>() {
    refused_hosts::<C>(&[
        "127.1:PORT",
        "2130706433:PORT",
        "0x7f000001:PORT",
        "0x7f.0.0.1:PORT",
        "127.0.0.0x1:PORT",
        "0177.0.0.1:PORT",
        "127.0.0.01:PORT",
        "127.0.0.1.:PORT",
        "127.0.0.256:PORT",
        "127.0.0.1.1:PORT",
        "name.1:PORT",
    ]);
}

/// RFC 3986 section 3.2.3: digits, and no more than a port has.
pub fn a_port_is_a_number_of_digits<C: ApiClient>() {
    refused_hosts::<C>(&[
        "127.0.0.1:+PORT",
        "[::1]:+PORT",
        "localhost:+PORT",
        "127.0.0.1:-PORT",
        "127.0.0.1:PORTx",
        "127.0.0.1:0x50",
        "127.0.0.1:00",
        "127.0.0.1:65536",
        "127.0.0.1:18446744073709551617",
    ]);
}

/// RFC 9110 section 4.2.1: an empty port means the scheme's own.
pub fn an_empty_port_is_the_schemes_own<C: ApiClient>() {
    let server = server();
    let resolver = Asked::default();
    let client = client::<C>(Config::new().resolver(resolver.clone()));
    for url in ["http://none.invalid:/", "https://none.invalid:", "http://none.invalid:0080/"] {
        let error = expect_error(&client, get(url));
        assert_eq!(error.kind(), ErrorKind::Resolve, "{url}: {error}");
    }
    let asked = [80, 443, 80].map(|port| ("none.invalid".to_owned(), port));
    assert_eq!(resolver.names(), asked);
    // Zeros before a port are the same port, and the same connection.
    expect(&client, get(&server.url("/")));
    let zeros = server.url("/").replace("127.0.0.1:", "127.0.0.1:000");
    assert!(expect(&client, get(&zeros)).exchange.reused);
    let host = server.addr().to_string();
    let log = server.log();
    assert_eq!(
        log.requests.iter().map(|r| r.header("host")).collect::<Vec<_>>(),
        [Some(&*host); 2]
    );
}

/// RFC 9110 section 7.2: the name that is resolved, the name that the certificate is checked for and
/// the one in the `host` field are the host of the URL.
pub fn the_host_that_is_resolved_is_the_host_that_is_sent<C: ApiClient>() {
    let server = server();
    let resolver = Asked::default();
    let client = client::<C>(Config::new().resolver(resolver.clone()));
    let hosts = ["once.invalid", "TWO.Invalid", "two.invalid."];
    for host in hosts {
        resolver.answer(host);
        expect(&client, get(&server.url_as(host, "/")));
    }
    let port = server.port();
    assert_eq!(resolver.names(), hosts.map(|host| (host.to_owned(), port)));
    let sent: Vec<_> = server.look(|log| {
        log.requests.iter().map(|r| r.header("host").unwrap_or("").to_owned()).collect()
    });
    assert_eq!(sent, hosts.map(|host| format!("{host}:{port}")));
}

/// RFC 9110 section 9.3.6: CONNECT has no response in our sense.
pub fn connect_is_refused<C: ApiClient>() {
    refused::<C>(|request| *request.method_mut() = http::Method::CONNECT);
}

/// RFC 9110 section 7.8: what follows an upgrade is no HTTP any more.
pub fn an_upgrade_is_refused<C: ApiClient>() {
    refused::<C>(|request| {
        request.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
    });
}

/// The client speaks HTTP/1.1.
pub fn another_version_is_refused<C: ApiClient>() {
    refused::<C>(|request| *request.version_mut() = Version::HTTP_2);
}

/// RFC 9112 section 6.2: a length that is not the body's splits requests.
pub fn a_wrong_content_length_is_refused<C: ApiClient>() {
    refused::<C>(|request| {
        request.headers_mut().insert("content-length", HeaderValue::from_static("7"));
    });
}

/// RFC 9112 section 6.1: the framing of requests is the client's.
pub fn a_transfer_encoding_of_the_callers_is_refused<C: ApiClient>() {
    refused::<C>(|request| {
        request.headers_mut().insert("transfer-encoding", HeaderValue::from_static("chunked"));
    });
}

/// RFC 9112 section 3.2: more than one host field is a server's 400.
pub fn two_hosts_are_refused<C: ApiClient>() {
    refused::<C>(|request| {
        request.headers_mut().append("host", HeaderValue::from_static("a"));
        request.headers_mut().append("host", HeaderValue::from_static("b"));
    });
}

/// RFC 9112 section 11.1: neither a name nor a value can end its line.
pub fn a_field_cannot_hold_a_line_break<C: ApiClient>() {
    let server = server();
    for value in ["a\r\nx-evil: 1", "a\nx-evil: 1", "a\rb", "a\0b"] {
        let built = Request::get(server.url("/")).header("x-one", value).body(());
        assert!(built.is_err(), "{value:?}");
    }
    let line = Request::get(server.url("/\r\nx-evil: 1")).body(());
    assert!(line.is_err());
    call(&client::<C>(Config::new()), get(&server.url("/"))).unwrap();
}

/// Futures are lazy: nothing is resolved, connected or sent before the first poll.
pub fn a_request_that_is_never_polled_does_nothing<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    drop(client.request(get(&server.url("/never"))));
    expect(&client, get(&server.url("/polled")));
    assert_eq!(server.log().targets(), ["/polled"]);
    assert_eq!(client.stats().created, 1);
}
