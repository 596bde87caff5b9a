//! One connection over a pipe, in virtual time: no pool, no socket, and no real clock.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use client_core::{Answer, Body, ErrorKind, Outgoing, after};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex, join, sink},
    sync::oneshot,
    task::JoinHandle,
};

use super::*;
use crate::transport::Transport;

/// A pipe this small makes every write of the tests a partial one.
const PIPE: usize = 32;

/// How an exchange ended: the reason to close, whether to send again, and the connection.
type Ended = JoinHandle<(Option<CloseReason>, bool, Connection)>;

/// An exchange under way, its caller's side, and the peer's side of the pipe.
struct Scene {
    end: Ended,
    caller: oneshot::Receiver<Answer>,
    peer: DuplexStream,
}

fn start(config: Config, body: &'static str) -> Scene {
    let (stream, peer) = duplex(PIPE);
    let connection = connection(stream, &config);
    start_on(connection, peer, config, body)
}

fn connection(stream: impl Transport, config: &Config) -> Connection {
    Connection::new(Stream::Other(Box::new(stream)), 1, Arc::new(config.clone()))
}

fn start_on(
    connection: Connection,
    peer: DuplexStream,
    config: Config,
    body: &'static str,
) -> Scene {
    let (end, caller) = exchange(connection, config, body);
    Scene { end, caller, peer }
}

fn exchange(
    mut connection: Connection,
    config: Config,
    body: &'static str,
) -> (Ended, oneshot::Receiver<Answer>) {
    let (reply, caller) = oneshot::channel();
    let request = Request::put("http://h/").body(Full::from(body)).unwrap();
    let deadline = config.total_timeout.map(|limit| after(Instant::now(), limit));
    let outgoing = Outgoing::new(request).unwrap();
    let mut request = PendingRequest::new(outgoing, reply, deadline, config.body_window);
    let end = tokio::spawn(async move {
        let end = connection.exchange(&mut request).await;
        let (close, retry) = match end {
            End::Reusable => {
                request.complete(Ok(()));
                (None, false)
            }
            End::Close(reason, result) => {
                request.complete(result);
                (Some(reason), false)
            }
            End::Stale(reason) => (Some(reason), true),
        };
        (close, retry, connection)
    });
    (end, caller)
}

impl Scene {
    /// Reads the request until its last byte, `last`, is here.
    async fn request(&mut self, last: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(last) {
            text.push(char::from(self.peer.read_u8().await.unwrap()));
        }
        text
    }

    async fn send(&mut self, bytes: &str) {
        self.peer.write_all(bytes.as_bytes()).await.unwrap();
    }

    async fn closes(self) -> Option<CloseReason> {
        self.end.await.unwrap().0
    }
}

async fn text(response: Response<Body>) -> Result<Bytes, Error> {
    Ok(response.into_body().collect().await?.to_bytes())
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_whole_exchange_leaves_the_connection_usable() {
    let mut scene = start(Config::new(), "0123456789 0123456789 0123456789!");
    let request = scene.request("!").await;
    assert!(request.starts_with("PUT / HTTP/1.1\r\n") && request.ends_with("9 0123456789!"));
    scene.send(HEAD).await;
    scene.send("body").await;
    let response = (&mut scene.caller).await.unwrap().unwrap();
    assert_eq!(text(response).await.unwrap(), "body");
    assert_eq!(scene.closes().await, None);
}

#[tokio::test(start_paused = true)]
async fn sending_goes_on_after_an_early_response() {
    let mut scene = start(Config::new(), "a body that does not fit into the pipe at once!");
    scene.send("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await;
    let body = (&mut scene.caller).await.unwrap().unwrap().into_body();
    assert_eq!((body.exchange().upload, body.is_end_stream()), (Upload::Pending, false));
    assert!(scene.request("!").await.ends_with("into the pipe at once!"));
    assert_eq!(scene.closes().await, None);
    assert_eq!((body.exchange().upload, body.is_end_stream()), (Upload::Whole, true));
}

#[tokio::test(start_paused = true)]
async fn an_early_response_that_closes_ends_sending() {
    let mut scene = start(Config::new(), "a body that does not fit into the pipe at once");
    scene.send("HTTP/1.1 413 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    let body = (&mut scene.caller).await.unwrap().unwrap().into_body();
    assert_eq!(body.exchange().upload, Upload::Cut);
    assert_eq!(scene.closes().await, Some(CloseReason::PeerAsked));
}

#[tokio::test(start_paused = true)]
async fn a_refused_upload_still_gets_its_answer() {
    let mut scene = start(Config::new(), "a body that does not fit into the pipe at once");
    scene.send(HEAD).await;
    // The other half of the pipe ends too, so that the next write fails.
    scene.peer.write_all(b"body").await.unwrap();
    drop(scene.peer);
    let mut body = scene.caller.await.unwrap().unwrap().into_body();
    assert_eq!((&mut body).collect().await.unwrap().to_bytes(), "body");
    assert_eq!(body.exchange().upload, Upload::Cut);
    assert_eq!(scene.end.await.unwrap().0, Some(CloseReason::Reset));
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_sending_begins_anew_with_each_byte_that_is_taken() {
    let limit = Duration::from_secs(5);
    let body = "a body that does not fit into the pipe at once";
    let mut scene = start(Config::new().write_idle_timeout(limit), body);
    for _ in 0..3 {
        tokio::time::sleep(limit - Duration::from_secs(1)).await;
        scene.peer.read_u8().await.unwrap();
    }
    let taken = Instant::now();
    let error = (&mut scene.caller).await.unwrap().unwrap_err();
    assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Write));
    assert_eq!(taken.elapsed().as_secs(), limit.as_secs());
    assert_eq!(scene.closes().await, Some(CloseReason::Timeout));
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_sending_stands_while_the_window_is_full() {
    let limit = Duration::from_secs(5);
    let config = Config::new().write_idle_timeout(limit).body_window(2);
    let mut scene = start(config, "a body that does not fit into the pipe at once");
    scene.send(HEAD).await;
    scene.send("bod").await;
    let mut body = (&mut scene.caller).await.unwrap().unwrap().into_body();
    tokio::time::sleep(10 * limit).await;
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "bod");
    let read = Instant::now();
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Write));
    assert_eq!(read.elapsed().as_secs(), limit.as_secs());
}

#[tokio::test(start_paused = true)]
async fn the_heads_limit_runs_from_the_requests_last_byte() {
    let limit = Duration::from_secs(5);
    let mut scene = start(Config::new().head_timeout(limit), "0123456789!");
    tokio::time::sleep(3 * limit).await; // the pipe is full, so the request is not out
    scene.request("!").await;
    let sent = Instant::now();
    let error = (&mut scene.caller).await.unwrap().unwrap_err();
    assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Head));
    assert_eq!(sent.elapsed().as_secs(), limit.as_secs());
    assert_eq!(scene.closes().await, Some(CloseReason::Timeout));
}

#[tokio::test(start_paused = true)]
async fn the_bodys_limit_starts_anew_with_each_piece() {
    let limit = Duration::from_secs(5);
    let mut scene = start(Config::new().body_idle_timeout(limit), "!");
    scene.request("!").await;
    scene.send(HEAD).await;
    let response = (&mut scene.caller).await.unwrap().unwrap();
    for piece in ["b", "o", "d"] {
        tokio::time::sleep(limit - Duration::from_secs(1)).await;
        scene.send(piece).await;
    }
    let error = text(response).await.unwrap_err();
    assert_eq!(error.timeout_phase(), Some(TimeoutPhase::BodyIdle));
    assert_eq!(scene.closes().await, Some(CloseReason::Timeout));
}

#[tokio::test(start_paused = true)]
async fn the_bodys_limit_rests_while_the_window_is_full() {
    let limit = Duration::from_secs(5);
    let mut scene = start(Config::new().body_idle_timeout(limit).body_window(2), "!");
    scene.request("!").await;
    scene.send(HEAD).await;
    let response = (&mut scene.caller).await.unwrap().unwrap();
    scene.send("bod").await;
    tokio::time::sleep(10 * limit).await;
    scene.send("y").await;
    assert_eq!(text(response).await.unwrap(), "body");
    assert_eq!(scene.closes().await, None);
}

/// A stream that has something for every read. It spends nothing of its task's budget, so its
/// reader is never made to pause.
struct Endless(&'static [u8]);

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match std::mem::take(&mut self.0) {
            [] => into.put_slice(&[b'!'; 100]),
            head => into.put_slice(head),
        }
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn the_total_limit_holds_against_a_stream_that_never_pauses() {
    const MOST_READS: usize = 1000;
    // A smaller one would fill, and so make a pause.
    const WINDOW: usize = 16 * 1024 * 1024;
    let limit = Duration::from_secs(5);
    let config = Config::new().total_timeout(limit).body_window(WINDOW);
    let endless = Endless(b"HTTP/1.1 200 OK\r\n\r\n");
    let connection = connection(join(endless, sink()), &config);
    let (end, caller) = exchange(connection, config, "");
    let mut body = caller.await.unwrap().unwrap().into_body();
    tokio::time::advance(2 * limit).await;
    for _ in 0..MOST_READS {
        if let Err(error) = body.frame().await.unwrap() {
            assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Total));
            return;
        }
    }
    end.abort();
    panic!("the limit was never noticed");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_ends_the_exchange() {
    let mut scene = start(Config::new(), "!");
    scene.request("!").await;
    scene.caller.close();
    assert_eq!(scene.closes().await, Some(CloseReason::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_body_that_is_here_already_costs_no_connection() {
    let mut scene = start(Config::new().body_window(1), "!");
    scene.request("!").await;
    scene.send(HEAD).await;
    let response = (&mut scene.caller).await.unwrap().unwrap();
    scene.send("bod").await;
    tokio::task::yield_now().await; // the window is full now
    scene.send("y").await;
    drop(response);
    assert_eq!(scene.closes().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_body_that_is_not_here_ends_the_connection() {
    let mut scene = start(Config::new(), "!");
    scene.request("!").await;
    scene.send(HEAD).await;
    let response = (&mut scene.caller).await.unwrap().unwrap();
    scene.send("bod").await;
    drop(response);
    assert_eq!(scene.closes().await, Some(CloseReason::BodyDropped));
}

#[tokio::test(start_paused = true)]
async fn bytes_after_the_end_and_an_end_without_a_response() {
    let mut scene = start(Config::new(), "!");
    scene.request("!").await;
    scene.send("HTTP/1.1 204 No\r\n\r\nHTTP").await;
    assert_eq!(scene.closes().await, Some(CloseReason::Unsolicited));

    let mut scene = start(Config::new(), "!");
    scene.request("!").await;
    drop(scene.peer);
    assert_eq!(scene.caller.await.unwrap().unwrap_err().kind(), ErrorKind::ClosedEarly);
    assert_eq!(scene.end.await.unwrap().0, Some(CloseReason::PeerClosed));
}

#[tokio::test(start_paused = true)]
async fn only_a_reused_connection_is_stale() {
    let mut scene = start(Config::new(), "!");
    scene.request("!").await;
    scene.send("HTTP/1.1 204 No\r\n\r\n").await;
    let (close, _, connection) = scene.end.await.unwrap();
    assert_eq!(close, None);
    let mut scene = start_on(connection, scene.peer, Config::new(), "!");
    scene.request("!").await;
    drop(scene.peer);
    assert!(scene.end.await.unwrap().1, "to be sent again");
}
