//! A connection that answers at once.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use client_core::{
    CloseReason, Config, Error, Exchange, Upload,
    decode::{BodyLength, Event, Head},
};
use tokio::{select, time::Instant};

use super::{pending::PendingRequest, transport::Stream};

/// A connection that answers at once, if it has not ended.
pub(crate) struct Connection {
    stream: Stream,
    number: u64,
    exchanges: u64,
}

pub(crate) enum End {
    Reusable,
    Close(CloseReason, Result<(), Error>),
    Stale(CloseReason),
}

impl Connection {
    pub(crate) fn new(stream: Stream, number: u64, _: Arc<Config>) -> Self {
        Connection { stream, number, exchanges: 0 }
    }

    pub(crate) fn mark_idle(&mut self) -> Duration {
        Duration::ZERO
    }

    /// No idle timeout is over here.
    pub(crate) async fn idle(
        &mut self,
        _: Instant,
        notified: impl Future<Output = ()>,
    ) -> Result<bool, CloseReason> {
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
            reason = ended => Err(reason),
            () = notified => Ok(false),
        }
    }

    pub(crate) async fn exchange(&mut self, request: &mut PendingRequest) -> End {
        let responder = &mut request.responder;
        let (connection, reused) = (self.number, self.exchanges > 0);
        let attempts = responder.exchange.attempts + 1;
        self.exchanges += 1;
        if self.number == 1 && self.stream.0.end.lock().unwrap().has_come {
            if reused && attempts == 1 {
                return End::Stale(CloseReason::PeerClosed);
            }
            let error = Error::ClosedEarly { expected: "a response", source: None };
            return End::Close(CloseReason::PeerClosed, Err(error));
        }
        responder.exchange = Exchange { connection, reused, attempts, upload: Upload::Whole };
        if responder.is_cancelled() {
            return End::Close(CloseReason::Cancelled, Err(Error::ShutDown));
        }
        responder.event(Event::Head(Head {
            status: http::StatusCode::OK,
            version: http::Version::HTTP_11,
            headers: http::HeaderMap::new(),
            length: BodyLength::Exact(0),
        }));
        End::Reusable
    }

    pub(crate) fn close(self, _: CloseReason) {}
}
