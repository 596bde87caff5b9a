//! A connection over a scripted transport: no loop, no socket, no clock of its own.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    task::{Context, Poll},
    time::Duration,
};

use client_core::{Answer, Body, ErrorKind, Outgoing};
use http::{Method, Request};
use http_body::Body as _;
use rotor::{
    EventSet, Evented, PollOpt,
    mio::{Selector, Token},
};

use super::*;
use crate::{oneshot, pending::ReplyReceiver, transport::Blocked};

/// A transport that a test scripts.
#[derive(Default)]
struct Script {
    /// The results of reads, one after the other. Then `WouldBlock`.
    input: VecDeque<io::Result<&'static [u8]>>,
    reads: usize,
    /// What a read that returns `WouldBlock` waits for, if not to read.
    read_on: Option<Blocked>,
    /// How many bytes the writes take in all; then `WouldBlock`.
    room: usize,
    written: Vec<u8>,
    writes: usize,
    /// Why the writes fail, once they do.
    write_error: Option<io::ErrorKind>,
    /// What a write that returns `WouldBlock` waits for, if not to write.
    write_on: Option<Blocked>,
    /// Bytes that it holds back until there is room for them.
    held: usize,
    /// What the operation waits for that last returned `WouldBlock`.
    blocked: Option<Blocked>,
}

impl Script {
    fn block<T>(&mut self, on: Option<Blocked>) -> io::Result<T> {
        self.blocked = on;
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Read for Script {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.read_on.is_some() {
            return self.block(self.read_on);
        }
        let Some(result) = self.input.pop_front() else { return self.block(None) };
        let bytes = result?;
        into[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl Write for Script {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        if let Some(kind) = self.write_error {
            return Err(kind.into());
        }
        if self.room == 0 {
            return self.block(self.write_on);
        }
        let count = from.len().min(self.room);
        self.writes += 1;
        self.room -= count;
        self.written.extend_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_vectored(&mut self, from: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let both: Vec<u8> = from.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.write(&both)
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(kind) = self.write_error {
            return Err(kind.into());
        }
        if self.room < self.held {
            return self.block(None);
        }
        self.held = 0;
        Ok(())
    }
}

/// Nothing watches it.
impl Evented for Script {
    fn register(&self, _: &mut Selector, _: Token, _: EventSet, _: PollOpt) -> io::Result<()> {
        Ok(())
    }

    fn reregister(
        &self,
        _: &mut Selector,
        _: Token,
        _: EventSet,
        _: PollOpt,
    ) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&self, _: &mut Selector) -> io::Result<()> {
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

/// A connection, and the request that it carries.
struct Scene {
    connection: Connection<Script>,
    request: Outgoing,
    caller: ReplyReceiver,
    scratch: Vec<u8>,
    now: Time,
}

const READABLE: Readiness = Readiness { readable: true, writable: false, hup: false };
const WRITABLE: Readiness = Readiness { readable: false, writable: true, hup: false };
const NEWS: Readiness = Readiness { readable: false, writable: false, hup: false };
const HUNG_UP: Readiness = Readiness { readable: true, writable: false, hup: true };

fn scene(config: Config) -> Scene {
    let io = Script { room: usize::MAX, ..Script::default() };
    let (now, waker) = (Time::zero(), Waker::noop().clone());
    let connection = Connection::new(io, WRITABLE, 1, Arc::new(config), waker, now);
    let (_, caller) = oneshot::channel();
    let request = request(Method::GET, "");
    Scene { connection, request, caller, scratch: vec![0; 16], now }
}

fn request(method: Method, body: &'static str) -> Outgoing {
    let request = Request::builder().method(method).uri("http://h/").body(body.into()).unwrap();
    Outgoing::new(request).unwrap()
}

impl Scene {
    fn start(&mut self) -> Next {
        let (sender, receiver) = oneshot::channel();
        self.caller = receiver;
        let pending = PendingRequest::new(0, self.request.clone(), sender);
        self.connection.start(pending, self.now, &mut self.scratch)
    }

    /// Another exchange, after one that left the connection fit for it.
    fn reuse(&mut self, method: Method) -> Next {
        self.start();
        let next = self.read(b"HTTP/1.1 204 \r\n\r\n");
        assert!(matches!(next, Next::Free(_)));
        self.request = request(method, "");
        self.start()
    }

    /// The input comes in pieces of at most the loop's buffer, with one event.
    fn read(&mut self, bytes: &'static [u8]) -> Next {
        let size = self.scratch.len();
        self.connection.transport.input.extend(bytes.chunks(size).map(Ok));
        self.event(READABLE)
    }

    fn event(&mut self, event: Readiness) -> Next {
        self.connection.ready(event, self.now, &mut self.scratch)
    }

    /// The end of the input, in good order or not.
    fn end(&mut self, error: Option<io::ErrorKind>) -> Next {
        let end = error.map_or(Ok(&b""[..]), |kind| Err(kind.into()));
        self.connection.transport.input.push_back(end);
        self.event(HUNG_UP)
    }

    fn notified(&mut self) -> Next {
        self.connection.notified(self.now, &mut self.scratch)
    }

    fn answer(&mut self) -> Option<Answer> {
        match self.caller.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => None,
        }
    }

    fn body(&mut self) -> Body {
        self.answer().expect("a head").expect("no error").into_body()
    }
}

/// The next frame of a body, as text: its data, `end`, or the kind of its error.
fn frame(body: &mut Body) -> Option<String> {
    let context = &mut Context::from_waker(Waker::noop());
    match std::pin::Pin::new(body).poll_frame(context) {
        Poll::Pending => None,
        Poll::Ready(None) => Some("end".into()),
        Poll::Ready(Some(Err(error))) => Some(error.kind().to_string()),
        Poll::Ready(Some(Ok(frame))) => {
            Some(String::from_utf8_lossy(&frame.into_data().unwrap_or_default()).into_owned())
        }
    }
}

/// Why a connection is to be closed. Completes the call.
fn closed(next: Next) -> Option<CloseReason> {
    match next {
        Next::Close(reason, completion) => {
            completion.complete();
            Some(reason)
        }
        Next::Free(_) | Next::Retry(..) | Next::Wait | Next::Again => None,
    }
}

fn freed(next: Next) -> bool {
    match next {
        Next::Free(completion) => {
            completion.complete();
            true
        }
        Next::Close(..) | Next::Retry(..) | Next::Wait | Next::Again => false,
    }
}

#[test]
fn head_and_body_go_out_in_one_write() {
    let mut scene = scene(Config::new());
    scene.request = request(Method::POST, "hello");
    assert!(matches!(scene.start(), Next::Wait));
    assert_eq!(scene.connection.transport.writes, 1);
    assert!(scene.connection.transport.written.ends_with(b"\r\n\r\nhello"));
}

#[test]
fn a_request_goes_on_where_the_socket_stopped_it() {
    let mut scene = scene(Config::new());
    scene.connection.transport.room = 5;
    scene.start();
    assert_eq!(scene.connection.transport.written, b"GET /");
    let config = Config::new();
    let (write, head) =
        (config.write_idle_timeout, config.head_timeout + Duration::from_secs(1));
    assert_eq!(scene.connection.deadline(), Some(after(scene.now, write)));
    scene.now = after(scene.now, Duration::from_secs(1));
    scene.connection.transport.room = 1000;
    scene.event(WRITABLE);
    assert_eq!(scene.connection.transport.written, scene.request.rest(0).concat());
    assert_eq!(scene.connection.deadline(), Some(after(Time::zero(), head)));
}

#[test]
fn a_response_is_delivered_after_the_connection_was_freed() {
    let mut scene = scene(Config::new());
    scene.start();
    let next = scene.read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab");
    assert!(scene.answer().is_none());
    assert!(freed(next));
    let mut body = scene.body();
    assert_eq!([frame(&mut body), frame(&mut body)], [Some("ab".into()), Some("end".into())]);
}

#[test]
fn a_head_is_delivered_before_its_body_is_there() {
    let mut scene = scene(Config::new());
    scene.start();
    assert!(matches!(scene.read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"), Next::Wait));
    let mut body = scene.body();
    assert_eq!(frame(&mut body), None);
    assert!(freed(scene.read(b"ab")));
    assert_eq!(frame(&mut body), Some("ab".into()));
}

#[test]
fn a_full_window_stops_reading_until_the_reader_has_made_room() {
    let mut scene = scene(Config::new().body_window(16));
    scene.start();
    scene.read(b"HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n");
    scene.read(&[b'x'; 64]);
    assert_eq!(scene.connection.transport.input.len(), 3, "one piece fills the window");
    assert_eq!(scene.connection.deadline(), None, "the peer is not to blame");
    let mut body = scene.body();
    assert_eq!(frame(&mut body).unwrap().len(), 16);
    // No event comes: the bytes have been there all the time.
    scene.notified();
    assert_eq!(scene.connection.transport.input.len(), 2);
}

#[test]
fn a_body_dropped_early_costs_the_connection() {
    let mut scene = scene(Config::new());
    scene.start();
    scene.read(b"HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n");
    drop(scene.body());
    let next = scene.notified();
    assert_eq!(closed(next), Some(CloseReason::BodyDropped));
}

#[test]
fn a_dropped_body_that_one_read_completes_keeps_the_connection() {
    let mut scene = scene(Config::new());
    scene.start();
    scene.read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
    drop(scene.body());
    scene.connection.transport.input.push_back(Ok(b"ab"));
    assert!(freed(scene.notified()));
}

#[test]
fn the_end_of_an_early_response_waits_until_the_request_is_out() {
    let mut scene = scene(Config::new());
    scene.connection.transport.room = 5;
    scene.start();
    assert!(matches!(scene.read(b"HTTP/1.1 413 \r\ncontent-length: 2\r\n\r\nno"), Next::Wait));
    let mut body = scene.body();
    assert_eq!([frame(&mut body), frame(&mut body)], [Some("no".into()), None]);
    assert_eq!(body.exchange().upload, Upload::Pending);
    scene.connection.transport.room = 1000;
    assert!(freed(scene.event(WRITABLE)));
    assert_eq!(frame(&mut body), Some("end".into()));
    assert_eq!(body.exchange().upload, Upload::Whole);
}

/// An early response whose end waits.
fn early() -> (Scene, Body) {
    let mut scene = scene(Config::new());
    scene.connection.transport.room = 5;
    scene.start();
    scene.read(b"HTTP/1.1 204 \r\n\r\n");
    let body = scene.body();
    (scene, body)
}

#[test]
fn an_early_response_is_whole_however_sending_ends() {
    type End = fn(&mut Scene) -> Next;
    let ends: [(End, CloseReason); 4] = [
        (|scene| scene.end(None), CloseReason::PeerClosed),
        (|scene| scene.end(Some(io::ErrorKind::ConnectionReset)), CloseReason::Reset),
        (
            |scene| {
                scene.connection.transport.write_error = Some(io::ErrorKind::BrokenPipe);
                scene.event(WRITABLE)
            },
            CloseReason::Reset,
        ),
        (
            |scene| {
                let deadline = scene.connection.deadline().unwrap();
                scene.connection.expire(deadline, &mut scene.scratch)
            },
            CloseReason::Timeout,
        ),
    ];
    for (end, reason) in ends {
        let (mut scene, mut body) = early();
        let next = end(&mut scene);
        assert_eq!(closed(next), Some(reason));
        assert_eq!(frame(&mut body), Some("end".into()));
        assert_eq!(body.exchange().upload, Upload::Cut);
    }
}

#[test]
fn bytes_behind_an_early_response_end_the_connection_when_the_request_is_out() {
    let (mut scene, mut body) = early();
    assert!(matches!(scene.read(b"HTTP/1.1 408 "), Next::Wait));
    assert_eq!(frame(&mut body), None);
    scene.connection.transport.room = 1000;
    assert_eq!(closed(scene.event(WRITABLE)), Some(CloseReason::Unsolicited));
    assert_eq!(body.exchange().upload, Upload::Whole);
}

#[test]
fn an_early_response_that_is_dropped_ends_the_connection() {
    let (mut scene, body) = early();
    drop(body);
    let next = scene.notified();
    assert_eq!(closed(next), Some(CloseReason::BodyDropped));
}

#[test]
fn a_stale_connection_is_no_error_for_what_may_be_repeated() {
    let mut scene = scene(Config::new());
    scene.reuse(Method::GET);
    let next = scene.end(Some(io::ErrorKind::ConnectionReset));
    assert!(matches!(next, Next::Retry(CloseReason::Reset, _)));
}

#[test]
fn a_fresh_connection_may_be_stale_once_it_was_idle() {
    let mut scene = scene(Config::new());
    assert!(matches!(scene.connection.mark_idle(scene.now, &mut scene.scratch), Next::Wait));
    scene.start();
    let Next::Retry(CloseReason::PeerClosed, pending) = scene.end(None) else {
        panic!("expected the request to be sent again");
    };
    assert_eq!(pending.attempts, 2);
    assert!(!pending.reply.is_closed());
}

#[test]
fn a_request_that_may_not_be_repeated_fails_with_its_connection() {
    let mut scene = scene(Config::new());
    scene.reuse(Method::POST);
    assert_eq!(closed(scene.end(None)), Some(CloseReason::PeerClosed));
    assert_eq!(scene.answer().unwrap().unwrap_err().kind(), ErrorKind::ClosedEarly);
}

#[test]
fn a_fresh_connection_that_dies_is_an_error() {
    let mut scene = scene(Config::new());
    scene.start();
    assert_eq!(closed(scene.end(None)), Some(CloseReason::PeerClosed));
    assert_eq!(scene.answer().unwrap().unwrap_err().kind(), ErrorKind::ClosedEarly);
}

#[test]
fn what_came_before_an_error_is_read_before_it() {
    let mut scene = scene(Config::new());
    scene.start();
    scene.read(b"HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n");
    scene.read(b"abc");
    assert_eq!(
        closed(scene.end(Some(io::ErrorKind::ConnectionReset))),
        Some(CloseReason::Reset)
    );
    let mut body = scene.body();
    assert_eq!(frame(&mut body), Some("abc".into()));
    assert_eq!(frame(&mut body), Some("closed-early".into()));
}

#[test]
fn the_end_of_the_connection_ends_a_body_that_nothing_else_ends() {
    let mut scene = scene(Config::new());
    scene.start();
    scene.read(b"HTTP/1.1 200 OK\r\n\r\nabc");
    assert_eq!(closed(scene.end(None)), Some(CloseReason::PeerAsked));
    let mut body = scene.body();
    assert_eq!([frame(&mut body), frame(&mut body)], [Some("abc".into()), Some("end".into())]);
}

#[test]
fn bytes_after_a_response_end_the_connection() {
    let mut scene = scene(Config::new());
    scene.start();
    let next = scene.read(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1");
    assert_eq!(closed(next), Some(CloseReason::Unsolicited));
    assert!(scene.answer().unwrap().is_ok());
}

#[test]
fn an_idle_connection_notices_its_end_and_unsolicited_bytes() {
    let cases = [
        (Ok(&b""[..]), CloseReason::PeerClosed),
        (Ok(b"HTTP/1.1 408 "), CloseReason::Unsolicited),
        (Err(io::ErrorKind::ConnectionReset), CloseReason::Reset),
        // The end of the socket, and not of what runs over it.
        (Err(io::ErrorKind::UnexpectedEof), CloseReason::PeerClosed),
        (Err(io::ErrorKind::InvalidData), CloseReason::ProtocolError),
    ];
    for (input, reason) in cases {
        let mut scene = scene(Config::new());
        scene.connection.transport.input.push_back(input.map_err(io::Error::from));
        assert_eq!(closed(scene.event(READABLE)), Some(reason));
    }
}

#[test]
fn a_caller_that_gives_up_costs_the_connection() {
    let mut scene = scene(Config::new());
    scene.start();
    scene.caller.cancel();
    let next = scene.notified();
    assert_eq!(closed(next), Some(CloseReason::Cancelled));
}

#[test]
fn a_caller_that_gives_up_as_the_head_comes_gets_nothing() {
    for rest in [&b"content-length: 2\r\n\r\n"[..], b"content-length: 2\r\n\r\na"] {
        let mut scene = scene(Config::new());
        scene.start();
        scene.read(b"HTTP/1.1 200 OK\r\n");
        scene.caller.cancel();
        assert_eq!(closed(scene.read(rest)), Some(CloseReason::Cancelled));
    }
}

#[test]
fn each_limit_of_time_has_its_turn() {
    let second = Duration::from_secs(1);
    let mut scene = scene(
        Config::new()
            .head_timeout(second)
            .body_idle_timeout(second * 2)
            .idle_timeout(second * 3),
    );
    assert_eq!(scene.connection.deadline(), Some(after(scene.now, second * 3)));
    scene.start();
    assert_eq!(scene.connection.deadline(), Some(after(scene.now, second)));
    scene.read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
    assert_eq!(scene.connection.deadline(), Some(after(scene.now, second * 2)));
    scene.now = after(scene.now, second);
    scene.read(b"a");
    let deadline = after(scene.now, second * 2);
    assert_eq!(scene.connection.deadline(), Some(deadline), "a piece restarts it");
    assert_eq!(
        closed(scene.connection.expire(deadline, &mut scene.scratch)),
        Some(CloseReason::Timeout)
    );
    let mut body = scene.body();
    assert_eq!(
        [frame(&mut body), frame(&mut body)],
        [Some("a".into()), Some("timeout".into())]
    );
}

#[test]
fn a_server_may_shorten_the_time_that_a_connection_is_kept() {
    let mut scene = scene(Config::new());
    scene.start();
    let head = b"HTTP/1.1 204 \r\nkeep-alive: timeout=3\r\n\r\n";
    assert!(freed(scene.read(head)));
    assert!(matches!(scene.connection.mark_idle(scene.now, &mut scene.scratch), Next::Wait));
    let deadline = after(scene.now, Duration::from_secs(2));
    assert_eq!(scene.connection.deadline(), Some(deadline));
    let next = scene.connection.expire(deadline, &mut scene.scratch);
    assert_eq!(closed(next), Some(CloseReason::IdleExpired));
}

// ===== the record of what blocked =====

#[test]
fn a_read_that_waits_to_write_goes_on_when_there_is_room() {
    let mut scene = scene(Config::new());
    scene.start();
    scene.connection.transport.read_on = Some(Blocked::Write);
    assert!(matches!(scene.event(READABLE), Next::Wait));
    scene.connection.transport.read_on = None;
    let reads = scene.connection.transport.reads;
    assert!(matches!(scene.read(b"HTTP/1.1 204 \r\n\r\n"), Next::Wait));
    assert_eq!(scene.connection.transport.reads, reads, "what it waits for has not come");
    assert!(freed(scene.event(WRITABLE)));
}

#[test]
fn a_write_that_waits_to_read_goes_on_after_a_read() {
    let mut scene = scene(Config::new());
    scene.connection.transport.room = 0;
    scene.connection.transport.write_on = Some(Blocked::Read);
    scene.start();
    scene.connection.transport.room = usize::MAX;
    assert!(matches!(scene.event(WRITABLE), Next::Wait));
    assert_eq!(scene.connection.transport.written, b"", "what it waits for has not come");
    // A read finds nothing for HTTP: it was all TLS's.
    assert!(matches!(scene.event(READABLE), Next::Again));
    assert!(matches!(scene.event(NEWS), Next::Wait));
    assert!(scene.connection.transport.written.ends_with(b"\r\n\r\n"));
    assert!(freed(scene.read(b"HTTP/1.1 204 \r\n\r\n")));
}

#[test]
fn a_write_that_waits_to_read_does_not_stop_a_read_that_waits_to_write() {
    let mut scene = scene(Config::new());
    scene.connection.transport.room = 0;
    scene.start();
    // The read has to write first, and until it has, the write has to wait for it.
    scene.connection.transport.write_on = Some(Blocked::Read);
    scene.connection.transport.read_on = Some(Blocked::Write);
    assert!(matches!(scene.event(READABLE), Next::Wait));
    scene.connection.transport.read_on = None;
    assert!(matches!(scene.event(WRITABLE), Next::Again));
    scene.connection.transport.room = usize::MAX;
    assert!(matches!(scene.event(NEWS), Next::Wait));
    assert!(scene.connection.transport.written.ends_with(b"\r\n\r\n"));
}

#[test]
fn a_read_that_waits_for_either_goes_on_with_the_first() {
    for first in [READABLE, WRITABLE] {
        let mut scene = scene(Config::new());
        scene.start();
        scene.connection.transport.read_on = Some(Blocked::Either);
        assert!(matches!(scene.event(READABLE), Next::Wait));
        scene.connection.transport.read_on = None;
        let reads = scene.connection.transport.reads;
        assert!(matches!(scene.event(NEWS), Next::Wait));
        assert_eq!(scene.connection.transport.reads, reads, "nothing has come");
        scene.connection.transport.input.extend([Ok(&b"HTTP/1.1 204 "[..]), Ok(b"\r\n\r\n")]);
        scene.event(first);
        assert!(freed(scene.event(READABLE)));
    }
}

#[test]
fn a_request_is_sent_when_the_transport_holds_nothing_back() {
    let mut scene = scene(Config::new());
    scene.connection.transport.held = 1000;
    scene.connection.transport.room = 500;
    scene.start();
    assert!(scene.connection.transport.written.ends_with(b"\r\n\r\n"));
    let deadline = scene.connection.deadline();
    scene.now = after(scene.now, Duration::from_secs(1));
    scene.event(NEWS);
    assert_eq!(scene.connection.deadline(), deadline, "it is still being sent");
    scene.connection.transport.room = usize::MAX;
    scene.event(WRITABLE);
    assert!(scene.connection.deadline() > deadline, "the limit of the head has begun");
}

#[test]
fn what_the_transport_holds_back_is_sent_though_no_exchange_writes() {
    let idle = scene(Config::new());
    let mut reading = scene(Config::new());
    reading.start();
    let mut full = scene(Config::new().body_window(1));
    full.start();
    full.read(b"HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\nab");
    let _body = full.body();
    for mut scene in [idle, reading, full] {
        scene.connection.transport.held = 31;
        scene.connection.transport.room = 0;
        assert!(matches!(scene.event(READABLE), Next::Wait));
        scene.connection.transport.room = 31;
        assert!(matches!(scene.event(WRITABLE), Next::Wait));
        assert_eq!(scene.connection.transport.held, 0);
    }
}

#[test]
fn a_flush_that_fails_after_the_request_was_sent_does_not_fail_the_call() {
    let mut scene = scene(Config::new());
    scene.start();
    scene.connection.transport.write_error = Some(io::ErrorKind::BrokenPipe);
    assert!(matches!(scene.event(READABLE), Next::Wait));
    assert!(freed(scene.read(b"HTTP/1.1 204 \r\n\r\n")));
}

#[test]
fn bytes_that_can_be_read_after_the_response_end_the_connection() {
    let mut scene = scene(Config::new());
    scene.start();
    scene.connection.transport.input.extend([&b"HTTP/1.1 204 \r\n"[..], b"\r\n", b"x"].map(Ok));
    assert_eq!(closed(scene.event(HUNG_UP)), Some(CloseReason::Unsolicited));
}

#[test]
fn an_end_of_the_socket_alone_is_an_error_unless_the_body_is_whole() {
    for (head, error) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"[..], None),
        (b"HTTP/1.1 200 OK\r\n\r\n", Some("closed-early".to_owned())),
    ] {
        let mut scene = scene(Config::new());
        scene.start();
        scene.read(head);
        let mut body = scene.body();
        match scene.read(b"ab") {
            next @ Next::Free(_) => assert!(freed(next)),
            _ => assert!(closed(scene.end(Some(io::ErrorKind::UnexpectedEof))).is_some()),
        }
        assert_eq!(frame(&mut body), Some("ab".into()));
        assert_eq!(frame(&mut body), error.or(Some("end".into())));
    }
}

#[test]
fn a_request_that_cannot_be_written_fails_when_nothing_more_can_be_read() {
    let mut scene = scene(Config::new());
    scene.connection.transport.room = 5;
    scene.start();
    scene.connection.transport.write_error = Some(io::ErrorKind::BrokenPipe);
    assert_eq!(closed(scene.event(WRITABLE)), Some(CloseReason::Reset));
    assert_eq!(scene.answer().unwrap().unwrap_err().kind(), ErrorKind::ClosedEarly);
}

#[test]
fn a_write_that_waited_for_a_read_goes_on_though_the_window_is_full() {
    let mut scene = scene(Config::new().body_window(1));
    scene.connection.transport.room = 0;
    scene.connection.transport.write_on = Some(Blocked::Read);
    scene.start();
    scene.connection.transport.room = usize::MAX;
    scene.connection.transport.write_on = None;
    let next = scene.read(b"HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\nab");
    let _body = scene.body();
    if matches!(next, Next::Again) {
        scene.event(NEWS);
    }
    assert!(scene.connection.transport.written.ends_with(b"\r\n\r\n"));
}
