//! The server does what its script says. The client here is a plain socket, so that nothing that
//! is tested by this server helps to test it.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use testbed::{
    End, Server, api,
    reply::{chunked, ok, respond},
    run,
    server::{Options, has_ipv6},
};

const GET: &str = "GET /a HTTP/1.1\r\nhost: x\r\n\r\n";

fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.addr()).unwrap()
}

fn ask(server: &Server, request: &str) -> String {
    let mut socket = connect(server);
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads exactly this response.
fn expect(socket: &mut TcpStream, response: &[u8]) {
    let mut bytes = vec![0; response.len()];
    socket.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(response));
}

#[test]
fn requests_are_recorded_as_they_came() {
    let server = Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            conn.send(ok(request.target()))?;
        }
        Ok(())
    });
    let mut socket = connect(&server);
    // Two requests in one write: the second must not be lost in a buffer.
    let post = "POST /b?c HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nx-a:  one \r\n\r\nabc";
    socket.write_all(format!("{post}{GET}").as_bytes()).unwrap();
    expect(&mut socket, &ok("/b?c"));
    expect(&mut socket, &ok("/a"));
    drop(socket);
    server.wait_closed(1);

    let log = server.finish();
    assert_eq!((log.accepted, log.received, log.most_open, log.open), (1, 2, 1, 0));
    assert_eq!(log.end(0), Some(&End::PeerClosed));
    let first = &log.requests[0];
    assert_eq!((first.method(), first.target(), &*first.body), ("POST", "/b?c", &b"abc"[..]));
    assert_eq!(first.header("X-A"), Some("one"));
    assert_eq!(first.headers().count(), 3);
    assert_eq!(first.head, post.strip_suffix("abc").unwrap().as_bytes());
    assert_eq!((log.requests[1].connection, log.requests[1].index), (0, 1));
    assert_eq!(log.targets(), ["/b?c", "/a"]);
}

#[test]
fn a_step_waits_until_the_test_opens_it() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.open("asked");
        conn.wait("answer")?;
        conn.send(ok("late"))
    });
    let mut socket = connect(&server);
    socket.write_all(GET.as_bytes()).unwrap();
    server.wait_open("asked");
    socket.set_nonblocking(true).unwrap();
    assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
    server.open("answer");
    expect(&mut socket, &ok("late"));
    server.wait_closed(1);
    assert_eq!(server.finish().end(0), Some(&End::Closed));
}

#[test]
fn the_log_is_a_future_too() {
    let server = Server::start(|conn| conn.request().map(|_| ()));
    let mut socket = connect(&server);
    run::block_on(async {
        server.until("an accepted connection", |log| log.accepted == 1).await;
        socket.write_all(GET.as_bytes()).unwrap();
        server.until("a request", |log| log.received == 1).await;
    });
}

#[test]
fn a_reset_is_a_reset_and_a_half_close_an_end_of_input() {
    let server = Server::start(|conn| {
        match conn.request()?.target() {
            "/reset" => conn.reset()?,
            _ => {
                conn.send("only half")?;
                conn.half_close()?;
                assert_eq!(conn.read_to_end()?, b"the other");
            }
        }
        Ok(())
    });
    let mut socket = connect(&server);
    socket.write_all(b"GET /reset HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);

    let mut socket = connect(&server);
    socket.write_all(GET.as_bytes()).unwrap();
    let mut half = String::new();
    socket.read_to_string(&mut half).unwrap();
    assert_eq!(half, "only half");
    socket.write_all(b"the other").unwrap();
    drop(socket);
    server.wait_closed(2);
    let log = server.finish();
    assert_eq!((log.end(0), log.end(1)), (Some(&End::Reset), Some(&End::PeerClosed)));
}

#[test]
fn a_peer_that_resets_is_told_from_one_that_closes() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(ok("unread"))?;
        conn.open(if conn.index() == 0 { "sent 0" } else { "sent 1" });
        conn.wait_closed()
    });
    let mut socket = connect(&server);
    socket.write_all(GET.as_bytes()).unwrap();
    expect(&mut socket, &ok("unread"));
    drop(socket);
    let mut socket = connect(&server);
    socket.write_all(GET.as_bytes()).unwrap();
    server.wait_open("sent 1");
    // Closing with unread data resets (RFC 9293 section 3.6).
    socket.peek(&mut [0]).unwrap();
    drop(socket);
    server.wait_closed(2);
    let log = server.finish();
    assert_eq!((log.end(0), log.end(1)), (Some(&End::PeerClosed), Some(&End::PeerReset)));
}

#[test]
#[cfg(target_os = "linux")]
fn pieces_arrive_as_pieces() {
    for ipv6 in [false, true].into_iter().take(1 + usize::from(has_ipv6())) {
        let options = if ipv6 { Options::new().ipv6() } else { Options::new() };
        let server = options
            .start(|conn| {
                conn.request()?;
                conn.send_in(["a", "bc", "def"])?;
                conn.send_split_at("ghi", 1)
            })
            .unwrap();
        let mut socket = connect(&server);
        socket.write_all(GET.as_bytes()).unwrap();
        let mut seen = Vec::new();
        let mut buffer = [0; 100];
        loop {
            let length = socket.read(&mut buffer).unwrap();
            if length == 0 {
                break;
            }
            seen.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        // Between the two calls nothing waits: those two may come together.
        let joined = ["a", "bc", "defg", "hi"].map(str::to_owned);
        let apart = ["a", "bc", "def", "g", "hi"].map(str::to_owned);
        assert!(seen == joined || seen == apart, "{seen:?}");
        server.finish();
    }
}

#[test]
fn the_most_open_at_once_counts_no_connection_that_its_client_has_closed() {
    let server = Server::start(|conn| {
        conn.wait("go")?; // never reads, so it cannot see its peer's close
        Ok(())
    });
    for _ in 0..5 {
        drop(connect(&server));
    }
    let kept = [connect(&server), connect(&server)];
    server.wait_accepted(7);
    let most = server.log().most_open;
    server.open("go");
    server.wait_closed(7);
    if cfg!(unix) {
        assert_eq!(most, 2);
    }
    drop(kept);
}

#[test]
fn a_failed_script_is_reported_by_every_wait() {
    let server = Server::start(|conn| {
        conn.request()?;
        assert_eq!(conn.index(), 99, "by intent");
        Ok(())
    });
    assert_eq!(ask(&server, GET), "");
    let waiting = catch_unwind(AssertUnwindSafe(|| {
        server.wait_requests(2);
    }));
    let message = *waiting.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("by intent") && message.contains("GET /a"), "{message}");
    assert!(catch_unwind(AssertUnwindSafe(|| server.finish())).is_err());
}

#[test]
fn what_is_no_request_fails_the_script() {
    let server = Server::start(|conn| conn.request().map(|_| ()));
    assert_eq!(ask(&server, "NONSENSE\r\n\r\n"), "");
    server.wait_closed(1);
    assert!(matches!(server.log().end(0), Some(End::Failed(why)) if why.contains("NONSENSE")));
}

#[test]
fn one_port_on_both_families() {
    if !has_ipv6() {
        eprintln!("skipped: this machine has no ::1");
        return;
    }
    let server = Options::new().port(0).start(|conn| conn.send(ok("both"))).unwrap();
    assert_eq!(server.addresses().len(), 2);
    for address in server.addresses() {
        assert_eq!(address.port(), server.port());
        expect(&mut TcpStream::connect(address).unwrap(), &ok("both"));
    }
}

#[test]
fn stopping_ends_every_blocked_script() {
    let ends = Arc::new(Mutex::new(Vec::new()));
    let seen = ends.clone();
    let mut server = Server::start(move |conn| {
        let result = match conn.index() {
            0 => conn.wait("never"),
            1 => conn.request().map(|_| ()),
            2 => (0..).try_for_each(|_| conn.send([0; 60_000])),
            _ => conn.send_in(["never", "read"]),
        };
        seen.lock().unwrap().push(result.is_err());
        result
    });
    let sockets: Vec<_> = (0..4).map(|_| connect(&server)).collect();
    server.wait_for("the third script to be sending", |log| {
        log.accepted == 4 && log.connections[2].bytes_out > 0
    });
    server.stop();
    assert_eq!(ends.lock().unwrap().len(), 4, "all threads were joined");
    let log = server.log();
    assert!(log.connections.iter().all(|c| c.end == Some(End::Stopped)), "{log}");
    assert!(TcpStream::connect(server.addr()).is_err());
    drop(sockets);
    server.finish();
}

#[test]
fn an_unrecorded_server_counts_and_keeps_nothing() {
    let server = api::start_with(Options::new().unrecorded()).unwrap();
    assert!(
        ask(&server, "GET /quotes/7 HTTP/1.1\r\nconnection: close\r\n\r\n")
            .contains("\"id\":7")
    );
    server.wait_closed(1);
    let log = server.finish();
    assert_eq!((log.accepted, log.received, log.requests.len()), (1, 1, 0));
}

#[test]
fn replies_are_well_formed() {
    let response = respond(404, &[("a", "b")], "no");
    let text = String::from_utf8(response).unwrap();
    assert_eq!(text, "HTTP/1.1 404 Not Found\r\na: b\r\ncontent-length: 2\r\n\r\nno");
    let text =
        String::from_utf8(chunked(&["abc", "", "0123456789abcdef"], &[("t", "u")])).unwrap();
    let body = "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nt: u\r\n\r\n";
    assert_eq!(text, format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}"));
}
