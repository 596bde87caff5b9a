//! Recordings as text for a terminal.

use std::fmt::Write;

use super::recording::{Happening, Recording};

/// The width of a lane's column.
const COLUMN: usize = 27;

/// How the listings are read.
pub(super) const LEGEND: &str = "\
r1 is the first request, c1 the first connection, B are bytes. What did not happen on the
loop's thread is marked: > on the caller's, ? on the resolver's.
";

/// The lanes side by side, part by part, and how many events of each kind there are.
pub(super) fn listing(recording: &Recording) -> String {
    let mut out = format!("\n{}: {}\n\n", recording.scenario, recording.about);
    row(&mut out, recording.lanes.iter().map(|lane| lane.stage.clone()));
    for (number, title) in recording.parts.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\n  {title}");
        let lanes: Vec<Vec<&Happening>> = recording
            .lanes
            .iter()
            .map(|lane| lane.events.iter().filter(|event| event.part == number).collect())
            .collect();
        for line in 0..lanes.iter().map(Vec::len).max().unwrap_or(0) {
            let cell = |lane: &Vec<&Happening>| {
                lane.get(line).map_or_else(String::new, |event| marked(event))
            };
            row(&mut out, lanes.iter().map(cell));
        }
    }
    counts(recording, &mut out);
    out
}

fn marked(event: &Happening) -> String {
    let mark = match event.thread.as_str() {
        "caller" => "> ",
        "resolver" => "? ",
        _ => "  ",
    };
    format!("{mark}{event}")
}

fn row(out: &mut String, cells: impl Iterator<Item = String>) {
    let line: String = cells.map(|cell| format!("{cell:<COLUMN$} ")).collect();
    out.push_str(line.trim_end());
    out.push('\n');
}

/// A table of the kinds, in the order in which they first come.
fn counts(recording: &Recording, out: &mut String) {
    let mut kinds: Vec<&str> = Vec::new();
    for event in recording.lanes.iter().flat_map(|lane| &lane.events) {
        if !kinds.contains(&event.what.as_str()) {
            kinds.push(&event.what);
        }
    }
    out.push_str("\n  How many of each:\n");
    let line = |name: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!(" {cell:>13}")).collect();
        format!("  {name:<12}{cells}\n")
    };
    let stages = recording.lanes.iter().map(|lane| lane.stage.clone());
    out.push_str(&line("", stages.collect()));
    for kind in kinds {
        let of_kind = recording.lanes.iter().map(|lane| {
            lane.events.iter().filter(|event| event.what == kind).count().to_string()
        });
        out.push_str(&line(kind, of_kind.collect()));
    }
    let all = recording.lanes.iter().map(|lane| lane.events.len().to_string());
    out.push_str(&line("all", all.collect()));
}
