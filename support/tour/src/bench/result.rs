//! What came out, as data.

use std::{collections::BTreeMap, fs, path::Path, time::SystemTime};

use serde_json::{Map, Value, json};

use super::{Effort, Failure, counted::Tool, programs::Programs};

/// The subject that the others are compared with.
const PEER: &str = "hyper-util";

/// The figures to reach, from `benches/`.
const TARGETS: &str = include_str!("../../../../benches/targets.json");

/// A ratio whose middle half of rounds is wider than this part of it is unfit to quote.
const SPREAD: f64 = 0.1;

/// All that was measured.
pub(super) struct Comparison {
    pub(super) quick: bool,
    /// As `benches/machine.rs` describes it.
    pub(super) machine: Value,
    /// The rates of each number of callers.
    pub(super) rates: BTreeMap<usize, Vec<Rate>>,
    /// By subject, by counter; in the order of reports.
    pub(super) counters: Vec<(String, BTreeMap<&'static str, f64>)>,
    /// Criterion's estimates.
    groups: Vec<Value>,
}

/// A subject's rate.
pub(super) struct Rate {
    pub(super) subject: String,
    /// Calls per second, the median of all rounds.
    pub(super) per_second: f64,
    /// Against the peer in the same round.
    pub(super) ratio: Quartiles,
}

/// The middle of repeated measurements, and between what the middle half of them lies.
#[derive(Clone, Copy)]
pub(super) struct Quartiles {
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

/// Where a subject stands against one of the figures to reach.
pub(super) struct Standing {
    pub(super) label: String,
    pub(super) subject: String,
    pub(super) at_least: bool,
    pub(super) wanted: f64,
    /// `None` if it could not be measured here.
    pub(super) found: Option<f64>,
    /// Whether what was found can be quoted.
    pub(super) fit: bool,
}

impl Quartiles {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |part: usize| values.get(values.len() * part / 4).copied().unwrap_or(f64::NAN);
        Quartiles { low: at(1), median: at(2), high: at(3) }
    }

    /// Whether the rounds agree well enough for the figure to be quoted.
    pub(super) fn is_fit(self) -> bool {
        self.high - self.low <= SPREAD * self.median
    }
}

impl Standing {
    pub(super) fn is_met(&self) -> Option<bool> {
        let found = self.found?;
        Some(if self.at_least { found >= self.wanted } else { found <= self.wanted })
    }
}

impl Comparison {
    pub(super) fn measure(programs: &Programs, effort: Effort) -> Result<Self, Failure> {
        let mut machine = Value::Null;
        let mut rates = BTreeMap::new();
        for callers in [1, 64] {
            let mut rounds = programs.rounds(callers, effort)?;
            rates.insert(callers, compared(&rounds["subjects"])?);
            machine = rounds["machine"].take();
        }
        let counters = counters(programs)?;
        let begun = SystemTime::now();
        programs.criterion(effort.quick)?;
        let groups = estimates(&programs.target.join("criterion"), begun)?;
        Ok(Comparison { quick: effort.quick, machine, rates, counters, groups })
    }

    /// Where each stage stands.
    pub(super) fn standings(&self) -> Result<Vec<Standing>, Failure> {
        let targets: Vec<Value> = serde_json::from_str(TARGETS)?;
        let mut standings = Vec::new();
        for target in &targets {
            let figures = target["figures"].as_object().into_iter().flatten();
            standings.extend(figures.filter_map(|(subject, wanted)| {
                let (found, fit) = self.figure(target["counter"].as_str()?, subject).unzip();
                Some(Standing {
                    label: target["label"].as_str()?.to_owned(),
                    subject: subject.clone(),
                    at_least: target["at_least"].as_bool()?,
                    wanted: wanted.as_f64()?,
                    found,
                    fit: fit.unwrap_or(false),
                })
            }));
        }
        Ok(standings)
    }

    /// A subject's figure, and whether it can be quoted: what is counted always can.
    fn figure(&self, counter: &str, subject: &str) -> Option<(f64, bool)> {
        if let Some(callers) = counter.strip_prefix("ratio_") {
            let rates = self.rates.get(&callers.parse().ok()?)?;
            let ratio = rates.iter().find(|rate| rate.subject == subject)?.ratio;
            return Some((ratio.median, ratio.is_fit()));
        }
        let (_, counts) = self.counters.iter().find(|(name, _)| name == subject)?;
        Some((*counts.get(counter)?, true))
    }

    /// The same as data.
    pub(super) fn to_json(&self) -> Value {
        let rates: Map<_, _> = self
            .rates
            .iter()
            .map(|(callers, rates)| {
                let rates: Vec<_> = rates.iter().map(Rate::to_json).collect();
                (callers.to_string(), rates.into())
            })
            .collect();
        let counters: Map<_, _> = self
            .counters
            .iter()
            .map(|(subject, counts)| (subject.clone(), json!(counts)))
            .collect();
        json!({
            "quick": self.quick,
            "machine": self.machine,
            "rates": rates,
            "counters": counters,
            "groups": self.groups,
        })
    }
}

impl Rate {
    fn to_json(&self) -> Value {
        let Quartiles { low, median, high } = self.ratio;
        json!({
            "subject": self.subject,
            "per_second": self.per_second.round(),
            "ratio": { "low": low, "median": median, "high": high, "fit": self.ratio.is_fit() },
        })
    }
}

/// The rates of one number of callers, each against the peer's in its round.
fn compared(subjects: &Value) -> Result<Vec<Rate>, Failure> {
    let rounds = |subject: &Value| -> Vec<f64> {
        subject["rates"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
    };
    let subjects = subjects.as_array().ok_or("expected subjects")?;
    let peer = subjects.iter().find(|subject| subject["subject"] == PEER).map(rounds);
    let peer = peer.ok_or("expected the peer among the subjects")?;
    let rate = |subject: &Value| {
        let rates = rounds(subject);
        let ratio =
            Quartiles::of(rates.iter().zip(&peer).map(|(own, peer)| own / peer).collect());
        let name = subject["subject"].as_str().unwrap_or_default().to_owned();
        Rate { subject: name, per_second: Quartiles::of(rates).median, ratio }
    };
    Ok(subjects.iter().map(rate).collect())
}

/// A subject's name, and each of its counters per call.
type Counts = (String, BTreeMap<&'static str, f64>);

fn counters(programs: &Programs) -> Result<Vec<Counts>, Failure> {
    let heap = programs.allocations()?;
    let heap = heap["subjects"].as_array().ok_or("expected subjects")?;
    let subjects: Vec<String> =
        heap.iter().filter_map(|row| Some(row["subject"].as_str()?.to_owned())).collect();
    let mut counters: Vec<_> =
        subjects.iter().map(|subject| (subject.clone(), BTreeMap::new())).collect();
    for ((_, counts), row) in counters.iter_mut().zip(heap) {
        for name in ["allocations", "bytes"] {
            counts.extend(row[name].as_f64().map(|count| (name, count)));
        }
    }
    for (name, tool) in [("system_calls", Tool::Strace), ("instructions", Tool::Callgrind)] {
        for ((_, counts), count) in
            counters.iter_mut().zip(tool.count(programs, &subjects)?.into_iter().flatten())
        {
            counts.insert(name, count);
        }
    }
    Ok(counters)
}

/// Criterion's estimates: `GROUP/SUBJECT/CALLERS/new/{benchmark,estimates}.json`. Older ones are of
/// other runs.
fn estimates(folder: &Path, since: SystemTime) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name == "new") {
                if fs::metadata(path.join("estimates.json"))?.modified()? >= since {
                    found.push(estimate(&path)?);
                }
            } else if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort_by_cached_key(|one| {
        let callers = one["callers"].as_str().and_then(|callers| callers.parse::<usize>().ok());
        (one["group"].to_string(), callers, one["subject"].to_string())
    });
    Ok(found)
}

/// One of them, in nanoseconds for a call by each caller.
fn estimate(folder: &Path) -> Result<Value, Failure> {
    let read = |name| -> Result<Value, Failure> {
        Ok(serde_json::from_slice(&fs::read(folder.join(name))?)?)
    };
    let (benchmark, estimates) = (read("benchmark.json")?, read("estimates.json")?);
    let mean = &estimates["mean"];
    let interval = &mean["confidence_interval"];
    Ok(json!({
        "group": benchmark["group_id"],
        "subject": benchmark["function_id"],
        "callers": benchmark["value_str"],
        "nanoseconds": mean["point_estimate"],
        "low": interval["lower_bound"],
        "high": interval["upper_bound"],
    }))
}
