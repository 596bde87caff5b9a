//! The life of one HTTP/1.1 connection.
//!
//! Its rules:
//! - a request is written and its response is read at the same time, and neither waits for the
//!   other;
//! - limits of time run where there is something to wait for: the head's from the request's last
//!   byte, the body's while the caller has room for it, and the whole call's always;
//! - nothing in here knows the pool, or a runtime beyond one timer: any stream will do under it.

use std::{
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use client_core::{
    Attempt, CloseReason, Config, Decoder, Error, Exchange, TimeoutPhase, Upload,
    body::Gone,
    decode::{Event, Limits},
    io_model, may_retry,
};
use http::HeaderMap;
use tokio::time::Instant;

use crate::{
    framing::{Framing, broken},
    job::Job,
    timer::{Alarm, after},
    transport::Transport,
};

/// One HTTP/1.1 connection over any stream.
pub(crate) struct Connection<T> {
    framing: Framing<T>,
    /// Its number in the client.
    number: u64,
    config: Arc<Config>,
    /// Exchanges that were begun.
    exchanges: u64,
    /// It has been idle, so its peer may have given it up.
    rested: bool,
    /// How long it may be idle: as configured, or less if the server said so.
    idle_timeout: Duration,
    /// Exchanges that the server will still serve, if it said so.
    left: Option<u64>,
    alarm: Alarm,
}

/// How an exchange ended.
pub(crate) struct End {
    /// The response is whole, with these trailers, or why it is not.
    result: Result<Option<HeaderMap>, Error>,
    /// Why the connection cannot serve another, if it cannot.
    pub(crate) close: Option<CloseReason>,
    /// The connection was stale: the request may be sent again.
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

    /// Tells the caller.
    pub(crate) fn tell(self, job: Box<Job>) {
        match self.result {
            Ok(trailers) => job.finish(trailers),
            Err(error) => job.fail(error),
        }
    }
}

/// What happened while an exchange waited.
enum Step {
    /// Bytes came.
    Received,
    /// The stream ended.
    Ended(Option<io::Error>),
    /// The caller gave up.
    Gone,
    /// A limit of time ran out.
    Expired(TimeoutPhase),
}

/// How far an exchange has got.
struct Progress {
    decoder: Decoder,
    /// Bytes of the request that the stream has taken.
    written: usize,
    /// No more of the request will be written: all of it is, or the stream refuses it.
    sent: bool,
    /// Why the stream refuses it.
    refused: Option<io::Error>,
    /// Bytes of a response have come.
    answered: bool,
    /// The caller has room for more of the body.
    room: bool,
    /// The limit that runs now, besides that of the whole call.
    limit: Option<(TimeoutPhase, Instant)>,
}

impl<T: Transport> Connection<T> {
    pub(crate) fn new(stream: T, number: u64, config: Arc<Config>) -> Self {
        Connection {
            framing: Framing::new(stream, number),
            number,
            exchanges: 0,
            rested: false,
            idle_timeout: config.idle_timeout,
            left: None,
            alarm: Alarm::default(),
            config,
        }
    }

    /// Whether it has begun an exchange.
    pub(crate) fn is_used(&self) -> bool {
        self.exchanges > 0
    }

    /// Whether its peer may have given it up before the next request.
    fn may_be_stale(&self) -> bool {
        self.is_used() || self.rested
    }

    /// One look at a connection that is about to be used again, without waiting.
    pub(crate) fn ended_meanwhile(&mut self) -> Option<CloseReason> {
        if !self.may_be_stale() {
            return None;
        }
        match self.framing.poll_idle(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reason) => Some(reason),
            Poll::Pending => None,
        }
    }

    /// Gives back what an idle connection needs no more. How long it may be idle.
    pub(crate) fn rest(&mut self) -> Duration {
        self.rested = true;
        self.framing.shrink();
        self.idle_timeout
    }

    /// Ready when an idle connection has to end, with the reason.
    pub(crate) fn poll_idle(
        &mut self,
        cx: &mut Context<'_>,
        expiry: Instant,
    ) -> Poll<CloseReason> {
        if let Poll::Ready(reason) = self.framing.poll_idle(cx) {
            return Poll::Ready(reason);
        }
        self.alarm.poll(cx, Some(expiry)).map(|()| CloseReason::IdleExpired)
    }

    /// Closes the stream, with a goodbye if it has one.
    pub(crate) fn close(self) {
        self.framing.close();
    }

    /// One request and its response. The caller is told of the end by [`End::tell`].
    ///
    /// # Cancel safety
    ///
    /// None: a connection whose exchange was dropped half-way must be dropped too.
    pub(crate) async fn exchange(&mut self, job: &mut Job) -> End {
        io_model!(checkout, request = job.number, connection = self.number);
        job.exchange = Exchange {
            connection: self.number,
            reused: self.is_used(),
            attempts: job.exchange.attempts + 1,
            upload: Upload::Pending,
        };
        // What is said of this connection from here on concerns what comes after this exchange.
        let stale = self.may_be_stale();
        self.exchanges += 1;
        let mut progress = Progress::new(job, &self.config);
        loop {
            match poll_fn(|cx| self.ready(cx, job, &mut progress)).await {
                Step::Received => match self.decode(job, &mut progress) {
                    Ok(None) => progress.restart(TimeoutPhase::BodyIdle, &self.config),
                    Ok(Some(trailers)) => return self.whole(job, trailers, &progress),
                    Err(error) => return End::failed(error, CloseReason::ProtocolError),
                },
                Step::Ended(error) => return self.ended(job, progress, stale, error),
                Step::Gone => return self.gone(job, progress),
                Step::Expired(phase) => {
                    let error = timed_out(phase, &self.config);
                    return End::failed(error, CloseReason::Timeout);
                }
            }
        }
    }

    /// Writes and reads as far as the stream and the caller allow.
    fn ready(
        &mut self,
        cx: &mut Context<'_>,
        job: &mut Job,
        progress: &mut Progress,
    ) -> Poll<Step> {
        let room = match job.poll_room(cx) {
            Poll::Ready(Err(Gone)) => return Poll::Ready(Step::Gone),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        if !progress.sent {
            let write = self.framing.poll_write(cx, &job.outgoing, &mut progress.written);
            if let Poll::Ready(result) = write {
                progress.sent = true;
                match result {
                    Ok(()) => job.sent(),
                    // A server that refuses the rest may have said why: go on reading.
                    Err(error) => progress.refused = Some(error),
                }
                progress.restart(TimeoutPhase::Head, &self.config);
            }
        }
        if room != progress.room {
            progress.room = room;
            progress.restart(TimeoutPhase::BodyIdle, &self.config);
        }
        // Before the read: a stream that always has something more would never let it go off.
        let (phase, deadline) = progress.deadline(job);
        if self.alarm.poll(cx, deadline).is_ready() {
            return Poll::Ready(Step::Expired(phase));
        }
        if room && let Poll::Ready(result) = self.framing.poll_read(cx) {
            return Poll::Ready(match result {
                Ok(0) => Step::Ended(None),
                Ok(_) => Step::Received,
                Err(error) => Step::Ended(Some(error)),
            });
        }
        // If it fails for good, so will the next read.
        _ = self.framing.poll_flush(cx);
        Poll::Pending
    }

    /// Hands on what has come. `Some` if the response is whole, with its trailers.
    fn decode(
        &mut self,
        job: &mut Job,
        progress: &mut Progress,
    ) -> Result<Option<Option<HeaderMap>>, Error> {
        progress.answered = true;
        while let Some(event) = progress.decoder.decode(&mut self.framing.buffer)? {
            match event {
                Event::Head(head) => {
                    io_model!(frame, request = job.number, why = "head");
                    job.head(head);
                }
                Event::Data(piece) => {
                    io_model!(frame, request = job.number, bytes = piece.len(), why = "data");
                    job.data(piece);
                }
                Event::End(trailers) => {
                    io_model!(frame, request = job.number, why = "end");
                    return Ok(Some(trailers));
                }
            }
        }
        job.deliver();
        Ok(None)
    }

    /// The response is whole. Whether the connection can serve another.
    fn whole(&mut self, job: &Job, trailers: Option<HeaderMap>, progress: &Progress) -> End {
        let kept = progress.decoder.keep_alive();
        let told = kept.unwrap_or_default();
        // A server need not repeat how many exchanges it allows.
        self.left = told.max.or(self.left.map(|left| left.saturating_sub(1)));
        self.idle_timeout = self.config.idle_timeout.min(told.timeout.unwrap_or(Duration::MAX));

        let unsent = !progress.sent || progress.refused.is_some();
        let close = if kept.is_none() || job.outgoing.close || unsent {
            Some(CloseReason::PeerAsked)
        } else if !self.framing.buffer.is_empty() {
            Some(CloseReason::Unsolicited)
        } else if self.left == Some(0) {
            Some(CloseReason::PeerAsked)
        } else {
            None
        };
        End { result: Ok(trailers), close, retry: false }
    }

    /// The stream ended: with the body, under a stale connection, or too early.
    fn ended(
        &mut self,
        job: &Job,
        mut progress: Progress,
        stale: bool,
        error: Option<io::Error>,
    ) -> End {
        let expected = match (progress.decoder.eof(&self.framing.buffer), &error) {
            (Ok(()), None) => return self.whole(job, None, &progress),
            (Err(Error::ClosedEarly { expected, .. }), _) => expected,
            _ => "expected an orderly end of the body",
        };
        let cause = error.or(progress.refused.take());
        let reason = cause.as_ref().map_or(CloseReason::PeerClosed, broken);
        let error = match cause {
            Some(cause) => Error::broken(expected, cause),
            None => Error::ClosedEarly { expected, source: None },
        };
        let attempt = Attempt {
            reused: stale,
            written: progress.written > 0,
            // A record that TLS cannot take is an answer too.
            answered: progress.answered || reason == CloseReason::ProtocolError,
            retried: job.exchange.attempts > 1,
        };
        End { retry: may_retry(&job.outgoing.method, attempt), ..End::failed(error, reason) }
    }

    /// The caller has gone, so nobody will read the result. But if all of the body is here, or
    /// comes with one more read that does not wait, the connection is as good as new.
    fn gone(&mut self, job: &mut Job, mut progress: Progress) -> End {
        io_model!(cancel, request = job.number, connection = self.number);
        if !progress.decoder.has_head() {
            return End::failed(Error::ShutDown, CloseReason::Cancelled);
        }
        let dropped = End::failed(Error::ShutDown, CloseReason::BodyDropped);
        let mut may_read = true;
        loop {
            match progress.decoder.decode(&mut self.framing.buffer) {
                Ok(Some(Event::End(trailers))) => return self.whole(job, trailers, &progress),
                Ok(Some(_)) => {}
                Ok(None) if may_read => {
                    may_read = false;
                    let mut cx = Context::from_waker(Waker::noop());
                    if !matches!(self.framing.poll_read(&mut cx), Poll::Ready(Ok(1..))) {
                        return dropped;
                    }
                }
                Ok(None) | Err(_) => return dropped,
            }
        }
    }
}

impl Progress {
    fn new(job: &Job, config: &Config) -> Self {
        Progress {
            decoder: Decoder::new(&job.outgoing.method, Limits::from(config)),
            written: 0,
            sent: false,
            refused: None,
            answered: false,
            room: true,
            limit: None,
        }
    }

    /// Starts a limit from now, if it is the one that is to run: that of the head once the request
    /// is out, that of the body while there is room for it.
    fn restart(&mut self, phase: TimeoutPhase, config: &Config) {
        let (runs, wait) = match phase {
            TimeoutPhase::BodyIdle => (self.decoder.has_head(), config.body_idle_timeout),
            _ => (!self.decoder.has_head(), config.head_timeout),
        };
        if runs {
            self.limit = self.room.then(|| (phase, after(wait)));
        }
    }

    /// The limit that runs out first.
    fn deadline(&self, job: &Job) -> (TimeoutPhase, Option<Instant>) {
        match (self.limit, job.deadline) {
            (Some((phase, limit)), Some(total)) if limit < total => (phase, Some(limit)),
            (Some((phase, limit)), None) => (phase, Some(limit)),
            (_, total) => (TimeoutPhase::Total, total),
        }
    }
}

/// The error of a limit that ran out.
pub(crate) fn timed_out(phase: TimeoutPhase, config: &Config) -> Error {
    let after = match phase {
        TimeoutPhase::Connect => config.connect_timeout,
        TimeoutPhase::Head => config.head_timeout,
        TimeoutPhase::BodyIdle => config.body_idle_timeout,
        // It ran out, so it was set.
        _ => config.total_timeout.unwrap_or_default(),
    };
    Error::Timeout { phase, after }
}

#[cfg(test)]
mod tests;
