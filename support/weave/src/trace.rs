//! Recordings of the three stages, which the tour makes: one JSON file for each scenario, in
//! `book/recordings/trace`.
//!
//! Its rules: a lane is a stage's own run, and lanes are compared part by part, never by a clock; a
//! word that is not of the vocabulary is an error, since a reader could look it up nowhere.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::problem::{Cause, Problem};
use crate::sources::nearest::nearest;

/// The vocabulary, in the order in which an exchange comes to the words, with what each says.
pub const WORDS: &[(&str, &str)] = &[
    ("spawn", "a thread, a machine or a task is started"),
    ("wake", "somebody who sleeps is called: the loop, a machine, a caller"),
    ("wait", "a request stands in the pool's queue"),
    ("checkout", "a request gets a connection"),
    ("resolve", "a resolver is asked for a name"),
    ("connect", "a socket begins to connect"),
    ("register", "the kernel is told to watch a socket"),
    ("deregister", "the kernel is told to watch a socket no longer"),
    ("ready", "the kernel has reported that a socket is ready"),
    ("would_block", "an operation found that there is nothing to do now"),
    ("blocked_on", "it is noted which readiness an operation waits for"),
    ("tls", "TLS has taken a step"),
    ("write", "the kernel took bytes"),
    ("read", "the kernel gave bytes; none are the end"),
    ("frame", "a part of the response was recognised: its head, data, its end"),
    ("timer", "a deadline was set, or has come"),
    ("checkin", "a connection is idle"),
    ("retry", "a request is sent again"),
    ("cancel", "a caller has given up"),
    ("close", "a socket is closed"),
];

/// One scenario, as each stage played it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// Its name.
    pub scenario: String,
    /// What happens in it.
    pub about: String,
    /// The causes, in the order in which each stage meets them.
    pub parts: Vec<String>,
    /// The stages.
    pub lanes: Vec<Lane>,
}

/// What one stage did.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// `stage1-rotor`, and so on.
    pub stage: String,
    /// Its events, in their order.
    pub events: Vec<Event>,
}

/// One event.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The part to which it belongs.
    pub part: usize,
    /// A word of the vocabulary.
    pub what: String,
    /// On whose thread: `loop`, `caller` or `resolver`.
    pub thread: String,
    /// The request, if the stage names it.
    pub request: Option<usize>,
    /// The connection, likewise.
    pub connection: Option<usize>,
    /// Bytes that were moved.
    pub bytes: Option<u64>,
    /// `read`, `write` or `read and write`.
    pub direction: Option<String>,
    /// What the stage says about it besides.
    pub why: Option<String>,
}

impl Recording {
    /// Reads a scenario's recording.
    ///
    /// # Errors
    /// A message that names the recordings that there are, or the problem of the file.
    pub fn load(book: &Path, scenario: &str) -> Result<Self, Cause> {
        let folder = book.join("recordings/trace");
        let text = fs::read_to_string(folder.join(format!("{scenario}.json")))
            .map_err(|_| missing(&folder, scenario))?;
        let recording = Self::read(&text).map_err(|message| {
            Problem::of(format!("book/recordings/trace/{scenario}.json"), message)
        })?;
        Ok(recording)
    }

    fn read(text: &str) -> Result<Self, String> {
        let recording: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        for event in recording.lanes.iter().flat_map(|lane| &lane.events) {
            about(&event.what)?;
            if event.part >= recording.parts.len() {
                return Err(format!("the recording has no part {}", event.part));
            }
        }
        Ok(recording)
    }

    /// The lane of a stage, by its number.
    ///
    /// # Errors
    /// If it is no number of a stage that was recorded.
    pub fn lane(&self, stage: &str) -> Result<&Lane, String> {
        let named = format!("stage{stage}-");
        let found = self.lanes.iter().find(|lane| lane.stage.starts_with(&named));
        found.ok_or_else(|| {
            let stages: Vec<&str> = self.lanes.iter().map(|lane| lane.stage.as_str()).collect();
            format!("`{stage}` is no stage of `{}`: {}", self.scenario, stages.join(", "))
        })
    }
}

impl Lane {
    /// How many events there are of a word; of all, if it is `all`.
    ///
    /// # Errors
    /// If there is no such word.
    pub fn count(&self, what: &str) -> Result<usize, String> {
        if what == "all" {
            return Ok(self.events.len());
        }
        about(what)?;
        Ok(self.events.iter().filter(|event| event.what == what).count())
    }
}

/// What a word says.
///
/// # Errors
/// If there is no such word, with those that are near.
pub fn about(word: &str) -> Result<&'static str, String> {
    WORDS.iter().find(|(known, _)| *known == word).map(|(_, about)| *about).ok_or_else(|| {
        let near = nearest(word, WORDS.iter().map(|(known, _)| *known), 3).join("`, `");
        format!("`{word}` is no word of a recording; the nearest are `{near}`")
    })
}

fn missing(folder: &Path, scenario: &str) -> String {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    names.sort();
    format!(
        "no recording `{scenario}`; there is {}; `cargo run --release -- trace --write` makes them",
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    )
}
