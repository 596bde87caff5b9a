//! The life of one HTTP/1.1 connection, whatever it runs over, and without a loop in reach.
//!
//! A connection is told what has become possible ([`Connection::ready`]), that somebody rang for it
//! ([`Connection::woken`]), or that its deadline has come ([`Connection::timeout`]), does what it
//! can without blocking, and answers what its machine has to do [`Next`].
//!
//! Its rules:
//! - one exchange at a time. Writing and reading go on independently, so that an answer that comes
//!   before the request is out is still delivered;
//! - an exchange is over when the response is whole and sending is over. If the response comes
//!   first, the caller gets all of it but its end, which waits until the request is out;
//! - a connection is reused only if the response came whole and nothing after it, the request is
//!   out, and neither side wants the end;
//! - at every event, whatever it does, it lets its transport flush: TLS may have something to say
//!   that nobody here has asked for;
//! - what the caller is to hear at the end is not said here but handed out as a [`Delivery`]: the
//!   pool knows of the free or closed connection before the caller can act on the news.

use std::{
    io, mem,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use client_core::{
    Allowance, Body, CloseReason, Config, Decoder, Error, Exchange, Failure, Outcome, Progress,
    TimeoutPhase, Upload,
    body::{self, Sender},
    decode::{BodyLength, Event, Head},
    io_model, may_retry,
};
use http::{HeaderMap, Response};
use rotor::Time;

use crate::{
    call::{Call, Job},
    framing::{Framing, Input},
    timer::{after, earliest, passed},
    transport::{Readiness, Transport},
};

/// Reads per event: then the other connections have their turn.
const MOST_READS: usize = 16;

/// One connection.
pub(crate) struct Connection<T> {
    io: T,
    framing: Framing,
    /// The exchange in progress; none: the connection is idle.
    running: Option<Running>,
    config: Arc<Config>,
    /// Wakes the machine of this connection: for the body's reader, and for a caller that gives up.
    waker: Waker,
    /// Its number, from 1.
    number: u64,
    /// What the server has said about further exchanges.
    allowance: Allowance,
    /// How long it may be idle now.
    idle_for: Duration,
    /// When it will have been idle for too long.
    expires: Time,
}

/// An exchange in progress.
struct Running {
    call: Arc<Call>,
    exchange: Exchange,
    caller: Caller,
    decoder: Decoder,
    progress: Progress,
    /// Why the request cannot be written any further; what the peer may have said is still read.
    write_error: Option<io::Error>,
    /// Bytes came behind the response.
    bytes_left: bool,
    /// When the limit of time that runs now is over.
    limit_by: Option<Time>,
    /// The progress at which that limit was looked at last.
    timed: Progress,
    /// When the whole call has to be over.
    total_by: Option<Time>,
}

/// Where the caller stands.
enum Caller {
    /// It waits for the head.
    Waiting(Job),
    /// It has the head, and reads the body.
    Reading(Sender),
    /// It has all of the response but its end, which waits until the request is out.
    Finishing(Sender, Option<HeaderMap>),
}

/// What the machine of a connection does next.
pub(crate) enum Next {
    /// Lie down until something happens.
    Wait,
    /// Come back in the next turn, though nothing happens: there is more to read.
    Again,
    /// Give the connection to the next caller, then deliver.
    Free(Delivery),
    /// Close the connection, then deliver.
    Close(CloseReason, Delivery),
}

/// What the caller is to hear, once the pool knows.
pub(crate) enum Delivery {
    Nothing,
    /// To the future: the whole response, or why there is none.
    Answer(Job, Result<Response<Body>, Error>),
    /// To the body: its end.
    End(Sender, Option<HeaderMap>),
    /// To the body: why it does not become whole.
    Broken(Sender, Error),
    /// To nobody yet: the request is sent again.
    Retry(Job),
}

/// Whether the body's reader takes more.
enum Room {
    Free,
    Full,
    Gone,
}

/// A head that was read, with as much of the body as came with it.
type Early = Option<(Head, Bytes)>;

// ===== impl Connection =====

impl<T: Transport> Connection<T> {
    /// A connection that was just made. `ready` is what the loop has said about it so far.
    pub(crate) fn new(
        io: T,
        ready: Readiness,
        number: u64,
        config: Arc<Config>,
        waker: Waker,
        now: Time,
    ) -> Self {
        let framing = Framing::new(number, ready);
        let expires = after(now, config.idle_timeout);
        let (idle_for, allowance) = (config.idle_timeout, Allowance::default());
        Connection {
            io,
            framing,
            running: None,
            config,
            waker,
            number,
            allowance,
            idle_for,
            expires,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn transport(&mut self) -> &mut T {
        &mut self.io
    }

    /// When the machine has to call [`Connection::timeout`], whatever else happens.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match &self.running {
            Some(running) => earliest([running.limit_by, running.total_by]),
            None => Some(self.expires),
        }
    }

    /// Begins an exchange. `reused`: the connection has carried one before.
    pub(crate) fn start(
        &mut self,
        job: Job,
        reused: bool,
        now: Time,
        scratch: &mut [u8],
    ) -> Next {
        let (connection, attempts) = (self.number, job.sent + 1);
        let progress = Progress::default();
        self.running = Some(Running {
            call: job.call().clone(),
            exchange: Exchange { connection, reused, attempts, upload: Upload::Pending },
            decoder: Decoder::new(&job.call().outgoing.method, (&*self.config).into()),
            progress,
            write_error: None,
            bytes_left: false,
            limit_by: progress.limit().map(|limit| after(now, self.config.limit(limit))),
            timed: progress,
            total_by: job.deadline,
            caller: Caller::Waiting(job),
        });
        self.drive(now, scratch)
    }

    /// Becomes idle: gives its buffer back, and looks at its socket once more if there may be
    /// something on it.
    pub(crate) fn idle(&mut self, now: Time, scratch: &mut [u8]) -> Next {
        self.framing.buffer = BytesMut::new();
        self.expires = after(now, self.idle_for);
        self.drive(now, scratch)
    }

    /// The socket has become ready for something.
    pub(crate) fn ready(&mut self, event: Readiness, now: Time, scratch: &mut [u8]) -> Next {
        self.framing.ready(event);
        self.drive(now, scratch)
    }

    /// Somebody rang: a caller that gave up, or a reader that has room again or is gone. It may
    /// also be for nothing.
    pub(crate) fn woken(&mut self, now: Time, scratch: &mut [u8]) -> Next {
        if self.is_cancelled() {
            io_model!(cancel, connection = self.number, why = "the caller gave up");
            return Next::Close(CloseReason::Cancelled, Delivery::Nothing);
        }
        self.drive(now, scratch)
    }

    /// The deadline has come.
    pub(crate) fn timeout(&mut self, now: Time) -> Next {
        let Some(running) = &self.running else {
            let over = passed(Some(self.expires), now);
            return if over {
                Next::Close(CloseReason::IdleExpired, Delivery::Nothing)
            } else {
                Next::Wait
            };
        };
        match running.passed(now) {
            None => Next::Wait,
            Some(_) if running.is_finishing() => {
                self.finish_sending(Some(CloseReason::Timeout))
            }
            Some(limit) => {
                let error = Error::timeout(limit, &self.config);
                self.fail(error, CloseReason::Timeout)
            }
        }
    }

    /// Whether the caller gave up before it had the head.
    fn is_cancelled(&self) -> bool {
        matches!(&self.running, Some(Running { caller: Caller::Waiting(job), .. }) if job.is_gone())
    }

    /// Does all that can be done now: writes, then reads.
    fn drive(&mut self, now: Time, scratch: &mut [u8]) -> Next {
        self.write();
        let next = match &self.running {
            None => return self.watch(scratch),
            Some(running) if running.is_finishing() && running.progress.sent => {
                return self.finish_sending(None);
            }
            Some(_) => (0..MOST_READS).find_map(|_| self.read(scratch)),
        };
        if let Some(running) = &mut self.running {
            running.restart_limit(now, &self.config);
        }
        next.unwrap_or(Next::Again)
    }

    /// While idle: whatever can be read is the end, or something that nobody asked for.
    fn watch(&mut self, scratch: &mut [u8]) -> Next {
        if !self.framing.may_read() {
            return Next::Wait;
        }
        let reason = match self.framing.read(&mut self.io, scratch) {
            Ok(Input::Blocked) => return Next::Wait,
            Ok(Input::Bytes(_)) => CloseReason::Unsolicited,
            Ok(Input::End) => CloseReason::PeerClosed,
            Err(error) => CloseReason::of(&error),
        };
        Next::Close(reason, Delivery::Nothing)
    }

    /// Writes what is left of the request, or else what the transport has to say by itself. If that
    /// fails, reading decides how the exchange ends: the peer may have answered before it closed.
    fn write(&mut self) {
        let Some(running) = self.running.as_mut().filter(|running| !running.is_sent()) else {
            let _ = self.framing.flush(&mut self.io);
            return;
        };
        if running.write_error.is_some() {
            return;
        }
        let Running { call, progress, .. } = running;
        match self.framing.write(&mut self.io, &call.outgoing, &mut progress.written) {
            Ok(false) => {}
            Ok(true) => running.note_sent(),
            Err(error) => running.note_refused(error),
        }
    }

    /// Reads once and understands what came. `None`: there may be more.
    fn read(&mut self, scratch: &mut [u8]) -> Option<Next> {
        let running = self.running.as_mut()?;
        let room = running.room(&self.waker);
        running.progress.window_full = matches!(room, Room::Full);
        match room {
            Room::Free => {}
            Room::Full => return Some(self.pause()),
            Room::Gone => return Some(self.abandon(scratch)),
        }
        if !self.framing.may_read() && running.write_error.is_none() {
            return Some(self.blocked());
        }
        match self.framing.read(&mut self.io, scratch) {
            Ok(Input::Bytes(count)) => self.receive(count),
            Ok(Input::Blocked) => Some(self.blocked()),
            Ok(Input::End) => Some(self.ended(None)),
            Err(error) => Some(self.ended(Some(error))),
        }
    }

    /// Bytes have come.
    fn receive(&mut self, count: usize) -> Option<Next> {
        let running = self.running.as_mut()?;
        running.progress.received += count as u64;
        if running.is_finishing() {
            running.bytes_left = true;
            self.framing.buffer.clear();
            return None;
        }
        self.decode()
    }

    /// There is nothing to read now; and if the request cannot be written, nothing will come.
    fn blocked(&mut self) -> Next {
        let Some(running) = &mut self.running else { return Next::Wait };
        match running.write_error.take() {
            Some(error) => self.ended(Some(error)),
            None => self.pause(),
        }
    }

    /// Nothing is read for now. But the read before may have been what a write has waited for.
    fn pause(&self) -> Next {
        match &self.running {
            Some(running) if !running.progress.sent && self.framing.may_write() => Next::Again,
            _ => Next::Wait,
        }
    }

    /// The body's reader is gone. If the request is out and one read more makes the response whole,
    /// the exchange ends as any other. Otherwise the rest would be written or read for nobody.
    fn abandon(&mut self, scratch: &mut [u8]) -> Next {
        if self.running.as_ref().is_some_and(Running::is_sent)
            && let Ok(Input::Bytes(count)) = self.framing.read(&mut self.io, scratch)
        {
            match self.receive(count) {
                None | Some(Next::Close(CloseReason::ProtocolError, _)) => {}
                Some(whole) => return whole,
            }
        }
        io_model!(cancel, connection = self.number, why = "the body was dropped");
        Next::Close(CloseReason::BodyDropped, Delivery::Nothing)
    }

    /// Takes all events out of the buffer. `None`: the exchange goes on.
    fn decode(&mut self) -> Option<Next> {
        let mut early: Early = None;
        let running = self.running.as_mut()?;
        loop {
            match running.decoder.decode(&mut self.framing.buffer) {
                Ok(None) => break,
                Ok(Some(Event::Head(head))) => {
                    io_model!(frame, connection = self.number, why = "head");
                    running.progress.head = true;
                    early = Some((head, Bytes::new()));
                }
                Ok(Some(Event::Data(piece))) => {
                    let bytes = piece.len();
                    io_model!(frame, connection = self.number, bytes, why = "data");
                    match (&mut early, &mut running.caller) {
                        (Some((_, first)), _) => append(first, piece),
                        (None, Caller::Reading(sender)) => sender.push(piece),
                        (None, Caller::Waiting(_) | Caller::Finishing(..)) => {}
                    }
                }
                Ok(Some(Event::End(trailers))) => {
                    io_model!(frame, connection = self.number, why = "end");
                    return self.finish(early, trailers);
                }
                Err(error) => {
                    self.open(early);
                    return Some(self.fail(error, CloseReason::ProtocolError));
                }
            }
        }
        if self.is_cancelled() {
            return Some(Next::Close(CloseReason::Cancelled, Delivery::Nothing));
        }
        self.open(early);
        None
    }

    /// Gives the caller a head whose body, or its end, is still to come.
    fn open(&mut self, early: Early) {
        let Some((head, first)) = early else { return };
        let Some(running) = self.running.take() else { return };
        let Caller::Waiting(job) = running.caller else { return };
        let expected = match head.length {
            BodyLength::Exact(length) => Some(length),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        };
        let (mut sender, body) =
            body::channel(self.config.body_window, expected, running.exchange);
        sender.push(first);
        job.answer(Ok(head.into_response(body)));
        self.running = Some(Running { caller: Caller::Reading(sender), ..running });
    }

    /// The response is whole. `None`: its request is not, and sending goes on.
    fn finish(&mut self, mut early: Early, trailers: Option<HeaderMap>) -> Option<Next> {
        let running = self.running.as_ref()?;
        let (refused, keep_alive) =
            (running.write_error.is_some(), running.decoder.keep_alive());
        let upload = Upload::at_response_end(running.is_sent(), refused, keep_alive);
        if upload == Upload::Pending || trailers.is_some() {
            self.open(early.take());
        }
        if upload != Upload::Pending {
            return Some(self.conclude(early, trailers, None));
        }
        let mut running = self.running.take()?;
        running.bytes_left = !self.framing.buffer.is_empty();
        self.framing.buffer.clear();
        if let Caller::Reading(sender) = running.caller {
            running.caller = Caller::Finishing(sender, trailers);
        }
        self.running = Some(running);
        None
    }

    /// Sending is over, behind a response that is whole. `ceased`: why it ended before its end,
    /// unless a write failed.
    fn finish_sending(&mut self, ceased: Option<CloseReason>) -> Next {
        self.conclude(None, None, ceased)
    }

    /// The exchange is over, with a whole response. `ceased`: why sending the request ended before
    /// its end, unless a write failed.
    fn conclude(
        &mut self,
        early: Early,
        trailers: Option<HeaderMap>,
        ceased: Option<CloseReason>,
    ) -> Next {
        let Some(running) = self.running.take() else { return Next::Wait };
        let outcome = Outcome {
            upload: running.exchange.upload.ended(),
            ceased: ceased.or(running.write_error.as_ref().map(CloseReason::of)),
            close: running.call.outgoing.close,
            keep_alive: running.decoder.keep_alive(),
            bytes_left: running.bytes_left || !self.framing.buffer.is_empty(),
        };
        let delivery = match (running.caller, early) {
            (Caller::Waiting(job), Some((head, all))) => {
                let body = Body::whole(all, running.exchange);
                Delivery::Answer(job, Ok(head.into_response(body)))
            }
            (Caller::Reading(sender), _) => Delivery::End(sender, trailers),
            (Caller::Finishing(sender, trailers), _) => Delivery::End(sender, trailers),
            (Caller::Waiting(_), None) => Delivery::Nothing,
        };
        match self.allowance.after(outcome, &self.config) {
            Ok(_) if self.framing.is_hung_up() => {
                Next::Close(CloseReason::PeerClosed, delivery)
            }
            Ok(idle_for) => {
                self.idle_for = idle_for;
                Next::Free(delivery)
            }
            Err(reason) => Next::Close(reason, delivery),
        }
    }

    /// The exchange has failed.
    fn fail(&mut self, error: Error, reason: CloseReason) -> Next {
        let delivery = match self.running.take().map(|running| running.caller) {
            Some(Caller::Waiting(job)) => Delivery::Answer(job, Err(error)),
            Some(Caller::Reading(sender) | Caller::Finishing(sender, _)) => {
                Delivery::Broken(sender, error)
            }
            None => Delivery::Nothing,
        };
        Next::Close(reason, delivery)
    }

    /// The peer has ended the connection, in good order or not: the end of a body that nothing
    /// else ends, a stale connection, or a response that will not become whole.
    fn ended(&mut self, error: Option<io::Error>) -> Next {
        let Some(running) = &mut self.running else { return Next::Wait };
        let end = running.decoder.eof(&self.framing.buffer);
        // The system tells a failure once: a write that got it leaves an end for the read.
        let error = error.or(running.write_error.take_if(|_| end.is_err()));
        let reason = error.as_ref().map_or(CloseReason::PeerClosed, CloseReason::of);
        if running.is_finishing() {
            return self.finish_sending(Some(reason));
        }
        let error = match (end, error) {
            (Ok(()), None) => return self.conclude(None, None, None),
            (Err(error), None) => error,
            (Err(Error::ClosedEarly { expected, .. }), Some(error)) => {
                Error::broken(expected, error)
            }
            (_, Some(error)) => Error::broken("expected the rest of the body", error),
        };
        if reason != CloseReason::ProtocolError
            && may_retry(&running.call.outgoing.method, running.attempt())
            && let Some(Running { caller: Caller::Waiting(mut job), .. }) = self.running.take()
        {
            io_model!(retry, request = job.ticket(), connection = self.number);
            job.sent += 1;
            return Next::Close(reason, Delivery::Retry(job));
        }
        self.fail(error, reason)
    }
}

// ===== impl Running =====

impl Running {
    /// Whether the request is out.
    fn is_sent(&self) -> bool {
        self.exchange.upload == Upload::Whole
    }

    /// Whether only sending the request is left.
    fn is_finishing(&self) -> bool {
        matches!(self.caller, Caller::Finishing(..))
    }

    fn note_sent(&mut self) {
        self.progress.sent = true;
        self.exchange.upload = Upload::Whole;
        if let Caller::Reading(sender) | Caller::Finishing(sender, _) = &mut self.caller {
            sender.request_sent();
        }
    }

    fn note_refused(&mut self, error: io::Error) {
        self.progress.sent = true;
        self.write_error = Some(error);
    }

    /// Whether there is room for a piece of the body. Before the head there always is: heads have
    /// a limit of their own.
    fn room(&mut self, waker: &Waker) -> Room {
        let (Caller::Reading(sender) | Caller::Finishing(sender, _)) = &mut self.caller else {
            return Room::Free;
        };
        match sender.poll_room(&mut Context::from_waker(waker)) {
            Poll::Ready(Ok(())) => Room::Free,
            Poll::Ready(Err(body::Gone)) => Room::Gone,
            Poll::Pending if self.is_finishing() => Room::Free,
            Poll::Pending => Room::Full,
        }
    }

    /// Sets the time of the limit that runs now, if it begins anew.
    fn restart_limit(&mut self, now: Time, config: &Config) {
        if self.progress.restarts(self.timed) {
            let limit = self.progress.limit();
            self.limit_by = limit.map(|limit| after(now, config.limit(limit)));
        }
        self.timed = self.progress;
    }

    /// Which limit of time is over, if one is.
    fn passed(&self, now: Time) -> Option<TimeoutPhase> {
        if passed(self.total_by, now) {
            return Some(TimeoutPhase::Total);
        }
        self.timed.limit().filter(|_| passed(self.limit_by, now))
    }

    fn attempt(&self) -> Failure {
        Failure {
            may_be_stale: self.exchange.reused,
            written: self.progress.written > 0,
            answered: self.progress.received > 0,
            retried: self.exchange.attempts > 1,
        }
    }
}

// ===== impl Delivery =====

impl Delivery {
    /// Says it. The pool must know of it already.
    pub(crate) fn deliver(self) {
        match self {
            Delivery::Nothing => {}
            Delivery::Answer(job, answer) => job.answer(answer),
            Delivery::End(sender, trailers) => sender.finish(trailers),
            Delivery::Broken(sender, error) => sender.fail(error),
            // The pool takes these out before; a job that is dropped answers for itself.
            Delivery::Retry(job) => drop(job),
        }
    }
}

/// Several pieces of one read become one: at most one read buffer is copied.
fn append(first: &mut Bytes, piece: Bytes) {
    if first.is_empty() {
        *first = piece;
    } else {
        let mut both = BytesMut::from(mem::take(first));
        both.extend_from_slice(&piece);
        *first = both.freeze();
    }
}

#[cfg(test)]
mod tests;
