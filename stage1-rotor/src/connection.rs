//! The life of one HTTP/1.1 connection, over any transport.
//!
//! A connection has no access to the loop, the pool or the clock. The machine that owns it reports
//! what happened: the socket is ready ([`Connection::ready`]), the machine was notified
//! ([`Connection::notified`]), or the deadline has passed ([`Connection::expire`]). The connection
//! then does what it can without blocking, and returns what the machine has to do ([`Next`]).
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
//! - a caller that leaves before it has the head notifies the machine, and the connection is closed
//!   ([`CloseReason::Cancelled`]), since the rest of the response would still arrive on it. It is
//!   also closed if a caller drops the body ([`CloseReason::BodyDropped`]), unless the request is
//!   sent and one read, without waiting, completes the response;
//! - a connection that dies before a byte of the response came returns the request for another
//!   attempt ([`Next::Retry`]), if [`may_retry`] allows that. Otherwise the call fails;
//! - an idle connection expects nothing from its peer. Any input closes it, EOF included. If the
//!   pool has reserved it for a waiter meanwhile, that waiter loses nothing, because the connection
//!   does not have its request yet (see `pool.rs`);
//! - one timeout applies at a time, besides that of the whole call ([`TimeLimit`]);
//! - whenever the connection reads or writes, idle or not, it also flushes the transport, unless a
//!   write has failed: TLS can have records to send that no exchange caused;
//! - a connection does not complete a call itself. It returns the [`Completion`] in [`Next`], and
//!   the machine carries that out after the pool knows that the connection is free or closed;
//! - after some reads in a row the other connections get their turn.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::BytesMut;
use client_core::{
    Allowance, CloseReason, Config, Decoder, Error, Exchange, Failure, Outcome, Outgoing,
    Progress, Responder, TimeLimit, Upload, after, body::Gone, io_model, is_cause, may_retry,
    stream_end,
};
use rotor::Time;

use crate::{
    framing::{Framing, Input},
    pending::{Completion, PendingRequest, ReplySender},
    timer::{earliest, passed},
    transport::{Readiness, Transport},
};

/// Reads in a row, of one buffer each, before the other connections have their turn.
const READS_IN_A_ROW: usize = 16;

/// One connection.
pub(crate) struct Connection<T> {
    transport: T,
    framing: Framing,
    /// The exchange in progress. `None`: the connection is idle.
    in_flight: Option<InFlight>,
    config: Arc<Config>,
    /// Notifies the machine. The reader of a body has a clone.
    waker: Waker,
    /// Its number in the client, from 1.
    number: u64,
    /// Whether and how long the connection may be kept.
    allowance: Allowance,
    /// How long it may be idle after the last exchange.
    idle_timeout: Duration,
    /// When it has been idle for too long.
    expiry: Time,
}

/// An exchange in progress.
struct InFlight {
    /// The request's number in the recordings.
    number: u64,
    request: Outgoing,
    responder: Responder<ReplySender>,
    decoder: Decoder,
    progress: Progress,
    /// The response is whole. Only the rest of the request is left to send.
    only_upload_left: bool,
    /// Bytes came after the response.
    surplus_bytes: bool,
    /// Why the request cannot be written any further. The peer may have answered before the write
    /// failed.
    write_error: Option<io::Error>,
    /// The server may have closed the connection before the exchange began.
    may_be_stale: bool,
    /// The timeout that applies now.
    limit: TimeLimit<Time>,
    /// When the whole call has to be over.
    deadline: Option<Time>,
}

/// What the machine has to do next.
pub(crate) enum Next {
    /// Suspend until an event or the deadline.
    Wait,
    /// Continue in the next turn of the loop, even without an event: there is more to read.
    Again,
    /// Return the connection to the pool, then complete the call.
    Free(Completion),
    /// Close the connection, then complete the call.
    Close(CloseReason, Completion),
    /// Close the connection, and send the request again on a fresh one.
    Retry(CloseReason, PendingRequest),
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
    /// A connection that was just made. `ready` is what the loop has reported about it so far.
    pub(crate) fn new(
        transport: T,
        ready: Readiness,
        number: u64,
        config: Arc<Config>,
        waker: Waker,
        now: Time,
    ) -> Self {
        Connection {
            transport,
            framing: Framing::new(number, ready),
            in_flight: None,
            waker,
            number,
            allowance: Allowance::default(),
            idle_timeout: config.idle_timeout,
            expiry: after(now, config.idle_timeout),
            config,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn transport(&mut self) -> &mut T {
        &mut self.transport
    }

    /// When the machine has to call [`Connection::expire`], whatever else happens.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match &self.in_flight {
            Some(in_flight) => earliest([in_flight.limit.until(), in_flight.deadline]),
            None => Some(self.expiry),
        }
    }

    /// Begins an exchange.
    pub(crate) fn start(
        &mut self,
        pending: PendingRequest,
        now: Time,
        scratch: &mut [u8],
    ) -> Next {
        let PendingRequest { number, request, reply, deadline, attempts } = pending;
        let (reused, may_be_stale) = self.allowance.begin();
        let mut responder = Responder::new(reply, self.config.body_window);
        let connection = self.number;
        responder.exchange = Exchange { connection, reused, attempts, ..Exchange::default() };
        self.in_flight = Some(InFlight {
            number,
            decoder: Decoder::new(&request.method, (&*self.config).into()),
            request,
            responder,
            progress: Progress::default(),
            only_upload_left: false,
            surplus_bytes: false,
            write_error: None,
            may_be_stale,
            limit: TimeLimit::new(now, &self.config),
            deadline,
        });
        self.advance(now, scratch)
    }

    /// No request waits for the connection. Frees its buffer, and looks at its socket once.
    pub(crate) fn mark_idle(&mut self, now: Time, scratch: &mut [u8]) -> Next {
        self.allowance.mark_idle();
        self.framing.buffer = BytesMut::new();
        self.expiry = after(now, self.idle_timeout);
        self.advance(now, scratch)
    }

    /// The socket has become ready for something.
    pub(crate) fn ready(&mut self, event: Readiness, now: Time, scratch: &mut [u8]) -> Next {
        self.framing.note(event);
        self.advance(now, scratch)
    }

    /// The machine was notified: the caller left, or the body's reader made room or left. The
    /// notification may be spurious.
    pub(crate) fn notified(&mut self, now: Time, scratch: &mut [u8]) -> Next {
        match &self.in_flight {
            Some(in_flight) if in_flight.responder.is_cancelled() => {
                self.end(Ending::Left(CloseReason::Cancelled), scratch)
            }
            _ => self.advance(now, scratch),
        }
    }

    /// The deadline has passed. If the response is whole, the call still succeeds.
    pub(crate) fn expire(&mut self, now: Time, scratch: &mut [u8]) -> Next {
        let Some(in_flight) = &self.in_flight else {
            return match passed(Some(self.expiry), now) {
                true => Next::close(CloseReason::IdleExpired),
                false => Next::Wait,
            };
        };
        match in_flight.limit.expired(in_flight.deadline, now) {
            None => Next::Wait,
            Some(_) if in_flight.only_upload_left => {
                self.end(Ending::Whole(Some(CloseReason::Timeout)), scratch)
            }
            Some(limit) => {
                let error = Error::timeout(limit, &self.config);
                self.end(Ending::Failed(error, CloseReason::Timeout), scratch)
            }
        }
    }

    /// Does all that can be done now: writes, then reads.
    fn advance(&mut self, now: Time, scratch: &mut [u8]) -> Next {
        let Connection { transport, framing, in_flight, config, waker, .. } = self;
        let Some(in_flight) = in_flight else { return self.check_idle(scratch) };
        in_flight.write(framing, transport);
        if in_flight.only_upload_left && in_flight.progress.sent {
            return self.end(Ending::Whole(None), scratch);
        }
        for _ in 0..READS_IN_A_ROW {
            match in_flight.read(framing, transport, waker, scratch) {
                ReadOutcome::More => {}
                ReadOutcome::Blocked => {
                    in_flight.limit.update(in_flight.progress, now, config);
                    // TLS may have to read before it can write.
                    let may_write = !in_flight.progress.sent && framing.may_write();
                    return if may_write { Next::Again } else { Next::Wait };
                }
                ReadOutcome::Over(ending) => return self.end(ending, scratch),
            }
        }
        in_flight.limit.update(in_flight.progress, now, config);
        Next::Again
    }

    /// Ends the exchange. Only here is decided what the caller gets last, and whether the
    /// connection stays open.
    fn end(&mut self, ending: Ending, scratch: &mut [u8]) -> Next {
        let Some(in_flight) = self.in_flight.take() else { return Next::Wait };
        match ending {
            Ending::Whole(ceased) => {
                let reusable = self.reuse(&in_flight, ceased, scratch);
                let completion = Completion::Finish(in_flight.responder);
                match reusable {
                    Ok(()) => Next::Free(completion),
                    Err(reason) => Next::Close(reason, completion),
                }
            }
            Ending::Failed(_, reason) if in_flight.may_retry(reason) => in_flight.retry(reason),
            Ending::Failed(error, reason) => {
                Next::Close(reason, Completion::Fail(in_flight.responder, error))
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
        scratch: &mut [u8],
    ) -> Result<(), CloseReason> {
        let outcome = Outcome {
            upload: in_flight.responder.exchange.upload,
            ceased: ceased.or(in_flight.write_error.as_ref().map(CloseReason::of)),
            close: in_flight.request.close,
            keep_alive: in_flight.decoder.keep_alive(),
            surplus_bytes: in_flight.surplus_bytes || !self.framing.buffer.is_empty(),
        };
        self.idle_timeout = self.allowance.after(outcome, &self.config)?;
        self.probe(scratch)
    }

    fn check_idle(&mut self, scratch: &mut [u8]) -> Next {
        // If this fails, the read of the same event fails too, or finds the end.
        let _ = self.framing.flush(&mut self.transport);
        match self.probe(scratch) {
            Ok(()) => Next::Wait,
            Err(reason) => Next::close(reason),
        }
    }

    /// Reads from an idle connection, if its socket is readable.
    ///
    /// # Errors
    ///
    /// Why the connection has to be closed.
    fn probe(&mut self, scratch: &mut [u8]) -> Result<(), CloseReason> {
        if !self.framing.may_read() {
            return Ok(());
        }
        match self.framing.read(&mut self.transport, scratch) {
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
        match framing.write(to, &self.request, &mut self.progress.written) {
            Ok(false) => {}
            Ok(true) => {
                self.progress.sent = true;
                self.responder.request_sent();
            }
            Err(error) => {
                // Nothing more will be written.
                self.progress.sent = true;
                self.write_error = Some(error);
            }
        }
    }

    /// Reads once, if the caller has room, and gives the caller what came.
    fn read<T: Transport>(
        &mut self,
        framing: &mut Framing,
        from: &mut T,
        waker: &Waker,
        scratch: &mut [u8],
    ) -> ReadOutcome {
        if self.room(waker) == Poll::Ready(Err(Gone)) {
            return ReadOutcome::Over(self.caller_dropped_body(framing, from, scratch));
        }
        // After a failed write, read even without an event: an answer may be there.
        let is_blocked = !framing.may_read() && self.write_error.is_none();
        if self.progress.window_full || is_blocked {
            return ReadOutcome::Blocked;
        }
        match framing.read(from, scratch) {
            Ok(Input::Bytes(count)) => {
                self.receive(count, framing).map_or(ReadOutcome::More, ReadOutcome::Over)
            }
            // If the request cannot be written any further, no response will come.
            Ok(Input::Blocked) => match self.write_error.take() {
                None => ReadOutcome::Blocked,
                cause => ReadOutcome::Over(self.stream_ended(cause, framing)),
            },
            Ok(Input::End) => ReadOutcome::Over(self.stream_ended(None, framing)),
            Err(error) => ReadOutcome::Over(self.stream_ended(Some(error), framing)),
        }
    }

    /// Whether the caller has room for more of the body. A response that is whole needs none.
    fn room(&mut self, waker: &Waker) -> Poll<Result<(), Gone>> {
        let room = self.responder.poll_room(&mut Context::from_waker(waker));
        self.progress.window_full = room.is_pending() && !self.only_upload_left;
        room
    }

    /// The caller has dropped the body. If the request is sent and one read completes the response,
    /// the connection can be reused.
    fn caller_dropped_body<T: Transport>(
        &mut self,
        framing: &mut Framing,
        from: &mut T,
        scratch: &mut [u8],
    ) -> Ending {
        if self.is_sent()
            && let Ok(Input::Bytes(count)) = framing.read(from, scratch)
            && let Some(whole @ Ending::Whole(_)) = self.receive(count, framing)
        {
            return whole;
        }
        Ending::Left(CloseReason::BodyDropped)
    }

    /// Decodes what came, and gives it to the caller. Returns how the exchange ends, if it does.
    fn receive(&mut self, count: usize, framing: &mut Framing) -> Option<Ending> {
        self.progress.received += count as u64;
        if self.only_upload_left {
            self.discard(framing);
            return None;
        }
        match self.responder.receive(&mut self.decoder, &mut framing.buffer) {
            Ok(true) => self.response_end(framing),
            Ok(false) if self.responder.is_cancelled() => {
                Some(Ending::Left(CloseReason::Cancelled))
            }
            Ok(false) => {
                self.progress.head = self.responder.body().is_some();
                None
            }
            Err(error) => Some(Ending::Failed(error, CloseReason::ProtocolError)),
        }
    }

    /// The response is whole. The exchange is too, unless the rest of the request is still written.
    fn response_end(&mut self, framing: &mut Framing) -> Option<Ending> {
        let (refused, keep_alive) = (self.write_error.is_some(), self.decoder.keep_alive());
        match Upload::at_response_end(self.is_sent(), refused, keep_alive) {
            Upload::Pending => {
                self.responder.deliver();
                self.discard(framing);
                self.only_upload_left = true;
                None
            }
            _ => Some(Ending::Whole(None)),
        }
    }

    /// Drops bytes that came after the response.
    fn discard(&mut self, framing: &mut Framing) {
        self.surplus_bytes |= !framing.buffer.is_empty();
        framing.buffer.clear();
    }

    /// The stream has ended, with or without an error. That is the end of a body delimited by EOF,
    /// a stale connection, or a response that will not become whole.
    fn stream_ended(&mut self, error: Option<io::Error>, framing: &Framing) -> Ending {
        let end = self.decoder.eof(&framing.buffer);
        // The system reports a failure once. If a write got it, the read finds an end.
        let cause = error.or(self.write_error.take_if(|refusal| is_cause(refusal, &end)));
        if self.only_upload_left {
            let reason = cause.as_ref().map_or(CloseReason::PeerClosed, CloseReason::of);
            return Ending::Whole(Some(reason));
        }
        match stream_end(end, cause) {
            Ok(()) => Ending::Whole(None),
            Err((error, reason)) => Ending::Failed(error, reason),
        }
    }

    /// Whether all of the request is sent.
    fn is_sent(&self) -> bool {
        self.responder.exchange.upload == Upload::Whole
    }

    /// Whether the request may be sent again after its exchange has failed for this reason.
    fn may_retry(&self, reason: CloseReason) -> bool {
        let failure = Failure {
            reason,
            may_be_stale: self.may_be_stale,
            written: self.progress.written > 0,
            answered: self.progress.received > 0,
            retried: self.responder.exchange.attempts > 1,
        };
        may_retry(&self.request.method, failure)
    }

    /// Returns the request, to be sent again on a fresh connection.
    fn retry(self, reason: CloseReason) -> Next {
        let InFlight { number, request, responder, deadline, .. } = self;
        let Exchange { connection, attempts, .. } = responder.exchange;
        io_model!(retry, request = number, connection, why = reason.as_str());
        // No byte of a response came, so the caller still waits for the head. No reply: it has left.
        let Some(reply) = responder.into_reply() else { return Next::close(reason) };
        let attempts = attempts + 1;
        Next::Retry(reason, PendingRequest { number, request, reply, deadline, attempts })
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
