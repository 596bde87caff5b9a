//! A connection that answers at once.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use client_core::{
    CloseReason, Config, Error, Exchange, Upload,
    decode::{BodyLength, Head},
};
use tokio::{select, time::Instant};

use super::{pending::PendingRequest, transport::Stream};

/// A connection that answers at once, if it has not ended.
pub(crate) struct Connection {
    stream: Stream,
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

    pub(crate) fn complete(self, request: Box<PendingRequest>) {
        match self.result {
            Ok(()) => request.caller.finish(),
            Err(error) => request.caller.fail(error),
        }
    }
}

impl Connection {
    pub(crate) fn new(stream: Stream, number: u64, _: Arc<Config>) -> Self {
        Connection { stream, number, exchanges: 0 }
    }

    pub(crate) fn ended_meanwhile(&mut self) -> Option<CloseReason> {
        let ended = self.number == 1 && self.stream.0.end.lock().unwrap().has_come;
        ended.then_some(CloseReason::PeerClosed)
    }

    pub(crate) fn mark_idle(&mut self) -> Duration {
        Duration::ZERO
    }

    pub(crate) async fn idle(
        &mut self,
        _: Instant,
        notified: impl Future<Output = ()>,
    ) -> Option<CloseReason> {
        let ended = poll_fn(|cx| {
            if self.number != 1 {
                return Poll::Pending;
            }
            let mut end = self.stream.0.end.lock().unwrap();
            if end.has_come {
                return Poll::Ready(CloseReason::PeerClosed);
            }
            end.waker = Some(cx.waker().clone());
            Poll::Pending
        });
        select! {
            biased;
            reason = ended => Some(reason),
            () = notified => None,
        }
    }

    pub(crate) async fn exchange(&mut self, request: &mut PendingRequest) -> End {
        let caller = &mut request.caller;
        let (connection, reused) = (self.number, self.exchanges > 0);
        let attempts = caller.exchange.attempts + 1;
        self.exchanges += 1;
        caller.exchange = Exchange { connection, reused, attempts, upload: Upload::Whole };
        if let Some(reason) = self.ended_meanwhile() {
            return End::failed(reason, reused && attempts == 1);
        }
        if caller.is_gone() {
            return End::failed(CloseReason::Cancelled, false);
        }
        caller.head(Head {
            status: http::StatusCode::OK,
            version: http::Version::HTTP_11,
            headers: http::HeaderMap::new(),
            length: BodyLength::Exact(0),
        });
        End { result: Ok(()), close: None, retry: false }
    }

    pub(crate) fn close(self, _: CloseReason) {}
}
