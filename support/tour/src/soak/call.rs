//! One call, and whether what came of it may come of it.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use client_core::{ApiClient, Error, ErrorKind, TimeoutPhase};
use futures::future::{Either, select};
use http::Request;
use http_body_util::{BodyExt, Full};

use super::{
    plan::{self, Fault, Plan},
    server::{Ledger, Server},
    tally::{Outcome, Tally},
};

/// Makes calls.
pub(super) struct Caller<C> {
    client: C,
    ledger: Arc<Ledger>,
    tally: Arc<Tally>,
    /// By origin.
    urls: Vec<String>,
}

/// What came of a call.
#[derive(Default)]
struct Got {
    tag: Option<String>,
    body: Vec<u8>,
    trailer: Option<String>,
    /// How often the client says that it was sent.
    attempts: Option<u32>,
}

impl<C: ApiClient> Caller<C> {
    pub(super) fn new(client: C, server: &Server, tally: Arc<Tally>) -> Self {
        Caller { client, ledger: server.ledger.clone(), tally, urls: server.urls() }
    }

    /// Makes one call, and tells the tally.
    pub(super) async fn call(&self, id: u64) {
        let plan = Plan::of(self.ledger.seed, id);
        let mut got = Got::default();
        let outcome = match plan.fault {
            Fault::CallerLeaves => self.leave(id, &plan, &mut got).await,
            _ => outcome(self.receive(id, &plan, &mut got).await),
        };
        let received = self.ledger.received(id);
        let wrong = got.check(id, &plan, outcome, received, &self.ledger).err();
        let wrong = wrong.map(|wrong| {
            format!("request {id}, {} with {:?}: {wrong}; {outcome:?}, received {received} times, sent {:?}", plan.method, plan.fault, got.attempts)
        });
        self.tally.count(plan.fault, outcome, received, wrong);
    }

    /// Waits until the server has the request, and gives up.
    async fn leave(&self, id: u64, plan: &Plan, got: &mut Got) -> Outcome {
        let arrival = self.ledger.arrival(id);
        let call = pin!(self.receive(id, plan, got));
        let left = match select(call, arrival).await {
            Either::Left((ended, _)) => outcome(ended),
            Either::Right(_) => Outcome::Left,
        };
        self.ledger.forget(id);
        left
    }

    async fn receive(&self, id: u64, plan: &Plan, got: &mut Got) -> Result<Outcome, Error> {
        let url = format!("{}{id}", self.urls[plan.origin]);
        let upload = plan::upload(self.ledger.seed, id, plan.upload);
        let request = Request::builder().method(plan.method).uri(url);
        let request = request.body(Full::new(Bytes::from(upload)));
        let request = request.map_err(|error| Error::invalid(error.to_string()))?;
        let (head, mut body) = self.client.request(request).await?.into_parts();
        got.tag = text(&head.headers);
        got.attempts = Some(body.exchange().attempts);
        if plan.fault == Fault::BodyDropped {
            return Ok(Outcome::Left);
        }
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(data) => got.body.extend_from_slice(&data),
                Err(frame) => got.trailer = frame.trailers_ref().and_then(text),
            }
        }
        Ok(Outcome::Whole)
    }
}

fn text(headers: &http::HeaderMap) -> Option<String> {
    Some(headers.get("x-tag")?.to_str().ok()?.to_owned())
}

fn outcome(ended: Result<Outcome, Error>) -> Outcome {
    match ended {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed(error.kind(), error.timeout_phase()),
    }
}

impl Got {
    /// Whether this may come of it.
    ///
    /// # Errors
    ///
    /// With the promise that is broken.
    fn check(
        &self,
        id: u64,
        plan: &Plan,
        outcome: Outcome,
        received: u8,
        ledger: &Ledger,
    ) -> Result<(), &'static str> {
        let tag = Some(id.to_string());
        let body = plan::body(ledger.seed, id, plan.length);
        let most = if plan.is_idempotent() { 2 } else { 1 };
        let whole = outcome == Outcome::Whole;
        let trailer = plan.fault == Fault::Chunked && whole;
        let rules = [
            (self.tag.is_some() && self.tag != tag, "another's head"),
            (!body.starts_with(&self.body), "bytes that were not sent to it"),
            (whole && (self.body != body || self.tag.is_none()), "not whole, and no error"),
            (trailer && self.trailer != tag, "not its trailer"),
            (received > most, "sent too often"),
            (self.tag.is_some() && received == 0, "an answer to what was not received"),
            (self.attempts.is_some_and(|n| n < received.into()), "sent oftener than it says"),
            (!may_end(plan, outcome, received), "it cannot end so"),
        ];
        match rules.into_iter().find(|(broken, _)| *broken) {
            Some((_, rule)) => Err(rule),
            None => Ok(()),
        }
    }
}

/// Whether a call may end so.
fn may_end(plan: &Plan, outcome: Outcome, received: u8) -> bool {
    use ErrorKind::{ClosedEarly, Protocol};
    const EARLY: Outcome = Outcome::Failed(ClosedEarly, None);
    const SILENT: Outcome = Outcome::Failed(ErrorKind::Timeout, Some(TimeoutPhase::Head));

    // The connection had died before the request came, which may not be sent again.
    if outcome == EARLY && received == 0 && !plan.is_idempotent() {
        return true;
    }
    match plan.fault {
        Fault::None
        | Fault::Chunked
        | Fault::UntilClose
        | Fault::Delay
        | Fault::Slow
        | Fault::ClosedAfter
        | Fault::Garbage => outcome == Outcome::Whole,
        Fault::ResetAfter => outcome == Outcome::Whole || outcome == EARLY,
        // On a fresh connection it is an error, on a used one it is sent again.
        Fault::ClosedBefore | Fault::ResetBefore if received > 1 => outcome == Outcome::Whole,
        Fault::ClosedBefore | Fault::ResetBefore => outcome == EARLY,
        Fault::Truncated | Fault::ResetWithin => outcome == EARLY,
        Fault::Malformed => outcome == Outcome::Failed(Protocol, None),
        Fault::Silent => outcome == SILENT,
        Fault::CallerLeaves | Fault::BodyDropped => outcome == Outcome::Left,
    }
}
