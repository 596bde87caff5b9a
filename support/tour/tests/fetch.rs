//! `fetch` of each stage as a process, against the testbed's server: command line, output, exit
//! status, and what is left when things go wrong.

mod programs;

use std::{
    fs,
    io::Read,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use programs::{Program, TempDir, kill};
use testbed::{
    Gate, Server, api,
    api::pattern,
    certs::{self, Authority, Certificate, Leaf},
    dead_ends::{Blackhole, Refusing, Silent, blackhole_works},
    reply,
    server::{Options, ServerTls, has_ipv6},
};

for_each_stage!("fetch":
    a_body_goes_to_standard_output,
    options_reach_the_request,
    data_can_come_from_a_file,
    the_head_is_printed_if_asked_for,
    the_body_goes_to_a_file_if_asked_for,
    json_has_everything_about_a_response,
    a_request_that_was_cut_is_mentioned,
    trailers_are_in_the_json,
    any_status_is_a_success,
    no_redirect_is_followed,
    a_thousand_calls_share_eight_connections,
    bodies_of_concurrent_calls_do_not_mix,
    one_at_a_time_keeps_the_order_and_goes_on_after_a_failure,
    a_pinned_address_is_used_for_its_name_and_port,
    a_pinned_ipv6_address_needs_no_brackets,
    pinned_addresses_are_raced,
    https_needs_an_authority_that_is_trusted,
    the_systems_authorities_may_be_a_file,
    http_and_https_go_side_by_side,
    errors_of_tls_have_their_kind,
    errors_have_their_kind,
    a_connect_that_is_not_answered_times_out,
    a_call_that_is_not_answered_times_out,
    a_body_over_the_limit_is_an_error,
    what_came_of_a_broken_body_is_printed,
    a_server_that_goes_fails_each_call,
    a_server_that_falls_silent_fails_each_call_in_time,
    a_reader_that_goes_ends_the_program,
    a_large_body_takes_little_memory,
    a_wrong_command_line_says_what_was_expected,
    a_url_that_can_never_be_requested_is_a_wrong_command_line,
    help_is_printed,
    an_interrupt_ends_it_at_once,
    a_pipe_that_does_not_block_gets_the_whole_body,
    a_pipe_that_does_not_block_gets_every_message,
    steps_are_traced_if_asked_for,
);

// ===== the ordinary case =====

fn a_body_goes_to_standard_output(fetch: &Program) {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(reply::ok("only the body\n"))
    });
    let ended = fetch.run([server.url("/")]).expect(0);
    assert_eq!((ended.text().as_str(), ended.stderr.as_str()), ("only the body\n", ""));
}

fn options_reach_the_request(fetch: &Program) {
    let server = echo();
    let url = server.url("/here?a=b");
    let args = ["-X", "PATCH", "-H", "X-One: 1", "-H", "x-two:2", "-d", "the data", &url];
    fetch.run(args).expect(0);
    let log = server.finish();
    let request = &log.requests[0];
    assert_eq!((request.method(), request.target()), ("PATCH", "/here?a=b"));
    assert_eq!((request.header("x-one"), request.header("x-two")), (Some("1"), Some("2")));
    assert_eq!(request.body, b"the data");
}

fn data_can_come_from_a_file(fetch: &Program) {
    let dir = TempDir::new("fetch-data");
    let data: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    fs::write(dir.file("data"), &data).unwrap();
    let server = echo();
    let from = format!("@{}", dir.file("data").display());
    let ended = fetch.run(["-d", &from, &server.url("/")]).expect(0);
    assert!(ended.stdout == data, "{} bytes came back", ended.stdout.len());
    assert_eq!(server.finish().requests[0].method(), "POST");
}

fn the_head_is_printed_if_asked_for(fetch: &Program) {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 404 Not Found\r\nA: 1\r\nA: 2\r\nContent-Length: 5\r\n\r\nnone\n")
    });
    let ended = fetch.run(["-i", &server.url("/")]).expect(0);
    let expected = "HTTP/1.1 404 Not Found\r\na: 1\r\na: 2\r\ncontent-length: 5\r\n\r\nnone\n";
    assert_eq!(ended.text(), expected);
}

fn the_body_goes_to_a_file_if_asked_for(fetch: &Program) {
    let dir = TempDir::new("fetch-output");
    let file = dir.file("body");
    let server = api::start().unwrap();
    let path = file.display().to_string();
    let ended = fetch.run(["-o", &path, &server.url("/bytes/300000")]).expect(0);
    assert_eq!(ended.text(), "");
    assert!(is_pattern(&fs::read(&file).unwrap(), 300_000));

    let ended = fetch.run(["--json", "-o", &path, &server.url("/bytes/400000")]).expect(0);
    assert_eq!(ended.line().status(), Some(200));
    assert!(ended.line().value().get("body_base64").is_none(), "{}", ended.text());
    assert!(is_pattern(&fs::read(&file).unwrap(), 400_000));
}

fn json_has_everything_about_a_response(fetch: &Program) {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 201 Created\r\nA: 1\r\nContent-Length: 4\r\n\r\n\0\x01\r\n")
    });
    let url = server.url("/made");
    let line = fetch.run(["--json", &url]).expect(0).line();
    let elapsed = line.value()["elapsed_ms"].as_f64();
    assert!(elapsed.is_some_and(|elapsed| elapsed > 0.0), "{line:?}");
    let mut rest = line.value().clone();
    rest.as_object_mut().unwrap().remove("elapsed_ms");
    let expected = serde_json::json!({
        "url": url, "status": 201, "version": "HTTP/1.1",
        "headers": [["a", "1"], ["content-length", "4"]], "trailers": [],
        "body_base64": "AAENCg==", "reused": false, "connection": 1, "attempts": 1, "sent": true,
    });
    assert_eq!(rest, expected);
}

fn a_request_that_was_cut_is_mentioned(fetch: &Program) {
    let dir = TempDir::new("fetch-cut");
    fs::write(dir.file("data"), vec![b'x'; 16 << 20]).unwrap();
    let server = Server::start(|conn| {
        conn.request_head()?;
        conn.send(reply::respond(200, &[("connection", "close")], "thanks"))?;
        // Reading more would reset the connection of a client that is still to read.
        conn.wait("the end")
    });
    let data = format!("@{}", dir.file("data").display());
    let ended = fetch.run(["--json", "-d", &data, &server.url("/")]).expect(0);
    assert_eq!(ended.line().value()["sent"], false);
    assert_eq!(ended.line().status(), Some(200));
    assert!(ended.stderr.contains("the rest was not"), "{}", ended.stderr);
    assert_eq!(ended.complaints(), 1, "{}", ended.stderr);
    let ended = fetch.run(["-d", &data, &server.url("/")]).expect(0);
    assert_eq!(ended.text(), "thanks");
    assert!(ended.stderr.contains("the rest was not"), "{}", ended.stderr);
    server.open("the end");
}

fn trailers_are_in_the_json(fetch: &Program) {
    let server = api::start().unwrap();
    let line = fetch.run(["--json", &server.url("/chunked/200000")]).expect(0).line();
    assert!(is_pattern(&line.body(), 200_000));
    assert_eq!(line.trailer("x-length"), Some("200000"));
}

fn any_status_is_a_success(fetch: &Program) {
    let server = api::start().unwrap();
    for code in [204, 304, 404, 500, 503] {
        let url = server.url(&format!("/status/{code}"));
        assert_eq!(fetch.run(["--json", &url]).expect(0).line().status(), Some(code));
    }
}

fn no_redirect_is_followed(fetch: &Program) {
    let server = api::start().unwrap();
    let line = fetch.run(["--json", &server.url("/moved")]).expect(0).line();
    assert_eq!(line.status(), Some(302));
    assert_eq!(server.finish().received, 1);
}

// ===== many calls =====

fn a_thousand_calls_share_eight_connections(fetch: &Program) {
    let server = api::start().unwrap();
    let url = server.url("/quotes/7");
    let args =
        ["--repeat", "1000", "--concurrency", "64", "--max-per-origin", "8", "--json", &url];
    let lines = fetch.run(args).expect(0).lines();
    assert_eq!(lines.len(), 1000);
    let body = lines[0].body();
    assert!(lines.iter().all(|line| line.status() == Some(200) && line.body() == body));
    let connections = lines.iter().map(|line| line.connection()).max();
    assert!(connections.is_some_and(|most| most <= 8), "{connections:?}");
    let reused = lines.iter().filter(|line| line.reused()).count();
    assert!(reused >= 992, "{reused}");
    let log = server.finish();
    assert!(log.accepted <= 8 && log.received == 1000, "{} {}", log.accepted, log.received);
}

fn bodies_of_concurrent_calls_do_not_mix(fetch: &Program) {
    let server = api::start().unwrap();
    let url = server.url("/chunked/200000");
    let ended = fetch.run(["--repeat", "6", "--concurrency", "6", &url]).expect(0);
    assert_eq!(ended.stdout.len(), 6 * 200_000);
    assert!(ended.stdout.chunks(200_000).all(|body| is_pattern(body, 200_000)));
}

fn one_at_a_time_keeps_the_order_and_goes_on_after_a_failure(fetch: &Program) {
    let server = api::start().unwrap();
    let nobody = Refusing::new();
    let urls = [server.url("/quotes/1"), nobody.url("/"), server.url("/quotes/2")];
    let ended =
        fetch.run(["--json", "--repeat", "2"].into_iter().chain(urls.iter().map(|u| &**u)));
    let ended = ended.expect(1);
    let lines = ended.lines();
    let got: Vec<_> = lines.iter().map(|line| line.url()).collect();
    assert_eq!(got, [&urls[0], &urls[0], &urls[1], &urls[1], &urls[2], &urls[2]]);
    let whole: Vec<_> = lines.iter().map(|line| line.status() == Some(200)).collect();
    assert_eq!(whole, [true, true, false, false, true, true]);
    assert_eq!(ended.complaints(), 2, "{}", ended.stderr);
}

// ===== names =====

fn a_pinned_address_is_used_for_its_name_and_port(fetch: &Program) {
    let server = api::start().unwrap();
    let pin = format!("Pinned.invalid:{}:127.0.0.1", server.port());
    let url = server.url_as("pinned.invalid", "/headers");
    let ended = fetch.run(["--resolve", &pin, &url]).expect(0);
    let host = format!("host: pinned.invalid:{}\n", server.port());
    assert!(ended.text().contains(&host), "{}", ended.text());

    // Another name goes to the system's resolver, beside the pins.
    let ended = fetch.run(["--resolve", &pin, &server.url_as("localhost", "/quotes/7")]);
    assert!(ended.expect(0).text().contains("\"id\":7"));
}

fn a_pinned_ipv6_address_needs_no_brackets(fetch: &Program) {
    if !has_ipv6() {
        return;
    }
    let server = api::start_with(Options::new().ipv6()).unwrap();
    for address in ["::1", "[::1]"] {
        let pin = format!("six.invalid:{}:{address}", server.port());
        fetch.run(["--resolve", &pin, &server.url_as("six.invalid", "/quotes/7")]).expect(0);
    }
    fetch.run([server.url("/quotes/7")]).expect(0);
    assert_eq!(server.finish().received, 3);
}

fn pinned_addresses_are_raced(fetch: &Program) {
    let server = api::start().unwrap();
    let dead = Ipv4Addr::new(127, 9, 9, 9);
    let pin = format!("two.invalid:{}:{dead},127.0.0.1", server.port());
    fetch.run(["--resolve", &pin, &server.url_as("two.invalid", "/quotes/7")]).expect(0);
}

// ===== TLS =====

fn https_needs_an_authority_that_is_trusted(fetch: &Program) {
    let (server, ca) = (secure(certs::of_loopback()), ca_file(certs::authority()));
    let url = server.url_as("localhost", "/quotes/7");
    let ended = fetch.run(["--cacert", &ca.path(), &url]).expect(0);
    assert!(ended.text().contains("\"id\":7"), "{}", ended.text());

    let other = ca_file(&Authority::new("another"));
    let line = fetch.run(["--json", "--cacert", &other.path(), &url]).expect(1).line();
    assert_eq!(line.error(), "tls");
    assert_eq!(server.finish().received, 1);
}

fn the_systems_authorities_may_be_a_file(fetch: &Program) {
    let (server, ca) = (secure(certs::of_loopback()), ca_file(certs::authority()));
    let args = ["--json".to_owned(), server.url("/quotes/7")];
    let roots = [("SSL_CERT_FILE", ca.path().into())];
    assert_eq!(fetch.start_with(&args, roots).end().expect(0).line().status(), Some(200));
    // The system's own do not know the testbed's; there may be none at all.
    assert_eq!(fetch.run(&args).expect(1).line().error(), "tls");
}

fn http_and_https_go_side_by_side(fetch: &Program) {
    let (secure, ca) = (secure(certs::of_loopback()), ca_file(certs::authority()));
    let plain = api::start().unwrap();
    let urls = [plain.url("/quotes/7"), secure.url("/quotes/7")];
    let ca = ca.path();
    let args = ["--json", "--repeat", "2", "--cacert", &ca, &urls[0], &urls[1]];
    let lines = fetch.run(args).expect(0).lines();
    let got: Vec<_> = lines.iter().map(|line| (line.connection(), line.reused())).collect();
    assert_eq!(got, [(1, false), (1, true), (2, false), (2, true)]);
    assert!(lines.iter().all(|line| line.body() == lines[0].body()));
}

fn errors_of_tls_have_their_kind(fetch: &Program) {
    let ca = ca_file(certs::authority());
    let issue = |leaf: Leaf| secure(&certs::authority().issue(&leaf));
    let local = || Leaf::server(["localhost"]);
    let plain = Server::start(|conn| {
        conn.read_some()?;
        conn.send(reply::respond(400, &[], "this is HTTP"))?;
        conn.wait_closed()
    });
    for (server, word) in [
        (issue(Leaf::server(["elsewhere.invalid"])), "localhost"),
        (issue(local().expired()), "expired"),
        (issue(local().not_yet_valid()), "not valid yet"),
        (secure(&Authority::new("a stranger").issue(&local())), "UnknownIssuer"),
        (plain, "does not speak TLS"),
    ] {
        let url = server.url_as("localhost", "/quotes/7").replace("http:", "https:");
        let ended = fetch.run(["--json", "--cacert", &ca.path(), &url]).expect(1);
        assert_eq!(ended.line().error(), "tls", "{word}");
        assert!(ended.text().contains(word), "{word}: {}", ended.text());
        assert_eq!(ended.complaints(), 1, "{}", ended.stderr);
    }
}

// ===== what goes wrong =====

fn errors_have_their_kind(fetch: &Program) {
    let nobody = Refusing::new();
    let protocol = replies(b"SMTP/1.0 ready\r\n\r\n");
    let early = replies(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    let port = nobody.addr().port();
    let pin = format!("nowhere.invalid:{port}:127.0.0.1");
    for (url, kind) in [
        (nobody.url("/"), "connect"),
        (protocol.url("/"), "protocol"),
        (early.url("/"), "closed-early"),
        ("http://name.invalid/".to_owned(), "resolve"),
        (format!("http://nowhere.invalid:{port}/"), "connect"),
    ] {
        let ended = fetch.run(["--json", "--resolve", &pin, &url]).expect(1);
        let line = ended.line();
        assert_eq!((line.url(), line.error().as_str()), (url.as_str(), kind));
        assert_eq!(ended.complaints(), 1, "{}", ended.stderr);
    }
}

fn a_connect_that_is_not_answered_times_out(fetch: &Program) {
    if !blackhole_works() {
        return;
    }
    let nowhere = Blackhole::on(Ipv4Addr::LOCALHOST.into()).unwrap();
    let url = nowhere.url("/");
    let line = fetch.run(["--json", "--connect-timeout", "200ms", &url]).expect(1).line();
    assert_eq!(line.error(), "timeout/connect");
}

fn a_call_that_is_not_answered_times_out(fetch: &Program) {
    let silent = Silent::new();
    let line = fetch.run(["--json", "--timeout", "0.2s", &silent.url("/")]).expect(1).line();
    assert_eq!(line.error(), "timeout/total");
}

fn a_body_over_the_limit_is_an_error(fetch: &Program) {
    let server = api::start().unwrap();
    for path in ["/bytes/1001", "/chunked/1001"] {
        let ended = fetch.run(["--json", "--max-body", "1000", &server.url(path)]).expect(1);
        assert_eq!(ended.line().error(), "too-large", "{path}");
    }
    fetch.run(["--max-body", "1000", &server.url("/bytes/1000")]).expect(0);
}

fn what_came_of_a_broken_body_is_printed(fetch: &Program) {
    let server = replies(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    let ended = fetch.run([server.url("/")]).expect(1);
    assert_eq!(ended.text(), "half");
    assert_eq!(ended.complaints(), 1, "{}", ended.stderr);
}

fn a_server_that_goes_fails_each_call(fetch: &Program) {
    let enough = Gate::new();
    let (seen, answered) = (enough.clone(), Arc::new(AtomicUsize::new(0)));
    let mut server = Options::new().start(move |conn| {
        while conn.next_request()?.is_some() {
            if answered.fetch_add(1, Ordering::Relaxed) == 200 {
                seen.open();
            }
            conn.send(reply::ok("still here"))?;
        }
        Ok(())
    });
    let server = server.as_mut().unwrap();
    let url = server.url("/");
    let args = ["--json", "--repeat", "20000", "--concurrency", "32", "--timeout", "10s", &url];
    let running = fetch.start(args);
    enough.wait();
    server.stop();
    let ended = running.end().expect(1);
    let lines = ended.lines();
    assert_eq!(lines.len(), 20_000, "each call has a line");
    let (whole, failed): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line.status().is_some());
    assert!(whole.len() >= 200, "{}", whole.len());
    let kinds = ["connect", "closed-early"];
    for line in &failed {
        assert!(kinds.contains(&line.error().as_str()), "{line:?}");
    }
    assert_eq!(ended.complaints(), failed.len());
}

fn a_server_that_falls_silent_fails_each_call_in_time(fetch: &Program) {
    let answered = AtomicUsize::new(0);
    let server = Server::start(move |conn| {
        while conn.next_request()?.is_some() {
            if answered.fetch_add(1, Ordering::Relaxed) >= 20 {
                return conn.wait_closed();
            }
            conn.send(reply::ok("still here"))?;
        }
        Ok(())
    });
    let url = server.url("/");
    let args = ["--json", "--repeat", "40", "--concurrency", "40", "--timeout", "500ms", &url];
    let ended = fetch.run(args).expect(1);
    let lines = ended.lines();
    assert_eq!(lines.len(), 40);
    let failed: Vec<_> = lines.iter().filter(|line| line.status().is_none()).collect();
    assert!(failed.iter().all(|line| line.error() == "timeout/total"), "{}", ended.text());
    assert_eq!((failed.len(), ended.complaints()), (20, 20));
}

fn a_reader_that_goes_ends_the_program(fetch: &Program) {
    let server = api::start().unwrap();
    let mut running = fetch.start(["--repeat", "1000", &server.url("/bytes/1000000")]);
    let mut some = [0; 1000];
    running.stdout().read_exact(&mut some).unwrap();
    assert!(is_pattern(&some, 1000)); // and the pipe is closed
    let ended = running.end().expect(1);
    assert!(ended.stderr.contains("could not write the output"), "{}", ended.stderr);
    assert!(server.finish().received < 1000);
}

fn a_large_body_takes_little_memory(fetch: &Program) {
    const LENGTH: u64 = 100_000_000;
    const LAST: u64 = 2_000_000;
    let server = api::start().unwrap();
    let mut running = fetch.start([server.url(&format!("/bytes/{LENGTH}"))]);
    let mut check = pattern::Check::new();
    let mut stdout = running.stdout();
    read(&mut stdout, LENGTH - LAST, &mut check);
    // Its pipe holds less than what is still to come, so the program is there to be asked.
    if cfg!(target_os = "linux") {
        let peak = running.peak_memory().unwrap();
        assert!(peak < 64 * 1024, "{peak} KiB");
    }
    read(&mut stdout, LAST, &mut check);
    assert_eq!(stdout.read(&mut [0]).unwrap(), 0, "nothing comes after the body");
    running.end().expect(0);
    assert!(check.is_whole(LENGTH));
}

fn an_interrupt_ends_it_at_once(fetch: &Program) {
    if !cfg!(unix) {
        return; // There is no such signal.
    }
    let server = Server::start(|conn| {
        conn.request()?;
        conn.wait_closed()
    });
    let running = fetch.start([server.url("/")]);
    server.wait_requests(1);
    kill("INT", running.id());
    assert_eq!(running.end().status.code(), None, "the signal ended it");
}

/// A full pipe is no error, but a reason to wait, also where its writer does not block
/// (curl/curl#3239).
#[cfg(unix)]
fn a_pipe_that_does_not_block_gets_the_whole_body(fetch: &Program) {
    const LENGTH: u64 = 5_000_000;
    let server = api::start().unwrap();
    let chunked = server.url(&format!("/chunked/{LENGTH}"));
    let bytes = server.url(&format!("/bytes/{LENGTH}"));
    for (args, bodies) in [
        (vec!["--repeat", "2", &*bytes], 2),
        (vec!["-i", &*chunked], 1),
        (vec!["--repeat", "3", "--concurrency", "3", &*bytes], 3),
        (vec!["--json", &*chunked], 1),
    ] {
        let (running, pipe) = fetch.start_into_full_pipe(&args, false);
        let mut output = slowly(pipe);
        running.end().expect(0);
        if args[0] == "--json" {
            output = programs::Line::parse(&output).body();
        } else if args[0] == "-i" {
            let head = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            output.drain(..head + 4);
        }
        assert_eq!(output.len() as u64, bodies * LENGTH, "{args:?}");
        assert!(output.chunks(LENGTH as usize).all(|body| is_pattern(body, LENGTH)));
    }
}

/// The same where messages and lines of JSON go to one such pipe: `fetch ... 2>&1 | reader`.
#[cfg(unix)]
fn a_pipe_that_does_not_block_gets_every_message(fetch: &Program) {
    const CALLS: usize = 20;
    // A message, and the line after it, do not both fit into the pipe.
    const LENGTH: usize = 60_000;
    let nobody = Refusing::new();
    let url = nobody.url(&format!("/{}", "x".repeat(LENGTH)));
    let (running, pipe) =
        fetch.start_into_full_pipe(&["--json", "--repeat", &CALLS.to_string(), &url], true);
    let output = slowly(pipe);
    running.end().expect(1);
    let letters = output.iter().filter(|letter| **letter == b'x').count();
    assert_eq!(
        letters,
        2 * LENGTH * CALLS,
        "each URL stands in a message and in a line of JSON"
    );
}

/// All of it, in pieces that are smaller than what a program writes.
#[cfg(unix)]
fn slowly(mut pipe: impl Read) -> Vec<u8> {
    let (mut output, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        match pipe.read(&mut piece).unwrap() {
            0 => return output,
            read => output.extend_from_slice(&piece[..read]),
        }
    }
}

/// Elsewhere there are no such pipes.
#[cfg(not(unix))]
fn a_pipe_that_does_not_block_gets_the_whole_body(_: &Program) {}

#[cfg(not(unix))]
fn a_pipe_that_does_not_block_gets_every_message(_: &Program) {}

// ===== the command line =====

fn a_wrong_command_line_says_what_was_expected(fetch: &Program) {
    let url = "http://127.0.0.1:1/";
    for (args, expected) in [
        (&[][..], "expected a URL"),
        (&["-X"], "expected a value after -X"),
        (&["-X", "G T", url], "expected a method"),
        (&["-H", "no colon", url], "expected 'Name: value'"),
        (&["-H", "a: b\r\nc: d", url], "expected 'Name: value'"),
        (&["-d", "@/no/such/file", url], "expected a file that can be read"),
        (&["-o", "/no/such/directory/file", url], "expected a file that can be written"),
        (&["--repeat", "0", url], "expected a number of at least 1"),
        (&["--concurrency", "x", url], "expected a number of at least 1"),
        (&["--max-per-origin", "-1", url], "expected a number of at least 1"),
        (&["--timeout", "soon", url], "expected a time such as 5s"),
        (&["--connect-timeout", "0s", url], "expected a time such as 5s"),
        (&["--max-body", "1k", url], "expected a number of bytes"),
        (&["--resolve", "host:80", url], "expected HOST:PORT:ADDR"),
        (&["--resolve", "host:80:localhost", url], "expected HOST:PORT:ADDR"),
        (&["--cacert", "/no/such/file", url], "--cacert"),
        (&["--frobnicate", url], "expected one of the options of --help"),
        (&["not a url"], "expected a URL"),
        (&["/path/only"], "expected a URL"),
    ] {
        let ended = fetch.run(args).expect(2);
        assert!(ended.stderr.contains(expected), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.text(), "", "{args:?}");
    }
}

/// RFC 9110 section 4.2: such a URL has no `http` or `https` origin that a connection could be made to,
/// whatever a server says. So the first of several is not requested either if the last one is wrong.
fn a_url_that_can_never_be_requested_is_a_wrong_command_line(fetch: &Program) {
    let dir = TempDir::new("fetch-wrong");
    let file = dir.file("body");
    fs::write(&file, "as before").unwrap();
    let output = file.display().to_string();
    let server = api::start().unwrap();
    let good = server.url("/quotes/7");
    let local = |rest: &str| format!("http://127.0.0.1:{rest}");
    let port = server.port();
    for (wrong, expected) in [
        (format!("ftp://127.0.0.1:{port}/"), "expected http or https"),
        (local("0/"), "a port from 1 to 65535"),
        (local("65536/"), "a port from 1 to 65535"),
        (local(&format!("+{port}/")), "a port from 1 to 65535"),
        (local("http/"), "a port from 1 to 65535"),
        ("http://:80/".to_owned(), "no host"),
        ("http:///quotes/7".to_owned(), "expected a URL"),
        (format!("http://me:secret@127.0.0.1:{port}/"), "no user or password"),
        (format!("http://[127.0.0.1]:{port}/"), "an IPv6 address in the brackets"),
        (format!("http://[::1%25lo]:{port}/"), "without a zone"),
        (format!("http://127.1:{port}/"), "four decimal numbers"),
        ("https://a!b/".to_owned(), "a host that TLS can name"),
    ] {
        for urls in [vec![&wrong], vec![&good, &wrong], vec![&good, &good, &wrong, &good]] {
            let args = ["--json", "-o", &output].into_iter().chain(urls.iter().map(|u| &***u));
            let ended = fetch.run(args).expect(2);
            assert!(ended.stderr.contains(expected), "{urls:?}: {}", ended.stderr);
            assert_eq!(ended.text(), "", "{urls:?}");
        }
    }
    // What no URL can be requested with is the same.
    for args in [["-X", "CONNECT"], ["-H", "upgrade: x"], ["-H", "content-length: 7"]] {
        let ended = fetch.run(args.into_iter().chain([&*good])).expect(2);
        assert_eq!(ended.text(), "", "{args:?}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "as before");
    assert_eq!(server.finish().accepted, 0);
}

fn help_is_printed(fetch: &Program) {
    let ended = fetch.run(["--help"]).expect(0);
    for option in ["-X", "--json", "--resolve", "--concurrency", "--trace"] {
        assert!(ended.text().contains(option), "{option}");
    }
}

fn steps_are_traced_if_asked_for(fetch: &Program) {
    let server = api::start().unwrap();
    let url = server.url("/quotes/7");
    let quiet = fetch.run([&*url]).expect(0);
    let traced = fetch.run(["--trace", &url]).expect(0);
    assert_eq!((quiet.stderr.as_str(), &quiet.stdout), ("", &traced.stdout));
    for step in ["connect", "write", "read", "checkin"] {
        let step = format!("what=\"{step}\"");
        assert!(traced.stderr.contains(&step), "{step}: {}", traced.stderr);
    }
}

// ===== servers and bodies =====

/// The API over TLS.
fn secure(certificate: &Certificate) -> Server {
    let tls = ServerTls::new().certificate(certificate.clone());
    api::start_with(Options::new().port(0).tls(tls)).unwrap()
}

/// An authority's certificate, for `--cacert`.
struct CaFile(TempDir);

fn ca_file(authority: &Authority) -> CaFile {
    let dir = TempDir::new("fetch-ca");
    fs::write(dir.file("ca.pem"), authority.pem()).unwrap();
    CaFile(dir)
}

impl CaFile {
    fn path(&self) -> String {
        self.0.file("ca.pem").display().to_string()
    }
}

/// Sends each request's body back.
fn echo() -> Server {
    Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            conn.send(reply::ok(&request.body))?;
        }
        Ok(())
    })
}

/// Answers each request with these bytes, and closes.
fn replies(bytes: &'static [u8]) -> Server {
    Server::start(move |conn| {
        conn.request()?;
        conn.send(bytes)
    })
}

fn is_pattern(body: &[u8], length: u64) -> bool {
    let mut check = pattern::Check::new();
    check.update(body);
    check.is_whole(length)
}

fn read(from: &mut impl Read, length: u64, check: &mut pattern::Check) {
    let mut left = length;
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let most = buffer.len().min(left as usize);
        let read = from.read(&mut buffer[..most]).unwrap();
        assert!(read > 0, "{left} bytes are missing");
        check.update(&buffer[..read]);
        left -= read as u64;
    }
}
