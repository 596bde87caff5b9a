//! Records the same exchanges on each stage, shows the recordings side by side, and keeps them for
//! the book.
//!
//! Its rules: a recording is a run of the client that everybody uses, under the scripts of
//! [`script`]; what is kept of it is what another run has again, and a check records anew and
//! compares, so that the book cannot show what the code no longer does.

mod check;
mod names;
mod recording;
mod rest;
mod script;
mod show;
mod tape;

use std::{
    error::Error,
    fs,
    io::{self, Write},
    path::PathBuf,
};

use client_core::ApiClient;

use crate::{book, screen};
use recording::{Lane, Recording};
use script::Script;
use tape::Tape;

type Failure = Box<dyn Error>;

/// Where recordings are kept, below the workspace's root.
const FOLDER: &str = "book/recordings/trace";

/// How often a script is played until it goes as it did before. On a machine that is very busy a
/// timer may run out that otherwise does not.
const TRIES: usize = 3;

/// How often a script that is not settled is played, to find what is usual.
const PLAYS: usize = 40;

/// What becomes of the recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are printed, of all stages or of one.
    Show { stage: Option<usize> },
    /// They are printed and kept, where the book finds them.
    Write,
    /// They are compared with those that are kept.
    Check,
}

/// Plays all scripts on the stages.
pub(crate) fn all(mode: Mode) -> Result<(), Failure> {
    let tape = Tape::install()?;
    let mut out = io::stdout();
    if mode != Mode::Check {
        out.write_all(show::LEGEND.as_bytes())?;
    }
    for script in Script::ALL {
        match mode {
            Mode::Show { stage } => {
                let recording = record(script, &tape, stage)?;
                out.write_all(show::listing(&recording).as_bytes())?;
            }
            Mode::Write => {
                let what = format!("Playing `{}` again and again", script.name());
                let recording = screen::during(&what, || usual(script, &tape))?;
                out.write_all(show::listing(&recording).as_bytes())?;
                keep(&recording)?;
            }
            Mode::Check => {
                check(script, &tape)?;
                writeln!(out, "{}: as it is kept", script.name())?;
            }
        }
    }
    if mode == Mode::Write {
        writeln!(out, "Kept in {FOLDER}, where the book finds them.")?;
    }
    Ok(())
}

/// Plays a script, on all stages that this platform has, or on one.
fn record(script: Script, tape: &Tape, stage: Option<usize>) -> Result<Recording, Failure> {
    let mut recording = Recording::new(script);
    let wanted = |number| stage.is_none_or(|stage| stage == number);
    #[cfg(not(windows))] // mio 0.5 is unsound on Windows (RUSTSEC-2020-0080).
    if wanted(1) {
        lane::<stage1_rotor::Client>(script, tape, &mut recording)?;
    }
    if wanted(2) {
        lane::<stage2_mio::Client>(script, tape, &mut recording)?;
    }
    if wanted(3) {
        lane::<stage3_tokio::Client>(script, tape, &mut recording)?;
    }
    Ok(recording)
}

fn lane<C: ApiClient>(
    script: Script,
    tape: &Tape,
    into: &mut Recording,
) -> Result<(), Failure> {
    script.play::<C>(tape)?;
    Ok(into.add(C::STAGE, tape.take(C::STAGE))?)
}

/// A script's recording; of one that is not settled, what each stage does most often.
fn usual(script: Script, tape: &Tape) -> Result<Recording, Failure> {
    let mut recording = record(script, tape, None)?;
    if script.is_settled() {
        return Ok(recording);
    }
    let plays: Result<Vec<_>, _> = (0..PLAYS).map(|_| record(script, tape, None)).collect();
    let plays = plays?;
    for (number, lane) in recording.lanes.iter_mut().enumerate() {
        let lanes = || plays.iter().map(|play| &play.lanes[number]);
        let often = |lane: &&Lane| lanes().filter(|other| other == lane).count();
        if let Some(usual) = lanes().max_by_key(often) {
            lane.clone_from(usual);
        }
    }
    Ok(recording)
}

/// Compares a script's recording with the one that is kept.
fn check(script: Script, tape: &Tape) -> Result<(), Failure> {
    let path = path(script.name())?;
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("{FOLDER}/{}.json: {error}", script.name()))?;
    let kept: Recording = serde_json::from_str(&text)?;
    let mut difference = None;
    for _ in 0..TRIES {
        difference =
            check::difference(&kept, &record(script, tape, None)?, script.is_settled());
        if difference.is_none() {
            return Ok(());
        }
    }
    let difference = difference.unwrap_or_default();
    let name = script.name();
    Err(format!(
        "the recording `{name}` is stale: {difference}\n\
         `cargo run --release -- trace --write` makes it anew; then read again what the book says \
         of it"
    )
    .into())
}

fn keep(recording: &Recording) -> Result<(), Failure> {
    let path = path(&recording.scenario)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(path, recording.to_json()?)?)
}

fn path(scenario: &str) -> Result<PathBuf, String> {
    Ok(book::root()?.join(FOLDER).join(format!("{scenario}.json")))
}
