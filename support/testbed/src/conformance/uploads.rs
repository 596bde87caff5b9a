//! Responses that come before the whole request is sent, and servers that stop reading.
//!
//! RFC 9112 section 9.5 lets a client go on sending after an early response, and tells it to cease
//! when the server is closing the connection. Two clients ceased in silence and told their callers
//! of success (nodejs/undici#259, hyperium/hyper#4176), others waited for ever
//! (googleapis/google-http-java-client#484).

use std::{io, sync::LazyLock, time::Duration};

use bytes::Bytes;
use client_core::{
    ApiClient, Body, CloseReason, Config, Error, Exchange, TimeoutPhase, Upload,
};
use http::HeaderMap;
use http_body::Body as _;
use http_body_util::BodyExt;

use super::{begin, client, client_of_one, expect, expect_error, get, send, wait_closed};
use crate::{
    Connection, Server,
    api::pattern,
    dead_ends::Silent,
    reply,
    run::{block_on, eventually},
    server::Options,
};

/// More than the sockets on both sides hold, so that it can't be sent if the server reads nothing.
const UPLOAD: usize = 8 << 20;

/// What the server reads of it before it answers.
const FIRST: usize = 1 << 20;

/// A limit that runs out on purpose, but not before a server on a machine under load has answered.
const LIMIT: Duration = Duration::from_secs(1);

/// Bytes of which each is in its place or is noticed.
static BYTES: LazyLock<Bytes> = LazyLock::new(|| {
    let mut bytes = Vec::new();
    pattern::extend(&mut bytes, 0, UPLOAD);
    bytes.into()
});

/// A server with a small receive buffer. To a POST it gives `early` when it has read the first MiB,
/// and goes on with `then`, which gets that MiB. To a GET it answers with `ok`.
fn early(
    early: impl AsRef<[u8]> + Send + Sync + 'static,
    then: impl Fn(&mut Connection, Vec<u8>) -> io::Result<()> + Send + Sync + 'static,
) -> Server {
    let options = Options::new().receive_buffer(64 * 1024);
    let server = options.start(move |conn| {
        loop {
            if conn.request_head()?.method() == "POST" {
                let first = conn.read_exact(FIRST)?;
                conn.send(early.as_ref())?;
                then(conn, first)?;
            } else {
                conn.send(reply::ok("ok"))?;
            }
        }
    });
    server.expect("a server")
}

/// Reads the rest of the upload, of which this was read. Each byte has to be right.
fn read_rest(conn: &mut Connection, mut got: Vec<u8>) -> io::Result<()> {
    got.extend(conn.read_exact(UPLOAD - got.len())?);
    match got == *BYTES {
        true => Ok(()),
        false => Err(io::Error::other("the request that arrived differs")),
    }
}

/// Begins an upload, and takes the early response: its body, of which nothing was read.
fn answered<C: ApiClient>(client: &C, server: &Server) -> Body {
    let request = send("POST", &server.url("/"), BYTES.clone());
    block_on(client.request(request)).expect("an early response").into_body()
}

/// Reads a body to its end, in success or failure. What came, its trailers, and what carried it.
fn read(mut body: Body) -> (Vec<u8>, Option<HeaderMap>, Exchange, Result<(), Error>) {
    let (mut bytes, mut trailers) = (Vec::new(), None);
    let end = block_on(async {
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        Ok(())
    });
    (bytes, trailers, body.exchange(), end)
}

/// Reads a body that has to come whole. What came, and what became of the request.
#[track_caller]
fn read_whole(body: Body) -> (Vec<u8>, Upload) {
    let (bytes, _, exchange, end) = read(body);
    end.expect("a whole body");
    (bytes, exchange.upload)
}

/// The first piece of a body.
fn piece(body: &mut Body) -> Bytes {
    let frame = block_on(body.frame()).expect("a frame").expect("a piece");
    frame.into_data().expect("data")
}

/// Lets more than this time pass, by a limit of another client that runs out.
fn pause<C: ApiClient>(time: Duration) {
    let silent = Silent::new();
    expect_error(&client::<C>(Config::new().head_timeout(time)), get(&silent.url("/")));
}

// ===== A response before the end of the request =====

/// RFC 9112 section 9.5, nodejs/undici#259, hyperium/hyper#4176: the response is delivered at once,
/// the upload goes on while the server reads, all of it arrives, the caller learns that it did, and
/// the connection serves on.
pub fn an_upload_goes_on_after_an_early_response<C: ApiClient>() {
    let server = early(reply::ok("early"), |conn, first| {
        conn.wait("the response was seen")?;
        read_rest(conn, first)
    });
    let client = client_of_one::<C>();
    let mut body = answered(&client, &server);
    assert_eq!(piece(&mut body), "early");
    assert_eq!((body.exchange().upload, body.is_end_stream()), (Upload::Pending, false));
    assert_eq!(client.stats().in_use, 1, "no other request may come into the upload");
    server.open("the response was seen");
    assert_eq!(read_whole(body), (Vec::new(), Upload::Whole));
    let got = expect(&client, get(&server.url("/next")));
    assert_eq!((&got.body[..], got.exchange.connection), (&b"ok"[..], 1));
    assert_eq!(client.stats().closed_in_all(), 0);
}

/// The same if the response has no body: its end is what waits.
pub fn an_upload_goes_on_after_an_early_response_without_a_body<C: ApiClient>() {
    let empty = [reply::head(204, &[]), reply::ok(""), reply::chunked::<&str>(&[], &[])];
    for response in empty {
        let server = early(response, |conn, first| {
            conn.wait("the response was seen")?;
            read_rest(conn, first)
        });
        let client = client_of_one::<C>();
        let body = answered(&client, &server);
        assert_eq!((body.exchange().upload, body.is_end_stream()), (Upload::Pending, false));
        server.open("the response was seen");
        assert_eq!(read_whole(body), (Vec::new(), Upload::Whole));
        assert_eq!(expect(&client, get(&server.url("/next"))).exchange.connection, 1);
    }
}

/// Trailers come with the end, which waits.
pub fn an_upload_goes_on_after_an_early_response_with_trailers<C: ApiClient>() {
    let server = early(reply::chunked(&["early"], &[("x-sum", "7")]), |conn, first| {
        conn.wait("the response was seen")?;
        read_rest(conn, first)
    });
    let client = client_of_one::<C>();
    let mut body = answered(&client, &server);
    assert_eq!(piece(&mut body), "early");
    server.open("the response was seen");
    let (bytes, trailers, exchange, end) = read(body);
    end.expect("a whole body");
    assert_eq!((&bytes[..], exchange.upload), (&b""[..], Upload::Whole));
    assert_eq!(trailers.expect("trailers")["x-sum"], "7");
    assert_eq!(expect(&client, get(&server.url("/next"))).exchange.connection, 1);
}

/// The upload goes on by itself, whether or not its caller polls, and the connection becomes idle
/// after it.
pub fn an_upload_goes_on_though_nobody_polls<C: ApiClient>() {
    let server = early(reply::ok("early"), read_rest);
    let client = client_of_one::<C>();
    let body = answered(&client, &server);
    eventually("an idle connection", || client.stats().idle == 1);
    assert_eq!(read_whole(body), (b"early".to_vec(), Upload::Whole));
}

/// A waiter gets the connection when the upload is over, and not before.
pub fn a_waiter_gets_the_connection_after_an_upload<C: ApiClient>() {
    let server = early(reply::ok("early"), |conn, first| {
        conn.wait("somebody waits")?;
        read_rest(conn, first)
    });
    let client = client_of_one::<C>();
    let body = answered(&client, &server);
    let mut next = Box::pin(client.request(get(&server.url("/next"))));
    begin(&mut next);
    eventually("a waiter", || client.stats().waiting == 1);
    server.open("somebody waits");
    let next = block_on(next).expect("a response").into_body();
    assert_eq!(next.exchange().connection, 1);
    assert_eq!(read_whole(next), (b"ok".to_vec(), Upload::Whole));
    assert_eq!(read_whole(body), (b"early".to_vec(), Upload::Whole));
}

/// `close` lets an accepted call finish, and that is when its request is out too.
pub fn close_lets_an_upload_finish<C: ApiClient>() {
    let server = early(reply::ok("early"), |conn, first| {
        conn.wait("closed")?;
        read_rest(conn, first)?;
        conn.open("all has arrived");
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let body = answered(&client, &server);
    let mut closed = Box::pin(client.close());
    begin(&mut closed);
    server.open("closed");
    block_on(closed);
    server.wait_open("all has arrived");
    assert_eq!(read_whole(body), (b"early".to_vec(), Upload::Whole));
    assert_eq!(client.stats().open, 0);
}

/// A request that is out when its response comes says so from the start, whatever the body is.
pub fn a_request_that_is_out_is_known_to_be_whole<C: ApiClient>() {
    let server = Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            match request.target() {
                "/whole" => conn.send(reply::ok("x"))?,
                "/none" => conn.send(reply::head(204, &[]))?,
                _ => {
                    conn.send(reply::head(200, &[("transfer-encoding", "chunked")]))?;
                    conn.wait("the head was seen")?;
                    conn.send("1\r\nx\r\n0\r\n\r\n")?;
                }
            }
        }
        Ok(())
    });
    let client = client::<C>(Config::new());
    for path in ["/whole", "/none", "/streams"] {
        for request in
            [get(&server.url(path)), send("POST", &server.url(path), vec![b'x'; 100_000])]
        {
            let body = block_on(client.request(request)).expect("a response").into_body();
            assert_eq!(body.exchange().upload, Upload::Whole, "{path}");
            server.open("the head was seen");
            assert_eq!(read_whole(body).1, Upload::Whole, "{path}");
        }
    }
}

// ===== An upload that ceases =====

/// RFC 9112 section 9.5: a response that closes the connection ends the upload at once. It is
/// delivered, and the caller learns that the request was cut.
pub fn a_response_that_closes_ends_the_upload<C: ApiClient>() {
    let closing = [
        reply::respond(413, &[("connection", "close")], "too much"),
        b"HTTP/1.0 413 Too Large\r\ncontent-length: 8\r\n\r\ntoo much".to_vec(),
    ];
    for response in closing {
        let server = early(response, |conn, _| {
            conn.wait("the caller was told")?;
            conn.wait_closed()
        });
        let client = client::<C>(Config::new());
        let body = answered(&client, &server);
        assert_eq!(read_whole(body), (b"too much".to_vec(), Upload::Cut));
        wait_closed(&client, CloseReason::PeerAsked, 1);
        server.open("the caller was told");
        server.wait_closed(1);
    }
}

/// A server that answers and ends the connection in order reads no more: the response is delivered,
/// and the caller learns that the request was cut.
pub fn a_server_that_answers_and_closes_ends_the_upload<C: ApiClient>() {
    let server = early(reply::ok("early"), |conn, _| {
        conn.wait("the response was seen")?;
        conn.half_close()?;
        conn.wait("the caller was told")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let mut body = answered(&client, &server);
    assert_eq!(piece(&mut body), "early");
    server.open("the response was seen");
    assert_eq!(read_whole(body), (Vec::new(), Upload::Cut));
    wait_closed(&client, CloseReason::PeerClosed, 1);
    server.open("the caller was told");
}

/// The same for a reset. What came before it is delivered.
pub fn a_server_that_answers_and_resets_ends_the_upload<C: ApiClient>() {
    let server = early(reply::ok("early"), |conn, _| {
        conn.wait("the response was seen")?;
        conn.reset()
    });
    let client = client::<C>(Config::new());
    let mut body = answered(&client, &server);
    assert_eq!(piece(&mut body), "early");
    server.open("the response was seen");
    assert_eq!(read_whole(body), (Vec::new(), Upload::Cut));
    wait_closed(&client, CloseReason::Reset, 1);
}

/// `Config::write_idle_timeout`: a server that answers and stops reading does not hold the end of
/// its response back for ever. The response is whole, so there is no error.
pub fn a_server_that_answers_and_stops_reading_ends_the_upload<C: ApiClient>() {
    let server = early(reply::ok("early"), |conn, _| {
        conn.wait("the end")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new().write_idle_timeout(LIMIT));
    let body = answered(&client, &server);
    assert_eq!(read_whole(body), (b"early".to_vec(), Upload::Cut));
    wait_closed(&client, CloseReason::Timeout, 1);
    server.open("the end");
}

/// `Config::total_timeout` covers the rest of the upload too, and a response that is whole stays
/// whole.
pub fn the_total_limit_ends_an_upload_behind_its_response<C: ApiClient>() {
    let server = early(reply::ok("early"), |conn, _| {
        conn.wait("the end")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new().total_timeout(2 * LIMIT));
    let body = answered(&client, &server);
    assert_eq!(read_whole(body), (b"early".to_vec(), Upload::Cut));
    wait_closed(&client, CloseReason::Timeout, 1);
    server.open("the end");
}

/// A caller that drops the response gives up the upload with it.
pub fn a_response_that_is_dropped_ends_the_upload<C: ApiClient>() {
    let server = early(reply::ok("early"), |conn, _| {
        conn.wait("dropped")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let mut body = answered(&client, &server);
    assert_eq!(piece(&mut body), "early");
    drop(body);
    wait_closed(&client, CloseReason::BodyDropped, 1);
    server.open("dropped");
    server.wait_closed(1);
}

/// Bytes behind the response while the upload goes on belong to nobody: the request is sent whole
/// all the same, and the connection then ends.
pub fn bytes_behind_an_early_response_end_the_connection<C: ApiClient>() {
    let server = early(reply::ok("early"), |conn, first| {
        conn.wait("the response was seen")?;
        conn.send("more")?;
        read_rest(conn, first)?;
        conn.wait_closed()
    });
    let client = client_of_one::<C>();
    let mut body = answered(&client, &server);
    assert_eq!(piece(&mut body), "early");
    server.open("the response was seen");
    assert_eq!(read_whole(body), (Vec::new(), Upload::Whole));
    wait_closed(&client, CloseReason::Unsolicited, 1);
    assert_eq!(expect(&client, get(&server.url("/next"))).exchange.connection, 2);
}

/// However many they are: a server that is held up by them would read no further.
pub fn bytes_behind_an_early_response_do_not_stop_the_upload<C: ApiClient>() {
    let server = early(reply::ok("early"), |conn, first| {
        conn.wait("the response was seen")?;
        conn.send(vec![b'x'; UPLOAD])?;
        read_rest(conn, first)?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let mut body = answered(&client, &server);
    assert_eq!(piece(&mut body), "early");
    server.open("the response was seen");
    assert_eq!(read_whole(body), (Vec::new(), Upload::Whole));
    wait_closed(&client, CloseReason::Unsolicited, 1);
}

/// Nor do they hide the server's end.
pub fn an_end_behind_unasked_bytes_ends_the_upload<C: ApiClient>() {
    let server = early(reply::ok("early"), |conn, _| {
        conn.wait("the response was seen")?;
        conn.send_in(["more", "and more"])?;
        conn.half_close()?;
        conn.wait("the caller was told")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let mut body = answered(&client, &server);
    assert_eq!(piece(&mut body), "early");
    server.open("the response was seen");
    assert_eq!(read_whole(body), (Vec::new(), Upload::Cut));
    eventually("the end of the connection", || client.stats().closed_in_all() == 1);
    server.open("the caller was told");
}

/// A response that fails while its request is being sent: the error comes, and the caller learns
/// that the request was cut.
pub fn a_response_that_is_cut_cuts_the_upload<C: ApiClient>() {
    let server = early("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", |conn, _| {
        conn.half_close()?;
        conn.wait("the caller was told")?;
        conn.wait_closed()
    });
    let client = client::<C>(Config::new());
    let (bytes, _, exchange, end) = read(answered(&client, &server));
    assert_eq!(&bytes[..], b"half");
    assert_eq!((end.is_err(), exchange.upload), (true, Upload::Cut));
    server.open("the caller was told");
}

// ===== The limit of writing =====

/// `Config::write_idle_timeout`, googleapis/google-http-java-client#484: a server that stops
/// reading.
pub fn a_server_that_stops_reading_is_a_write_timeout<C: ApiClient>() {
    let options = Options::new().receive_buffer(16 * 1024);
    let server = options.start(|conn| {
        conn.request_head()?;
        conn.read_exact(100_000)?;
        conn.wait("the end")?;
        conn.wait_closed()
    });
    let server = server.expect("a server");
    let client = client::<C>(Config::new().write_idle_timeout(LIMIT));
    let error = expect_error(&client, send("POST", &server.url("/"), BYTES.clone()));
    assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Write), "{error}");
    assert!(matches!(error, Error::Timeout { after: LIMIT, .. }), "{error}");
    let stats = client.stats();
    assert_eq!((stats.closed(CloseReason::Timeout), stats.open), (1, 0));
    server.open("the end");
}

/// It runs while a response comes, too: a server that answers without end and reads nothing.
pub fn a_server_that_only_talks_is_a_write_timeout<C: ApiClient>() {
    let server =
        early("HTTP/1.1 200 OK\r\n\r\n", |conn, _| conn.send_in(std::iter::repeat("x")));
    let client = client::<C>(Config::new().write_idle_timeout(LIMIT));
    let (bytes, _, exchange, end) = read(answered(&client, &server));
    let error = end.expect_err("a request that is never sent");
    assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Write), "{error}");
    assert_eq!((bytes.is_empty(), exchange.upload), (false, Upload::Cut));
    assert_eq!(client.stats().open, 0);
}

/// It begins anew with each byte that is taken: an upload that moves may take longer in all.
pub fn a_slow_upload_that_moves_does_not_time_out<C: ApiClient>() {
    const STEPS: usize = 4;
    let options = Options::new().receive_buffer(64 * 1024);
    let server = options.start(|conn| {
        conn.request_head()?;
        for step in 0..STEPS {
            // More than both sockets hold, so the client has written since the last step.
            conn.read_exact(UPLOAD)?;
            conn.open(&format!("read {step}"));
            conn.wait(&format!("go on {step}"))?;
        }
        conn.send(reply::ok("all of it"))
    });
    let server = server.expect("a server");
    let client = client::<C>(Config::new().write_idle_timeout(3 * LIMIT));
    let request = send("POST", &server.url("/"), vec![b'x'; STEPS * UPLOAD]);
    let call = {
        let client = client.clone();
        std::thread::spawn(move || expect(&client, request))
    };
    for step in 0..STEPS {
        server.wait_open(&format!("read {step}"));
        pause::<C>(LIMIT + LIMIT / 10);
        server.open(&format!("go on {step}"));
    }
    let got = call.join().expect("a whole response");
    assert_eq!((&got.body[..], got.exchange.upload), (&b"all of it"[..], Upload::Whole));
}

/// It stands while the reader of the response is what holds the server up: a server that reads on
/// only when its response is read.
pub fn a_reader_that_pauses_is_no_idle_upload<C: ApiClient>() {
    const RESPONSE: usize = 4 << 20;
    let options = Options::new().receive_buffer(64 * 1024).send_buffer(64 * 1024);
    let server = options.start(|conn| {
        conn.request_head()?;
        conn.send(reply::ok(vec![b'x'; RESPONSE]))?;
        read_rest(conn, Vec::new())?;
        conn.wait_closed()
    });
    let server = server.expect("a server");
    let config = Config::new().body_window(1024).write_idle_timeout(3 * LIMIT);
    let client = client::<C>(config);
    let body = answered(&client, &server);
    pause::<C>(3 * LIMIT + LIMIT / 10);
    let (bytes, upload) = read_whole(body);
    assert_eq!((bytes.len(), upload), (RESPONSE, Upload::Whole));
}
