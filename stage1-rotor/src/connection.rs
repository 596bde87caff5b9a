//! The life of one HTTP/1.1 connection, whatever it runs over, and without a loop in reach.
//!
//! A connection is told what has become possible ([`Connection::ready`]), that somebody rang for it
//! ([`Connection::woken`]), or that its deadline has come ([`Connection::timeout`]), does what it
//! can without blocking, and answers what its machine has to do [`Next`].
//!
//! Its rules:
//! - one exchange at a time. Writing and reading go on independently, so that an answer that comes
//!   before the request is out is still delivered;
//! - it is reused only if the response came whole and nothing after it, the request is out, and
//!   neither side wants the end;
//! - at every event, whatever it does, it lets its transport flush: TLS may have something to say
//!   that nobody here has asked for;
//! - what the caller is to hear at the end is not said here but handed out as a [`Delivery`]: the
//!   pool knows of the free or closed connection before the caller can act on the news.

use std::{io, mem, sync::Arc, task::Waker};

use bytes::{Bytes, BytesMut};
use client_core::{
    Attempt, Body, CloseReason, Config, Decoder, Error, Exchange, TimeoutPhase, Upload,
    body::{self, Sender},
    decode::{BodyLength, Event, Head, KeepAlive},
    io_model, may_retry,
};
use http::{HeaderMap, Response};
use rotor::Time;

use crate::{
    call::{Call, Job},
    framing::{Framing, Progress},
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
    /// What the server said last about how long it keeps the connection.
    told: KeepAlive,
    /// When it will have been idle for too long.
    expires: Time,
}

/// An exchange in progress.
struct Running {
    call: Arc<Call>,
    exchange: Exchange,
    caller: Caller,
    decoder: Decoder,
    /// Bytes of the request that the transport has taken.
    written: usize,
    /// It has taken them all, and holds nothing back.
    sent: bool,
    /// Why the request cannot be written any further; what the peer may have said is still read.
    write_error: Option<io::Error>,
    /// At least one byte of a response came.
    answered: bool,
    /// For the head, from the last byte written on.
    head_by: Option<Time>,
    /// For the next piece of the body, while there is room for it.
    body_by: Option<Time>,
    /// For the whole call.
    total_by: Option<Time>,
}

/// Where the caller stands.
enum Caller {
    /// It waits for the head.
    Waiting(Job),
    /// It has the head, and reads the body.
    Reading(Sender),
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
        let told = KeepAlive::default();
        Connection { io, framing, running: None, config, waker, number, told, expires }
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
            Some(running) => earliest([running.head_by, running.body_by, running.total_by]),
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
        self.running = Some(Running {
            call: job.call().clone(),
            exchange: Exchange {
                connection: self.number,
                reused,
                attempts: job.sent + 1,
                upload: Upload::Pending,
            },
            decoder: Decoder::new(&job.call().outgoing.method, (&*self.config).into()),
            written: 0,
            sent: false,
            write_error: None,
            answered: false,
            head_by: None,
            body_by: None,
            total_by: job.deadline,
            caller: Caller::Waiting(job),
        });
        self.drive(now, scratch)
    }

    /// Becomes idle: gives its buffer back, and looks at its socket once more if there may be
    /// something on it.
    pub(crate) fn idle(&mut self, now: Time, scratch: &mut [u8]) -> Next {
        self.framing.buffer = BytesMut::new();
        let told = self.told.timeout.unwrap_or(self.config.idle_timeout);
        self.expires = after(now, told.min(self.config.idle_timeout));
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
        match running.passed(&self.config, now) {
            Some(error) => self.fail(error, CloseReason::Timeout),
            None => Next::Wait,
        }
    }

    /// Whether the caller gave up before it had the head.
    fn is_cancelled(&self) -> bool {
        matches!(&self.running, Some(Running { caller: Caller::Waiting(job), .. }) if job.is_gone())
    }

    /// Does all that can be done now: writes, then reads.
    fn drive(&mut self, now: Time, scratch: &mut [u8]) -> Next {
        self.write(now);
        if self.running.is_none() {
            return self.watch(scratch);
        }
        for _ in 0..MOST_READS {
            if let Some(next) = self.read(now, scratch) {
                return next;
            }
        }
        Next::Again
    }

    /// While idle: whatever can be read is the end, or something that nobody asked for.
    fn watch(&mut self, scratch: &mut [u8]) -> Next {
        if !self.framing.may_read() {
            return Next::Wait;
        }
        let reason = match self.framing.read(&mut self.io, scratch) {
            Ok(Progress::WouldBlock) => return Next::Wait,
            Ok(Progress::Made) => CloseReason::Unsolicited,
            Ok(Progress::End) => CloseReason::PeerClosed,
            Err(error) => broken(&error),
        };
        Next::Close(reason, Delivery::Nothing)
    }

    /// Writes what is left of the request, or else what the transport has to say by itself. If that
    /// fails, reading decides how the exchange ends: the peer may have answered before it closed.
    fn write(&mut self, now: Time) {
        let Some(running) = self.running.as_mut().filter(|running| !running.sent) else {
            let _ = self.framing.flush(&mut self.io);
            return;
        };
        if running.write_error.is_some() {
            return;
        }
        let outgoing = &running.call.outgoing;
        match self.framing.write(&mut self.io, outgoing, &mut running.written) {
            Ok(sent) => running.note_sent(sent),
            Err(error) => running.write_error = Some(error),
        }
        if running.sent && !running.decoder.has_head() {
            running.head_by = Some(after(now, self.config.head_timeout));
        }
    }

    /// Reads once and understands what came. `None`: there may be more.
    fn read(&mut self, now: Time, scratch: &mut [u8]) -> Option<Next> {
        let running = self.running.as_mut()?;
        match running.room(&self.waker) {
            Room::Free => running.expect_body(now, &self.config),
            Room::Full => {
                running.body_by = None;
                return Some(self.pause());
            }
            Room::Gone => return Some(self.abandon(now, scratch)),
        }
        if !self.framing.may_read() && running.write_error.is_none() {
            return Some(self.blocked());
        }
        match self.framing.read(&mut self.io, scratch) {
            Ok(Progress::Made) => self.decode(now),
            Ok(Progress::WouldBlock) => Some(self.blocked()),
            Ok(Progress::End) => Some(self.ended(None)),
            Err(error) => Some(self.ended(Some(error))),
        }
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
            Some(running)
                if !running.sent
                    && running.write_error.is_none()
                    && self.framing.may_write() =>
            {
                Next::Again
            }
            _ => Next::Wait,
        }
    }

    /// The body's reader is gone. If one read more makes the message whole, the exchange ends as any
    /// other; otherwise the rest would have to be read for nobody.
    fn abandon(&mut self, now: Time, scratch: &mut [u8]) -> Next {
        if let Ok(Progress::Made) = self.framing.read(&mut self.io, scratch) {
            match self.decode(now) {
                None | Some(Next::Close(CloseReason::ProtocolError, _)) => {}
                Some(whole) => return whole,
            }
        }
        io_model!(cancel, connection = self.number, why = "the body was dropped");
        Next::Close(CloseReason::BodyDropped, Delivery::Nothing)
    }

    /// Takes all events out of the buffer. `None`: the response goes on.
    fn decode(&mut self, now: Time) -> Option<Next> {
        let mut early: Early = None;
        let running = self.running.as_mut()?;
        running.answered = true;
        loop {
            match running.decoder.decode(&mut self.framing.buffer) {
                Ok(None) => break,
                Ok(Some(Event::Head(head))) => {
                    io_model!(frame, connection = self.number, why = "head");
                    early = Some((head, Bytes::new()));
                }
                Ok(Some(Event::Data(piece))) => {
                    let bytes = piece.len();
                    io_model!(frame, connection = self.number, bytes, why = "data");
                    match (&mut early, &mut running.caller) {
                        (Some((_, first)), _) => append(first, piece),
                        (None, Caller::Reading(sender)) => sender.push(piece),
                        (None, Caller::Waiting(_)) => {}
                    }
                }
                Ok(Some(Event::End(trailers))) => {
                    io_model!(frame, connection = self.number, why = "end");
                    return Some(self.finish(early, trailers));
                }
                Err(error) => {
                    self.open(early);
                    return Some(self.fail(error, CloseReason::ProtocolError));
                }
            }
        }
        running.progress(now, &self.config);
        if self.is_cancelled() {
            return Some(Next::Close(CloseReason::Cancelled, Delivery::Nothing));
        }
        self.open(early);
        None
    }

    /// Gives the caller a head whose body is still to come.
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
        job.answer(Ok(response(head, body)));
        self.running = Some(Running { caller: Caller::Reading(sender), ..running });
    }

    /// The response is whole.
    fn finish(&mut self, mut early: Early, trailers: Option<HeaderMap>) -> Next {
        if trailers.is_some() {
            self.open(early.take());
        }
        let Some(running) = self.running.take() else { return Next::Wait };
        let verdict = self.verdict(&running);
        let delivery = match (running.caller, early) {
            (Caller::Waiting(job), Some((head, all))) => {
                Delivery::Answer(job, Ok(response(head, Body::whole(all, running.exchange))))
            }
            (Caller::Reading(sender), _) => Delivery::End(sender, trailers),
            (Caller::Waiting(_), None) => Delivery::Nothing,
        };
        match verdict {
            Ok(told) => {
                self.told = told;
                Next::Free(delivery)
            }
            Err(reason) => Next::Close(reason, delivery),
        }
    }

    /// Whether the connection may serve another exchange after this one.
    fn verdict(&self, running: &Running) -> Result<KeepAlive, CloseReason> {
        match running.decoder.keep_alive() {
            None => Err(CloseReason::PeerAsked),
            // There is no word for a caller that asks, nor for an answer that came too early.
            Some(_) if running.call.outgoing.close || !running.sent => {
                Err(CloseReason::PeerAsked)
            }
            Some(_) if !self.framing.buffer.is_empty() => Err(CloseReason::Unsolicited),
            Some(mut told) => {
                // A server need not repeat how many exchanges it allows.
                told.max = told.max.or(self.told.max.map(|max| max.saturating_sub(1)));
                match told.max {
                    Some(0) => Err(CloseReason::PeerAsked),
                    _ if self.framing.is_hung_up() => Err(CloseReason::PeerClosed),
                    _ => Ok(told),
                }
            }
        }
    }

    /// The exchange has failed.
    fn fail(&mut self, error: Error, reason: CloseReason) -> Next {
        let delivery = match self.running.take().map(|running| running.caller) {
            Some(Caller::Waiting(job)) => Delivery::Answer(job, Err(error)),
            Some(Caller::Reading(sender)) => Delivery::Broken(sender, error),
            None => Delivery::Nothing,
        };
        Next::Close(reason, delivery)
    }

    /// The peer has ended the connection, in good order or not: the end of a body that nothing
    /// else ends, a stale connection, or a response that will not become whole.
    fn ended(&mut self, error: Option<io::Error>) -> Next {
        let Some(running) = &mut self.running else { return Next::Wait };
        let reason = error.as_ref().map_or(CloseReason::PeerClosed, broken);
        let error = match (running.decoder.eof(&self.framing.buffer), error) {
            (Ok(()), None) => return self.finish(None, None),
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
    /// Whether the request is out now, for the caller to see.
    fn note_sent(&mut self, sent: bool) {
        self.sent = sent;
        if sent {
            self.exchange.upload = Upload::Whole;
            if let Caller::Reading(sender) = &mut self.caller {
                sender.request_sent();
            }
        }
    }

    /// Whether there is room for a piece of the body. Before the head there always is: heads have
    /// a limit of their own.
    fn room(&mut self, waker: &Waker) -> Room {
        let Caller::Reading(sender) = &mut self.caller else { return Room::Free };
        match sender.poll_room(&mut std::task::Context::from_waker(waker)) {
            std::task::Poll::Ready(Ok(())) => Room::Free,
            std::task::Poll::Ready(Err(body::Gone)) => Room::Gone,
            std::task::Poll::Pending => Room::Full,
        }
    }

    /// There is room again: the peer's time runs again.
    fn expect_body(&mut self, now: Time, config: &Config) {
        if self.decoder.has_head() && self.body_by.is_none() {
            self.body_by = Some(after(now, config.body_idle_timeout));
        }
    }

    /// Bytes came.
    fn progress(&mut self, now: Time, config: &Config) {
        if self.decoder.has_head() {
            self.head_by = None;
            self.body_by = Some(after(now, config.body_idle_timeout));
        }
    }

    /// Which limit of time is over, if one is.
    fn passed(&self, config: &Config, now: Time) -> Option<Error> {
        let limits = [
            (self.total_by, TimeoutPhase::Total, config.total_timeout.unwrap_or_default()),
            (self.head_by, TimeoutPhase::Head, config.head_timeout),
            (self.body_by, TimeoutPhase::BodyIdle, config.body_idle_timeout),
        ];
        let over = limits.into_iter().find(|(deadline, ..)| passed(*deadline, now));
        over.map(|(_, phase, after)| Error::Timeout { phase, after })
    }

    fn attempt(&self) -> Attempt {
        Attempt {
            reused: self.exchange.reused,
            written: self.written > 0,
            answered: self.answered,
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

/// Why a connection is closed whose transport has failed like this.
fn broken(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::InvalidData => CloseReason::ProtocolError,
        io::ErrorKind::UnexpectedEof => CloseReason::PeerClosed,
        _ => CloseReason::Reset,
    }
}

fn response(head: Head, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.version_mut() = head.version;
    *response.headers_mut() = head.headers;
    response
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
