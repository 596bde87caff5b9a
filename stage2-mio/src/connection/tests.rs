//! A connection against a script, without a socket or a loop. Time is an argument.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
    time::Duration,
};

use bytes::Bytes;
use client_core::{Body, ErrorKind, TimeoutPhase};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use mio::{Interest, Registry, Token, event::Source};

use super::*;
use crate::{oneshot, pending::ReplyReceiver, transport::Blocked};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const NEWS: Readiness = Readiness { readable: false, writable: false, hung_up: false };
const READABLE: Readiness = Readiness { readable: true, ..NEWS };
const HUNG_UP: Readiness = Readiness { hung_up: true, ..READABLE };
const WRITABLE: Readiness = Readiness { writable: true, ..NEWS };

/// What a peer does. Each read takes the next of `reads`, and blocks when there is none.
#[derive(Debug, Default)]
struct Script {
    reads: VecDeque<Said>,
    /// How many calls of `read` there were.
    calls: usize,
    /// How many more bytes can be written; `None` is any number.
    room: Option<usize>,
    written: Vec<u8>,
    /// What a write without room waits for, if it is not writability.
    write_on: Option<Blocked>,
    /// Why a flush fails, if it does.
    flush_error: Option<io::ErrorKind>,
    /// Bytes that it holds back until they can be flushed.
    held: usize,
    /// What the operation waits for that last returned `WouldBlock`.
    blocked: Option<Blocked>,
}

#[derive(Debug)]
enum Said {
    Bytes(Vec<u8>),
    End,
    Reset,
    /// The end of the socket without the end of the protocol above it.
    Truncated,
    /// `WouldBlock`, until the transport is ready for this.
    Blocked(Blocked),
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        match self.reads.pop_front() {
            None => self.block(None),
            Some(Said::Blocked(on)) => self.block(Some(on)),
            Some(Said::End) => Ok(0),
            Some(Said::Truncated) => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(Said::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
            Some(Said::Bytes(mut bytes)) => {
                let n = bytes.len().min(buffer.len());
                buffer[..n].copy_from_slice(&bytes[..n]);
                if bytes.drain(..n).len() == n && !bytes.is_empty() {
                    self.reads.push_front(Said::Bytes(bytes));
                }
                Ok(n)
            }
        }
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if n == 0 {
            return self.block(self.write_on);
        }
        self.room = self.room.map(|room| room - n);
        self.written.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(kind) = self.flush_error {
            return Err(kind.into());
        }
        match self.room {
            Some(room) if room < self.held => self.block(None),
            _ => {
                self.held = 0;
                Ok(())
            }
        }
    }
}

impl Script {
    fn block<T>(&mut self, on: Option<Blocked>) -> io::Result<T> {
        self.blocked = on;
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Source for Script {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Script {
    fn blocked(&self) -> Option<Blocked> {
        self.blocked
    }

    fn short_read_is_last(&self) -> bool {
        true
    }
}

/// Counts the wakeups of the loop.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A connection, and what the loop lends to it.
struct Fixture {
    connection: Connection<Script>,
    config: Config,
    now: Instant,
    wakes: Arc<Wakes>,
    buffer: Vec<u8>,
}

impl Fixture {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        let connection =
            Connection::new(Script::default(), 1, Readiness::default(), &config, now);
        Fixture { connection, config, now, wakes: Arc::default(), buffer: vec![0; 1024] }
    }

    fn drive(
        &mut self,
        act: impl FnOnce(&mut Connection<Script>, &mut LoopContext<'_>) -> Next,
    ) -> Next {
        let waker = Waker::from(self.wakes.clone());
        let (config, buffer) = (&self.config, &mut self.buffer);
        let mut cx = LoopContext { now: self.now, config, waker: &waker, buffer };
        act(&mut self.connection, &mut cx)
    }

    fn start(&mut self, request: Request<Full<Bytes>>) -> ReplyReceiver {
        let (reply, answer) = oneshot::channel();
        let pending = PendingRequest {
            request: Outgoing::new(request).unwrap(),
            reply,
            deadline: self.config.total_timeout.map(|total| self.now + total),
            attempts: 1,
            timer: Armed::default(),
        };
        assert!(matches!(self.drive(|c, cx| c.start(7, pending, cx)), Next::Wait));
        answer
    }

    fn get(&mut self) -> ReplyReceiver {
        self.start(Request::get("http://host/").body(Full::default()).unwrap())
    }

    /// The peer sends these, and the loop gets an event.
    fn event(&mut self, readiness: Readiness, said: impl IntoIterator<Item = Said>) -> Next {
        self.connection.transport.reads.extend(said);
        self.drive(|c, cx| c.ready(readiness, cx))
    }

    fn event_bytes(&mut self, bytes: &[u8]) -> Next {
        self.event(READABLE, [Said::Bytes(bytes.to_vec())])
    }

    fn pass(&mut self, time: Duration) -> Next {
        self.now += time;
        self.drive(Connection::expire)
    }
}

/// Completes the call. Returns why the connection is closed, if it is.
fn fate(next: Next) -> Result<(), CloseReason> {
    match next {
        Next::Free(completion) => {
            completion.complete();
            Ok(())
        }
        Next::Close(reason, completion) => {
            completion.complete();
            Err(reason)
        }
        other => panic!("expected an end, found {other:?}"),
    }
}

fn answer(call: &mut ReplyReceiver) -> Option<Result<Response<Body>, Error>> {
    match call.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => None,
    }
}

/// The text of a body that has ended.
fn text(body: Body) -> Result<String, Error> {
    let mut collect = std::pin::pin!(body.collect());
    match collect.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(collected) => {
            Ok(String::from_utf8(collected?.to_bytes().to_vec()).expect("ASCII"))
        }
        Poll::Pending => panic!("expected the body's end"),
    }
}

#[test]
fn an_exchange_is_one_write_and_one_read() {
    let mut f = Fixture::new(Config::new());
    let mut call = f.get();
    assert_eq!(f.connection.transport.written, b"GET / HTTP/1.1\r\nhost: host\r\n\r\n");
    let next = f.event_bytes(OK);
    assert!(answer(&mut call).is_none(), "completed before the pool knows");
    assert_eq!(fate(next), Ok(()));
    assert_eq!(text(answer(&mut call).unwrap().unwrap().into_body()).unwrap(), "hello");
    assert_eq!(f.connection.transport.calls, 1);
}

#[test]
fn a_response_may_be_cut_anywhere() {
    for cut in 1..OK.len() {
        let mut f = Fixture::new(Config::new());
        let mut call = f.get();
        assert!(matches!(f.event_bytes(&OK[..cut]), Next::Wait));
        assert_eq!(fate(f.event_bytes(&OK[cut..])), Ok(()), "cut at {cut}");
        assert_eq!(text(answer(&mut call).unwrap().unwrap().into_body()).unwrap(), "hello");
    }
}

#[test]
fn a_request_may_be_taken_in_pieces_and_the_heads_time_begins_with_the_last() {
    let mut f = Fixture::new(Config::new());
    f.connection.transport.room = Some(3);
    let _call = f.get();
    assert_eq!(f.connection.deadline(), Some(f.now + f.config.write_idle_timeout));
    f.connection.transport.room = None;
    f.now += Duration::from_secs(100);
    assert!(matches!(f.event(WRITABLE, []), Next::Wait));
    assert!(f.connection.transport.written.ends_with(b"\r\n\r\n"));
    assert_eq!(f.connection.deadline(), Some(f.now + f.config.head_timeout));
}

/// Half a request, and a whole response to it, of which the caller has seen the head.
fn half_an_upload(config: Config) -> (Fixture, Body) {
    let mut f = Fixture::new(config);
    f.connection.transport.room = Some(40);
    let body = Full::from(vec![0; 1000]);
    let mut call = f.start(Request::put("http://host/").body(body).unwrap());
    let said = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n";
    assert!(matches!(f.event_bytes(said), Next::Wait));
    let response = answer(&mut call).unwrap().unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(upload(response.body()), Upload::Pending);
    (f, response.into_body())
}

fn upload(body: &Body) -> Upload {
    body.exchange().upload
}

#[test]
fn a_response_to_half_a_request_is_delivered_and_the_rest_is_written_after_it() {
    let (mut f, body) = half_an_upload(Config::new());
    f.connection.transport.room = None;
    assert_eq!(fate(f.event(WRITABLE, [])), Ok(()));
    assert_eq!(f.connection.transport.written.iter().filter(|byte| **byte == 0).count(), 1000);
    assert_eq!((upload(&body), text(body).unwrap()), (Upload::Whole, String::new()));
}

#[test]
fn an_upload_after_the_response_ends_with_the_connection_and_with_its_time() {
    let cases = [
        (Said::End, CloseReason::PeerClosed),
        (Said::Reset, CloseReason::Reset),
        (Said::Truncated, CloseReason::PeerClosed),
    ];
    for (said, reason) in cases {
        let (mut f, body) = half_an_upload(Config::new());
        assert_eq!(fate(f.event(HUNG_UP, [said])), Err(reason));
        assert_eq!((upload(&body), text(body).unwrap()), (Upload::Cut, String::new()));
    }
    let five = Duration::from_secs(5);
    for config in [Config::new().write_idle_timeout(five), Config::new().total_timeout(five)] {
        let (mut f, body) = half_an_upload(config);
        assert_eq!(fate(f.pass(five)), Err(CloseReason::Timeout));
        assert_eq!((upload(&body), text(body).unwrap()), (Upload::Cut, String::new()));
    }
}

#[test]
fn a_caller_that_drops_the_body_ends_the_upload_after_the_response() {
    let (mut f, body) = half_an_upload(Config::new());
    drop(body);
    assert_eq!(f.wakes.0.load(Ordering::SeqCst), 1);
    assert_eq!(fate(f.event(NEWS, [])), Err(CloseReason::BodyDropped));
}

#[test]
fn bytes_after_the_response_end_the_connection_when_the_upload_ends() {
    let (mut f, body) = half_an_upload(Config::new());
    assert!(matches!(f.event_bytes(&[b'x'; 5000]), Next::Wait));
    assert!(!f.connection.framing.has_input());
    f.connection.transport.room = None;
    assert_eq!(fate(f.event(WRITABLE, [])), Err(CloseReason::Unsolicited));
    assert_eq!(upload(&body), Upload::Whole);
}

#[test]
fn a_response_that_closes_ends_the_upload() {
    let mut f = Fixture::new(Config::new());
    f.connection.transport.room = Some(40);
    let body = Full::from(vec![0; 1000]);
    let mut call = f.start(Request::put("http://host/").body(body).unwrap());
    let said =
        b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(fate(f.event_bytes(said)), Err(CloseReason::PeerAsked));
    assert_eq!(upload(answer(&mut call).unwrap().unwrap().body()), Upload::Cut);
}

#[test]
fn a_reader_that_stops_stops_the_reading_and_one_wake_resumes_it() {
    let mut f = Fixture::new(Config::new().body_window(2048));
    let mut call = f.get();
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 8192\r\n\r\n";
    let body = Said::Bytes(vec![b'x'; 8192]);
    let next = f.event(READABLE, [Said::Bytes(head.to_vec()), body]);
    assert!(matches!(next, Next::Wait));
    // A head that came alone was a short read: the rest has its own edge.
    assert!(matches!(f.event(READABLE, []), Next::Wait));
    let before = f.connection.transport.calls;
    assert!(matches!(f.event(READABLE, []), Next::Wait));
    assert_eq!(f.connection.transport.calls, before, "the window is full");
    assert_eq!(f.connection.deadline(), None, "the reader's time is its own");

    let mut body = answer(&mut call).unwrap().unwrap().into_body();
    let mut taken = 0;
    while let Poll::Ready(Some(frame)) =
        std::pin::pin!(body.frame()).poll(&mut Context::from_waker(Waker::noop()))
    {
        taken += frame.unwrap().into_data().unwrap().len();
    }
    assert!((2048..2048 + 1024).contains(&taken), "{taken} bytes beyond the window");
    assert_eq!(f.wakes.0.load(Ordering::SeqCst), 1);
    assert!(matches!(f.event(NEWS, []), Next::Wait));
    assert!(f.connection.transport.calls > before, "no edge was to come");
    assert_eq!(f.connection.deadline(), None, "full again");
}

#[test]
fn a_stale_connection_gives_its_request_back() {
    for said in [Said::End, Said::Reset, Said::Truncated] {
        let mut f = Fixture::new(Config::new());
        let _first = f.get();
        assert_eq!(fate(f.event_bytes(OK)), Ok(()));
        let mut call = f.get();
        let Next::Retry(_, pending) = f.event(HUNG_UP, [said]) else {
            panic!("expected a retry")
        };
        assert_eq!(pending.attempts, 2);
        assert!(answer(&mut call).is_none());
    }
}

#[test]
fn a_fresh_connection_that_was_idle_gives_its_request_back() {
    let mut f = Fixture::new(Config::new());
    assert!(matches!(f.drive(Connection::mark_idle), Next::Wait));
    let mut call = f.get();
    assert!(matches!(f.event(HUNG_UP, [Said::End]), Next::Retry(CloseReason::PeerClosed, _)));
    assert!(answer(&mut call).is_none());
}

#[test]
fn a_fresh_connection_that_ends_without_a_response_is_an_error() {
    let mut f = Fixture::new(Config::new());
    let mut call = f.get();
    assert_eq!(fate(f.event(HUNG_UP, [Said::End])), Err(CloseReason::PeerClosed));
    assert_eq!(answer(&mut call).unwrap().unwrap_err().kind(), ErrorKind::ClosedEarly);
}

#[test]
fn whatever_arrives_on_an_idle_connection_is_its_end() {
    let cases = [
        (Said::End, CloseReason::PeerClosed),
        (Said::Truncated, CloseReason::PeerClosed),
        (Said::Reset, CloseReason::Reset),
        (Said::Bytes(b"HTTP/1.1 408 \r\n\r\n".to_vec()), CloseReason::Unsolicited),
    ];
    for (said, reason) in cases {
        let mut f = Fixture::new(Config::new());
        assert_eq!(fate(f.event(HUNG_UP, [said])), Err(reason));
    }
}

#[test]
fn an_end_that_came_with_the_response_is_found_before_the_connection_is_kept() {
    let mut f = Fixture::new(Config::new());
    let _call = f.get();
    let next = f.event(HUNG_UP, [Said::Bytes(OK.to_vec()), Said::End]);
    assert_eq!(fate(next), Err(CloseReason::PeerClosed));
}

#[test]
fn bytes_after_the_response_end_the_connection() {
    let mut f = Fixture::new(Config::new());
    let _call = f.get();
    let next = f.event_bytes(&[OK, b"x"].concat());
    assert_eq!(fate(next), Err(CloseReason::Unsolicited));
}

#[test]
fn a_dropped_body_costs_the_connection_unless_one_read_completes_it() {
    for (rest, kept) in [(1000, true), (2000, false)] {
        let mut f = Fixture::new(Config::new());
        let mut call = f.get();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {rest}\r\n\r\n");
        assert!(matches!(f.event_bytes(head.as_bytes()), Next::Wait));
        drop(answer(&mut call).unwrap().unwrap());
        assert_eq!(f.wakes.0.load(Ordering::SeqCst), 1);
        let next = f.event(NEWS, [Said::Bytes(vec![b'x'; rest])]);
        assert_eq!(fate(next), if kept { Ok(()) } else { Err(CloseReason::BodyDropped) });
    }
}

#[test]
fn what_came_before_an_error_is_read_before_it() {
    let mut f = Fixture::new(Config::new());
    let mut call = f.get();
    let said = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\nno size\r\n";
    assert_eq!(fate(f.event_bytes(said)), Err(CloseReason::ProtocolError));
    let mut body = answer(&mut call).unwrap().unwrap().into_body();
    let mut frames = Vec::new();
    while let Poll::Ready(Some(frame)) =
        std::pin::pin!(body.frame()).poll(&mut Context::from_waker(Waker::noop()))
    {
        frames.push(frame);
    }
    assert_eq!(frames.remove(0).unwrap().into_data().unwrap(), "hi");
    assert_eq!(frames.remove(0).unwrap_err().kind(), ErrorKind::Protocol);
    assert!(frames.is_empty());
}

#[test]
fn each_limit_of_time_has_its_own_error() {
    let second = Duration::from_secs(1);
    let config = || Config::new().head_timeout(2 * second).body_idle_timeout(3 * second);
    let expect = |config: Config, said: &[u8], after, phase| {
        let mut f = Fixture::new(config);
        let mut call = f.get();
        assert!(matches!(f.event_bytes(said), Next::Wait));
        assert!(matches!(f.pass(after - Duration::from_nanos(1)), Next::Wait));
        assert_eq!(fate(f.pass(Duration::from_nanos(1))), Err(CloseReason::Timeout));
        let error = answer(&mut call).unwrap().and_then(|response| text(response.into_body()));
        assert_eq!(error.unwrap_err().timeout_phase(), Some(phase));
    };
    let half = &OK[..OK.len() - 1];
    expect(config(), b"HTTP", 2 * second, TimeoutPhase::Head);
    expect(config(), half, 3 * second, TimeoutPhase::BodyIdle);
    expect(config().total_timeout(second), b"HTTP", second, TimeoutPhase::Total);
    expect(config().total_timeout(second), half, second, TimeoutPhase::Total);
}

#[test]
fn an_idle_connection_expires_when_the_first_of_both_sides_says_so() {
    let mut f = Fixture::new(Config::new().idle_timeout(Duration::from_secs(9)));
    let _call = f.get();
    let said = b"HTTP/1.1 204 No Content\r\nkeep-alive: timeout=6\r\n\r\n";
    assert_eq!(fate(f.event_bytes(said)), Ok(()));
    assert_eq!(f.connection.deadline(), Some(f.now + Duration::from_secs(5)));
    assert!(matches!(f.pass(Duration::from_secs(4)), Next::Wait));
    assert_eq!(fate(f.pass(Duration::from_secs(1))), Err(CloseReason::IdleExpired));
}

#[test]
fn a_peer_that_says_how_often_it_serves_is_not_asked_again() {
    let mut f = Fixture::new(Config::new());
    let mut fates = Vec::new();
    for said in ["keep-alive: max=2\r\n", "", ""] {
        let _call = f.get();
        let said = format!("HTTP/1.1 204 No Content\r\n{said}\r\n");
        fates.push(fate(f.event_bytes(said.as_bytes())));
    }
    assert_eq!(fates, [Ok(()), Ok(()), Err(CloseReason::PeerAsked)]);
}

#[test]
fn much_to_read_is_read_in_turns() {
    let mut f = Fixture::new(Config::new());
    let _call = f.get();
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n".to_vec();
    let next = f.event(READABLE, [Said::Bytes([head, vec![b'x'; 60_000]].concat())]);
    assert!(matches!(next, Next::Again));
    assert_eq!(f.connection.transport.calls, READS_IN_A_ROW);
}

#[test]
fn a_cancelled_exchange_is_told_from_the_next_one() {
    let mut f = Fixture::new(Config::new());
    let _call = f.get();
    assert!(matches!(f.drive(|c, cx| c.cancel(6, cx)), Next::Wait));
    assert_eq!(fate(f.drive(|c, cx| c.cancel(7, cx))), Err(CloseReason::Cancelled));
}

// ===== which readiness an operation waits for =====

#[test]
fn a_read_that_waits_to_write_goes_on_when_there_is_room() {
    let mut f = Fixture::new(Config::new());
    let mut call = f.get();
    assert!(matches!(f.event(READABLE, [Said::Blocked(Blocked::Write)]), Next::Wait));
    let calls = f.connection.transport.calls;
    assert!(matches!(f.event_bytes(OK), Next::Wait));
    assert_eq!(f.connection.transport.calls, calls, "what it waits for has not come");
    assert_eq!(fate(f.event(WRITABLE, [])), Ok(()));
    assert_eq!(text(answer(&mut call).unwrap().unwrap().into_body()).unwrap(), "hello");
}

#[test]
fn a_write_that_waits_to_read_goes_on_after_a_read() {
    let mut f = Fixture::new(Config::new());
    f.connection.transport.room = Some(0);
    f.connection.transport.write_on = Some(Blocked::Read);
    let _call = f.get();
    f.connection.transport.room = None;
    assert!(matches!(f.event(WRITABLE, []), Next::Wait));
    assert_eq!(f.connection.transport.written, b"", "what it waits for has not come");
    // A read finds nothing for HTTP: it was all TLS's.
    assert!(matches!(f.event(READABLE, []), Next::Again));
    assert!(matches!(f.event(NEWS, []), Next::Wait));
    assert!(f.connection.transport.written.ends_with(b"\r\n\r\n"));
    assert_eq!(fate(f.event_bytes(OK)), Ok(()));
}

#[test]
fn a_write_that_waits_to_read_does_not_stop_a_read_that_waits_to_write() {
    let mut f = Fixture::new(Config::new());
    f.connection.transport.room = Some(0);
    let _call = f.get();
    // The read has to write first, and until it has, the write has to wait for it.
    f.connection.transport.write_on = Some(Blocked::Read);
    assert!(matches!(f.event(READABLE, [Said::Blocked(Blocked::Write)]), Next::Wait));
    assert!(matches!(f.event(WRITABLE, []), Next::Again));
    f.connection.transport.room = None;
    assert!(matches!(f.event(NEWS, []), Next::Wait));
    assert!(f.connection.transport.written.ends_with(b"\r\n\r\n"));
}

#[test]
fn a_read_that_waits_for_either_goes_on_with_the_first() {
    for first in [READABLE, WRITABLE] {
        let mut f = Fixture::new(Config::new());
        let _call = f.get();
        assert!(matches!(f.event(READABLE, [Said::Blocked(Blocked::Either)]), Next::Wait));
        let calls = f.connection.transport.calls;
        assert!(matches!(f.event(NEWS, []), Next::Wait));
        assert_eq!(f.connection.transport.calls, calls, "nothing has come");
        assert_eq!(fate(f.event(first, [Said::Bytes(OK.to_vec())])), Ok(()));
    }
}

#[test]
fn a_request_is_sent_when_the_transport_holds_nothing_back() {
    let mut f = Fixture::new(Config::new());
    f.connection.transport.held = 1000;
    f.connection.transport.room = Some(500);
    let _call = f.get();
    assert!(f.connection.transport.written.ends_with(b"\r\n\r\n"));
    assert_eq!(f.connection.deadline(), Some(f.now + f.config.write_idle_timeout));
    f.connection.transport.room = None;
    f.now += Duration::from_secs(100);
    assert!(matches!(f.event(WRITABLE, []), Next::Wait));
    assert_eq!(f.connection.deadline(), Some(f.now + f.config.head_timeout));
}

#[test]
fn what_the_transport_holds_back_is_sent_though_no_request_is_written() {
    let idle = Fixture::new(Config::new());
    let mut reading = Fixture::new(Config::new());
    let _call = reading.get();
    let mut full = Fixture::new(Config::new().body_window(1));
    let mut call = full.get();
    let half = Said::Bytes(OK[..OK.len() - 1].to_vec());
    assert!(matches!(full.event(READABLE, [half]), Next::Wait));
    let _body = answer(&mut call);
    for mut f in [idle, reading, full] {
        f.connection.transport.held = 31;
        f.connection.transport.room = Some(0);
        assert!(matches!(f.event(READABLE, []), Next::Wait));
        f.connection.transport.room = None;
        assert!(matches!(f.event(WRITABLE, []), Next::Wait));
        assert_eq!(f.connection.transport.held, 0);
    }
}

#[test]
fn a_flush_that_fails_after_the_request_was_sent_does_not_fail_the_call() {
    let mut f = Fixture::new(Config::new());
    let _call = f.get();
    f.connection.transport.flush_error = Some(io::ErrorKind::BrokenPipe);
    assert!(matches!(f.event(READABLE, []), Next::Wait));
    assert_eq!(fate(f.event_bytes(OK)), Ok(()));
}

#[test]
fn bytes_that_can_be_read_after_the_response_end_the_connection() {
    let mut f = Fixture::new(Config::new());
    let _call = f.get();
    let said = [OK, b"x"].map(|bytes| Said::Bytes(bytes.to_vec()));
    assert_eq!(fate(f.event(HUNG_UP, said)), Err(CloseReason::Unsolicited));
}

#[test]
fn a_caller_that_gives_up_as_the_head_comes_gets_nothing() {
    let mut f = Fixture::new(Config::new());
    f.get().cancel();
    let half = &OK[..OK.len() - 1];
    assert_eq!(fate(f.event_bytes(half)), Err(CloseReason::Cancelled));
}

#[test]
fn an_end_of_the_socket_alone_is_enough_if_the_length_of_the_body_is_known() {
    let until_close = b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec();
    for (said, kind) in [(OK.to_vec(), None), (until_close, Some(ErrorKind::ClosedEarly))] {
        let mut f = Fixture::new(Config::new());
        let mut call = f.get();
        let next = f.event(HUNG_UP, [Said::Bytes(said), Said::Truncated]);
        assert_eq!(fate(next), Err(CloseReason::PeerClosed));
        let body = answer(&mut call).unwrap().unwrap().into_body();
        assert_eq!(text(body).err().map(|error| error.kind()), kind);
    }
}
