//! Stage 1's connection in a script; the loop's duties are done here.

mod script;

use std::{
    io::{self, IoSlice, Read, Write},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use client_core::{Body, Config, Error, Outgoing};
use http::Response;
use rotor::{
    EventSet, Evented, PollOpt, Time,
    mio::{Selector, Token},
};

use self::script::{Fate, Pipe, Subject};
use crate::{
    connection::{Connection, Next},
    oneshot,
    pending::{Holder, PendingRequest, ReplyReceiver},
    transport::{Readiness, Transport},
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

struct Driver {
    connection: Option<Connection<Io>>,
    caller: Option<ReplyReceiver>,
    waker: Waker,
    scratch: Vec<u8>,
    now: Time,
    fate: Fate,
}

impl Driver {
    /// Calls the connection, and does what it returns.
    fn act(&mut self, act: impl FnOnce(&mut Connection<Io>, Time, &mut [u8]) -> Next) {
        let Some(connection) = &mut self.connection else { return };
        let mut next = act(connection, self.now, &mut self.scratch);
        loop {
            next = match next {
                Next::Wait => return,
                Next::Again => {
                    connection.ready(Readiness::default(), self.now, &mut self.scratch)
                }
                Next::Free(completion) => {
                    self.fate = Fate::Idle;
                    completion.complete();
                    connection.mark_idle(self.now, &mut self.scratch)
                }
                Next::Close(reason, completion) => {
                    self.close(Fate::Closed(reason));
                    return completion.complete();
                }
                Next::Retry(reason, _) => return self.close(Fate::Retry(reason)),
            };
        }
    }

    fn close(&mut self, fate: Fate) {
        self.fate = fate;
        self.connection = None;
    }
}

impl Subject for Driver {
    fn new(config: Config, pipe: Pipe, waker: Waker) -> Self {
        let (now, ready) = (Time::zero(), Readiness { writable: true, ..Readiness::default() });
        let connection =
            Connection::new(Io(pipe), ready, 1, Arc::new(config), waker.clone(), now);
        let connection = Some(connection);
        Driver {
            connection,
            caller: None,
            waker,
            scratch: vec![0; 16 * 1024],
            now,
            fate: Fate::Idle,
        }
    }

    fn start(&mut self, request: Outgoing) {
        let (sender, receiver) = oneshot::channel();
        let mut pending = PendingRequest::new(0, request, sender);
        pending.deadline = Some(self.now + Duration::from_secs(10));
        pending.reply.set_holder(Holder::Connection(self.waker.clone()));
        self.caller = Some(receiver);
        self.fate = Fate::Busy;
        self.act(|connection, now, scratch| connection.start(pending, now, scratch));
    }

    fn ready(&mut self, readable: bool, writable: bool, hup: bool) {
        let event = Readiness { readable, writable, hup };
        self.act(|connection, now, scratch| connection.ready(event, now, scratch));
    }

    fn woken(&mut self) {
        self.act(Connection::notified);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        let deadline = self.connection.as_ref().and_then(Connection::deadline);
        if deadline.is_some_and(|deadline| deadline <= self.now) {
            self.act(Connection::expire);
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Body>, Error>> {
        let Some(caller) = &mut self.caller else { return Poll::Pending };
        caller.poll(cx).map(|answer| answer.unwrap_or(Err(Error::ShutDown)))
    }

    fn cancel(&mut self) {
        let holder = self.caller.take().and_then(|mut caller| caller.cancel());
        if let Some(Holder::Connection(waker)) = holder {
            waker.wake();
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
impl Evented for Io {
    fn register(&self, _: &mut Selector, _: Token, _: EventSet, _: PollOpt) -> io::Result<()> {
        Ok(())
    }

    fn reregister(
        &self,
        _: &mut Selector,
        _: Token,
        _: EventSet,
        _: PollOpt,
    ) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&self, _: &mut Selector) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Io {
    fn short_read_is_last(&self) -> bool {
        true
    }
}
