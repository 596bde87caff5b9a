//! The task of a slot, and the life of one HTTP/1.1 connection.
//!
//! Its rules:
//! - the task is the life: connect, then exchanges with pauses between them, until something ends
//!   it. A stale connection begins a new life in the same slot;
//! - a request is written and its response is read at the same time, and neither waits for the
//!   other;
//! - a connection is closed or checked in before its caller hears of the end, so that what the
//!   caller sees and what the pool says agree;
//! - [`Connection`] knows no pool and no runtime but its one timer: any stream will do under it.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, Waker},
    time::Duration,
};

use client_core::{
    Attempt, CloseReason, Config, Decoder, Error, Exchange, TimeoutPhase,
    body::Gone,
    decode::{Event, Limits},
    io_model, may_retry,
};
use http::HeaderMap;
use tokio::{
    net::TcpStream,
    pin, select,
    time::{Instant, sleep_until},
};

use crate::{
    connect::connect,
    framing::Framing,
    job::Job,
    pool::{Checkin, Idling, Order, Slot},
    timer::{Alarm, after},
    transport::Transport,
};

/// Serves a slot until it is given back.
pub(crate) async fn run(mut slot: Slot) {
    let mut retry = None;
    loop {
        let stream = match connect_for(&slot, &mut retry).await {
            Ok(stream) => stream,
            Err(error) => {
                if let Some(job) = retry {
                    slot.fail(error.clone());
                    job.fail(error);
                } else {
                    slot.fail(error);
                }
                return;
            }
        };
        let connection = Connection::new(stream, slot.opened(), slot.config());
        match serve(connection, slot, retry).await {
            Some((same, job)) => (slot, retry) = (same, Some(job)),
            None => return,
        }
    }
}

/// Connects. The limit of a request that is sent again goes on; the connecting outlives it.
async fn connect_for(slot: &Slot, retry: &mut Option<Box<Job>>) -> Result<TcpStream, Error> {
    let connecting = connect(slot.origin(), slot.config());
    pin!(connecting);
    if let Some(deadline) = retry.as_ref().and_then(|job| job.deadline) {
        select! {
            result = &mut connecting => return result,
            () = sleep_until(deadline) => {}
        }
        if let Some(job) = retry.take() {
            job.fail(timed_out(TimeoutPhase::Total, slot.config()));
        }
    }
    connecting.await
}

/// Serves exchanges on a connection until it ends. If a request found it stale, that comes back
/// with the slot.
async fn serve<T: Transport>(
    mut connection: Connection<T>,
    mut slot: Slot,
    retry: Option<Box<Job>>,
) -> Option<(Slot, Box<Job>)> {
    let mut checkin = match retry {
        Some(job) => Checkin::Serve(job),
        None => slot.checkin(false),
    };
    loop {
        let (mut job, end) = match connection.next(&mut slot, checkin).await {
            Next::Serve(job) if job.is_cancelled() => {
                checkin = slot.checkin(connection.exchanges > 0);
                continue;
            }
            Next::Serve(mut job) => {
                let end = connection.exchange(&mut job, slot.config()).await;
                (job, end)
            }
            Next::Stale(job, reason) => (job, End::stale(reason)),
            Next::Close(reason) => {
                drop(connection);
                slot.close(reason);
                return None;
            }
        };
        let (exchange, window) = (connection.number_of(&job), slot.config().body_window);
        checkin = match end.close {
            None => slot.checkin(true),
            Some(reason) => Checkin::Close(reason),
        };
        if let Checkin::Close(reason) = checkin {
            drop(connection);
            if end.stale {
                slot.reconnect(reason);
                job.retried = true;
                return Some((slot, job));
            }
            slot.close(reason);
            end.tell(job, exchange, window);
            return None;
        }
        end.tell(job, exchange, window);
    }
}

/// What a connection does next.
enum Next {
    Serve(Box<Job>),
    /// The connection ended before a byte of this request was written.
    Stale(Box<Job>, CloseReason),
    Close(CloseReason),
}

/// How an exchange ended.
struct End {
    /// The response is whole, with these trailers, or why it is not.
    result: Result<Option<HeaderMap>, Error>,
    /// Why the connection cannot serve another, if it cannot.
    close: Option<CloseReason>,
    /// The request may be sent again.
    stale: bool,
}

impl End {
    fn failed(error: Error, reason: CloseReason) -> Self {
        End { result: Err(error), close: Some(reason), stale: false }
    }

    fn stale(reason: CloseReason) -> Self {
        End { stale: true, ..End::failed(Error::ShutDown, reason) }
    }

    fn tell(self, job: Box<Job>, exchange: Exchange, window: usize) {
        match self.result {
            Ok(trailers) => job.answer.finish(trailers, exchange, window),
            Err(error) => job.fail(error),
        }
    }
}

/// One HTTP/1.1 connection over any stream.
struct Connection<T> {
    framing: Framing<T>,
    /// Its number in the client.
    number: u64,
    /// Exchanges that were begun.
    exchanges: u64,
    /// It was checked in without having served.
    rested: bool,
    /// How long it may stay idle.
    idle_timeout: Duration,
    /// Exchanges that the server will still serve, if it said so.
    left: Option<u64>,
    alarm: Alarm,
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
    fn new(stream: T, number: u64, config: &Config) -> Self {
        Connection {
            framing: Framing::new(stream, number),
            number,
            exchanges: 0,
            rested: false,
            idle_timeout: config.idle_timeout,
            left: None,
            alarm: Alarm::default(),
        }
    }

    fn number_of(&self, job: &Job) -> Exchange {
        Exchange {
            connection: self.number,
            reused: self.exchanges > 1,
            attempts: 1 + u32::from(job.retried),
        }
    }

    /// Waits for the next request, if there is none yet, and looks once at the stream before one
    /// is written to a connection that may be stale.
    async fn next(&mut self, slot: &mut Slot, checkin: Checkin) -> Next {
        let (job, ended) = match checkin {
            Checkin::Close(reason) => return Next::Close(reason),
            Checkin::Serve(job) if self.exchanges == 0 && !self.rested => (job, None),
            Checkin::Serve(job) => {
                let mut cx = Context::from_waker(Waker::noop());
                let ended = match self.framing.poll_idle(&mut cx) {
                    Poll::Ready(reason) => Some(reason),
                    Poll::Pending => None,
                };
                (job, ended)
            }
            Checkin::Idle(idling) => match self.idle(slot, idling).await {
                (Order::Serve(job), ended) => (job, ended),
                (Order::Leave(reason), _) => return Next::Close(reason),
            },
        };
        match ended {
            Some(reason) => Next::Stale(job, reason),
            None => Next::Serve(job),
        }
    }

    /// Waits for an order, and watches the stream meanwhile. An order that comes together with the
    /// stream's end comes with its reason.
    async fn idle(
        &mut self,
        slot: &mut Slot,
        mut idling: Idling,
    ) -> (Order, Option<CloseReason>) {
        self.framing.shrink();
        self.rested = true;
        let deadline = Some(after(self.idle_timeout));
        let ended = select! {
            biased;
            reason = poll_fn(|cx| self.framing.poll_idle(cx)) => Some(reason),
            order = &mut idling.orders => {
                return (order.unwrap_or(Order::Leave(CloseReason::ClientClosed)), None);
            }
            () = poll_fn(|cx| self.alarm.poll(cx, deadline)) => None,
        };
        if slot.leave(&idling) {
            return (Order::Leave(ended.unwrap_or(CloseReason::IdleExpired)), None);
        }
        // The pool took it at this moment: the order is on its way.
        match idling.orders.await {
            Ok(order) => (order, ended),
            Err(_) => (Order::Leave(CloseReason::ClientClosed), None),
        }
    }

    /// One request and its response.
    async fn exchange(&mut self, job: &mut Job, config: &Config) -> End {
        self.exchanges += 1;
        let exchange = self.number_of(job);
        let mut progress = Progress::new(job, config);
        loop {
            match poll_fn(|cx| self.ready(cx, job, &mut progress, config)).await {
                Step::Received => match self.decode(job, &mut progress, exchange, config) {
                    Ok(None) => progress.restart(TimeoutPhase::BodyIdle, config),
                    Ok(Some(trailers)) => return self.whole(job, trailers, &progress, config),
                    Err(error) => return End::failed(error, CloseReason::ProtocolError),
                },
                Step::Ended(error) => return self.ended(job, progress, error),
                Step::Gone => return self.gone(job, progress, config),
                Step::Expired(phase) => {
                    return End::failed(timed_out(phase, config), CloseReason::Timeout);
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
        config: &Config,
    ) -> Poll<Step> {
        let room = match job.answer.poll_room(cx) {
            Poll::Ready(Err(Gone)) => return Poll::Ready(Step::Gone),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        if !progress.sent {
            let write = self.framing.poll_write(cx, &job.outgoing, &mut progress.written);
            if let Poll::Ready(result) = write {
                progress.sent = true;
                // A server that refuses the rest may have said why: go on reading.
                progress.refused = result.err();
                progress.restart(TimeoutPhase::Head, config);
            }
        }
        if room != progress.room {
            progress.room = room;
            progress.restart(TimeoutPhase::BodyIdle, config);
        }
        // Before the read: a stream that always has something more would never let it go off.
        let (phase, deadline) = progress.deadline(job);
        if self.alarm.poll(cx, deadline).is_ready() {
            return Poll::Ready(Step::Expired(phase));
        }
        if !room {
            return Poll::Pending;
        }
        self.framing.poll_read(cx).map(|result| match result {
            Ok(0) => Step::Ended(None),
            Ok(_) => Step::Received,
            Err(error) => Step::Ended(Some(error)),
        })
    }

    /// Hands on what has come. `Some` if the response is whole.
    fn decode(
        &mut self,
        job: &mut Job,
        progress: &mut Progress,
        exchange: Exchange,
        config: &Config,
    ) -> Result<Option<Option<HeaderMap>>, Error> {
        progress.answered = true;
        let result = loop {
            match progress.decoder.decode(&mut self.framing.buffer) {
                Ok(Some(Event::Head(head))) => {
                    io_model!(
                        frame,
                        request = job.number,
                        connection = self.number,
                        why = "head"
                    );
                    job.answer.head(head);
                }
                Ok(Some(Event::Data(piece))) => {
                    job.answer.data(piece, exchange, config.body_window);
                }
                Ok(Some(Event::End(trailers))) => {
                    io_model!(
                        frame,
                        request = job.number,
                        connection = self.number,
                        why = "end"
                    );
                    return Ok(Some(trailers));
                }
                Ok(None) => break Ok(None),
                Err(error) => break Err(error),
            }
        };
        job.answer.deliver(exchange, config.body_window);
        result
    }

    /// The response is whole. Whether the connection can serve another.
    fn whole(
        &mut self,
        job: &Job,
        trailers: Option<HeaderMap>,
        progress: &Progress,
        config: &Config,
    ) -> End {
        let kept = progress.decoder.keep_alive();
        self.left =
            match (self.left.map(|left| left.saturating_sub(1)), kept.and_then(|k| k.max)) {
                (Some(left), Some(told)) => Some(left.min(told)),
                (left, told) => left.or(told),
            };
        self.idle_timeout = config.idle_timeout;
        if let Some(told) = kept.and_then(|kept| kept.timeout) {
            self.idle_timeout = self.idle_timeout.min(told);
        }
        let unsent = progress.written < job.outgoing.len();
        let asked = kept.is_none() || job.outgoing.close || self.left == Some(0);
        let close = if unsent || asked {
            Some(CloseReason::PeerAsked)
        } else if !self.framing.buffer.is_empty() {
            Some(CloseReason::Unsolicited)
        } else {
            None
        };
        End { result: Ok(trailers), close, stale: false }
    }

    /// The stream ended: the end of the body, of a stale connection, or too early.
    fn ended(&mut self, job: &Job, mut progress: Progress, error: Option<io::Error>) -> End {
        let expected = progress.decoder.eof(&self.framing.buffer);
        let error = match (expected, error) {
            (Ok(()), None) => {
                return End {
                    result: Ok(None),
                    close: Some(CloseReason::PeerAsked),
                    stale: false,
                };
            }
            (Err(early), None) => early,
            (Err(Error::ClosedEarly { expected, .. }), Some(error)) => {
                Error::broken(expected, error)
            }
            (_, Some(error)) => Error::broken("expected the rest of the response", error),
        };
        let (error, reason) = match error {
            Error::ClosedEarly { expected, source: None } => match progress.refused.take() {
                Some(refused) => (Error::broken(expected, refused), CloseReason::Reset),
                None => (error, CloseReason::PeerClosed),
            },
            error => (error, CloseReason::Reset),
        };
        let attempt = Attempt {
            reused: self.exchanges > 1 || self.rested,
            written: progress.written > 0,
            answered: progress.answered,
            retried: job.retried,
        };
        if may_retry(&job.outgoing.method, attempt) {
            return End::stale(reason);
        }
        End::failed(error, reason)
    }

    /// The caller has gone. If all of the body is here, or comes with one more read that does not
    /// wait, the connection is as good as new.
    fn gone(&mut self, job: &mut Job, mut progress: Progress, config: &Config) -> End {
        io_model!(cancel, request = job.number, connection = self.number);
        if !progress.decoder.has_head() {
            return End::failed(Error::ShutDown, CloseReason::Cancelled);
        }
        let mut cx = Context::from_waker(Waker::noop());
        for last in [false, true] {
            loop {
                match progress.decoder.decode(&mut self.framing.buffer) {
                    Ok(Some(Event::End(end))) => {
                        return self.whole(job, end, &progress, config);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => return End::failed(error, CloseReason::BodyDropped),
                }
            }
            if last || !matches!(self.framing.poll_read(&mut cx), Poll::Ready(Ok(1..))) {
                break;
            }
        }
        End::failed(Error::ShutDown, CloseReason::BodyDropped)
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

fn timed_out(phase: TimeoutPhase, config: &Config) -> Error {
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
