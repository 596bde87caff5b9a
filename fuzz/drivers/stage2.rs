//! Stage 2's connection in a script; the loop's duties are done here.

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
    call,
    connection::{Connection, End, Next, Turn},
    framing::Readiness,
    shared::{Call, PendingRequest, Place},
    slab::Slab,
    timer::Armed,
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
    call: Option<Call>,
    config: Config,
    waker: Waker,
    buffer: Vec<u8>,
    now: Instant,
    fate: Fate,
}

impl Driver {
    /// Lets the connection do something, and does what it says.
    fn act(&mut self, act: impl FnOnce(&mut Connection<Io>, &mut Turn<'_>) -> Next) {
        let Some(connection) = &mut self.connection else { return };
        let (now, config, waker) = (self.now, &self.config, &self.waker);
        let mut turn = Turn { now, config, waker, buffer: &mut self.buffer };
        let mut next = act(connection, &mut turn);
        while let Next::Again = next {
            next = connection.ready(Readiness::default(), &mut turn);
        }
        match next {
            Next::Wait | Next::Again => {}
            Next::Retry(pending, reason) => {
                self.close(Fate::Retry(reason));
                drop(pending);
            }
            Next::End(End { fate, completion }) => {
                match fate {
                    Ok(()) => self.fate = Fate::Idle,
                    Err(reason) => self.close(Fate::Closed(reason)),
                }
                completion.tell();
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
        let (call, buffer, fate) = (None, vec![0; 16 * 1024], Fate::Idle);
        Driver { connection, call, config, waker, buffer, now, fate }
    }

    fn start(&mut self, request: Outgoing) {
        let (call, reply) = call::channel();
        let deadline = self.config.total_timeout.map(|total| self.now + total);
        let (attempts, timer) = (1, Armed::default());
        // Any key will do: it says that the loop has the request.
        reply.place(Place::Connection(Slab::new().insert(()), NUMBER));
        let pending = PendingRequest { request, reply, deadline, attempts, timer };
        self.call = Some(call);
        self.fate = Fate::Busy;
        self.act(|connection, turn| connection.start(NUMBER, pending, turn));
    }

    fn ready(&mut self, readable: bool, writable: bool, hung_up: bool) {
        let told = Readiness { readable, writable, hung_up };
        self.act(|connection, turn| connection.ready(told, turn));
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
        let Some(call) = &mut self.call else { return Poll::Pending };
        call.poll(cx).map(|answer| answer.unwrap_or(Err(Error::ShutDown)))
    }

    fn cancel(&mut self) {
        // An answer that is here already is dropped with the call.
        if self.call.take().and_then(|mut call| call.cancel()).is_some() {
            self.act(|connection, turn| connection.cancel(NUMBER, turn));
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
