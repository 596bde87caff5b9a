//! A conversation, and what a caller has to get in it.

use http::{HeaderMap, StatusCode, Version};
use proptest::{collection::vec, prelude::*};

use super::{
    act::{self, Act},
    request::{self, Ask, Field, Text},
    stage::{Answer, MAX_BODY},
};

/// A few exchanges, one after the other, over a pool of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) exchanges: Vec<Exchange>,
}

/// A request, and what the server does each time that it is sent; the last of them from then on.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) ask: Ask,
    pub(crate) acts: Vec<Act>,
}

impl Exchange {
    /// What the server does when it receives the request for this time, from 0.
    pub(crate) fn act(&self, time: usize) -> &Act {
        &self.acts[time.min(self.acts.len() - 1)]
    }
}

impl Talk {
    /// What all three clients agree on can still be wrong.
    ///
    /// # Errors
    ///
    /// With what is.
    pub(crate) fn check(&self, answers: &[Answer]) -> Result<(), String> {
        for (index, (exchange, answer)) in self.exchanges.iter().zip(answers).enumerate() {
            exchange
                .check(answer)
                .map_err(|wrong| format!("exchange {index}: {wrong}: {answer:?}"))?;
        }
        Ok(())
    }
}

impl Exchange {
    fn check(&self, answer: &Answer) -> Result<(), String> {
        if self.ask.is_refused() {
            return equal("times sent", 0, answer.received);
        }
        let (method, last) = (self.ask.method, answer.received.saturating_sub(1));
        let act = self.act(last);
        if answer.received == 0 {
            return Err("it was never sent".to_owned());
        }
        if !act.is_clean(method) || act.reply.body(method).len() > MAX_BODY {
            return Ok(());
        }
        let reply = &act.reply;
        let Some(head) = &answer.head else {
            return Err("a response was not delivered".to_owned());
        };
        equal("error", None, answer.error)?;
        equal("status", StatusCode::from_u16(reply.status).ok(), Some(head.status))?;
        let version = if reply.old { Version::HTTP_10 } else { Version::HTTP_11 };
        equal("version", version, head.version)?;
        equal("fields", written(&reply.fields), meaningless(&head.headers))?;
        equal("body", reply.body(method), &answer.body.0[..])?;
        let trailers = answer.trailers.as_ref().map(meaningless).unwrap_or_default();
        equal("trailers", written(reply.trailers(method)), trailers)
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, sent: T, got: T) -> Result<(), String> {
    if sent == got { Ok(()) } else { Err(format!("{what}: sent {sent:?}, got {got:?}")) }
}

/// Fields as sent, in an order that a map of them keeps too.
fn written(fields: &[Field]) -> Vec<Field> {
    let lower = |(name, value): &Field| (name.to_ascii_lowercase(), value.clone());
    let mut fields: Vec<_> = fields.iter().map(lower).collect();
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

fn meaningless(headers: &HeaderMap) -> Vec<Field> {
    let fields =
        headers.iter().map(|(name, value)| (name.to_string(), Text(value.as_bytes().to_vec())));
    let fields: Vec<_> = fields.filter(|(name, _)| name.starts_with("x-")).collect();
    written(&fields)
}

pub(crate) fn any() -> impl Strategy<Value = Talk> {
    let exchange = (request::any(), act::acts()).prop_map(|(ask, acts)| Exchange { ask, acts });
    vec(exchange, 1..6).prop_map(|exchanges| Talk { exchanges })
}
