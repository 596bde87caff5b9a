//! The life of one HTTP/1.1 connection, over any transport.
//!
//! A connection reaches no loop, no pool and no clock. The machine that owns it reports what
//! happened: the socket is ready ([`Connection::ready`]), the machine was notified
//! ([`Connection::notified`]), or the deadline has passed ([`Connection::expire`]). The connection
//! then does what it can without blocking, and returns what the machine has to do ([`Next`]).
//!
//! Its rules:
//! - one exchange at a time. Writing the request and reading the response go on independently of
//!   each other;
//! - a response can arrive *early*: before the request is sent. The caller gets its head and its
//!   body as they arrive, and sending goes on. The caller gets the end of the body when the request
//!   is sent, or cannot be sent any further ([`Exchange::upload`]). Bytes behind an early response
//!   are discarded, and the connection is closed when sending is over. If the response announces
//!   the end of the connection, the rest of the request is not sent;
//! - a caller that leaves before it has the head notifies the machine, and the connection is closed
//!   ([`CloseReason::Cancelled`]). So it is if a caller drops the body
//!   ([`CloseReason::BodyDropped`]), unless the request is sent and one more read completes the
//!   response;
//! - a connection that dies before a byte of the response came returns the request for another
//!   attempt ([`Next::Retry`]), if [`may_retry`] allows that. Otherwise the call fails;
//! - an idle connection that has something to read is closed: it is the end of the stream, or
//!   bytes that no request asked for. If the pool has reserved it for a waiter meanwhile, that
//!   waiter loses nothing, because the connection does not have its request yet (see `pool.rs`);
//! - at every event, in whatever state, the transport may flush: TLS can have records to send that
//!   no exchange caused;
//! - a connection does not complete a call itself. It returns the [`Completion`], and the machine
//!   carries that out after the pool knows that the connection is free or closed.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::BytesMut;
use client_core::{
    Allowance, CloseReason, Config, Decoder, Error, Exchange, Failure, Outcome, Outgoing,
    Progress, Responder, TimeLimit, Upload, after, io_model, is_cause, may_retry, stream_end,
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
    /// The response is whole. Only sending the request is left.
    response_whole: bool,
    /// Bytes came behind a response that was early.
    bytes_left: bool,
    /// Why the request cannot be written any further. The peer may have sent a response before.
    write_error: Option<io::Error>,
    /// The server may have closed the connection before the exchange began.
    may_be_stale: bool,
    /// The limit of time that runs now.
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

// ===== impl Connection: what the machine reports =====

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
            Some(exchange) => earliest([exchange.limit.until(), exchange.deadline]),
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
            response_whole: false,
            bytes_left: false,
            write_error: None,
            may_be_stale,
            limit: TimeLimit::new(now, &self.config),
            deadline,
        });
        self.advance(now, scratch)
    }

    /// Becomes idle: frees its buffer, and reads once if the socket may have something to read.
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

    /// The machine was notified: the caller left, or the body's reader made room or left. There
    /// need not be a cause.
    pub(crate) fn notified(&mut self, now: Time, scratch: &mut [u8]) -> Next {
        match &self.in_flight {
            Some(exchange) if exchange.responder.is_cancelled() => self.cancel(),
            _ => self.advance(now, scratch),
        }
    }

    /// The deadline has passed.
    pub(crate) fn expire(&mut self, now: Time) -> Next {
        let Some(exchange) = &self.in_flight else {
            return match passed(Some(self.expiry), now) {
                true => Next::close(CloseReason::IdleExpired),
                false => Next::Wait,
            };
        };
        match exchange.limit.expired(exchange.deadline, now) {
            None => Next::Wait,
            Some(_) if exchange.response_whole => self.finish(Some(CloseReason::Timeout)),
            Some(limit) => self.fail(Error::timeout(limit, &self.config), CloseReason::Timeout),
        }
    }
}

// ===== impl Connection: what it does =====

impl<T: Transport> Connection<T> {
    /// Does all that can be done now: writes, then reads.
    fn advance(&mut self, now: Time, scratch: &mut [u8]) -> Next {
        self.write();
        let next = match &self.in_flight {
            None => return self.probe(scratch),
            Some(exchange) if exchange.response_whole && exchange.progress.sent => {
                return self.finish(None);
            }
            Some(_) => (0..READS_IN_A_ROW).find_map(|_| self.read(scratch)),
        };
        if let Some(exchange) = &mut self.in_flight {
            exchange.limit.update(exchange.progress, now, &self.config);
        }
        next.unwrap_or(Next::Again)
    }

    /// While idle: what can be read is the end of the stream, or bytes that no request asked for.
    fn probe(&mut self, scratch: &mut [u8]) -> Next {
        if !self.framing.may_read() {
            return Next::Wait;
        }
        let reason = match self.framing.read(&mut self.transport, scratch) {
            Ok(Input::Blocked) => return Next::Wait,
            Ok(Input::Bytes(_)) => CloseReason::Unsolicited,
            Ok(Input::End) => CloseReason::PeerClosed,
            Err(error) => CloseReason::of(&error),
        };
        Next::close(reason)
    }

    /// Writes the rest of the request, or else what the transport has to send of its own. If that
    /// fails, reading decides how the exchange ends: the peer may have sent a response before.
    fn write(&mut self) {
        let unsent = self.in_flight.as_mut().filter(|exchange| !exchange.is_sent());
        let Some(InFlight { request, responder, progress, write_error, .. }) = unsent else {
            let _ = self.framing.flush(&mut self.transport);
            return;
        };
        if write_error.is_some() {
            return;
        }
        match self.framing.write(&mut self.transport, request, &mut progress.written) {
            Ok(false) => {}
            Ok(true) => {
                progress.sent = true;
                responder.request_sent();
            }
            Err(error) => {
                progress.sent = true;
                *write_error = Some(error);
            }
        }
    }

    /// Reads once, and decodes what came. `None`: there may be more.
    fn read(&mut self, scratch: &mut [u8]) -> Option<Next> {
        let exchange = self.in_flight.as_mut()?;
        let room = exchange.responder.poll_room(&mut Context::from_waker(&self.waker));
        if let Poll::Ready(Err(_)) = room {
            return Some(self.read_last(scratch));
        }
        // A response that is whole needs no room.
        exchange.progress.window_full = room.is_pending() && !exchange.response_whole;
        if exchange.progress.window_full {
            return Some(self.pause());
        }
        if !self.framing.may_read() && exchange.write_error.is_none() {
            return Some(self.blocked());
        }
        match self.framing.read(&mut self.transport, scratch) {
            Ok(Input::Bytes(count)) => self.receive(count),
            Ok(Input::Blocked) => Some(self.blocked()),
            Ok(Input::End) => Some(self.stream_ended(None)),
            Err(error) => Some(self.stream_ended(Some(error))),
        }
    }

    /// Bytes came.
    fn receive(&mut self, count: usize) -> Option<Next> {
        let exchange = self.in_flight.as_mut()?;
        exchange.progress.received += count as u64;
        if exchange.response_whole {
            exchange.bytes_left = true;
            self.framing.buffer.clear();
            return None;
        }
        let InFlight { responder, decoder, progress, .. } = exchange;
        match responder.receive(decoder, &mut self.framing.buffer) {
            Ok(true) => self.response_end(),
            Ok(false) if responder.is_cancelled() => Some(self.cancel()),
            Ok(false) => {
                progress.head = responder.body().is_some();
                None
            }
            Err(error) => Some(self.fail(error, CloseReason::ProtocolError)),
        }
    }

    /// The response is whole. `None`: it is early, and sending goes on.
    fn response_end(&mut self) -> Option<Next> {
        let exchange = self.in_flight.as_mut()?;
        let (refused, keep_alive) =
            (exchange.write_error.is_some(), exchange.decoder.keep_alive());
        if Upload::at_response_end(exchange.is_sent(), refused, keep_alive) != Upload::Pending {
            return Some(self.finish(None));
        }
        exchange.responder.deliver();
        exchange.response_whole = true;
        exchange.bytes_left = !self.framing.buffer.is_empty();
        self.framing.buffer.clear();
        None
    }

    /// There is nothing to read now. If the request cannot be written any further, the exchange
    /// has ended: no response will come.
    fn blocked(&mut self) -> Next {
        match self.in_flight.as_mut().and_then(|exchange| exchange.write_error.take()) {
            Some(error) => self.stream_ended(Some(error)),
            None => self.pause(),
        }
    }

    /// Reads nothing for now. A write that waited for the last read may go on.
    fn pause(&self) -> Next {
        match &self.in_flight {
            Some(exchange) if !exchange.progress.sent && self.framing.may_write() => {
                Next::Again
            }
            _ => Next::Wait,
        }
    }

    /// The caller dropped the body. If the request is sent and one more read completes the
    /// response, the exchange ends like any other. Otherwise the connection is closed.
    fn read_last(&mut self, scratch: &mut [u8]) -> Next {
        if self.in_flight.as_ref().is_some_and(InFlight::is_sent)
            && let Ok(Input::Bytes(count)) = self.framing.read(&mut self.transport, scratch)
        {
            match self.receive(count) {
                None | Some(Next::Close(CloseReason::ProtocolError, _)) => {}
                Some(whole) => return whole,
            }
        }
        io_model!(cancel, connection = self.number, why = "the body was dropped");
        Next::close(CloseReason::BodyDropped)
    }
}

// ===== impl Connection: how an exchange ends =====

impl<T: Transport> Connection<T> {
    /// The caller left before it had the head.
    fn cancel(&mut self) -> Next {
        io_model!(cancel, connection = self.number, why = "the caller gave up");
        Next::close(CloseReason::Cancelled)
    }

    /// The exchange is over, and the response is whole. `ceased`: why sending the request ended
    /// before its end, unless a write failed.
    fn finish(&mut self, ceased: Option<CloseReason>) -> Next {
        let Some(exchange) = self.in_flight.take() else { return Next::Wait };
        let outcome = Outcome {
            upload: exchange.responder.exchange.upload.ended(),
            ceased: ceased.or(exchange.write_error.as_ref().map(CloseReason::of)),
            close: exchange.request.close,
            keep_alive: exchange.decoder.keep_alive(),
            bytes_left: exchange.bytes_left || !self.framing.buffer.is_empty(),
        };
        let completion = Completion::Finish(exchange.responder);
        match self.allowance.after(outcome, &self.config) {
            Ok(_) if self.framing.is_hung_up() => {
                Next::Close(CloseReason::PeerClosed, completion)
            }
            Ok(idle_timeout) => {
                self.idle_timeout = idle_timeout;
                Next::Free(completion)
            }
            Err(reason) => Next::Close(reason, completion),
        }
    }

    /// The exchange has failed.
    fn fail(&mut self, error: Error, reason: CloseReason) -> Next {
        let Some(exchange) = self.in_flight.take() else { return Next::Wait };
        Next::Close(reason, Completion::Fail(exchange.responder, error))
    }

    /// The stream has ended, with or without an error. That is the end of a body that nothing else
    /// ends, a stale connection, or a response that will not become whole.
    fn stream_ended(&mut self, error: Option<io::Error>) -> Next {
        let Some(exchange) = &mut self.in_flight else { return Next::Wait };
        let end = exchange.decoder.eof(&self.framing.buffer);
        // The system reports a failure once. If a write got it, the read finds an end.
        let cause = error.or(exchange.write_error.take_if(|refusal| is_cause(refusal, &end)));
        if exchange.response_whole {
            let reason = cause.as_ref().map_or(CloseReason::PeerClosed, CloseReason::of);
            return self.finish(Some(reason));
        }
        match stream_end(end, cause) {
            Ok(()) => self.finish(None),
            Err((_, reason)) if exchange.may_retry(reason) => self.retry(reason),
            Err((error, reason)) => self.fail(error, reason),
        }
    }

    /// Returns the request, to be sent again on a fresh connection.
    fn retry(&mut self, reason: CloseReason) -> Next {
        let Some(exchange) = self.in_flight.take() else { return Next::Wait };
        let InFlight { number, request, responder, deadline, .. } = exchange;
        io_model!(retry, request = number, connection = self.number, why = reason.as_str());
        let attempts = responder.exchange.attempts + 1;
        match responder.into_reply() {
            Some(reply) => {
                let pending = PendingRequest { number, request, reply, deadline, attempts };
                Next::Retry(reason, pending)
            }
            None => Next::close(reason),
        }
    }
}

// ===== impl InFlight =====

impl InFlight {
    /// Whether all of the request is sent.
    fn is_sent(&self) -> bool {
        self.responder.exchange.upload == Upload::Whole
    }

    /// Whether the request may be sent again after its stream has ended for this reason.
    fn may_retry(&self, reason: CloseReason) -> bool {
        let failure = Failure {
            may_be_stale: self.may_be_stale,
            written: self.progress.written > 0,
            answered: self.progress.received > 0,
            retried: self.responder.exchange.attempts > 1,
        };
        reason != CloseReason::ProtocolError && may_retry(&self.request.method, failure)
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
