//! What came of all calls, and what is said about it.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use client_core::{ErrorKind, PoolStats, TimeoutPhase};
use testbed::run::rss_bytes;

use super::{Failure, plan::Fault, server::Server};

/// Calls in which memory comes to its working size.
const WARM: u64 = 2000;
/// How often it is looked at meanwhile, in calls. The most counts: bodies that are on their way make
/// it rise and fall by tens of megabytes, and one look could hit a low.
const LOOK: u64 = 100;
/// What may come to it until the end. About 250 bytes for each of a hundred thousand requests;
/// allocators keep what a burst of large bodies took.
const GROWTH: u64 = 24 << 20;
/// Broken promises that are told one by one.
const TOLD: usize = 10;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Whole,
    /// The caller wanted no more of it.
    Left,
    Failed(ErrorKind, Option<TimeoutPhase>),
}

/// Counts calls.
#[derive(Default)]
pub(super) struct Tally {
    done: AtomicU64,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    outcomes: BTreeMap<&'static str, u64>,
    faults: BTreeMap<Fault, u64>,
    /// Requests that the server received twice.
    twice: u64,
    wrong: Vec<String>,
    /// How many more there are.
    wrong_more: u64,
    /// The most memory during the first calls.
    warm: Option<u64>,
}

impl Tally {
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(super) fn count(
        &self,
        fault: Fault,
        outcome: Outcome,
        received: u8,
        wrong: Option<String>,
    ) {
        let mut counts = self.counts();
        *counts.outcomes.entry(outcome.as_str()).or_default() += 1;
        *counts.faults.entry(fault).or_default() += 1;
        counts.twice += u64::from(received > 1);
        match wrong {
            Some(wrong) if counts.wrong.len() < TOLD => counts.wrong.push(wrong),
            Some(_) => counts.wrong_more += 1,
            None => {}
        }
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if done <= WARM && done.is_multiple_of(LOOK) {
            counts.warm = counts.warm.max(rss_bytes());
        }
    }

    /// The most memory during the first calls, and memory now, where the system tells.
    pub(super) fn memory_at_end(&self) -> Option<(u64, u64)> {
        Some((self.counts().warm?, rss_bytes()?))
    }

    /// What happened, in a few lines.
    pub(super) fn report(
        &self,
        took: Duration,
        server: &Server,
        stats: &PoolStats,
        memory: Option<(u64, u64)>,
    ) -> String {
        let counts = self.counts();
        let faults = counts.faults.iter().filter(|(fault, _)| fault.is_fault());
        let survived: u64 = faults.clone().map(|(_, count)| count).sum();
        let mut text =
            format!("  {} requests in {took:.1?}: {}\n", self.done(), list(&counts.outcomes));
        let _ = writeln!(text, "  {survived} faults: {}", list(faults));
        let _ = writeln!(
            text,
            "  received twice: {}; broken promises: {}",
            counts.twice,
            counts.wrong()
        );
        let _ = writeln!(text, "  pool: {stats}");
        if let Some((warm, end)) = memory {
            let _ = writeln!(
                text,
                "  memory: at most {} KiB in the first {WARM} calls, {} KiB at the end",
                warm >> 10,
                end >> 10
            );
        }
        let _ = write!(text, "  the server's end of it: {} connections open", server.open());
        text
    }

    /// # Errors
    ///
    /// With every promise that was broken.
    pub(super) fn verdict(
        &self,
        server: &Server,
        stats: &PoolStats,
        memory: Option<(u64, u64)>,
    ) -> Result<(), Failure> {
        let counts = self.counts();
        let mut wrong = counts.wrong.clone();
        wrong.extend(server.failure());
        let open = (stats.open, stats.connecting, stats.waiting);
        if open != (0, 0, 0) || stats.created != stats.closed_in_all() {
            wrong.push(format!("the pool is not empty: {stats}"));
        }
        if stats.retried < counts.twice {
            wrong.push(format!(
                "{} were received twice, {} sent again",
                counts.twice, stats.retried
            ));
        }
        if let Some((warm, end)) = memory
            && end > warm + GROWTH
        {
            wrong.push(format!("memory grew from {warm} to {end} bytes"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn wrong(&self) -> u64 {
        self.wrong.len() as u64 + self.wrong_more
    }
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Whole => "whole",
            Outcome::Left => "given up",
            Outcome::Failed(kind, _) => kind.as_str(),
        }
    }
}

fn list<'a, K: std::fmt::Display + 'a>(
    counts: impl IntoIterator<Item = (K, &'a u64)>,
) -> String {
    let items = counts.into_iter().map(|(what, count)| format!("{count} {what}"));
    items.collect::<Vec<_>>().join(", ")
}
