//! The body and its window: who wakes whom, how often, and what survives whose end.

use std::pin::Pin;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use client_core::body::{Gone, channel};
use client_core::{Body, Error, Exchange, Upload};
use http::HeaderMap;
use http_body::Body as _;

/// A waker that counts.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counted() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (count.clone(), count.into())
}

/// What the reader gets now: a piece, `.` for the end, `-` for "not yet".
fn next(body: &mut Body, waker: &Waker) -> String {
    match Pin::new(body).poll_frame(&mut Context::from_waker(waker)) {
        Poll::Pending => "-".into(),
        Poll::Ready(None) => ".".into(),
        Poll::Ready(Some(Err(error))) => error.kind().to_string(),
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) => String::from_utf8_lossy(&data).into_owned(),
            Err(_) => "trailers".into(),
        },
    }
}

#[test]
fn a_whole_body_is_one_piece_and_knows_its_size() {
    let mut body = Body::whole(Bytes::from("all"), Exchange::default());
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
    assert_eq!(next(&mut body, Waker::noop()), "all");
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
    assert_eq!(next(&mut body, Waker::noop()), ".");
}

#[test]
fn pieces_trailers_and_the_end_come_in_order() {
    let (reader, waker) = counted();
    let (mut sender, mut body) = channel(10, Some(3), Exchange::default());
    assert_eq!(next(&mut body, &waker), "-");
    sender.push(Bytes::from("ab"));
    assert_eq!(reader.0.load(Ordering::Relaxed), 1);
    assert_eq!(body.size_hint().exact(), Some(3));
    sender.push(Bytes::from("c"));
    sender.finish(Some(HeaderMap::new()));
    let all: Vec<_> = (0..5).map(|_| next(&mut body, &waker)).collect();
    assert_eq!(all, ["ab", "c", "trailers", ".", "."]);
    assert_eq!(reader.0.load(Ordering::Relaxed), 1, "no reader waited");
}

#[test]
fn a_full_window_stops_the_sender_until_half_of_it_is_free() {
    let (wakes, waker) = counted();
    let mut cx = Context::from_waker(&waker);
    let (mut sender, mut body) = channel(8, None, Exchange::default());
    for _ in 0..4 {
        assert_eq!(sender.poll_room(&mut cx), Poll::Ready(Ok(())));
        sender.push(Bytes::from("xx"));
    }
    assert_eq!(sender.poll_room(&mut cx), Poll::Pending);
    next(&mut body, Waker::noop());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "six of eight are queued still");
    assert_eq!(sender.poll_room(&mut cx), Poll::Pending);
    next(&mut body, Waker::noop());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert_eq!(sender.poll_room(&mut cx), Poll::Ready(Ok(())));
    next(&mut body, Waker::noop());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "one wake, not one for each piece");
}

#[test]
fn what_came_before_an_error_is_read_before_it() {
    let (mut sender, mut body) = channel(8, Some(9), Exchange::default());
    sender.push(Bytes::from("half"));
    sender.fail(Error::ShutDown);
    assert_eq!(next(&mut body, Waker::noop()), "half");
    assert_eq!(next(&mut body, Waker::noop()), "shut-down");
    assert_eq!(next(&mut body, Waker::noop()), ".");
}

#[test]
fn a_reader_that_goes_wakes_the_sender() {
    let (wakes, waker) = counted();
    let (mut sender, body) = channel(8, None, Exchange::default());
    let mut cx = Context::from_waker(&waker);
    assert_eq!(sender.poll_room(&mut cx), Poll::Ready(Ok(())));
    drop(body);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(sender.is_gone());
    assert_eq!(sender.poll_room(&mut cx), Poll::Ready(Err(Gone)));
}

#[test]
fn a_reader_that_goes_after_the_end_wakes_no_sender() {
    let (wakes, waker) = counted();
    let (mut sender, body) = channel(8, None, Exchange::default());
    assert_eq!(sender.poll_room(&mut Context::from_waker(&waker)), Poll::Ready(Ok(())));
    sender.finish(None);
    assert!(body.is_end_stream());
    drop(body);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
}

#[test]
fn a_sender_that_goes_without_a_word_ends_the_wait() {
    let (reader, waker) = counted();
    let (sender, mut body) = channel(8, None, Exchange::default());
    assert_eq!(next(&mut body, &waker), "-");
    drop(sender);
    assert_eq!(reader.0.load(Ordering::Relaxed), 1);
    assert_eq!(next(&mut body, &waker), "shut-down");
}

#[test]
fn a_body_knows_at_its_end_whether_the_request_was_sent() {
    let upload = |body: &Body| body.exchange().upload;
    let waits = || {
        let (mut sender, mut body) = channel(8, None, Exchange::default());
        sender.push(Bytes::from("early"));
        assert_eq!(next(&mut body, Waker::noop()), "early");
        assert_eq!((upload(&body), body.is_end_stream()), (Upload::Pending, false));
        (sender, body)
    };
    let (mut sender, body) = waits();
    sender.request_sent();
    sender.finish(None);
    assert_eq!((upload(&body), body.is_end_stream()), (Upload::Whole, true));
    let (sender, body) = waits();
    sender.finish(None);
    assert_eq!((upload(&body), body.is_end_stream()), (Upload::Cut, true));
    let (sender, body) = waits();
    sender.fail(Error::ShutDown);
    assert_eq!(upload(&body), Upload::Cut);
    let (sender, body) = waits();
    drop(sender);
    assert_eq!(upload(&body), Upload::Cut);
}

#[test]
fn a_body_that_is_whole_from_the_start_leaves_no_question() {
    for (reported, upload) in [
        (Upload::Pending, Upload::Cut),
        (Upload::Cut, Upload::Cut),
        (Upload::Whole, Upload::Whole),
    ] {
        let exchange = Exchange { upload: reported, ..Exchange::default() };
        assert_eq!(Body::whole(Bytes::new(), exchange).exchange().upload, upload);
    }
}

#[test]
fn a_sender_can_await_room_and_the_readers_departure() {
    use futures::FutureExt;
    let (mut sender, mut body) = channel(2, None, Exchange::default());
    assert_eq!(sender.room().now_or_never(), Some(Ok(())));
    sender.push(Bytes::from("ab"));
    assert_eq!(sender.room().now_or_never(), None);
    assert_eq!(sender.gone().now_or_never(), None);
    assert_eq!(next(&mut body, Waker::noop()), "ab");
    assert_eq!(sender.room().now_or_never(), Some(Ok(())));
    drop(body);
    assert_eq!(sender.gone().now_or_never(), Some(()));
    assert_eq!(sender.room().now_or_never(), Some(Err(Gone)));
}
