//! Each path of the API, asked for over a plain socket.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use testbed::{
    Server,
    api::{self, pattern::Check},
};

/// Head and body of the response to one request on a connection of its own.
fn ask(server: &Server, method: &str, path: &str, body: &str) -> (String, Vec<u8>) {
    let mut socket = TcpStream::connect(server.addr()).unwrap();
    let length = body.len();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    let body = bytes.split_off(end);
    (String::from_utf8(bytes).unwrap(), body)
}

#[test]
fn every_path_answers_as_the_table_says() {
    let server = api::start().unwrap();
    for (method, path, status, body) in [
        ("GET", "/quotes/7", 200, "\"id\":7"),
        ("HEAD", "/quotes/7", 200, ""),
        ("GET", "/quotes/7?page=2", 200, "registers their interest"),
        ("GET", "/quotes", 200, "\"id\":35"),
        ("GET", "/quotes/99999", 404, "/quotes/7"),
        ("GET", "/quotes/99999999999999999999999", 404, "/quotes/7"),
        ("POST", "/echo", 200, "said"),
        ("GET", "/echo", 405, ""),
        ("GET", "/status/418", 418, "418"),
        ("GET", "/status/204", 204, ""),
        ("GET", "/status/999", 404, "nothing at"),
        ("GET", "/close", 200, "bye"),
        ("GET", "/headers", 200, "host: x"),
        ("GET", "/flaky", 503, "again"),
        ("GET", "/flaky", 503, "again"),
        ("GET", "/flaky", 200, "\"id\":7"),
        ("GET", "/moved", 302, "moved"),
        ("GET", "/stats", 200, "\"accepted\":18"),
        ("GET", "/", 200, "/quotes/7"),
        ("OPTIONS", "*", 404, "nothing at"),
        ("GET", "nothing", 404, "nothing at"),
    ] {
        let (head, got) =
            ask(&server, method, path, if method == "POST" { "said" } else { "" });
        let got = String::from_utf8(got).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {head}");
        assert!(got.contains(body) && got.is_empty() == body.is_empty(), "{path}: {got}");
    }
    let log = server.finish();
    assert_eq!(log.accepted, 21);
}

#[test]
fn a_body_of_any_length_is_the_pattern() {
    let server = api::start().unwrap();
    for length in [0, 1, 65_520, 65_521, 65_536, 65_537, 1_000_000] {
        let (head, body) = ask(&server, "GET", &format!("/bytes/{length}"), "");
        assert!(head.contains(&format!("content-length: {length}\r\n")));
        let mut check = Check::new();
        check.update(&body);
        assert!(check.is_whole(length), "{length}");
    }
}

#[test]
fn a_chunked_body_is_the_same_pattern_with_a_trailer() {
    let server = api::start().unwrap();
    let (head, mut left) = ask(&server, "GET", "/chunked/100000", "");
    assert!(head.contains("transfer-encoding: chunked\r\n"));
    let mut check = Check::new();
    loop {
        let line = left.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = std::str::from_utf8(&left[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        left.drain(..line + 2);
        if size == 0 {
            break;
        }
        check.update(&left[..size]);
        left.drain(..size + 2);
    }
    assert!(check.is_whole(100_000));
    assert_eq!(left, b"x-length: 100000\r\n\r\n");
}

#[test]
fn silence_ends_when_the_client_goes() {
    let server = api::start().unwrap();
    let mut socket = TcpStream::connect(server.addr()).unwrap();
    socket.write_all(b"GET /silent HTTP/1.1\r\n\r\n").unwrap();
    server.wait_requests(1);
    drop(socket);
    server.wait_closed(1);
}
