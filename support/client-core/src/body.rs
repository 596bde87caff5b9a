//! The body of a response, and the window between the socket and its reader.
//!
//! Its rules:
//! - a body that came whole with its head needs no shared state;
//! - otherwise sender and reader share a queue. The sender stops when the bytes in it fill the
//!   window, and is woken once, when half of the window is free again. A wake for each piece would
//!   cost more than the pieces;
//! - what was received before an error is read before the error;
//! - the end comes once it is known whether the request was sent whole ([`Exchange::upload`]);
//! - dropping the reader wakes the sender, and dropping the sender ends the body with an error, so
//!   neither waits for a side that does not exist.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    mem,
    pin::Pin,
    sync::PoisonError,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use crate::{
    Error, Exchange, Upload,
    sync::{Arc, Mutex, MutexGuard},
};

/// The body of a response: an [`http_body::Body`] whose pieces come as the socket brings them.
///
/// A server may answer before it has read the whole request, and the client then goes on sending.
/// The pieces of the body come meanwhile. Its end comes when sending has ended, so that
/// [`Exchange::upload`] is then certain. A reader that collects the pieces keeps the body to read
/// it:
///
/// ```
/// # use bytes::Bytes;
/// # use client_core::{Body, Exchange, Upload};
/// # use http_body_util::BodyExt;
/// # let exchange = Exchange { upload: Upload::Whole, ..Exchange::default() };
/// # let mut body = Body::whole(Bytes::from("stored"), exchange);
/// # futures::executor::block_on(async {
/// let collected = (&mut body).collect().await?;
/// assert_eq!(collected.to_bytes(), "stored");
/// assert_eq!(body.exchange().upload, Upload::Whole);
/// # Ok::<(), client_core::Error>(())
/// # }).unwrap();
/// ```
///
/// Dropping it before its end closes its connection, unless the request was sent whole and all of
/// the body has been received.
///
/// # Cancel safety
///
/// Dropping the future of a frame loses no frame. The client goes on sending the request while the
/// body is not polled.
#[derive(Default)]
pub struct Body {
    inner: Inner,
    exchange: Exchange,
}

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    /// All of it, in one piece.
    Whole(Bytes),
    Streaming(Arc<Shared>),
}

/// The sending side of a streaming body: the connection that reads it off its socket.
pub struct Sender {
    shared: Arc<Shared>,
    window: usize,
}

/// The reader was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

struct Shared(Mutex<State>);

struct State {
    pieces: VecDeque<Bytes>,
    /// Bytes in `pieces`.
    queued: usize,
    /// Bytes that are still to come into `pieces`, if the head announced them.
    expected: Option<u64>,
    upload: Upload,
    /// How the body ended. The reader takes it after the last piece.
    end: Option<Result<Option<HeaderMap>, Error>>,
    /// Nothing more will be pushed. The reader may not have taken all of it yet.
    ended: bool,
    /// The sender found the window full and waits for half of it.
    full: bool,
    /// Half the window: at this many bytes a sender that waits is woken.
    low: usize,
    reader_gone: bool,
    reader: Option<Waker>,
    sender: Option<Waker>,
}

/// A body that streams, and the side that feeds it. `window` is in bytes; `expected` is the length
/// that the head announced. `exchange.upload` is what is known now: see [`Sender::request_sent`].
pub fn channel(window: usize, expected: Option<u64>, exchange: Exchange) -> (Sender, Body) {
    let shared = Arc::new(Shared(Mutex::new(State {
        pieces: VecDeque::new(),
        queued: 0,
        expected,
        upload: exchange.upload,
        end: None,
        ended: false,
        full: false,
        low: window / 2,
        reader_gone: false,
        reader: None,
        sender: None,
    })));
    let inner = Inner::Streaming(shared.clone());
    (Sender { shared, window }, Body { inner, exchange })
}

// ===== impl Body =====

impl Body {
    /// A body that came whole with its head, whose request is sent or will not be sent any further:
    /// an upload that is `Pending` counts as `Cut`.
    pub fn whole(bytes: Bytes, mut exchange: Exchange) -> Self {
        let inner = if bytes.is_empty() { Inner::Empty } else { Inner::Whole(bytes) };
        exchange.upload = exchange.upload.ended();
        Body { inner, exchange }
    }

    /// Which connection carries this body, and how its request got there, as far as is known now.
    /// [`Exchange::upload`] is certain once the body has ended, in success or failure.
    pub fn exchange(&self) -> Exchange {
        match &self.inner {
            Inner::Streaming(shared) => {
                Exchange { upload: shared.lock().upload, ..self.exchange }
            }
            Inner::Empty | Inner::Whole(_) => self.exchange,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.inner {
            Inner::Empty => Poll::Ready(None),
            Inner::Whole(bytes) => {
                let bytes = mem::take(bytes);
                self.inner = Inner::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Inner::Streaming(shared) => shared.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Empty => true,
            Inner::Whole(_) => false,
            Inner::Streaming(shared) => {
                let state = shared.lock();
                state.pieces.is_empty()
                    && state.ended
                    && matches!(state.end, None | Some(Ok(None)))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.remaining() as u64),
            Inner::Streaming(shared) => {
                let state = shared.lock();
                match state.expected {
                    Some(expected) => SizeHint::with_exact(state.queued as u64 + expected),
                    None => SizeHint::default(),
                }
            }
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Inner::Streaming(shared) = &self.inner {
            let mut state = shared.lock();
            state.reader_gone = true;
            state.pieces.clear();
            let waker = state.sender.take().filter(|_| !state.ended);
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

// ===== impl Sender =====

impl Sender {
    /// Whether another piece may be pushed. `Pending` if the window is full: the waker is woken
    /// once, when half of it is free. It is also woken when the reader is dropped.
    ///
    /// # Errors
    ///
    /// [`Gone`] if the reader was dropped.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let mut state = self.shared.lock();
        if state.reader_gone {
            return Poll::Ready(Err(Gone));
        }
        state.watch(cx);
        // Below half it was never full, or it has been woken: the flag goes with the wake.
        if state.full || state.queued >= self.window {
            state.full = true;
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Resolves when another piece may be pushed: [`Sender::poll_room`] as a future.
    ///
    /// # Errors
    ///
    /// [`Gone`] if the reader was dropped.
    ///
    /// # Cancel safety
    ///
    /// It only waits.
    pub async fn room(&mut self) -> Result<(), Gone> {
        poll_fn(|cx| self.poll_room(cx)).await
    }

    /// Resolves when the reader is dropped.
    ///
    /// # Cancel safety
    ///
    /// It only waits.
    pub async fn gone(&mut self) {
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            if state.reader_gone {
                return Poll::Ready(());
            }
            state.watch(cx);
            Poll::Pending
        })
        .await;
    }

    /// Gives the reader one more piece. It may exceed the window, since it has been read already.
    pub fn push(&mut self, piece: Bytes) {
        let mut state = self.shared.lock();
        if piece.is_empty() || state.reader_gone {
            return;
        }
        state.queued += piece.len();
        state.expected = state.expected.map(|left| left.saturating_sub(piece.len() as u64));
        state.pieces.push_back(piece);
        wake_reader(state);
    }

    /// The request was sent whole.
    pub fn request_sent(&mut self) {
        self.shared.lock().upload = Upload::Whole;
    }

    /// The body is whole, and sending is over: a request that was not reported as sent counts as
    /// cut.
    pub fn finish(self, trailers: Option<HeaderMap>) {
        self.end(Ok(trailers));
    }

    /// The body will not become whole, and sending is over. What was pushed before is still read.
    pub fn fail(self, error: Error) {
        self.end(Err(error));
    }

    /// Whether the reader was dropped.
    pub fn is_gone(&self) -> bool {
        self.shared.lock().reader_gone
    }

    fn end(&self, end: Result<Option<HeaderMap>, Error>) {
        let mut state = self.shared.lock();
        if !state.ended {
            state.ended = true;
            state.upload = state.upload.ended();
            state.end = Some(end);
            state.sender = None;
            wake_reader(state);
        }
    }
}

/// A sender that is dropped before the end, as when its thread panics, ends the body with
/// [`Error::ShutDown`].
impl Drop for Sender {
    fn drop(&mut self) {
        self.end(Err(Error::ShutDown));
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("window", &self.window).finish_non_exhaustive()
    }
}

// ===== impl Shared and State =====

impl State {
    /// Keeps the sender's waker.
    fn watch(&mut self, cx: &mut Context<'_>) {
        if !self.sender.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.sender = Some(cx.waker().clone());
        }
    }
}

impl Shared {
    /// No foreign code runs under the lock, so a poisoned one is still sound.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut state = self.lock();
        if let Some(piece) = state.pieces.pop_front() {
            state.queued -= piece.len();
            let waker = if state.full && state.queued <= state.low {
                state.full = false;
                state.sender.take()
            } else {
                None
            };
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match state.end.take() {
            Some(Ok(Some(trailers))) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Ok(None)) => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None if state.ended => Poll::Ready(None),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Wakes the reader after unlocking, so that it does not wait for the lock.
fn wake_reader(mut state: MutexGuard<'_, State>) {
    let waker = state.reader.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}
