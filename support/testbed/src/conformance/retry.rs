//! What happens to a request whose reused connection turns out to be dead (RFC 9110 section 9.2.2,
//! RFC 9112 section 9.3.1).

use std::time::Duration;

use client_core::{ApiClient, Config, ErrorKind, TimeoutPhase};

use super::{Gated, begin, client, client_of_one, expect, expect_error, get, send};
use crate::{Connection, Gate, Server, reply, run::eventually};

/// A server whose first connection serves one request, and fails at the second as `fail` says;
/// later connections serve.
fn stale(
    fail: impl Fn(&mut Connection) -> std::io::Result<()> + Send + Sync + 'static,
) -> Server {
    Server::start(move |conn| {
        conn.request()?;
        conn.send(reply::ok("x"))?;
        while conn.next_request()?.is_some() {
            if conn.index() == 0 {
                return fail(conn);
            }
            conn.send(reply::ok("x"))?;
        }
        Ok(())
    })
}

fn after_one_call<C: ApiClient>(server: &Server) -> C {
    let client = client_of_one::<C>();
    expect(&client, get(&server.url("/first")));
    client
}

/// The race that every pool loses now and then: the server closed as the request was sent.
pub fn an_idempotent_request_is_sent_again<C: ApiClient>() {
    let server = stale(|conn| {
        conn.close();
        Ok(())
    });
    let client = after_one_call::<C>(&server);
    let got = expect(&client, get(&server.url("/second")));
    assert_eq!(
        (got.exchange.attempts, got.exchange.connection, got.exchange.reused),
        (2, 2, false)
    );
    let stats = client.stats();
    assert_eq!((stats.retried, stats.created), (1, 2));
    assert_eq!(server.log().targets(), ["/first", "/second", "/second"]);
}

/// The same for a reset.
pub fn a_reset_counts_as_a_close<C: ApiClient>() {
    let server = stale(Connection::reset);
    let client = after_one_call::<C>(&server);
    assert_eq!(expect(&client, get(&server.url("/second"))).exchange.attempts, 2);
}

/// PUT and DELETE are idempotent too, and the body goes out again.
pub fn a_body_is_sent_again_with_its_request<C: ApiClient>() {
    let server = stale(Connection::reset);
    let client = after_one_call::<C>(&server);
    let got = expect(&client, send("PUT", &server.url("/second"), "body"));
    assert_eq!(got.exchange.attempts, 2);
    assert_eq!(server.log().requests[2].body, b"body");
}

/// A POST may have had its effect: only the caller can know whether to repeat it.
pub fn a_post_is_not_sent_again<C: ApiClient>() {
    let server = stale(Connection::reset);
    let client = after_one_call::<C>(&server);
    let error = expect_error(&client, send("POST", &server.url("/second"), "body"));
    assert_eq!(error.kind(), ErrorKind::ClosedEarly, "{error}");
    assert_eq!(server.log().targets(), ["/first", "/second"]);
    assert_eq!(client.stats().retried, 0);
}

/// One byte of a response, be it of a 1xx, says that the request was seen.
pub fn a_response_that_began_is_not_asked_for_again<C: ApiClient>() {
    for begun in
        ["H", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"]
    {
        let server = stale(move |conn| {
            conn.send(begun)?;
            conn.half_close()?;
            conn.wait_closed()
        });
        let client = after_one_call::<C>(&server);
        let error = expect_error(&client, get(&server.url("/second")));
        assert_eq!(error.kind(), ErrorKind::ClosedEarly, "{begun:?}: {error}");
        assert_eq!(client.stats().retried, 0, "{begun:?}");
    }
}

/// A connection that was made for this request cannot be stale.
pub fn a_fresh_connection_is_not_replaced<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.reset()
    });
    let error = expect_error(&client_of_one::<C>(), get(&server.url("/")));
    assert_eq!(error.kind(), ErrorKind::ClosedEarly, "{error}");
    assert!(std::error::Error::source(&error).is_some(), "a reset has its cause");
    assert_eq!(server.log().received, 1);
}

/// But one that was idle before its first request can be: it was made for a caller that gave up.
pub fn a_connection_that_was_idle_before_its_first_request_is_replaced<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        if conn.index() == 0 {
            return conn.reset();
        }
        conn.send(reply::ok("x"))
    });
    let gate = Gate::new();
    let client = client::<C>(Config::new().resolver(Gated(gate.clone())));
    let mut call = Box::pin(client.request(get(&server.url_as("gated.invalid", "/"))));
    begin(&mut call);
    eventually("an attempt", || client.stats().connecting == 1);
    drop(call);
    eventually("no waiter", || client.stats().waiting == 0);
    gate.open();
    eventually("an idle connection", || client.stats().idle == 1);
    let got = expect(&client, get(&server.url_as("gated.invalid", "/next")));
    assert_eq!(
        (got.exchange.attempts, got.exchange.connection, got.exchange.reused),
        (2, 2, false)
    );
    assert_eq!((client.stats().retried, client.stats().reused), (1, 0));
    assert_eq!(server.log().targets(), ["/next", "/next"]);
}

/// A request is sent twice at the most.
pub fn a_request_is_sent_again_once<C: ApiClient>() {
    let server = Server::start(|conn| {
        if conn.index() == 0 {
            conn.request()?;
            conn.send(reply::ok("x"))?;
        }
        conn.request()?;
        conn.reset()
    });
    let client = after_one_call::<C>(&server);
    let error = expect_error(&client, get(&server.url("/second")));
    assert_eq!(error.kind(), ErrorKind::ClosedEarly, "{error}");
    assert_eq!(server.log().targets(), ["/first", "/second", "/second"]);
}

/// The second attempt is a connect, and fails as one.
pub fn a_retry_that_cannot_connect_says_so<C: ApiClient>() {
    let mut server = stale(|conn| {
        conn.open("second seen");
        conn.wait("nobody listens")?;
        conn.reset()
    });
    let client = client_of_one::<C>();
    expect(&client, get(&server.url("/first")));
    let (other, url) = (client.clone(), server.url("/second"));
    let call = std::thread::spawn(move || expect_error(&other, get(&url)));
    server.wait_open("second seen");
    server.stop();
    let error = call.join().expect("an error");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    assert_eq!(client.stats().retried, 1);
}

/// What killed one idle connection has likely killed the others: a retry takes a fresh one
/// (decision 20), and so cannot use up its one chance on another stale one.
pub fn a_retry_takes_a_fresh_connection<C: ApiClient>() {
    let server = Server::start(|conn| {
        while conn.next_request()?.is_some() {
            conn.wait("both are busy")?;
            conn.send(reply::ok("x"))?;
            if conn.index() < 2 {
                conn.request()?;
                return conn.reset();
            }
        }
        Ok(())
    });
    let client = client::<C>(Config::new());
    let calls = [(); 2].map(|()| {
        let (client, request) = (client.clone(), get(&server.url("/")));
        std::thread::spawn(move || expect(&client, request))
    });
    server.wait_requests(2);
    server.open("both are busy");
    calls.into_iter().for_each(|call| drop(call.join().expect("a whole response")));
    assert_eq!(client.stats().idle, 2);
    let exchange = expect(&client, get(&server.url("/again"))).exchange;
    assert_eq!((exchange.connection, exchange.attempts, exchange.reused), (3, 2, false));
}

/// A server that takes its time has the request: asking again would double its work.
pub fn a_timeout_is_no_reason_to_ask_again<C: ApiClient>() {
    let server = stale(|conn| conn.wait_closed());
    // Long enough for the first call, which is answered at once, on a machine under load.
    let config = Config::new().max_per_origin(1).head_timeout(Duration::from_secs(1));
    let client = client::<C>(config);
    expect(&client, get(&server.url("/first")));
    let error = expect_error(&client, get(&server.url("/second")));
    assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Head), "{error}");
    assert_eq!(server.log().targets(), ["/first", "/second"]);
    assert_eq!(client.stats().retried, 0);
}

/// A broken answer is an answer.
pub fn a_broken_response_is_not_asked_for_again<C: ApiClient>() {
    let server = stale(|conn| {
        conn.send("no HTTP at all\r\n")?;
        conn.wait_closed()
    });
    let client = after_one_call::<C>(&server);
    let error = expect_error(&client, get(&server.url("/second")));
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert_eq!(server.log().targets(), ["/first", "/second"]);
}
