//! What a run of the comparison measured: the JSON files in `book/results` that the tour's `bench` writes.
//!
//! Its rules: every figure is one of the file's, or the quotient of two; a rate is compared with
//! the peer's of the same run, never with one of another; a figure whose spread is too large to
//! quote is told as such, and shown nevertheless.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::problem::Problem;

/// The run that is kept with the sources.
pub const REFERENCE: &str = "reference";

/// The reader's own run, which is not.
pub const MINE: &str = "mine";

/// The subject that the others are compared with.
pub const PEER: &str = "hyper-util";

/// A ratio whose spread is wider than this part of it, in percent, is unfit to quote. The tour's
/// `bench` judges its rounds by the same.
pub const WIDEST_PERCENT: u32 = 10;

/// The figures to reach, below the workspace's root.
const TARGETS: &str = "benches/targets.json";

/// A run.
#[derive(Debug, Deserialize)]
pub struct Results {
    /// Whether it was built without the last optimisations, and measured for a short time.
    pub quick: bool,
    /// What it ran on.
    pub machine: Machine,
    /// By the number of callers: each subject's rate over many rounds.
    pub rates: BTreeMap<usize, Vec<Rate>>,
    /// By subject, by counter: how much of it a call takes.
    pub counters: BTreeMap<String, BTreeMap<String, f64>>,
    /// Criterion's estimates. A short run has none.
    groups: Vec<Estimate>,
}

/// What the system told of itself; what it did not is missing.
#[derive(Debug, Deserialize)]
pub struct Machine {
    system: Option<String>,
    kernel: Option<String>,
    processor: Option<String>,
    processors: Option<usize>,
    load: Option<f64>,
    pinned: bool,
}

/// A subject's rate for some number of callers.
#[derive(Debug, Deserialize)]
pub struct Rate {
    /// Whose.
    pub subject: String,
    /// Calls per second.
    pub per_second: f64,
    /// Against the peer: how many times its rate.
    pub ratio: Ratio,
}

/// A ratio and its spread.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Ratio {
    /// The spread's lower end.
    pub low: f64,
    /// The ratio itself.
    pub median: f64,
    /// The spread's upper end.
    pub high: f64,
    /// Whether the spread is small enough for the ratio to be quoted.
    pub fit: bool,
}

/// What criterion estimated: nanoseconds for a call by each caller, and the mean's confidence
/// interval.
#[derive(Debug, Deserialize)]
struct Estimate {
    group: String,
    subject: String,
    callers: String,
    nanoseconds: f64,
    low: f64,
    high: f64,
}

/// A figure to reach.
#[derive(Debug, Deserialize)]
pub struct Target {
    counter: String,
    /// What it is about.
    pub label: String,
    /// Whether more is better.
    pub at_least: bool,
    /// By subject.
    pub figures: BTreeMap<String, f64>,
}

impl Results {
    /// Reads a run; `None` if there is none of this name.
    ///
    /// # Errors
    /// A file that cannot be read, or that this version of the tool did not write.
    pub fn load(book: &Path, name: &str) -> Result<Option<Self>, Problem> {
        let path = book.join("results").join(format!("{name}.json"));
        if !path.exists() {
            return Ok(None);
        }
        let told = |error: &dyn std::fmt::Display| {
            let message = format!("{error} (`cargo run --release -- bench` writes one)");
            Problem::of(format!("book/results/{name}.json"), message)
        };
        let text = std::fs::read_to_string(&path).map_err(|e| told(&e))?;
        serde_json::from_str(&text).map(Some).map_err(|e| told(&e))
    }

    /// The subjects that were counted, in the order of reports.
    pub fn subjects(&self) -> Vec<&str> {
        let mut subjects: Vec<&str> = self.counters.keys().map(String::as_str).collect();
        subjects.sort_by_key(|subject| rank(subject));
        subjects
    }

    /// The names of criterion's groups.
    pub fn groups(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.groups.iter().map(|e| e.group.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// A group's rates by the number of callers, as far as it has the peer.
    pub fn group(&self, name: &str) -> BTreeMap<usize, Vec<Rate>> {
        let mut estimates: BTreeMap<usize, Vec<&Estimate>> = BTreeMap::new();
        for estimate in self.groups.iter().filter(|e| e.group == name) {
            if let Ok(callers) = estimate.callers.parse() {
                estimates.entry(callers).or_default().push(estimate);
            }
        }
        let compared = |(callers, mut all): (usize, Vec<&Estimate>)| {
            all.sort_by_key(|estimate| rank(&estimate.subject));
            let peer = all.iter().find(|estimate| estimate.subject == PEER)?;
            let rates = all.iter().map(|estimate| estimate.against(peer, callers)).collect();
            Some((callers, rates))
        };
        estimates.into_iter().filter_map(compared).collect()
    }

    /// A subject's figure for a target, and whether it can be quoted: what is counted always can.
    pub fn found(&self, target: &Target, subject: &str) -> Option<(f64, bool)> {
        if let Some(callers) = target.counter.strip_prefix("ratio_") {
            let rates = self.rates.get(&callers.parse().ok()?)?;
            let ratio = rates.iter().find(|rate| rate.subject == subject)?.ratio;
            return Some((ratio.median, ratio.fit));
        }
        Some((*self.counters.get(subject)?.get(&target.counter)?, true))
    }
}

/// The figures to reach, as `benches/` has them.
///
/// # Errors
/// A file that is missing or malformed.
pub fn targets(root: &Path) -> Result<Vec<Target>, Problem> {
    let text = std::fs::read_to_string(root.join(TARGETS));
    let text = text.map_err(|e| Problem::of(TARGETS, e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| Problem::of(TARGETS, e.to_string()))
}

/// Stages, then peers, then floors.
fn rank(subject: &str) -> (usize, String) {
    let rank = match subject {
        s if s.starts_with("stage") => 0,
        s if s.starts_with("floor") => 2,
        _ => 1,
    };
    (rank, subject.to_owned())
}

impl Estimate {
    /// The widest that both intervals allow: the slow end of one against the fast end of the other.
    fn against(&self, peer: &Estimate, callers: usize) -> Rate {
        let median = peer.nanoseconds / self.nanoseconds;
        let (low, high) = match self.subject == peer.subject {
            true => (self.nanoseconds / self.high, self.nanoseconds / self.low),
            false => (peer.low / self.high, peer.high / self.low),
        };
        Rate {
            subject: self.subject.clone(),
            per_second: callers as f64 * 1e9 / self.nanoseconds,
            ratio: Ratio { low, median, high, fit: is_fit(low, median, high) },
        }
    }
}

fn is_fit(low: f64, median: f64, high: f64) -> bool {
    (high - low) * 100.0 <= f64::from(WIDEST_PERCENT) * median
}

impl Machine {
    /// One sentence.
    pub fn describe(&self) -> String {
        let known =
            |part: &Option<String>| part.clone().unwrap_or_else(|| "unknown".to_owned());
        let number = |part: Option<String>| part.unwrap_or_else(|| "unknown".to_owned());
        let pinned = match self.pinned {
            true => "client and server each had their own processors",
            false => "client and server shared the processors, so rates say less",
        };
        format!(
            "{}, kernel {}; {}, {} of them; load at the start {}; {pinned}.",
            known(&self.system),
            known(&self.kernel),
            known(&self.processor),
            number(self.processors.map(|n| n.to_string())),
            number(self.load.map(|load| format!("{load:.2}"))),
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const RUN: &str = r#"{
        "quick": false,
        "machine": { "system": "linux", "kernel": null, "processor": "fast", "processors": 2,
                     "load": 0.5, "pinned": true },
        "rates": { "64": [
            { "subject": "stage1-rotor", "per_second": 900,
              "ratio": { "low": 0.89, "median": 0.9, "high": 0.91, "fit": true } },
            { "subject": "hyper-util", "per_second": 1000,
              "ratio": { "low": 1, "median": 1, "high": 1, "fit": true } } ] },
        "counters": { "floor: bare": { "bytes": 0 }, "hyper-util": { "bytes": 12502.4 },
                      "stage1-rotor": { "bytes": 866.8, "system_calls": 4.04 } },
        "groups": [
            { "group": "small", "subject": "stage1-rotor", "callers": "16",
              "nanoseconds": 200.0, "low": 190.0, "high": 210.0 },
            { "group": "small", "subject": "hyper-util", "callers": "16",
              "nanoseconds": 100.0, "low": 99.0, "high": 101.0 } ]
    }"#;

    #[test]
    fn a_group_is_compared_with_the_peer_and_judged_by_its_spread() {
        let run: Results = serde_json::from_str(RUN).unwrap();
        let rates = run.group("small").remove(&16).unwrap();
        assert_eq!(
            (rates[0].subject.as_str(), rates[1].subject.as_str()),
            ("stage1-rotor", PEER)
        );
        assert_eq!((rates[0].ratio.median, rates[0].per_second), (0.5, 80_000_000.0));
        assert!(!rates[0].ratio.fit, "from 0.47 to 0.53");
        assert!(rates[1].ratio.fit, "from 0.99 to 1.01");
        assert!(run.group("large").is_empty());
    }

    #[test]
    fn targets_are_found_among_ratios_and_counters() {
        let run: Results = serde_json::from_str(RUN).unwrap();
        let target = |counter: &str| Target {
            counter: counter.to_owned(),
            label: String::new(),
            at_least: false,
            figures: BTreeMap::new(),
        };
        assert_eq!(run.found(&target("ratio_64"), "stage1-rotor"), Some((0.9, true)));
        assert_eq!(run.found(&target("system_calls"), "stage1-rotor"), Some((4.04, true)));
        assert_eq!(run.found(&target("system_calls"), PEER), None);
        assert_eq!(run.subjects(), ["stage1-rotor", PEER, "floor: bare"]);
    }
}
