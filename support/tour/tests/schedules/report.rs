//! Makes a schedule that fails smaller, and describes it.

use std::{fmt::Write, time::Instant};

use crate::{
    Departures, SHORT, SHRINKING, compare, model::Script, play::Departure, schedule::Schedule,
    seen::Seen, server::Server,
};

/// Leaves out of a schedule what is not needed for its failure, and describes the rest.
pub(crate) fn smallest(
    schedule: &Schedule,
    server: &mut Server,
    departures: Departures,
) -> String {
    let mut schedule = schedule.clone();
    let mut found = (Script::of(&schedule), departures);
    let begun = Instant::now();
    let mut length = schedule.wishes.len().div_ceil(2);
    while length > 0 && begun.elapsed() < SHRINKING {
        let mut from = 0;
        while from < schedule.wishes.len() && begun.elapsed() < SHRINKING {
            let mut smaller = schedule.clone();
            let to = (from + length).min(smaller.wishes.len());
            smaller.wishes.drain(from..to);
            let script = Script::of(&smaller);
            let departures = compare(&script, server, SHORT);
            if departures.iter().any(|(_, departure)| departure.is_some()) {
                (schedule, found) = (smaller, (script, departures));
            } else {
                from += length;
            }
        }
        length /= 2;
    }
    describe(&found.0, &found.1)
}

/// The acts up to the first departure, and what each client shows there.
pub(crate) fn describe(script: &Script, departures: &Departures) -> String {
    let steps = departures.iter().filter_map(|(_, departure)| departure.as_ref());
    let step = steps.map(|departure| departure.step).min().unwrap_or(0);
    let mut text = format!("{:?}\n", script.settings);
    for (index, step) in script.steps[..=step].iter().enumerate() {
        let _ = writeln!(text, "{index:3} {:?}", step.act);
    }
    for (stage, departure) in departures {
        let _ = match departure {
            Some(departure) if departure.step == step => {
                writeln!(text, "{stage} differs:\n{}", difference(script, departure))
            }
            _ => writeln!(text, "{stage} does what the shared rules predict"),
        };
    }
    text
}

/// The lines in which two observations differ.
fn difference(script: &Script, departure: &Departure) -> String {
    let lines = |seen: &Seen| {
        let mut lines: Vec<_> = Vec::new();
        for (index, call) in seen.calls.iter().enumerate() {
            lines.push(format!("call {index}: {call:?}"));
        }
        for (index, connection) in seen.connections.iter().enumerate() {
            lines.push(format!("connection {index}: {connection:?}"));
        }
        lines.push(format!("lookups: {:?}; closed: {}", seen.lookups, seen.closed));
        lines.push(format!("pool: {}", seen.stats));
        lines
    };
    let (expected, got) = (lines(&script.steps[departure.step].seen), lines(&departure.seen));
    let mut text = String::new();
    for line in expected.iter().filter(|line| !got.contains(line)) {
        let _ = writeln!(text, "  expected {line}");
    }
    for line in got.iter().filter(|line| !expected.contains(line)) {
        let _ = writeln!(text, "  got      {line}");
    }
    text
}
