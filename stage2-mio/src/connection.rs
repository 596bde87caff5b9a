//! One HTTP/1.1 connection's life, from its first request to its end.
//!
//! ```text
//!              start                  head                   end
//!   Idle ───────────────▶ Head ───────────────▶ Body ───────────────▶ Idle, or closed
//!    │                     │ └────────── head and body whole ────────────▲
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
//! - reading and writing go on independently: a response may come before the request is written;
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
    Attempt, Body, CloseReason, Config, Error, Exchange as About, Outgoing, TimeoutPhase,
    Upload,
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
    /// How many more requests the peer will serve, if it said so.
    uses_left: Option<u64>,
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
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The head is to come, by this time once the request is written.
    Head { reply: Reply, until: Option<Instant> },
    /// It has come, with this much of the body. Its caller has not seen it: if the body is whole
    /// already, they are handed over as one.
    Arrived { reply: Reply, head: Head, first: Bytes },
    /// The body is to come, the next of it by this time, unless its window is full.
    Body { sender: Sender, until: Option<Instant> },
    /// Only while one phase becomes the next.
    Between,
}

/// How an exchange went.
enum Outcome {
    Whole(Option<HeaderMap>),
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
            uses_left: None,
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
            phase: Phase::Head { reply: pending.reply, until: None },
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
                [exchange.until(), exchange.deadline].into_iter().flatten().min()
            }
        }
    }

    /// Ends what has taken too long by now.
    pub(crate) fn expire(&mut self, turn: &mut Turn<'_>) -> Next {
        match &self.state {
            State::Idle { until } if *until <= turn.now => {
                Next::close(CloseReason::IdleExpired)
            }
            State::Idle { .. } => Next::Wait,
            State::Busy(exchange) => match exchange.expired(turn) {
                Some(error) => self.end(Outcome::Failed(error, CloseReason::Timeout), turn),
                None => Next::Wait,
            },
        }
    }

    /// The caller of the request with this number gave up.
    pub(crate) fn cancel(&mut self, number: u64, turn: &mut Turn<'_>) -> Next {
        match &self.state {
            State::Busy(exchange) if exchange.number == number => {
                self.end(Outcome::Cancelled, turn)
            }
            _ => Next::Wait,
        }
    }

    fn advance(&mut self, turn: &mut Turn<'_>) -> Next {
        let State::Busy(exchange) = &mut self.state else { return Next::Wait };
        exchange.write(&mut self.framing, &mut self.transport, turn);
        for _ in 0..READS_IN_A_ROW {
            match exchange.read(&mut self.framing, &mut self.transport, turn) {
                Step::Read => {}
                // A write that waited for a read has had one now.
                Step::Blocked if exchange.may_write(&self.framing) => return Next::Again,
                Step::Blocked => return Next::Wait,
                Step::Over(outcome) => return self.end(outcome, turn),
            }
        }
        Next::Again
    }

    /// Ends the exchange: the one place that decides what becomes of the connection, and what its
    /// caller is told.
    fn end(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Next {
        let idle = State::Idle { until: after(turn.now, turn.config.idle_timeout) };
        let State::Busy(exchange) = mem::replace(&mut self.state, idle) else {
            return Next::Wait;
        };
        match outcome {
            Outcome::Whole(trailers) => Next::End(End {
                fate: self.keep(&exchange.request, turn),
                completion: exchange.finish(trailers),
            }),
            Outcome::Failed(error, reason) => exchange.fail(error, reason, &self.framing),
            Outcome::ReaderGone => Next::close(CloseReason::BodyDropped),
            Outcome::Cancelled => Next::close(CloseReason::Cancelled),
        }
    }

    /// Whether the connection may serve another exchange, and for how long it may wait for one.
    fn keep(&mut self, request: &Outgoing, turn: &mut Turn<'_>) -> Result<(), CloseReason> {
        let whole = self.framing.is_sent() && !request.close;
        let Some(told) = self.framing.keep_alive().filter(|_| whole) else {
            return Err(CloseReason::PeerAsked);
        };
        if self.framing.has_input() {
            return Err(CloseReason::Unsolicited);
        }
        self.uses_left = told.max.or(self.uses_left.map(|uses| uses.saturating_sub(1)));
        if self.uses_left == Some(0) {
            return Err(CloseReason::PeerAsked);
        }
        let limit = turn.config.idle_timeout;
        self.state = State::Idle {
            until: after(turn.now, told.timeout.map_or(limit, |t| t.min(limit))),
        };
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
            Err(error) => Err(reason(&error)),
        }
    }
}

impl Outcome {
    fn broken(error: io::Error) -> Self {
        let reason = reason(&error);
        Outcome::Failed(Error::broken("expected a whole response", error), reason)
    }
}

/// Why a connection is closed whose transport has failed like this.
fn reason(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::InvalidData => CloseReason::ProtocolError,
        io::ErrorKind::UnexpectedEof => CloseReason::PeerClosed,
        _ => CloseReason::Reset,
    }
}

// ===== impl Exchange =====

/// What a read did for an exchange.
enum Step {
    /// It brought something, and there may be more.
    Read,
    /// Nothing more now: neither the socket nor the window lets anything through.
    Blocked,
    Over(Outcome),
}

impl Exchange {
    /// Writes what the socket takes of the request. The head's time begins with its last byte.
    fn write<T: Transport>(&mut self, framing: &mut Framing, to: &mut T, turn: &Turn<'_>) {
        if self.write_error.is_some() {
            return;
        }
        let before = framing.is_sent();
        if let Err(error) = framing.write(to, &self.request) {
            // The peer may have answered before it went: that is for the reads to find out.
            self.write_error = Some(error);
            framing.note(Readiness { readable: true, writable: true, hung_up: true });
        }
        if framing.is_sent() && !before {
            self.about.upload = Upload::Whole;
            match &mut self.phase {
                Phase::Head { until, .. } => {
                    *until = Some(after(turn.now, turn.config.head_timeout));
                }
                Phase::Body { sender, .. } => sender.request_sent(),
                Phase::Arrived { .. } | Phase::Between => {}
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
        match self.room(turn) {
            Poll::Ready(Ok(())) if framing.may_read() => {}
            Poll::Ready(Ok(())) | Poll::Pending => return Step::Blocked,
            Poll::Ready(Err(Gone)) => return self.last_look(framing, from, turn),
        }
        match framing.read(from, turn.buffer) {
            Ok(Input::Blocked) => match self.write_error.take() {
                None => Step::Blocked,
                Some(error) => Step::Over(Outcome::broken(error)),
            },
            Ok(Input::Bytes(_)) => self.decode(framing, turn).map_or(Step::Read, Step::Over),
            Ok(Input::End) => Step::Over(self.eof(framing)),
            Err(error) => Step::Over(Outcome::broken(error)),
        }
    }

    /// Whether the caller has room for more. Its clock runs while it has.
    fn room(&mut self, turn: &Turn<'_>) -> Poll<Result<(), Gone>> {
        let Phase::Body { sender, until } = &mut self.phase else { return Poll::Ready(Ok(())) };
        let room = sender.poll_room(&mut Context::from_waker(turn.waker));
        match room {
            Poll::Pending => *until = None,
            Poll::Ready(_) if until.is_none() => {
                *until = Some(after(turn.now, turn.config.body_idle_timeout));
            }
            Poll::Ready(_) => {}
        }
        room
    }

    /// Nobody reads the body any more. If one read completes it, the connection can be kept.
    fn last_look<T: Transport>(
        &mut self,
        framing: &mut Framing,
        from: &mut T,
        turn: &mut Turn<'_>,
    ) -> Step {
        let outcome = match framing.read(from, turn.buffer) {
            Ok(Input::Bytes(_)) => self.decode(framing, turn),
            Ok(Input::Blocked | Input::End) | Err(_) => None,
        };
        Step::Over(match outcome {
            Some(Outcome::Whole(trailers)) => Outcome::Whole(trailers),
            _ => Outcome::ReaderGone,
        })
    }

    /// Takes apart what came, and gives the caller its part of it.
    fn decode(&mut self, framing: &mut Framing, turn: &Turn<'_>) -> Option<Outcome> {
        loop {
            match framing.decode() {
                Ok(Some(Event::Head(head))) => self.arrive(head),
                Ok(Some(Event::Data(piece))) => self.pass(piece, turn),
                Ok(Some(Event::End(trailers))) => {
                    io_model!(frame, request = self.number, why = "end");
                    if trailers.is_some() {
                        self.open(turn);
                    }
                    return Some(Outcome::Whole(trailers));
                }
                Ok(None) => {
                    self.open(turn);
                    // Bytes came, if perhaps none of the body: the peer's time begins anew.
                    if let Phase::Body { until, .. } = &mut self.phase {
                        *until = Some(after(turn.now, turn.config.body_idle_timeout));
                    }
                    return None;
                }
                Err(error) => {
                    self.open(turn);
                    return Some(Outcome::Failed(error, CloseReason::ProtocolError));
                }
            }
        }
    }

    fn arrive(&mut self, head: Head) {
        io_model!(frame, request = self.number, why = "head");
        if let Phase::Head { reply, .. } = mem::replace(&mut self.phase, Phase::Between) {
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
        reply.answer(Ok(response(head, body)));
        let until = Some(after(turn.now, turn.config.body_idle_timeout));
        self.phase = Phase::Body { sender, until };
    }

    /// The peer sends nothing more.
    fn eof(&mut self, framing: &mut Framing) -> Outcome {
        match (framing.eof(), self.write_error.take()) {
            (Ok(()), _) => Outcome::Whole(None),
            (Err(error), None) => Outcome::Failed(error, CloseReason::PeerClosed),
            (Err(_), Some(error)) => Outcome::broken(error),
        }
    }

    /// The deadline of the present phase.
    fn until(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Head { until, .. } | Phase::Body { until, .. } => *until,
            Phase::Arrived { .. } | Phase::Between => None,
        }
    }

    /// Which limit of time has run out, if one has.
    fn expired(&self, turn: &Turn<'_>) -> Option<Error> {
        let over = |at: Option<Instant>| at.is_some_and(|at| at <= turn.now);
        let config = turn.config;
        let (phase, after) = if over(self.deadline) {
            (TimeoutPhase::Total, config.total_timeout.unwrap_or_default())
        } else if !over(self.until()) {
            return None;
        } else if let Phase::Head { .. } = self.phase {
            (TimeoutPhase::Head, config.head_timeout)
        } else {
            (TimeoutPhase::BodyIdle, config.body_idle_timeout)
        };
        Some(Error::Timeout { phase, after })
    }

    /// What is left to say after a response that is whole.
    fn finish(self, trailers: Option<HeaderMap>) -> Completion {
        io_model!(wake, request = self.number, why = "end");
        match self.phase {
            Phase::Arrived { reply, head, first } if trailers.is_none() => {
                Completion::Respond(reply, response(head, Body::whole(first, self.about)))
            }
            Phase::Body { sender, .. } => Completion::Finish(sender, trailers),
            _ => Completion::Nothing,
        }
    }

    /// What is to be done after one that is not.
    fn fail(self, error: Error, reason: CloseReason, framing: &Framing) -> Next {
        let attempt = Attempt {
            reused: self.about.reused,
            written: framing.written() > 0,
            answered: framing.answered(),
            retried: self.about.attempts > 1,
        };
        let stale = matches!(reason, CloseReason::PeerClosed | CloseReason::Reset);
        let completion = match self.phase {
            Phase::Head { reply, .. } if stale && may_retry(&self.request.method, attempt) => {
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
            Phase::Head { reply, .. } => Completion::Refuse(reply, error),
            Phase::Body { sender, .. } => Completion::Break(sender, error),
            Phase::Arrived { .. } | Phase::Between => Completion::Nothing,
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

fn response(head: Head, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.version_mut() = head.version;
    *response.headers_mut() = head.headers;
    response
}

#[cfg(test)]
mod tests;
