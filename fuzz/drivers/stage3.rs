//! Stage 3's connection in a script, polled by hand in virtual time.

mod script;

use std::{
    future::{pending, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use client_core::{Answer, Body, CloseReason, Config, Error, Outgoing, after};
use http::Response;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::{Builder, Runtime},
    sync::oneshot,
    time::{Instant, advance},
};

use self::script::{Fate, Pipe, Subject};
use crate::{
    connection::{Connection, End},
    pending::PendingRequest,
    transport::Stream,
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
    /// For its clock, which stands still.
    runtime: Runtime,
    state: State,
    answer: Option<oneshot::Receiver<Answer>>,
    config: Config,
    waker: Waker,
}

/// The task's part.
enum State {
    Idle(Box<Connection>, Instant),
    Busy(Pin<Box<dyn Future<Output = Ended>>>),
    Over(Fate),
}

type Ended = (Box<Connection>, Box<PendingRequest>, End);

impl Driver {
    /// Polls the task, until it has nothing more to do.
    fn poll(&mut self) {
        let Driver { runtime, state, waker, .. } = self;
        runtime.block_on(poll_fn(|_| {
            let mut cx = Context::from_waker(waker);
            while let Poll::Ready(next) = state.poll(&mut cx) {
                *state = next;
            }
            Poll::Ready(())
        }));
    }
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        match self {
            State::Idle(connection, expiry) => {
                pin!(connection.idle(*expiry, pending())).poll(cx).map(|end| {
                    State::Over(Fate::Closed(end.err().unwrap_or(CloseReason::IdleExpired)))
                })
            }
            State::Busy(exchange) => exchange.as_mut().poll(cx).map(State::after),
            State::Over(_) => Poll::Pending,
        }
    }

    /// What the task does at the end of an exchange.
    fn after((mut connection, request, end): Ended) -> State {
        match end {
            End::Reusable => {
                let expiry = after(Instant::now(), connection.mark_idle());
                request.complete(Ok(()));
                State::Idle(connection, expiry)
            }
            End::Close(reason, result) => {
                request.complete(result);
                State::Over(Fate::Closed(reason))
            }
            End::Stale(reason) => State::Over(Fate::Retry(reason)),
        }
    }
}

impl Subject for Driver {
    fn new(config: Config, pipe: Pipe, waker: Waker) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without threads");
        let connection = Box::new(Connection::new(
            Stream::Other(Box::new(Io(pipe))),
            1,
            Arc::new(config.clone()),
        ));
        let expiry = runtime.block_on(async { after(Instant::now(), config.idle_timeout) });
        Driver { runtime, state: State::Idle(connection, expiry), answer: None, config, waker }
    }

    fn start(&mut self, request: Outgoing) {
        let (reply, answer) = oneshot::channel();
        self.answer = Some(answer);
        let runtime = self.runtime.handle().clone();
        let now = runtime.block_on(async { Instant::now() });
        let deadline = self.config.total_timeout.map(|limit| after(now, limit));
        let mut pending =
            PendingRequest::new(request, reply, deadline, self.config.body_window);
        let gone = State::Over(Fate::Closed(CloseReason::ClientClosed));
        match std::mem::replace(&mut self.state, gone) {
            State::Idle(mut connection, _) => {
                self.state = State::Busy(Box::pin(async move {
                    let end = connection.exchange(&mut pending).await;
                    (connection, pending, end)
                }));
            }
            other => self.state = other,
        }
        self.poll();
    }

    fn ready(&mut self, _: bool, _: bool, _: bool) {
        self.poll();
    }

    fn woken(&mut self) {
        self.poll();
    }

    fn pass(&mut self, time: Duration) {
        // A deadline that is here has woken the task.
        if !time.is_zero() {
            self.runtime.block_on(advance(time));
            self.poll();
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Body>, Error>> {
        let Some(answer) = &mut self.answer else { return Poll::Pending };
        Pin::new(answer).poll(cx).map(|answer| answer.unwrap_or(Err(Error::ShutDown)))
    }

    fn cancel(&mut self) {
        self.answer = None;
        self.poll();
    }

    fn end(&mut self) {
        self.state = State::Over(self.fate());
    }

    fn fate(&self) -> Fate {
        match &self.state {
            State::Idle(..) => Fate::Idle,
            State::Busy(_) => Fate::Busy,
            State::Over(fate) => *fate,
        }
    }
}

struct Io(Pipe);

/// `WouldBlock` is `Pending`. No waker is kept: a script polls after each of its steps.
fn ready<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.0.read(into.initialize_unfilled());
        ready(read.map(|read| into.advance(read)))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready(self.0.write(from))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
