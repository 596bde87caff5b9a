//! One HTTP/1.1 connection's life, from its first request to its end.
//!
//! ```text
//!              start                  head                   end
//!   Idle ───────────────▶ Head ───────────────▶ Body ─────────┬─────▶ Idle, or closed
//!    │                     │ └────────── head and body whole ─┤          ▲
//!    │                     │                        request   │          │ request
//!    │                     │                     not yet sent ▼          │ sent, or cut
//!    │                     │                                Upload ──────┘
//!    ▼ peer, time          ▼ peer, time, caller  ▼ peer, time, reader
//!  closed                closed, or sent again  closed
//! ```
//!
//! Its rules:
//! - it is told what its socket is ready for, and what time it is. It reaches no loop, no clock
//!   and no pool, so that a test can be all of them;
//! - it says what comes next ([`Next`]), and hands over what is to be told last ([`Completion`])
//!   instead of telling it. So the pool has the connection, or knows that it is closed, before the
//!   caller sees the end;
//! - reading and writing go on independently. A response may come before the request is written,
//!   and its end then waits until the request is sent or will not be sent any further;
//! - one limit of time runs at a time, besides that of the whole call ([`Progress`]);
//! - at every event, whatever state it is in, it lets its transport flush: TLS may have something
//!   to say that nobody here has asked for;
//! - after so many reads in a row it lets the others have their turn.

use std::{
    io, mem,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use client_core::{
    Allowance, Body, CloseReason, Config, Error, Exchange as About, Failure, Outcome, Outgoing,
    Progress, TimeoutPhase, Upload,
    body::{self, Gone, Sender},
    decode::{BodyLength, Event, Head, Limits},
    io_model, may_retry,
};
use http::{HeaderMap, Response};

use crate::{
    framing::{Framing, Input, Readiness},
    shared::{PendingRequest, Reply},
    timer::{Armed, after},
    transport::Transport,
};

/// Reads in a row, of one buffer each, before the other connections have their turn.
const READS_IN_A_ROW: usize = 16;

/// What the loop lends to a connection while it is driven.
pub(crate) struct Turn<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    /// Wakes this connection, from wherever its body is read.
    pub(crate) waker: &'a Waker,
    /// What every read goes through.
    pub(crate) buffer: &'a mut [u8],
}

/// What comes next, when a connection was driven.
#[derive(Debug)]
#[must_use]
pub(crate) enum Next {
    /// Readiness, a wake or the deadline.
    Wait,
    /// More, when the others have had their turn.
    Again,
    /// The connection was stale: the request is to be sent again, on a fresh one.
    Retry(PendingRequest, CloseReason),
    /// Something is over.
    End(End),
}

/// The end of an exchange, or of an idle connection.
#[derive(Debug)]
pub(crate) struct End {
    /// Whether the connection may serve again, or why it is to be closed.
    pub(crate) fate: Result<(), CloseReason>,
    pub(crate) completion: Completion,
}

/// What is still to be said, after the pool knows about the end.
#[derive(Debug)]
pub(crate) enum Completion {
    /// Nobody listens.
    Nothing,
    /// A response that is whole.
    Respond(Reply, Response<Body>),
    /// There is no response.
    Refuse(Reply, Error),
    /// The body is whole.
    Finish(Sender, Option<HeaderMap>),
    /// The body will not become whole.
    Break(Sender, Error),
}

#[derive(Debug)]
pub(crate) struct Connection<T> {
    transport: T,
    framing: Framing,
    state: State,
    /// The connection's number, for [`About`] and the recordings.
    number: u64,
    /// It has carried an exchange before.
    reused: bool,
    allowance: Allowance,
}

#[derive(Debug)]
// The exchange lies inline: a box for it would be an allocation per request.
#[allow(clippy::large_enum_variant)]
enum State {
    /// In the pool: whatever the socket says is its end, and so is this moment.
    Idle {
        until: Instant,
    },
    Busy(Exchange),
}

/// One request, and what has come of its response.
#[derive(Debug)]
struct Exchange {
    request: Outgoing,
    /// Its number in the order of arrival.
    number: u64,
    /// What the caller will be told about the connection.
    about: About,
    /// When the whole call has to be over.
    deadline: Option<Instant>,
    /// Why the rest of the request cannot be written. The response may have come all the same.
    write_error: Option<io::Error>,
    /// Bytes came behind the response.
    bytes_left: bool,
    phase: Phase,
    /// How far it had come when the limit of time that runs now began.
    progress: Progress,
    /// When that limit runs out.
    until: Option<Instant>,
}

#[derive(Debug)]
enum Phase {
    /// The head is to come.
    Head { reply: Reply },
    /// It has come, with this much of the body. Its caller has not seen it: if the body is whole
    /// already, they are handed over as one.
    Arrived { reply: Reply, head: Head, first: Bytes },
    /// The body is to come.
    Body { sender: Sender, full: bool },
    /// The response is whole, and the rest of the request is to be written.
    Upload { sender: Sender, trailers: Option<HeaderMap> },
    /// Only while one phase becomes the next.
    Between,
}

/// How an exchange ends.
enum Ending {
    /// The response is whole. If the request is not, this is why, unless the response said so.
    Whole(Option<HeaderMap>, Option<CloseReason>),
    Failed(Error, CloseReason),
    ReaderGone,
    Cancelled,
}

// ===== impl Connection =====

impl<T: Transport> Connection<T> {
    /// A connection that was just made. `told` is what the loop was told about its socket.
    pub(crate) fn new(
        transport: T,
        number: u64,
        told: Readiness,
        config: &Config,
        now: Instant,
    ) -> Self {
        let mut framing = Framing::new(number, Limits::from(config));
        framing.note(told);
        Connection {
            transport,
            framing,
            state: State::Idle { until: after(now, config.idle_timeout) },
            number,
            reused: false,
            allowance: Allowance::default(),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn transport(&mut self) -> &mut T {
        &mut self.transport
    }

    /// Says goodbye, and closes the socket.
    pub(crate) fn close(mut self) {
        self.transport.close();
    }

    /// Begins the exchange of this request, which has this number: writes what the socket takes.
    pub(crate) fn start(
        &mut self,
        number: u64,
        pending: PendingRequest,
        turn: &mut Turn<'_>,
    ) -> Next {
        let about = About {
            connection: self.number,
            reused: mem::replace(&mut self.reused, true),
            attempts: pending.attempts,
            upload: Upload::Pending,
        };
        self.framing.begin(&pending.request.method, Limits::from(turn.config));
        self.state = State::Busy(Exchange {
            request: pending.request,
            number,
            about,
            deadline: pending.deadline,
            write_error: None,
            bytes_left: false,
            phase: Phase::Head { reply: pending.reply },
            progress: Progress::default(),
            until: None,
        });
        self.advance(turn)
    }

    /// Goes on, now that the socket is ready, or its body's reader or the loop said so.
    pub(crate) fn ready(&mut self, told: Readiness, turn: &mut Turn<'_>) -> Next {
        self.framing.note(told);
        match self.state {
            State::Idle { .. } => {
                // If it fails, the read that this event is about fails too, or comes to the end.
                let _ = self.framing.flush(&mut self.transport);
                self.probe(turn).map_or_else(Next::close, |()| Next::Wait)
            }
            State::Busy(_) => self.advance(turn),
        }
    }

    /// When [`Connection::expire`] is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Idle { until } => Some(*until),
            State::Busy(exchange) => {
                [exchange.until, exchange.deadline].into_iter().flatten().min()
            }
        }
    }

    /// Ends what has taken too long by now.
    pub(crate) fn expire(&mut self, turn: &mut Turn<'_>) -> Next {
        match &mut self.state {
            State::Idle { until } if *until <= turn.now => {
                Next::close(CloseReason::IdleExpired)
            }
            State::Idle { .. } => Next::Wait,
            State::Busy(exchange) => match exchange.expire(turn) {
                Some(ending) => self.end(ending, turn),
                None => Next::Wait,
            },
        }
    }

    /// The caller of the request with this number gave up.
    pub(crate) fn cancel(&mut self, number: u64, turn: &mut Turn<'_>) -> Next {
        match &self.state {
            State::Busy(exchange) if exchange.number == number => {
                self.end(Ending::Cancelled, turn)
            }
            _ => Next::Wait,
        }
    }

    fn advance(&mut self, turn: &mut Turn<'_>) -> Next {
        let State::Busy(exchange) = &mut self.state else { return Next::Wait };
        let (framing, transport) = (&mut self.framing, &mut self.transport);
        exchange.write(framing, transport);
        let mut step = Step::Read;
        for _ in 0..READS_IN_A_ROW {
            step = exchange.read(framing, transport, turn);
            if !matches!(step, Step::Read) {
                break;
            }
        }
        exchange.keep_time(framing, turn);
        match step {
            Step::Read => Next::Again,
            // A write that waited for a read has had one now.
            Step::Blocked if exchange.may_write(framing) => Next::Again,
            Step::Blocked => Next::Wait,
            Step::Over(ending) => self.end(ending, turn),
        }
    }

    /// Ends the exchange: the one place that decides what becomes of the connection, and what its
    /// caller is told.
    fn end(&mut self, ending: Ending, turn: &mut Turn<'_>) -> Next {
        let idle = State::Idle { until: after(turn.now, turn.config.idle_timeout) };
        let State::Busy(exchange) = mem::replace(&mut self.state, idle) else {
            return Next::Wait;
        };
        match ending {
            Ending::Whole(trailers, ceased) => Next::End(End {
                fate: self.keep(&exchange, ceased, turn),
                completion: exchange.finish(trailers),
            }),
            Ending::Failed(error, reason) => exchange.fail(error, reason, &self.framing),
            Ending::ReaderGone => Next::close(CloseReason::BodyDropped),
            Ending::Cancelled => Next::close(CloseReason::Cancelled),
        }
    }

    /// Whether the connection may serve another exchange. If so, it is idle for the time allowed.
    fn keep(
        &mut self,
        exchange: &Exchange,
        ceased: Option<CloseReason>,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseReason> {
        let outcome = Outcome {
            upload: exchange.about.upload,
            ceased,
            close: exchange.request.close,
            keep_alive: self.framing.keep_alive(),
            bytes_left: exchange.bytes_left || self.framing.has_input(),
        };
        let idle = self.allowance.after(outcome, turn.config)?;
        self.state = State::Idle { until: after(turn.now, idle) };
        self.framing.rest();
        self.probe(turn)
    }

    /// Looks whether an idle connection is still good, if there is a reason to doubt it.
    fn probe(&mut self, turn: &mut Turn<'_>) -> Result<(), CloseReason> {
        if !self.framing.may_read() {
            return Ok(());
        }
        match self.framing.read(&mut self.transport, turn.buffer) {
            Ok(Input::Blocked) => Ok(()),
            Ok(Input::Bytes(_)) => Err(CloseReason::Unsolicited),
            Ok(Input::End) => Err(CloseReason::PeerClosed),
            Err(error) => Err(CloseReason::of(&error)),
        }
    }
}

impl Ending {
    fn broken(error: io::Error) -> Self {
        let reason = CloseReason::of(&error);
        Ending::Failed(Error::broken("expected a whole response", error), reason)
    }
}

// ===== impl Exchange =====

/// What a read did for an exchange.
enum Step {
    /// It brought something, and there may be more.
    Read,
    /// Nothing more now: neither the socket nor the window lets anything through.
    Blocked,
    Over(Ending),
}

impl Exchange {
    /// Writes what the socket takes of the request, and whatever else the transport has to say.
    fn write<T: Transport>(&mut self, framing: &mut Framing, to: &mut T) {
        if self.write_error.is_some() {
            return;
        }
        if let Err(error) = framing.write(to, &self.request) {
            // The peer may have answered before it went: that is for the reads to find out.
            self.write_error = Some(error);
            framing.note(Readiness { readable: true, writable: true, hung_up: true });
        }
        if framing.is_sent() && self.about.upload != Upload::Whole {
            self.about.upload = Upload::Whole;
            if let Phase::Body { sender, .. } | Phase::Upload { sender, .. } = &mut self.phase {
                sender.request_sent();
            }
        }
    }

    /// Whether some of the request can be written now.
    fn may_write(&self, framing: &Framing) -> bool {
        framing.may_write() && !framing.is_sent() && self.write_error.is_none()
    }

    /// Reads once, if it may, and takes apart what came.
    fn read<T: Transport>(
        &mut self,
        framing: &mut Framing,
        from: &mut T,
        turn: &mut Turn<'_>,
    ) -> Step {
        if let Phase::Upload { .. } = self.phase {
            return self.watch(framing, from, turn);
        }
        match self.room(turn) {
            Poll::Ready(Ok(())) if framing.may_read() => {}
            Poll::Ready(Ok(())) | Poll::Pending => return Step::Blocked,
            Poll::Ready(Err(Gone)) => return self.last_look(framing, from, turn),
        }
        match framing.read(from, turn.buffer) {
            Ok(Input::Blocked) => match self.write_error.take() {
                None => Step::Blocked,
                Some(error) => Step::Over(Ending::broken(error)),
            },
            Ok(Input::Bytes(_)) => self.decode(framing, turn).map_or(Step::Read, Step::Over),
            Ok(Input::End) => Step::Over(self.eof(framing)),
            Err(error) => Step::Over(Ending::broken(error)),
        }
    }

    /// Whether something ends the upload behind a whole response. Bytes that come meanwhile are
    /// dropped: the connection ends after it.
    fn watch<T: Transport>(
        &mut self,
        framing: &mut Framing,
        from: &mut T,
        turn: &mut Turn<'_>,
    ) -> Step {
        let Phase::Upload { sender, trailers } = &mut self.phase else { return Step::Blocked };
        let room = sender.poll_room(&mut Context::from_waker(turn.waker));
        let ceased = match &self.write_error {
            _ if self.about.upload == Upload::Whole => None,
            Some(error) => Some(CloseReason::of(error)),
            None if room == Poll::Ready(Err(Gone)) => return Step::Over(Ending::ReaderGone),
            None if !framing.may_read() => return Step::Blocked,
            None => match framing.read(from, turn.buffer) {
                Ok(Input::Blocked) => return Step::Blocked,
                Ok(Input::Bytes(_)) => {
                    self.leave(framing);
                    return Step::Read;
                }
                Ok(Input::End) => Some(CloseReason::PeerClosed),
                Err(error) => Some(CloseReason::of(&error)),
            },
        };
        Step::Over(Ending::Whole(trailers.take(), ceased))
    }

    /// Whether the caller has room for more.
    fn room(&mut self, turn: &Turn<'_>) -> Poll<Result<(), Gone>> {
        let Phase::Body { sender, full } = &mut self.phase else { return Poll::Ready(Ok(())) };
        let room = sender.poll_room(&mut Context::from_waker(turn.waker));
        *full = room.is_pending();
        room
    }

    /// Nobody reads the body any more. If the request is out and one read completes the response,
    /// the connection can be kept.
    fn last_look<T: Transport>(
        &mut self,
        framing: &mut Framing,
        from: &mut T,
        turn: &mut Turn<'_>,
    ) -> Step {
        if self.about.upload == Upload::Whole
            && let Ok(Input::Bytes(_)) = framing.read(from, turn.buffer)
            && let Some(whole @ Ending::Whole(..)) = self.decode(framing, turn)
        {
            return Step::Over(whole);
        }
        Step::Over(Ending::ReaderGone)
    }

    /// Takes apart what came, and gives the caller its part of it.
    fn decode(&mut self, framing: &mut Framing, turn: &Turn<'_>) -> Option<Ending> {
        loop {
            match framing.decode() {
                Ok(Some(Event::Head(head))) => self.arrive(head),
                Ok(Some(Event::Data(piece))) => self.pass(piece, turn),
                Ok(Some(Event::End(trailers))) => {
                    io_model!(frame, request = self.number, why = "end");
                    return self.whole(trailers, framing, turn);
                }
                Ok(None) => {
                    self.open(turn);
                    return None;
                }
                Err(error) => {
                    self.open(turn);
                    return Some(Ending::Failed(error, CloseReason::ProtocolError));
                }
            }
        }
    }

    /// The response is whole. That ends the exchange, unless the request goes on.
    fn whole(
        &mut self,
        trailers: Option<HeaderMap>,
        framing: &mut Framing,
        turn: &Turn<'_>,
    ) -> Option<Ending> {
        let sent = self.about.upload == Upload::Whole;
        let refused = self.write_error.as_ref().map(CloseReason::of);
        let upload = Upload::at_response_end(sent, refused.is_some(), framing.keep_alive());
        if upload == Upload::Pending || trailers.is_some() {
            self.open(turn);
        }
        if upload != Upload::Pending {
            return Some(Ending::Whole(trailers, refused));
        }
        self.leave(framing);
        if let Phase::Body { sender, .. } = mem::replace(&mut self.phase, Phase::Between) {
            self.phase = Phase::Upload { sender, trailers };
        }
        None
    }

    /// Drops bytes that came behind the response.
    fn leave(&mut self, framing: &mut Framing) {
        self.bytes_left |= framing.has_input();
        framing.discard();
    }

    fn arrive(&mut self, head: Head) {
        io_model!(frame, request = self.number, why = "head");
        if let Phase::Head { reply } = mem::replace(&mut self.phase, Phase::Between) {
            self.phase = Phase::Arrived { reply, head, first: Bytes::new() };
        }
    }

    fn pass(&mut self, piece: Bytes, turn: &Turn<'_>) {
        io_model!(frame, request = self.number, bytes = piece.len(), why = "data");
        if let Phase::Arrived { first, .. } = &mut self.phase
            && first.is_empty()
        {
            *first = piece;
            return;
        }
        self.open(turn);
        if let Phase::Body { sender, .. } = &mut self.phase {
            sender.push(piece);
        }
    }

    /// Gives the caller a head whose body is still under way.
    fn open(&mut self, turn: &Turn<'_>) {
        let (reply, head, first) = match mem::replace(&mut self.phase, Phase::Between) {
            Phase::Arrived { reply, head, first } => (reply, head, first),
            other => {
                self.phase = other;
                return;
            }
        };
        let expected = match head.length {
            BodyLength::Exact(length) => Some(length),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        };
        let (mut sender, body) = body::channel(turn.config.body_window, expected, self.about);
        sender.push(first);
        io_model!(wake, request = self.number, why = "head");
        reply.answer(Ok(head.into_response(body)));
        self.phase = Phase::Body { sender, full: false };
    }

    /// The peer sends nothing more.
    fn eof(&mut self, framing: &mut Framing) -> Ending {
        match (framing.eof(), self.write_error.take()) {
            (Ok(()), refused) => Ending::Whole(None, refused.as_ref().map(CloseReason::of)),
            (Err(error), None) => Ending::Failed(error, CloseReason::PeerClosed),
            (Err(_), Some(error)) => Ending::broken(error),
        }
    }

    /// Begins the limit of time anew that runs now, if it is to.
    fn keep_time(&mut self, framing: &Framing, turn: &Turn<'_>) {
        let progress = Progress {
            written: framing.written(),
            sent: self.about.upload == Upload::Whole || self.write_error.is_some(),
            received: framing.received(),
            head: !matches!(self.phase, Phase::Head { .. }),
            window_full: matches!(self.phase, Phase::Body { full: true, .. }),
        };
        if self.until.is_none() || progress.restarts(self.progress) {
            let limit = progress.limit().map(|limit| turn.config.limit(limit));
            self.until = limit.map(|limit| after(turn.now, limit));
            self.progress = progress;
        }
    }

    /// How the exchange ends, if a limit of time has run out. A response that is whole stays whole.
    fn expire(&mut self, turn: &Turn<'_>) -> Option<Ending> {
        let over = |at: Option<Instant>| at.is_some_and(|at| at <= turn.now);
        let limit = match over(self.deadline) {
            true => TimeoutPhase::Total,
            false => self.progress.limit().filter(|_| over(self.until))?,
        };
        Some(match &mut self.phase {
            Phase::Upload { trailers, .. } => {
                Ending::Whole(trailers.take(), Some(CloseReason::Timeout))
            }
            _ => Ending::Failed(Error::timeout(limit, turn.config), CloseReason::Timeout),
        })
    }

    /// What is left to say after a response that is whole.
    fn finish(self, trailers: Option<HeaderMap>) -> Completion {
        io_model!(wake, request = self.number, why = "end");
        match self.phase {
            Phase::Arrived { reply, head, first } if trailers.is_none() => {
                Completion::Respond(reply, head.into_response(Body::whole(first, self.about)))
            }
            Phase::Body { sender, .. } | Phase::Upload { sender, .. } => {
                Completion::Finish(sender, trailers)
            }
            _ => Completion::Nothing,
        }
    }

    /// What is to be done after one that is not.
    fn fail(self, error: Error, reason: CloseReason, framing: &Framing) -> Next {
        let attempt = Failure {
            may_be_stale: self.about.reused,
            written: framing.written() > 0,
            answered: framing.received() > 0,
            retried: self.about.attempts > 1,
        };
        let stale = matches!(reason, CloseReason::PeerClosed | CloseReason::Reset);
        let completion = match self.phase {
            Phase::Head { reply } if stale && may_retry(&self.request.method, attempt) => {
                let connection = self.about.connection;
                io_model!(retry, request = self.number, connection, why = reason.as_str());
                let pending = PendingRequest {
                    request: self.request,
                    reply,
                    deadline: self.deadline,
                    attempts: self.about.attempts + 1,
                    timer: Armed::default(),
                };
                return Next::Retry(pending, reason);
            }
            Phase::Head { reply } => Completion::Refuse(reply, error),
            Phase::Body { sender, .. } => Completion::Break(sender, error),
            Phase::Arrived { .. } | Phase::Upload { .. } | Phase::Between => {
                Completion::Nothing
            }
        };
        Next::End(End { fate: Err(reason), completion })
    }
}

impl Next {
    fn close(reason: CloseReason) -> Self {
        Next::End(End { fate: Err(reason), completion: Completion::Nothing })
    }
}

impl Completion {
    /// Tells those who wait for it.
    pub(crate) fn tell(self) {
        match self {
            Completion::Nothing => {}
            Completion::Respond(reply, response) => reply.answer(Ok(response)),
            Completion::Refuse(reply, error) => reply.answer(Err(error)),
            Completion::Finish(sender, trailers) => sender.finish(trailers),
            Completion::Break(sender, error) => sender.fail(error),
        }
    }
}

#[cfg(test)]
mod tests;
