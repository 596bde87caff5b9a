//! The callers of one origin that wait for a connection, first come, first served.
//!
//! Its rules:
//! - each waiter stands in one of two maps: those for whom a connect chain was started, and those
//!   for whom none was. So "the oldest without a chain" is found without a search;
//! - a request that is sent again takes no connection but the one that its own chain makes: another
//!   used one could be stale like the first.

use std::collections::BTreeMap;

use crate::call::{Job, Ticket};

#[derive(Default)]
pub(crate) struct Waiters {
    unchained: BTreeMap<Ticket, Job>,
    chained: BTreeMap<Ticket, Waiter>,
}

struct Waiter {
    job: Job,
    /// Only the connection that its own chain makes will do.
    fresh_only: bool,
}

impl Waiters {
    pub(crate) fn len(&self) -> usize {
        self.unchained.len() + self.chained.len()
    }

    /// How many have no chain.
    pub(crate) fn unchained(&self) -> usize {
        self.unchained.len()
    }

    /// The oldest without a chain, if the oldest `promised` of them are provided for.
    pub(crate) fn first_unchained(&self, promised: usize) -> Option<Ticket> {
        self.unchained.keys().nth(promised).copied()
    }

    /// A new caller.
    pub(crate) fn push(&mut self, job: Job) {
        self.unchained.insert(job.ticket(), job);
    }

    /// A request that is to be sent again, by the connection of its own chain.
    pub(crate) fn push_again(&mut self, job: Job) {
        self.chained.insert(job.ticket(), Waiter { job, fresh_only: true });
    }

    /// Notes that a chain was started for this one.
    pub(crate) fn chain(&mut self, ticket: Ticket) {
        if let Some(job) = self.unchained.remove(&ticket) {
            self.chained.insert(ticket, Waiter { job, fresh_only: false });
        }
    }

    /// The oldest that any connection can serve.
    pub(crate) fn oldest(&self) -> Option<Ticket> {
        let chained = self.chained.iter().find(|(_, waiter)| !waiter.fresh_only);
        let chained = chained.map(|(ticket, _)| *ticket);
        [self.first_unchained(0), chained].into_iter().flatten().min()
    }

    pub(crate) fn has(&self, ticket: Ticket) -> bool {
        self.unchained.contains_key(&ticket) || self.chained.contains_key(&ticket)
    }

    /// Takes out one waiter, if it still waits.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<Job> {
        match self.unchained.remove(&ticket) {
            Some(job) => Some(job),
            None => self.chained.remove(&ticket).map(|waiter| waiter.job),
        }
    }
}
