//! The life of one HTTP/1.1 connection.
//!
//! Its rules:
//! - the request is sent while the response is received. Neither waits for the other, and sending
//!   goes on after a response that came early, while the server reads;
//! - one limit of time runs at once, besides that of the whole call: for sending the request, then
//!   for the head of the response, then for its body. None runs while the caller leaves its window
//!   full;
//! - a future that lost its `select!` is dropped. So what must outlive it, such as the bytes that
//!   were written, is in [`Inbound`], [`Outbound`] or [`Timer`], and the future that goes on from there
//!   is made anew;
//! - nothing here knows the pool, or a runtime beyond its timers: any stream will do.

use std::{io, sync::Arc, time::Duration};

use client_core::{
    Allowance, CloseReason, Config, Decoder, Error, Exchange, Failure, Outcome, Outgoing,
    TimeoutPhase, Upload,
    body::Gone,
    decode::{Event, Head, Limits},
    io_model, may_retry,
};
use futures::FutureExt;
use tokio::{select, task::consume_budget, time::Instant};

use crate::{
    framing::{Inbound, Outbound, Stalled, StreamEnd},
    pending::{Caller, PendingRequest},
    timer::{Timer, after},
    transport::Stream,
};

/// One HTTP/1.1 connection over any stream.
pub(crate) struct Connection {
    input: Inbound,
    output: Outbound,
    /// Its number in the client.
    number: u64,
    config: Arc<Config>,
    /// It has begun an exchange.
    used: bool,
    /// The server may have closed it while it was idle, or after an exchange.
    may_be_stale: bool,
    /// How long it may be idle after the last exchange.
    idle_timeout: Duration,
    allowance: Allowance,
    /// For the limits of head and body, and of being idle.
    timer: Timer,
    /// For the limit of the whole call.
    total: Timer,
}

/// How an exchange ended.
pub(crate) struct End {
    /// Why the response is not whole, if it is not.
    result: Result<(), Error>,
    /// Why the connection cannot serve another, if it cannot.
    pub(crate) close: Option<CloseReason>,
    /// The connection was stale, and the request may be sent again.
    pub(crate) retry: bool,
}

impl End {
    fn failed(error: Error, reason: CloseReason) -> Self {
        End { result: Err(error), close: Some(reason), retry: false }
    }

    /// The connection ended before a byte of the request was written.
    pub(crate) fn stale(reason: CloseReason) -> Self {
        let expected = "expected the idle connection to be open";
        let error = Error::ClosedEarly { expected, source: None };
        End { retry: true, ..End::failed(error, reason) }
    }

    /// Completes the call.
    pub(crate) fn complete(self, request: Box<PendingRequest>) {
        match self.result {
            Ok(()) => request.caller.finish(),
            Err(error) => request.caller.fail(error),
        }
    }
}

/// Why a response did not become whole.
enum Stop {
    /// The stream ended.
    Ended(Option<io::Error>),
    /// The caller gave up.
    Gone,
    /// A limit of time ran out.
    Expired(TimeoutPhase),
    /// The response breaks a rule or a limit.
    Invalid(Error),
}

impl Connection {
    pub(crate) fn new(stream: Stream, number: u64, config: Arc<Config>) -> Self {
        let (input, output) = stream.split();
        Connection {
            input: Inbound::new(input, number),
            output: Outbound::new(output, number),
            number,
            used: false,
            may_be_stale: false,
            idle_timeout: config.idle_timeout,
            allowance: Allowance::default(),
            timer: Timer::default(),
            total: Timer::default(),
            config,
        }
    }

    /// Looks once, between two exchanges, whether the server has closed the connection.
    pub(crate) fn ended_meanwhile(&mut self) -> Option<CloseReason> {
        self.input.unsolicited().now_or_never()
    }

    /// Frees a large buffer. Returns how long the connection may be idle.
    pub(crate) fn mark_idle(&mut self) -> Duration {
        self.may_be_stale = true;
        self.input.shrink();
        self.idle_timeout
    }

    /// Waits while the connection is idle. Resolves with the reason if it must be closed, or with
    /// `None` when it was `notified`.
    pub(crate) async fn idle(
        &mut self,
        expiry: Instant,
        notified: impl Future<Output = ()>,
    ) -> Option<CloseReason> {
        select! {
            biased;
            reason = self.input.unsolicited() => Some(reason),
            () = notified => None,
            () = self.timer.at(expiry) => Some(CloseReason::IdleExpired),
        }
    }

    /// Closes the stream. A stream that was reset is sent no goodbye.
    pub(crate) fn close(self, reason: CloseReason) {
        let reset = [Some(reason), self.output.refused()].contains(&Some(CloseReason::Reset));
        self.output.close(!reset);
    }

    /// Carries one request and its response. [`End::complete`] is to follow.
    ///
    /// # Cancel safety
    ///
    /// None: if this future is dropped before its end, the connection must be dropped too.
    pub(crate) async fn exchange(&mut self, request: &mut PendingRequest) -> End {
        io_model!(checkout, request = request.caller.number, connection = self.number);
        request.caller.exchange = Exchange {
            connection: self.number,
            reused: self.used,
            attempts: request.caller.exchange.attempts + 1,
            upload: Upload::Pending,
        };
        let stale = self.may_be_stale;
        (self.used, self.may_be_stale) = (true, true);
        self.input.answered = false;
        self.output.begin();
        let mut decoder = Decoder::new(&request.outgoing.method, Limits::from(&*self.config));
        let response = self.converse(request, &mut decoder).await;
        request.caller.sent(self.output.is_sent());
        match response {
            Ok(ceased) => self.whole(request, ceased, &decoder),
            Err(Stop::Ended(error)) => self.ended(request, decoder, stale, error),
            Err(Stop::Gone) => self.gone(request, decoder),
            Err(Stop::Expired(phase)) => {
                End::failed(Error::timeout(phase, &self.config), CloseReason::Timeout)
            }
            Err(Stop::Invalid(error)) => End::failed(error, CloseReason::ProtocolError),
        }
    }

    /// Receives the response while the request is sent. Then goes on sending while the server reads
    /// (RFC 9112 section 9.5). Returns why it ceased, unless the stream refused the rest.
    async fn converse(
        &mut self,
        request: &mut PendingRequest,
        decoder: &mut Decoder,
    ) -> Result<Option<CloseReason>, Stop> {
        let Connection { input, output, timer, total, config, .. } = self;
        let PendingRequest { outgoing, caller, deadline, .. } = request;
        select! {
            biased;
            () = total.until(*deadline) => Err(Stop::Expired(TimeoutPhase::Total)),
            whole = receive(input, output, decoder, caller, outgoing, timer, config) => whole,
        }?;
        if upload(output, decoder) != Upload::Pending {
            return Ok(None);
        }
        caller.deliver();
        Ok(select! {
            biased;
            () = caller.gone() => Some(CloseReason::BodyDropped),
            () = total.until(*deadline) => Some(CloseReason::Timeout),
            sent = output.send(outgoing, Some(config.write_idle_timeout)) => {
                sent.err().map(|Stalled| CloseReason::Timeout)
            }
            reason = input.ended() => Some(reason),
        })
    }

    /// The response is whole. Decides whether the connection can serve another exchange. `ceased` is
    /// why the rest of the request was not sent, unless the stream refused it.
    fn whole(
        &mut self,
        request: &PendingRequest,
        ceased: Option<CloseReason>,
        decoder: &Decoder,
    ) -> End {
        let outcome = Outcome {
            upload: upload(&self.output, decoder),
            ceased: ceased.or(self.output.refused()),
            close: request.outgoing.close,
            keep_alive: decoder.keep_alive(),
            bytes_left: !self.input.buffer.is_empty(),
        };
        let close = match self.allowance.after(outcome, &self.config) {
            Ok(idle) => {
                self.idle_timeout = idle;
                None
            }
            Err(reason) => Some(reason),
        };
        End { result: Ok(()), close, retry: false }
    }

    /// The stream ended: the end of the body, a stale connection, or a failure.
    fn ended(
        &mut self,
        request: &PendingRequest,
        mut decoder: Decoder,
        stale: bool,
        error: Option<io::Error>,
    ) -> End {
        let expected = match (decoder.eof(&self.input.buffer), &error) {
            (Ok(()), None) => return self.whole(request, None, &decoder),
            (Err(Error::ClosedEarly { expected, .. }), _) => expected,
            _ => "expected an orderly end of the body",
        };
        let cause = error.or_else(|| self.output.sent.take()?.err());
        let reason = cause.as_ref().map_or(CloseReason::PeerClosed, CloseReason::of);
        let error = match cause {
            Some(cause) => Error::broken(expected, cause),
            None => Error::ClosedEarly { expected, source: None },
        };
        let attempt = Failure {
            may_be_stale: stale,
            written: self.output.written > 0,
            // A record that TLS cannot take is an answer too.
            answered: self.input.answered || reason == CloseReason::ProtocolError,
            retried: request.caller.exchange.attempts > 1,
        };
        End {
            retry: may_retry(&request.outgoing.method, attempt),
            ..End::failed(error, reason)
        }
    }

    /// The caller has gone. If the request is sent, and the rest of the body is here or comes with
    /// one read that does not wait, the connection can serve another exchange.
    fn gone(&mut self, request: &PendingRequest, mut decoder: Decoder) -> End {
        io_model!(cancel, request = request.caller.number, connection = self.number);
        if !decoder.has_head() {
            return End::failed(Error::ShutDown, CloseReason::Cancelled);
        }
        let dropped = End::failed(Error::ShutDown, CloseReason::BodyDropped);
        if self.output.sent.is_none() {
            return dropped;
        }
        let mut may_read = true;
        loop {
            match decoder.decode(&mut self.input.buffer) {
                Ok(Some(Event::End(_))) => return self.whole(request, None, &decoder),
                Ok(Some(_)) => {}
                Ok(None) if may_read => {
                    may_read = false;
                    if !matches!(self.input.read().now_or_never(), Some(Ok(()))) {
                        return dropped;
                    }
                }
                Ok(None) | Err(_) => return dropped,
            }
        }
    }
}

/// Receives a response while the request is sent.
async fn receive(
    input: &mut Inbound,
    output: &mut Outbound,
    decoder: &mut Decoder,
    caller: &mut Caller,
    outgoing: &Outgoing,
    timer: &mut Timer,
    config: &Config,
) -> Result<(), Stop> {
    let head = loop {
        select! {
            biased;
            head = receive_head(input, decoder) => break head?,
            () = caller.gone() => return Err(Stop::Gone),
            late = send_in_time(output, outgoing, timer, TimeoutPhase::Head, config) => late?,
        }
    };
    caller.sent(output.is_sent());
    caller.head(head);
    loop {
        if decode_body(input, decoder, caller)? {
            return Ok(());
        }
        caller.deliver();
        wait_for_room(output, outgoing, caller).await?;
        select! {
            biased;
            () = caller.gone() => return Err(Stop::Gone),
            late = send_in_time(output, outgoing, timer, TimeoutPhase::BodyIdle, config) => late?,
            read = input.read() => read?,
        }
        caller.sent(output.is_sent());
        // Else a stream that is always ready, and spends no budget, would starve the limits.
        consume_budget().await;
    }
}

/// Waits until the caller has room for more of the body, while the request is sent. No limit runs:
/// the server may wait for the caller to read.
async fn wait_for_room(
    output: &mut Outbound,
    outgoing: &Outgoing,
    caller: &mut Caller,
) -> Result<(), Gone> {
    select! {
        biased;
        room = caller.room() => return room,
        _ = output.send(outgoing, None), if output.is_sending() => {}
    }
    caller.sent(output.is_sent());
    caller.room().await
}

/// Sends what is left of the request. Resolves when that ends; or, if it has ended before, when the
/// limit of `phase` has run out. A server that refuses the rest may have said why, so the response
/// is still waited for.
///
/// # Errors
///
/// The limit that has run out.
async fn send_in_time(
    output: &mut Outbound,
    outgoing: &Outgoing,
    timer: &mut Timer,
    phase: TimeoutPhase,
    config: &Config,
) -> Result<(), Stop> {
    if output.is_sending() {
        let sent = output.send(outgoing, Some(config.write_idle_timeout)).await;
        return sent.map_err(|Stalled| Stop::Expired(TimeoutPhase::Write));
    }
    timer.at(after(config.limit(phase))).await;
    Err(Stop::Expired(phase))
}

/// Reads until the head of the response has come.
async fn receive_head(input: &mut Inbound, decoder: &mut Decoder) -> Result<Head, Stop> {
    loop {
        input.read().await?;
        if let Some(Event::Head(head)) = decoder.decode(&mut input.buffer)? {
            return Ok(head);
        }
    }
}

/// Hands on what has come of the body. Whether that was the end of it.
fn decode_body(
    input: &mut Inbound,
    decoder: &mut Decoder,
    caller: &mut Caller,
) -> Result<bool, Error> {
    while let Some(event) = decoder.decode(&mut input.buffer)? {
        match event {
            Event::Head(_) => {} // there is one head, and it has come
            Event::Data(piece) => caller.data(piece),
            Event::End(trailers) => {
                caller.end(trailers);
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// What a whole response means for its request.
fn upload(output: &Outbound, decoder: &Decoder) -> Upload {
    let refused = output.refused().is_some();
    Upload::at_response_end(output.is_sent(), refused, decoder.keep_alive())
}

impl From<StreamEnd> for Stop {
    fn from(StreamEnd(error): StreamEnd) -> Self {
        Stop::Ended(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Invalid(error)
    }
}

impl From<Gone> for Stop {
    fn from(Gone: Gone) -> Self {
        Stop::Gone
    }
}

#[cfg(test)]
mod tests;
