//! A recording: what is left of the events when all is taken off that another run has otherwise.
//!
//! Its rules: no time, no port, no address; requests and connections are numbered in the order in
//! which a stage first names them; what stages call by different fields has one name here.

use std::{fmt, fmt::Write};

use serde::{Deserialize, Serialize};

use super::{
    script::{END, Script},
    tape::{Entry, Said},
};

/// One script, as each stage played it.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(super) struct Recording {
    /// The script's name.
    pub(super) scenario: String,
    /// What happens in it.
    pub(super) about: String,
    /// The titles of its parts, in the order in which every stage comes to them.
    pub(super) parts: Vec<String>,
    /// A lane for each stage that this platform has.
    pub(super) lanes: Vec<Lane>,
}

/// What one stage did.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(super) struct Lane {
    /// `stage1-rotor`, and so on.
    pub(super) stage: String,
    /// Its events, in their order.
    pub(super) events: Vec<Happening>,
}

/// One event.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(super) struct Happening {
    /// The part of the script to which it belongs, from 0.
    pub(super) part: usize,
    /// The word of the vocabulary.
    pub(super) what: String,
    /// On whose thread: `loop`, `caller` or `resolver`.
    pub(super) thread: String,
    /// The request, if the stage names it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) request: Option<usize>,
    /// The connection, likewise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) connection: Option<usize>,
    /// Bytes that were moved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) bytes: Option<u64>,
    /// `read`, `write`, or both.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) direction: Option<String>,
    /// What the stage says about it besides.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) why: Option<String>,
}

/// Numbers in the order in which they are first named.
#[derive(Default)]
struct Numbers(Vec<String>);

impl Numbers {
    fn of(&mut self, name: &str) -> usize {
        let known = self.0.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        }) + 1
    }
}

impl Recording {
    /// A recording without a lane.
    pub(super) fn new(script: Script) -> Self {
        Recording {
            scenario: script.name().to_owned(),
            about: script.about().to_owned(),
            parts: Vec::new(),
            lanes: Vec::new(),
        }
    }

    /// Adds what one stage did.
    ///
    /// # Errors
    ///
    /// If the parts are not those of the stages before.
    pub(super) fn add(&mut self, stage: &str, entries: Vec<Entry>) -> Result<(), String> {
        let (parts, events) = lane(entries);
        if self.lanes.is_empty() {
            self.parts = parts;
        } else if self.parts != parts {
            return Err(format!("{stage} went through other parts: {parts:?}"));
        }
        self.lanes.push(Lane { stage: stage.to_owned(), events });
        Ok(())
    }

    /// As it is kept: JSON, with a line for each event, so that a difference is a line.
    pub(super) fn to_json(&self) -> serde_json::Result<String> {
        let text = |value: &str| serde_json::to_string(value);
        let mut out = format!(
            "{{\n \"scenario\": {},\n \"about\": {},\n \"parts\": [\n",
            text(&self.scenario)?,
            text(&self.about)?
        );
        let parts: Result<Vec<_>, _> = self.parts.iter().map(|part| text(part)).collect();
        out.push_str(&lines("  ", &parts?));
        out.push_str(" ],\n \"lanes\": [\n");
        let mut lanes = Vec::new();
        for lane in &self.lanes {
            let events: Result<Vec<_>, _> =
                lane.events.iter().map(serde_json::to_string).collect();
            lanes.push(format!(
                "{{\"stage\": {}, \"events\": [\n{}  ]}}",
                text(&lane.stage)?,
                lines("   ", &events?)
            ));
        }
        out.push_str(&lines("  ", &lanes));
        out.push_str(" ]\n}\n");
        Ok(out)
    }
}

fn lines(indent: &str, items: &[String]) -> String {
    let mut out = String::new();
    for (n, item) in items.iter().enumerate() {
        let comma = if n + 1 < items.len() { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{indent}{item}{comma}");
    }
    out
}

/// The titles of the parts, and the events in them.
fn lane(entries: Vec<Entry>) -> (Vec<String>, Vec<Happening>) {
    let (mut parts, mut events): (Vec<String>, Vec<Happening>) = Default::default();
    let (mut requests, mut connections) = (Numbers::default(), Numbers::default());
    for entry in entries {
        match entry {
            Entry::Part(END) => break,
            Entry::Part(title) => parts.push(title.to_owned()),
            Entry::Said(said) => {
                let mut event = happening(&said, &mut requests, &mut connections);
                event.part = parts.len().saturating_sub(1);
                events.push(event);
            }
        }
    }
    (parts, events)
}

fn happening(said: &Said, requests: &mut Numbers, connections: &mut Numbers) -> Happening {
    let thread = match said.thread.as_str() {
        name if name.contains("resolver") => "resolver",
        name if name.starts_with("stage") => "loop",
        _ => "caller",
    };
    let mut event = Happening {
        what: said.what.clone(),
        thread: thread.to_owned(),
        ..Happening::default()
    };
    for (name, value) in &said.fields {
        match *name {
            "request" => event.request = Some(requests.of(value)),
            "connection" => event.connection = Some(connections.of(value)),
            "bytes" => event.bytes = value.parse().ok(),
            "direction" => event.direction = Some(value.clone()),
            "why" => event.why = Some(value.clone()),
            _ => {}
        }
    }
    event.direction = event.direction.or_else(|| readiness(said));
    event
}

/// What a `ready` says: rotor's set of events, or a flag for each direction.
fn readiness(said: &Said) -> Option<String> {
    let field = |name: &str| said.fields.iter().find(|(known, _)| *known == name);
    let told = |flag: &str, word: &str| {
        field(flag).is_some_and(|(_, value)| value == "true")
            || field("events").is_some_and(|(_, value)| value.to_lowercase().contains(word))
    };
    match (told("read", "readable"), told("write", "writable")) {
        (true, true) => Some("read and write".to_owned()),
        (true, false) => Some("read".to_owned()),
        (false, true) => Some("write".to_owned()),
        (false, false) => None,
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(request) = self.request {
            write!(f, " r{request}")?;
        }
        if let Some(connection) = self.connection {
            write!(f, " c{connection}")?;
        }
        if let Some(direction) = &self.direction {
            write!(f, " {direction}")?;
        }
        if let Some(bytes) = self.bytes {
            write!(f, " {bytes} B")?;
        }
        if let Some(why) = &self.why {
            write!(f, ": {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(what: &str, fields: &[(&'static str, &str)]) -> Said {
        Said {
            what: what.to_owned(),
            fields: fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            thread: "stage2-mio".to_owned(),
            ..Said::default()
        }
    }

    fn texts(entries: Vec<Entry>) -> Vec<String> {
        lane(entries).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn numbers_begin_at_one_and_follow_the_order_of_the_run() {
        let entries = [("7", "40"), ("9", "40"), ("7", "41")].map(|(request, connection)| {
            Entry::Said(said("checkout", &[("request", request), ("connection", connection)]))
        });
        assert_eq!(
            texts(entries.to_vec()),
            ["checkout r1 c1", "checkout r2 c1", "checkout r1 c2"]
        );
    }

    #[test]
    fn readiness_is_told_alike_whatever_the_loop_calls_it() {
        let entries = [
            said("ready", &[("events", "Readable | Writable")]),
            said("ready", &[("read", "true"), ("write", "true")]),
            said("ready", &[("read", "false"), ("write", "true")]),
            said("would_block", &[("direction", "read"), ("address", "127.0.0.1:8080")]),
        ];
        assert_eq!(
            texts(entries.map(Entry::Said).to_vec()),
            ["ready read and write", "ready read and write", "ready write", "would_block read"]
        );
    }

    #[test]
    fn what_comes_after_the_end_is_no_part_of_it_and_the_rest_survives_being_kept() {
        let entries = vec![
            Entry::Part("One"),
            Entry::Said(said("write", &[("bytes", "49"), ("why", "\"quoted\"")])),
            Entry::Part("Two"),
            Entry::Part(END),
            Entry::Said(said("close", &[])),
        ];
        let mut recording = Recording::new(Script::Exchange);
        recording.add("stage2-mio", entries).unwrap();
        assert_eq!(recording.parts, ["One", "Two"]);
        assert_eq!(recording.lanes[0].events.len(), 1);
        let kept: Recording = serde_json::from_str(&recording.to_json().unwrap()).unwrap();
        assert_eq!(kept, recording);
        let other = recording.add("stage3-tokio", vec![Entry::Part("One")]);
        assert!(other.unwrap_err().contains("stage3-tokio"));
    }
}
