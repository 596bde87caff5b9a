//! The body of a response, and the window between the socket and its reader.
//!
//! Its rules:
//! - a body that came whole with its head costs no shared state at all;
//! - otherwise sender and reader share a queue. The sender stops when the bytes in it fill the
//!   window, and is woken once, when half of the window is free again: a wake for each piece would
//!   cost more than the pieces;
//! - what was received before an error is read before the error;
//! - the end is told when it is known whether the request was sent whole, and not before: at its
//!   end a body has the answer ([`Exchange::upload`]);
//! - a reader that goes wakes the sender, a sender that goes ends the reader. Nobody waits for
//!   someone who is no longer there.

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
/// The pieces of the body come meanwhile; its end comes when sending is over, one way or the
/// other. So at the end [`Exchange::upload`] says for certain whether the request was sent whole. A
/// reader that collects the pieces keeps the body to ask it:
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
/// Dropping it before its end closes its connection, unless the request is out and what has been
/// received already is all of the body.
///
/// # Cancel safety
///
/// A frame that was waited for and not taken stays; nothing is lost by dropping the wait. Sending
/// goes on though nobody polls.
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

/// The reader is gone.
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
    /// How the body ended, once it has; taken by the reader after the last piece.
    end: Option<Result<Option<HeaderMap>, Error>>,
    /// The sender has nothing more to say, though the reader may not have seen it yet.
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
    /// [`Exchange::upload`] is certain once the body has told its end, in success or failure.
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
    /// once, when half of it is free. In any case it is woken when the reader goes.
    ///
    /// # Errors
    ///
    /// [`Gone`] if the reader is.
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
    /// [`Gone`] if the reader is.
    ///
    /// # Cancel safety
    ///
    /// It only waits.
    pub async fn room(&mut self) -> Result<(), Gone> {
        poll_fn(|cx| self.poll_room(cx)).await
    }

    /// Resolves when the reader goes.
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

    /// Gives the reader one more piece. It may exceed the window: what was read must go somewhere.
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

    /// Whether the reader is gone.
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

/// A sender that is dropped without a word, as when its thread panics, ends the reader's wait.
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
    /// Leaves the sender's waker.
    fn watch(&mut self, cx: &mut Context<'_>) {
        if !self.sender.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.sender = Some(cx.waker().clone());
        }
    }
}

impl Shared {
    /// Nothing in here runs foreign code under the lock, so a poisoned one is still sound.
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

/// Wakes the reader after the lock is given back, so that it does not wake up to wait for it.
fn wake_reader(mut state: MutexGuard<'_, State>) {
    let waker = state.reader.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}
