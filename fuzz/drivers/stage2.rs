//! Plays scripts to stage 2's connection, instead of the loop.

mod script;

use std::{
    io::{self, IoSlice, Read, Write},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use client_core::{Body, Config, Error, Outgoing};
use http::Response;
use mio::{Interest, Registry, Token, event::Source};

use self::script::{Fate, Pipe, Subject};
use crate::{
    connection::{Connection, LoopContext, Next},
    framing::Readiness,
    oneshot,
    pending::{Holder, PendingRequest, ReplyReceiver},
    timer::Armed,
    token::Key,
    transport::Transport,
};

/// Plays a script.
pub fn drive(script: &[u8]) -> String {
    script::play::<Driver>(script)
}

#[cfg(test)]
#[test]
fn the_corpus_is_replayed() {
    script::replay::<Driver>();
}

/// Of the one request at a time.
const NUMBER: u64 = 1;

struct Driver {
    connection: Option<Connection<Io>>,
    answer: Option<ReplyReceiver>,
    config: Config,
    waker: Waker,
    buffer: Vec<u8>,
    now: Instant,
    fate: Fate,
}

impl Driver {
    /// Lets the connection do something, and does what it says.
    fn act(&mut self, act: impl FnOnce(&mut Connection<Io>, &mut LoopContext<'_>) -> Next) {
        let Some(connection) = &mut self.connection else { return };
        let (now, config, waker) = (self.now, &self.config, &self.waker);
        let mut cx = LoopContext { now, config, waker, buffer: &mut self.buffer };
        let mut next = act(connection, &mut cx);
        while let Next::Again = next {
            next = connection.ready(Readiness::default(), &mut cx);
        }
        match next {
            Next::Wait | Next::Again => {}
            Next::Free(completion) => {
                self.fate = Fate::Idle;
                completion.complete();
            }
            Next::Close(reason, completion) => {
                self.close(Fate::Closed(reason));
                completion.complete();
            }
            Next::Retry(reason, pending) => {
                self.close(Fate::Retry(reason));
                drop(pending);
            }
        }
    }

    fn close(&mut self, fate: Fate) {
        self.fate = fate;
        self.connection = None;
    }
}

impl Subject for Driver {
    fn new(config: Config, pipe: Pipe, waker: Waker) -> Self {
        let now = Instant::now();
        let connection = Some(Connection::new(Io(pipe), 1, Readiness::default(), &config, now));
        let (answer, buffer, fate) = (None, vec![0; 16 * 1024], Fate::Idle);
        Driver { connection, answer, config, waker, buffer, now, fate }
    }

    fn start(&mut self, request: Outgoing) {
        let (reply, answer) = oneshot::channel();
        let deadline = self.config.total_timeout.map(|total| self.now + total);
        let (attempts, timer) = (1, Armed::default());
        // Any key will do: it says that the loop has the request.
        reply.set_holder(Holder::Connection(Key::default(), NUMBER));
        let pending = PendingRequest { request, reply, deadline, attempts, timer };
        self.answer = Some(answer);
        self.fate = Fate::Busy;
        self.act(|connection, cx| connection.start(NUMBER, pending, cx));
    }

    fn ready(&mut self, readable: bool, writable: bool, hung_up: bool) {
        let readiness = Readiness { readable, writable, hung_up };
        self.act(|connection, cx| connection.ready(readiness, cx));
    }

    fn woken(&mut self) {
        self.ready(false, false, false);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let deadline = self.connection.as_ref().and_then(Connection::deadline);
        if deadline.is_some_and(|deadline| deadline <= self.now) {
            self.act(Connection::expire);
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Body>, Error>> {
        let Some(answer) = &mut self.answer else { return Poll::Pending };
        answer.poll(cx).map(|answer| answer.unwrap_or(Err(Error::ShutDown)))
    }

    fn cancel(&mut self) {
        // An answer that was sent already is dropped with the channel.
        if self.answer.take().and_then(|mut answer| answer.cancel()).is_some() {
            self.act(|connection, cx| connection.cancel(NUMBER, cx));
        }
    }

    fn end(&mut self) {
        self.connection = None;
    }

    fn fate(&self) -> Fate {
        self.fate
    }
}

struct Io(Pipe);

impl Read for Io {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Io {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.write(from)
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = from.iter().find(|slice| !slice.is_empty());
        self.0.write(first.map_or(&[], |slice| slice))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nothing watches it.
impl Source for Io {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Io {
    fn short_read_is_last(&self) -> bool {
        true
    }
}
