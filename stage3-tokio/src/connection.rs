//! The life of one HTTP/1.1 connection.
//!
//! Its rules:
//! - the request is sent while the response is received. Bytes that have arrived go first: sending
//!   continues when a read would wait, or while the caller's window is full;
//! - a response that arrives early is handed on at once. The rest of the request is then sent while
//!   the server reads, and the caller gets the end of the response when sending is over. If sending
//!   fails or takes too long, the connection is closed, but the call still succeeds;
//! - a caller that leaves ends the exchange. The connection is kept if the head has come, the
//!   request is sent, and one read that does not wait brings the end of the response. Otherwise it
//!   is closed;
//! - the server may close a connection that is idle or reserved. The connection task notices that
//!   in [`Connection::idle`] and takes no request. If it has taken one, [`End::Stale`] says that
//!   the request is to be sent again on a fresh connection;
//! - one limit of time runs at a time, besides that of the whole call ([`Progress`]);
//! - `select!` drops the futures that lost. So the bytes that were written or read, and the limits
//!   of time, are in the fields of [`Connection`], and the next future continues from there;
//! - nothing here depends on the pool, or on the runtime except for its timers. Any stream will do.

use std::{io, mem, sync::Arc, time::Duration};

use client_core::{
    Allowance, CloseReason, Config, Decoder, Error, Exchange, Failure, Outcome, Progress,
    TimeLimit, TimeoutPhase, Upload,
    body::Gone,
    decode::{Event, Limits},
    io_model, is_cause, may_retry, stream_end,
};
use futures::FutureExt;
use tokio::{select, task::consume_budget, time::Instant};

use crate::{
    framing::{Inbound, Outbound},
    pending::{PendingRequest, gone, room},
    timer::Timer,
    transport::Stream,
};

/// One HTTP/1.1 connection over any stream.
pub(crate) struct Connection {
    input: Inbound,
    output: Outbound,
    /// Its number in the client.
    number: u64,
    config: Arc<Config>,
    allowance: Allowance,
    /// [`Connection::idle`] has watched the stream since the last exchange. It reports an end of
    /// the stream, so the next exchange need not look for one.
    watched: bool,
    /// How long it may be idle after the last exchange.
    idle_timeout: Duration,
    /// The limit of time that runs in the exchange, besides that of the whole call.
    limit: TimeLimit<Instant>,
    /// For the limits of an exchange, and for the idle timeout between two of them.
    timer: Timer,
}

/// How an exchange ended.
pub(crate) enum End {
    /// The call succeeded, and the connection can serve another exchange.
    Reusable,
    /// The connection is to be closed, and the call completed with this result.
    Close(CloseReason, Result<(), Error>),
    /// The connection was stale. It is to be closed, and the request sent again.
    Stale(CloseReason),
}

/// Why [`Connection::receive`] stopped before the decoder saw the end of the response.
enum Stop {
    /// The stream ended, perhaps with an error. That may still be the end of a body that has no
    /// length.
    Ended(Option<io::Error>),
    /// The caller has left.
    Gone,
    /// A limit of time ran out.
    Expired(TimeoutPhase),
    /// The response breaks a rule or exceeds a limit.
    Invalid(Error),
}

/// The caller's room for more of the response.
enum Window {
    Open,
    Full,
}

impl Connection {
    pub(crate) fn new(stream: Stream, number: u64, config: Arc<Config>) -> Self {
        let (input, output) = stream.split();
        Connection {
            input: Inbound::new(input, number),
            output: Outbound::new(output, number),
            number,
            allowance: Allowance::default(),
            watched: true,
            idle_timeout: config.idle_timeout,
            limit: TimeLimit::new(Instant::now(), &config),
            timer: Timer::default(),
            config,
        }
    }

    /// The connection becomes idle: frees a large buffer. Returns how long it may be idle.
    pub(crate) fn mark_idle(&mut self) -> Duration {
        self.allowance.mark_idle();
        self.input.free_buffer();
        self.idle_timeout
    }

    /// Watches the idle connection until it is `notified` or `expiry` has passed. Returns whether
    /// `expiry` has passed. If the stream has ended, that is reported first.
    ///
    /// # Errors
    ///
    /// Why the connection must be closed: the server ended it, or sent something.
    pub(crate) async fn idle(
        &mut self,
        expiry: Instant,
        notified: impl Future<Output = ()>,
    ) -> Result<bool, CloseReason> {
        self.watched = true;
        select! {
            biased;
            reason = self.input.unsolicited() => Err(reason),
            () = notified => Ok(false),
            () = self.timer.until(Some(expiry)) => Ok(true),
        }
    }

    /// Closes the stream, which is shut down first unless it was reset.
    pub(crate) fn close(self, reason: CloseReason) {
        let (output, reset) = (self.output, CloseReason::Reset);
        if reason == reset || output.refused() == Some(reset) {
            output.close();
        } else {
            output.shut_down();
        }
    }

    /// Carries one request and its response. The request is to be completed afterwards, or sent
    /// again, as [`End`] says.
    ///
    /// # Cancel safety
    ///
    /// None: if this future is dropped before its end, the connection must be dropped too.
    pub(crate) async fn exchange(&mut self, request: &mut PendingRequest) -> End {
        let (reused, may_be_stale) = self.allowance.begin();
        // The server may have closed the connection since its last response. If the runtime knows
        // of that already, nothing is sent. Otherwise `may_retry` decides when the stream ends.
        if !mem::take(&mut self.watched)
            && let Some(reason) = self.input.unsolicited().now_or_never()
        {
            return End::Stale(reason);
        }
        io_model!(checkout, request = request.number, connection = self.number);
        request.responder.exchange = Exchange {
            connection: self.number,
            reused,
            attempts: request.responder.exchange.attempts + 1,
            upload: Upload::Pending,
        };
        self.input.received = 0;
        self.output.begin();
        self.limit = TimeLimit::new(Instant::now(), &self.config);
        let mut decoder = Decoder::new(&request.outgoing.method, Limits::from(&*self.config));
        match self.receive(request, &mut decoder).await {
            Ok(()) => {
                let stopped = self.send_rest(request, &decoder).await;
                self.response_whole(request, stopped, &decoder)
            }
            Err(Stop::Ended(error)) => self.stream_ended(request, decoder, may_be_stale, error),
            Err(Stop::Gone) => self.caller_left(request, decoder),
            Err(Stop::Expired(phase)) => {
                let error = Error::timeout(phase, &self.config);
                End::Close(CloseReason::Timeout, Err(error))
            }
            Err(Stop::Invalid(error)) => End::Close(CloseReason::ProtocolError, Err(error)),
        }
    }

    /// Sends the request and receives the response. Resolves when the response is whole, even if
    /// the request is not sent yet.
    ///
    /// The buffer is decoded as far as it can be before the next read. The bytes of one read may
    /// exceed the caller's window; the read after it waits until there is room.
    async fn receive(
        &mut self,
        request: &mut PendingRequest,
        decoder: &mut Decoder,
    ) -> Result<(), Stop> {
        loop {
            let until = self.keep_time(request, decoder, Window::Open)?;
            select! {
                biased;
                read = self.input.read() => read.map_err(Stop::Ended)?,
                () = gone(&mut request.responder) => return Err(Stop::Gone),
                () = self.output.send(&request.outgoing), if self.output.is_sending() => continue,
                () = self.timer.until(until) => continue,
            }
            let received = request.responder.receive(decoder, &mut self.input.buffer);
            if received.map_err(Stop::Invalid)? {
                return Ok(());
            }
            self.wait_for_room(request, decoder).await?;
            // Sending ends with the request, but a server may send for ever. A stream that is always
            // ready, and spends no budget, would then starve all other tasks.
            consume_budget().await;
        }
    }

    /// Waits while the caller's window is full, and sends the request meanwhile. Also notices that
    /// the caller has left, which `receive` does not while each of its reads is ready at once.
    async fn wait_for_room(
        &mut self,
        request: &mut PendingRequest,
        decoder: &Decoder,
    ) -> Result<(), Stop> {
        if let Some(room) = room(&mut request.responder).now_or_never() {
            return room.map_err(|Gone| Stop::Gone);
        }
        loop {
            let until = self.keep_time(request, decoder, Window::Full)?;
            select! {
                biased;
                room = room(&mut request.responder) => return room.map_err(|Gone| Stop::Gone),
                () = self.output.send(&request.outgoing), if self.output.is_sending() => {}
                () = self.timer.until(until) => {}
            }
        }
    }

    /// Sends what is left of the request after a response that came early, while the server reads
    /// (RFC 9112 section 9.5). Returns why it stopped before the end of the request, unless the
    /// stream refused the rest.
    async fn send_rest(
        &mut self,
        request: &mut PendingRequest,
        decoder: &Decoder,
    ) -> Option<CloseReason> {
        if self.upload(decoder) != Upload::Pending {
            return None;
        }
        // The caller reads the response meanwhile. Its end comes at the completion.
        request.responder.deliver();
        loop {
            let Ok(until) = self.keep_time(request, decoder, Window::Open) else {
                return Some(CloseReason::Timeout);
            };
            if !self.output.is_sending() {
                return None;
            }
            select! {
                biased;
                () = gone(&mut request.responder) => return Some(CloseReason::BodyDropped),
                () = self.output.send(&request.outgoing) => {}
                reason = self.input.ended() => return Some(reason),
                () = self.timer.until(until) => {}
            }
        }
    }

    /// Notes how far the exchange has come, for the caller and for the limits of time. Returns when
    /// the first of these runs out.
    ///
    /// # Errors
    ///
    /// The limit that has run out.
    fn keep_time(
        &mut self,
        request: &mut PendingRequest,
        decoder: &Decoder,
        window: Window,
    ) -> Result<Option<Instant>, Stop> {
        if self.output.is_sent() {
            request.responder.request_sent();
        }
        let progress = Progress {
            written: self.output.written,
            sent: !self.output.is_sending(), // or refused
            received: self.input.received,
            head: decoder.has_head(),
            window_full: matches!(window, Window::Full),
        };
        let now = Instant::now();
        self.limit.update(progress, now, &self.config);
        match self.limit.expired(request.deadline, now) {
            Some(phase) => Err(Stop::Expired(phase)),
            None => Ok([self.limit.until(), request.deadline].into_iter().flatten().min()),
        }
    }

    /// How far the request is sent, when the response is whole. `Pending` if the rest is to be sent.
    fn upload(&self, decoder: &Decoder) -> Upload {
        let refused = self.output.refused().is_some();
        Upload::at_response_end(self.output.is_sent(), refused, decoder.keep_alive())
    }

    /// The response is whole. Decides whether the connection can serve another exchange. `stopped` is
    /// why the rest of the request was not sent, unless the stream refused it.
    fn response_whole(
        &mut self,
        request: &PendingRequest,
        stopped: Option<CloseReason>,
        decoder: &Decoder,
    ) -> End {
        let outcome = Outcome {
            upload: self.upload(decoder),
            ceased: stopped.or(self.output.refused()),
            close: request.outgoing.close,
            keep_alive: decoder.keep_alive(),
            surplus_bytes: !self.input.buffer.is_empty(),
        };
        match self.allowance.after(outcome, &self.config) {
            Ok(idle_timeout) => {
                self.idle_timeout = idle_timeout;
                End::Reusable
            }
            Err(reason) => End::Close(reason, Ok(())),
        }
    }

    /// The stream ended: the end of the body, a stale connection, or a failure.
    fn stream_ended(
        &mut self,
        request: &PendingRequest,
        mut decoder: Decoder,
        may_be_stale: bool,
        error: Option<io::Error>,
    ) -> End {
        let end = decoder.eof(&self.input.buffer);
        let refusal = || self.output.take_refusal_if(|refusal| is_cause(refusal, &end));
        let cause = error.or_else(refusal);
        let Err((error, reason)) = stream_end(end, cause) else {
            return self.response_whole(request, None, &decoder);
        };
        let failure = Failure {
            reason,
            may_be_stale,
            written: self.output.written > 0,
            answered: self.input.received > 0,
            retried: request.responder.exchange.attempts > 1,
        };
        if may_retry(&request.outgoing.method, failure) {
            return End::Stale(reason);
        }
        End::Close(reason, Err(error))
    }

    /// The caller has left. If the request is sent, and one read that does not wait brings the end
    /// of the response, the connection may serve another exchange.
    fn caller_left(&mut self, request: &PendingRequest, mut decoder: Decoder) -> End {
        if !decoder.has_head() {
            io_model!(cancel, connection = self.number, why = "the caller gave up");
            return End::Close(CloseReason::Cancelled, Err(Error::ShutDown));
        }
        if !self.output.is_sending() && self.input.read().now_or_never().is_some() {
            while let Ok(Some(event)) = decoder.decode(&mut self.input.buffer) {
                if let Event::End(_) = event {
                    return self.response_whole(request, None, &decoder);
                }
            }
        }
        io_model!(cancel, connection = self.number, why = "the body was dropped");
        End::Close(CloseReason::BodyDropped, Err(Error::ShutDown))
    }
}

#[cfg(test)]
mod tests;
