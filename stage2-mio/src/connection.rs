//! One HTTP/1.1 connection: its exchanges, one after another, and its end.
//!
//! The loop continues a connection when its socket is ready, when its waker was woken, and when its
//! deadline has passed. The connection does what it can without blocking, and returns [`Next`]:
//! what the loop has to do for it. It has no access to the loop, the pool or the clock, so a test
//! can take the place of all three.
//!
//! ```text
//!          start             response whole, request sent or given up
//!   Idle ─────────▶ InFlight ────────────────────────────────────────▶ Idle, or closed
//!    │                 │
//!    │ peer, timeout   │ peer, timeout, caller
//!    ▼                 ▼
//!  closed            closed, or closed and the request sent again
//! ```
//!
//! Its rules:
//! - one exchange at a time. Writing the request and reading the response go on independently of
//!   each other;
//! - a response can arrive *early*: before the request is sent. The caller gets its head and its
//!   body as they arrive, and sending goes on. The caller gets the end of the body when the request
//!   is sent, or cannot be sent any further ([`Exchange::upload`]). Bytes that follow an early
//!   response are discarded. If there were any, the connection is closed once the request is sent.
//!   If the response announces the end of the connection, the rest of the request is not sent;
//! - if a write fails, the connection reads on: the peer may have answered before the write failed;
//! - a caller that leaves before it has the head cancels the exchange ([`Connection::cancel`]), and
//!   the connection is closed ([`CloseReason::Cancelled`]), since the rest of the response would
//!   still arrive on it. It is also closed if a caller drops the body
//!   ([`CloseReason::BodyDropped`]), unless the request is sent and one read, without waiting,
//!   completes the response;
//! - a connection that dies before a byte of the response came returns the request for another
//!   attempt ([`Next::Retry`]), if [`may_retry`] allows that. Otherwise the call fails;
//! - an idle connection expects nothing from its peer. Any input closes it, EOF included. If EOF is
//!   read after the next request has started, the exchange fails as stale: see the rule before;
//! - one timeout applies at a time, besides that of the whole call ([`TimeLimit`]);
//! - whenever the connection reads or writes, idle or not, it also flushes the transport, unless a
//!   write has failed: TLS can have records to send that no exchange caused;
//! - a connection does not complete a call itself. It returns the [`Completion`] in [`Next`], and
//!   the loop carries that out after the pool knows that the connection is free or closed;
//! - after some reads in a row the other connections get their turn.

use std::{
    io, mem,
    task::{Context, Poll, Waker},
    time::Instant,
};

use client_core::{
    Allowance, CloseReason, Config, Error, Exchange, Failure, Outcome, Outgoing, Progress,
    Responder, TimeLimit, Upload, after, body::Gone, decode::Limits, io_model, is_cause,
    may_retry, stream_end,
};

use crate::{
    framing::{Framing, Input, Readiness},
    pending::{Completion, PendingRequest, ReplySender},
    timer::Armed,
    transport::Transport,
};

/// Reads in a row, each of at most one buffer, before the other connections get their turn.
const READS_IN_A_ROW: usize = 16;

/// What the loop lends to a connection for one call.
pub(crate) struct LoopContext<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    /// Wakes this connection from the thread that reads its body.
    pub(crate) waker: &'a Waker,
    /// All reads go through it.
    pub(crate) buffer: &'a mut [u8],
}

/// What the loop has to do for a connection.
#[derive(Debug)]
#[must_use]
pub(crate) enum Next {
    /// Continue when its socket is ready, its waker was woken, or its deadline has passed.
    Wait,
    /// Continue after the other connections, even without an event: there is more to do.
    Again,
    /// The connection can serve the next request.
    Free(Completion),
    /// Close the connection.
    Close(CloseReason, Completion),
    /// Close the connection, and send the request again on a fresh one.
    Retry(CloseReason, PendingRequest),
}

#[derive(Debug)]
pub(crate) struct Connection<T> {
    transport: T,
    framing: Framing,
    state: State,
    /// Its number in the client, from 1.
    number: u64,
    /// Whether and how long the connection may be kept.
    allowance: Allowance,
}

#[derive(Debug)]
// An exchange in a box would be an allocation per request.
#[allow(clippy::large_enum_variant)]
enum State {
    Idle { expiry: Instant },
    InFlight(InFlight),
}

/// A request that is on the connection, and what has come of its response.
#[derive(Debug)]
struct InFlight {
    request: Outgoing,
    /// Distinguishes a late cancel from one for the next request.
    number: u64,
    responder: Responder<ReplySender>,
    /// The peer may have closed the connection before this request arrived.
    may_be_stale: bool,
    /// When the whole call has to be over.
    deadline: Option<Instant>,
    /// The timeout that applies now.
    limit: TimeLimit<Instant>,
    /// Why the request cannot be written any further. The peer may have answered before the write
    /// failed.
    write_error: Option<io::Error>,
    /// The caller leaves the window full of a response that is not whole.
    window_full: bool,
    /// The response is whole. Only the rest of the request is left to send.
    only_upload_left: bool,
    /// Bytes came after the response.
    surplus_bytes: bool,
}

/// How an exchange ends.
enum Ending {
    /// The response is whole. Sending the request ceased for this reason, if something went wrong.
    Whole(Option<CloseReason>),
    Failed(Error, CloseReason),
    /// The caller has left.
    Left(CloseReason),
}

/// What came of an attempt to read.
enum ReadOutcome {
    /// Bytes, and there may be more.
    More,
    /// Nothing can be read now, or the window of the caller is full.
    Blocked,
    /// The exchange is over.
    Over(Ending),
}

// ===== impl Connection =====

impl<T: Transport> Connection<T> {
    /// A new connection. `readiness` is what the loop has learned of its socket so far.
    pub(crate) fn new(
        transport: T,
        number: u64,
        readiness: Readiness,
        config: &Config,
        now: Instant,
    ) -> Self {
        let mut framing = Framing::new(number, Limits::from(config));
        framing.note(readiness);
        Connection {
            transport,
            framing,
            state: State::Idle { expiry: after(now, config.idle_timeout) },
            number,
            allowance: Allowance::default(),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn transport(&mut self) -> &mut T {
        &mut self.transport
    }

    /// Closes the socket, after TLS's announcement of the end.
    pub(crate) fn close(mut self) {
        self.transport.close();
    }

    /// Starts the exchange of the request with this number.
    pub(crate) fn start(
        &mut self,
        number: u64,
        pending: PendingRequest,
        cx: &mut LoopContext<'_>,
    ) -> Next {
        let PendingRequest { request, reply, deadline, attempts, .. } = pending;
        let (reused, may_be_stale) = self.allowance.begin();
        self.framing.begin(&request.method, Limits::from(cx.config));
        let mut responder = Responder::new(reply, cx.config.body_window);
        let connection = self.number;
        responder.exchange = Exchange { connection, reused, attempts, upload: Upload::Pending };
        self.state = State::InFlight(InFlight {
            request,
            number,
            responder,
            may_be_stale,
            deadline,
            limit: TimeLimit::new(cx.now, cx.config),
            write_error: None,
            window_full: false,
            only_upload_left: false,
            surplus_bytes: false,
        });
        self.advance(cx)
    }

    /// Continues, because the socket is ready, a waker was woken, or the loop was asked to call
    /// again.
    pub(crate) fn ready(&mut self, readiness: Readiness, cx: &mut LoopContext<'_>) -> Next {
        self.framing.note(readiness);
        match self.state {
            State::Idle { .. } => self.check_idle(cx),
            State::InFlight(_) => self.advance(cx),
        }
    }

    /// No request waits for the connection. Frees its buffer, and looks at its socket once.
    pub(crate) fn mark_idle(&mut self, cx: &mut LoopContext<'_>) -> Next {
        self.allowance.mark_idle();
        self.framing.free_buffer();
        self.check_idle(cx)
    }

    /// When [`Connection::expire`] is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Idle { expiry } => Some(*expiry),
            State::InFlight(in_flight) => {
                [in_flight.limit.until(), in_flight.deadline].into_iter().flatten().min()
            }
        }
    }

    /// Ends what has taken too long, if anything has.
    pub(crate) fn expire(&mut self, cx: &mut LoopContext<'_>) -> Next {
        match &mut self.state {
            State::Idle { expiry } if *expiry <= cx.now => {
                Next::close(CloseReason::IdleExpired)
            }
            State::Idle { .. } => Next::Wait,
            State::InFlight(in_flight) => match in_flight.expire(cx) {
                Some(ending) => self.end(ending, cx),
                None => Next::Wait,
            },
        }
    }

    /// The caller of the request with this number has left before it got the head.
    pub(crate) fn cancel(&mut self, number: u64, cx: &mut LoopContext<'_>) -> Next {
        match &self.state {
            State::InFlight(in_flight) if in_flight.number == number => {
                self.end(Ending::Left(CloseReason::Cancelled), cx)
            }
            _ => Next::Wait,
        }
    }

    /// Writes and reads as far as it goes.
    fn advance(&mut self, cx: &mut LoopContext<'_>) -> Next {
        let State::InFlight(in_flight) = &mut self.state else { return Next::Wait };
        let (framing, transport) = (&mut self.framing, &mut self.transport);
        in_flight.write(framing, transport);
        for _ in 0..READS_IN_A_ROW {
            match in_flight.read(framing, transport, cx) {
                ReadOutcome::More => {}
                ReadOutcome::Blocked => {
                    in_flight.update_limit(framing, cx);
                    // TLS may have to read before it can write.
                    return if in_flight.may_write(framing) { Next::Again } else { Next::Wait };
                }
                ReadOutcome::Over(ending) => return self.end(ending, cx),
            }
        }
        in_flight.update_limit(framing, cx);
        Next::Again
    }

    /// Ends the exchange. Only here is decided what the caller gets last, and whether the connection
    /// stays open.
    fn end(&mut self, ending: Ending, cx: &mut LoopContext<'_>) -> Next {
        let idle = State::Idle { expiry: after(cx.now, cx.config.idle_timeout) };
        let State::InFlight(in_flight) = mem::replace(&mut self.state, idle) else {
            return Next::Wait;
        };
        match ending {
            Ending::Whole(ceased) => {
                let reusable = self.reuse(&in_flight, ceased, cx);
                let completion = Completion::Finish(in_flight.responder);
                match reusable {
                    Ok(()) => Next::Free(completion),
                    Err(reason) => Next::Close(reason, completion),
                }
            }
            Ending::Failed(error, reason) => {
                in_flight.retry_or_fail(error, reason, &self.framing)
            }
            Ending::Left(reason) => {
                let why = match reason {
                    CloseReason::Cancelled => "the caller gave up",
                    _ => "the body was dropped",
                };
                io_model!(cancel, connection = self.number, why);
                Next::close(reason)
            }
        }
    }

    /// Decides whether the connection can serve another exchange, and for how long it may be idle.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    fn reuse(
        &mut self,
        in_flight: &InFlight,
        ceased: Option<CloseReason>,
        cx: &mut LoopContext<'_>,
    ) -> Result<(), CloseReason> {
        let outcome = Outcome {
            upload: in_flight.responder.exchange.upload,
            ceased,
            close: in_flight.request.close,
            keep_alive: self.framing.keep_alive(),
            surplus_bytes: in_flight.surplus_bytes || self.framing.has_input(),
        };
        let idle = self.allowance.after(outcome, cx.config)?;
        self.state = State::Idle { expiry: after(cx.now, idle) };
        self.probe(cx)
    }

    fn check_idle(&mut self, cx: &mut LoopContext<'_>) -> Next {
        // If this fails, the read of the same event fails too, or finds the end.
        let _ = self.framing.flush(&mut self.transport);
        match self.probe(cx) {
            Ok(()) => Next::Wait,
            Err(reason) => Next::close(reason),
        }
    }

    /// Reads from an idle connection, if its socket is readable.
    ///
    /// # Errors
    ///
    /// Why the connection has to be closed.
    fn probe(&mut self, cx: &mut LoopContext<'_>) -> Result<(), CloseReason> {
        if !self.framing.may_read() {
            return Ok(());
        }
        match self.framing.read(&mut self.transport, cx.buffer) {
            Ok(Input::Blocked) => Ok(()),
            Ok(Input::Bytes(_)) => Err(CloseReason::Unsolicited),
            Ok(Input::End) => Err(CloseReason::PeerClosed),
            Err(error) => Err(CloseReason::of(&error)),
        }
    }
}

// ===== impl InFlight =====

impl InFlight {
    /// Writes the rest of the request, or else what the transport has to send of its own. If that
    /// fails, reading decides how the exchange ends: the peer may have answered before the write
    /// failed.
    fn write<T: Transport>(&mut self, framing: &mut Framing, to: &mut T) {
        if self.is_sent() {
            let _ = framing.flush(to);
            return;
        }
        if self.write_error.is_some() {
            return;
        }
        match framing.write(to, &self.request) {
            Ok(()) if framing.is_sent() => self.responder.request_sent(),
            Ok(()) => {}
            Err(error) => self.write_error = Some(error),
        }
    }

    /// Whether some of the request can be written now.
    fn may_write(&self, framing: &Framing) -> bool {
        framing.may_write() && !framing.is_sent() && self.write_error.is_none()
    }

    fn is_sent(&self) -> bool {
        self.responder.exchange.upload == Upload::Whole
    }

    /// Reads once, if the caller has room, and gives the caller what came.
    fn read<T: Transport>(
        &mut self,
        framing: &mut Framing,
        from: &mut T,
        cx: &mut LoopContext<'_>,
    ) -> ReadOutcome {
        let room = self.room(cx);
        if self.only_upload_left {
            return self.check_upload(room, framing, from, cx);
        }
        if room == Poll::Ready(Err(Gone)) {
            return ReadOutcome::Over(self.caller_dropped_body(framing, from, cx));
        }
        // After a failed write, read even without an event: an answer may be there.
        let is_blocked = !framing.may_read() && self.write_error.is_none();
        if self.window_full || is_blocked {
            return ReadOutcome::Blocked;
        }
        match framing.read(from, cx.buffer) {
            Ok(Input::Blocked) => match self.write_error.take() {
                None => ReadOutcome::Blocked,
                cause => ReadOutcome::Over(self.stream_ended(cause, framing)),
            },
            Ok(Input::Bytes(_)) => {
                self.receive(framing).map_or(ReadOutcome::More, ReadOutcome::Over)
            }
            Ok(Input::End) => ReadOutcome::Over(self.stream_ended(None, framing)),
            Err(error) => ReadOutcome::Over(self.stream_ended(Some(error), framing)),
        }
    }

    /// Whether the caller has room for more of the body.
    fn room(&mut self, cx: &LoopContext<'_>) -> Poll<Result<(), Gone>> {
        let room = self.responder.poll_room(&mut Context::from_waker(cx.waker));
        self.window_full = room.is_pending() && !self.only_upload_left;
        room
    }

    /// The caller has dropped the body. If the request is sent and one read completes the response,
    /// the connection can be reused.
    fn caller_dropped_body<T: Transport>(
        &mut self,
        framing: &mut Framing,
        from: &mut T,
        cx: &mut LoopContext<'_>,
    ) -> Ending {
        if self.is_sent()
            && let Ok(Input::Bytes(_)) = framing.read(from, cx.buffer)
            && let Some(whole @ Ending::Whole(_)) = self.receive(framing)
        {
            return whole;
        }
        Ending::Left(CloseReason::BodyDropped)
    }

    /// The response is whole. Looks whether the request is sent, or cannot be sent any further.
    /// Bytes that come meanwhile are dropped.
    fn check_upload<T: Transport>(
        &mut self,
        room: Poll<Result<(), Gone>>,
        framing: &mut Framing,
        from: &mut T,
        cx: &mut LoopContext<'_>,
    ) -> ReadOutcome {
        let ceased = self.write_error.as_ref().map(CloseReason::of);
        if self.is_sent() || ceased.is_some() {
            return ReadOutcome::Over(Ending::Whole(ceased));
        }
        if room == Poll::Ready(Err(Gone)) {
            return ReadOutcome::Over(Ending::Left(CloseReason::BodyDropped));
        }
        if !framing.may_read() {
            return ReadOutcome::Blocked;
        }
        let ceased = match framing.read(from, cx.buffer) {
            Ok(Input::Blocked) => return ReadOutcome::Blocked,
            Ok(Input::Bytes(_)) => {
                self.discard(framing);
                return ReadOutcome::More;
            }
            Ok(Input::End) => CloseReason::PeerClosed,
            Err(error) => CloseReason::of(&error),
        };
        ReadOutcome::Over(Ending::Whole(Some(ceased)))
    }

    /// Decodes what came, and gives it to the caller. Returns how the exchange ends, if it does.
    fn receive(&mut self, framing: &mut Framing) -> Option<Ending> {
        match framing.receive(&mut self.responder) {
            Ok(true) => self.response_end(framing),
            Ok(false) if self.responder.is_cancelled() => {
                Some(Ending::Left(CloseReason::Cancelled))
            }
            Ok(false) => None,
            Err(error) => Some(Ending::Failed(error, CloseReason::ProtocolError)),
        }
    }

    /// The response is whole. The exchange is too, unless the rest of the request is still written.
    fn response_end(&mut self, framing: &mut Framing) -> Option<Ending> {
        let ceased = self.write_error.as_ref().map(CloseReason::of);
        let keep_alive = framing.keep_alive();
        match Upload::at_response_end(self.is_sent(), ceased.is_some(), keep_alive) {
            Upload::Pending => {
                self.responder.deliver();
                self.discard(framing);
                self.only_upload_left = true;
                None
            }
            _ => Some(Ending::Whole(ceased)),
        }
    }

    /// Drops bytes that came after the response.
    fn discard(&mut self, framing: &mut Framing) {
        self.surplus_bytes |= framing.has_input();
        framing.discard();
    }

    /// The stream has ended, with or without an error. That is the end of a body delimited by EOF, a
    /// stale connection, or a response that will not become whole.
    fn stream_ended(&mut self, error: Option<io::Error>, framing: &mut Framing) -> Ending {
        let end = framing.eof();
        let ceased = self.write_error.as_ref().map(CloseReason::of);
        let cause = error.or(self.write_error.take_if(|refusal| is_cause(refusal, &end)));
        match stream_end(end, cause) {
            Ok(()) => Ending::Whole(ceased),
            Err((error, reason)) => Ending::Failed(error, reason),
        }
    }

    /// Restarts the timeout on progress.
    fn update_limit(&mut self, framing: &Framing, cx: &LoopContext<'_>) {
        let progress = Progress {
            written: framing.written(),
            sent: self.is_sent() || self.write_error.is_some(),
            received: framing.received(),
            head: self.responder.body().is_some(),
            window_full: self.window_full,
        };
        self.limit.update(progress, cx.now, cx.config);
    }

    /// How the exchange ends, if a limit of time has run out. If the response is whole, the call
    /// still succeeds.
    fn expire(&self, cx: &LoopContext<'_>) -> Option<Ending> {
        let limit = self.limit.expired(self.deadline, cx.now)?;
        Some(match self.only_upload_left {
            true => Ending::Whole(Some(CloseReason::Timeout)),
            false => Ending::Failed(Error::timeout(limit, cx.config), CloseReason::Timeout),
        })
    }

    /// Retries the request if the stream ended and [`may_retry`] allows it. Otherwise fails the call.
    fn retry_or_fail(self, error: Error, reason: CloseReason, framing: &Framing) -> Next {
        let Exchange { connection, attempts, .. } = self.responder.exchange;
        let failure = Failure {
            reason,
            may_be_stale: self.may_be_stale,
            written: framing.written() > 0,
            answered: framing.received() > 0,
            retried: attempts > 1,
        };
        if !may_retry(&self.request.method, failure) {
            return Next::Close(reason, Completion::Fail(self.responder, error));
        }
        io_model!(retry, request = self.number, connection, why = reason.as_str());
        // No byte of a response came, so the caller still waits for the head. No reply: it has left.
        let Some(reply) = self.responder.into_reply() else { return Next::close(reason) };
        let InFlight { request, deadline, .. } = self;
        let timer = Armed::default();
        let attempts = attempts + 1;
        Next::Retry(reason, PendingRequest { request, reply, deadline, attempts, timer })
    }
}

impl Next {
    /// Close the connection. No caller waits.
    fn close(reason: CloseReason) -> Self {
        Next::Close(reason, Completion::Nothing)
    }
}

#[cfg(test)]
mod tests;
