//! A connection that answers at once.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use client_core::{
    CloseReason, Config, Error, Exchange, TimeoutPhase,
    decode::{BodyLength, Head},
};
use tokio::time::Instant;

use super::{job::Job, transport::Transport};

/// A connection that answers at once, if it has not ended.
pub(crate) struct Connection<T> {
    stream: T,
    number: u64,
    exchanges: u64,
}

pub(crate) struct End {
    result: Result<(), Error>,
    pub(crate) close: Option<CloseReason>,
    pub(crate) retry: bool,
}

impl End {
    fn failed(close: CloseReason, retry: bool) -> Self {
        let error = Error::ClosedEarly { expected: "a response", source: None };
        End { result: Err(error), close: Some(close), retry }
    }

    pub(crate) fn stale(reason: CloseReason) -> Self {
        End::failed(reason, true)
    }

    pub(crate) fn tell(self, job: Box<Job>) {
        match self.result {
            Ok(()) => job.finish(None),
            Err(error) => job.fail(error),
        }
    }
}

impl<T: Transport> Connection<T> {
    pub(crate) fn new(stream: T, number: u64, _: Arc<Config>) -> Self {
        Connection { stream, number, exchanges: 0 }
    }

    pub(crate) fn is_used(&self) -> bool {
        self.exchanges > 0
    }

    pub(crate) fn ended_meanwhile(&mut self) -> Option<CloseReason> {
        let ended = self.number == 1 && self.stream.world().end.lock().unwrap().has_come;
        ended.then_some(CloseReason::PeerClosed)
    }

    pub(crate) fn rest(&mut self) -> Duration {
        Duration::ZERO
    }

    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>, _: Instant) -> Poll<CloseReason> {
        if self.number != 1 {
            return Poll::Pending;
        }
        let mut end = self.stream.world().end.lock().unwrap();
        if end.has_come {
            return Poll::Ready(CloseReason::PeerClosed);
        }
        end.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) async fn exchange(&mut self, job: &mut Job) -> End {
        let reused = self.is_used();
        let attempts = job.exchange.attempts + 1;
        self.exchanges += 1;
        let connection = self.number;
        job.exchange = Exchange { connection, reused, attempts, ..Exchange::default() };
        if let Some(reason) = self.ended_meanwhile() {
            return End::failed(reason, reused && attempts == 1);
        }
        if job.is_cancelled() {
            return End::failed(CloseReason::Cancelled, false);
        }
        job.head(Head {
            status: http::StatusCode::OK,
            version: http::Version::HTTP_11,
            headers: http::HeaderMap::new(),
            length: BodyLength::Exact(0),
        });
        End { result: Ok(()), close: None, retry: false }
    }

    pub(crate) fn close(self) {}
}

pub(crate) fn timed_out(phase: TimeoutPhase, config: &Config) -> Error {
    Error::Timeout { phase, after: config.connect_timeout }
}
