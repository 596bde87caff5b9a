//! Measures the three stages beside their peers: `bench [--quick]`.
//!
//! What is measured is written in `benches/`; this part builds it, runs it, and says what came out:
//! a table, the same as data, and a picture. Its rules: rates are compared within a round, where the
//! machine's mood is the same for all, and a figure whose rounds disagree is marked unfit to quote;
//! a tool that is not there leaves a gap, never a guess; progress goes to standard error.

mod chart;
mod counted;
mod programs;
mod result;
mod table;

use std::{error::Error, fs, io::Write as _};

use programs::Programs;
use result::Comparison;

type Failure = Box<dyn Error>;

/// How long it all takes.
#[derive(Clone, Copy)]
struct Effort {
    /// Whether it is built as this program is, without the last optimisations.
    quick: bool,
    rounds: usize,
    milliseconds: usize,
}

impl Effort {
    fn new(quick: bool) -> Self {
        let (rounds, milliseconds) = if quick { (7, 150) } else { (21, 400) };
        Effort { quick, rounds, milliseconds }
    }
}

/// Where the book finds the reader's own run, below the workspace's root.
const MINE: &str = "book/results/mine.json";

/// Runs the rounds, the counters and criterion's groups, and prints what they say.
///
/// # Errors
///
/// If the programs cannot be built, or one of them fails.
pub(crate) fn compare(quick: bool) -> Result<(), Failure> {
    let effort = Effort::new(quick);
    let programs = Programs::build(quick)?;
    let comparison = Comparison::measure(&programs, effort)?;
    let text = table::of(&comparison)?;
    std::io::stdout().write_all(text.as_bytes())?;
    let folder = programs.target.join("comparison");
    fs::create_dir_all(&folder)?;
    let json = format!("{:#}\n", comparison.to_json());
    fs::write(crate::book::root()?.join(MINE), &json)?;
    let files = [
        ("comparison.json", json),
        ("comparison.md", text),
        ("rates-1.svg", chart::of(&comparison, 1)?),
        ("rates-64.svg", chart::of(&comparison, 64)?),
    ];
    for (name, content) in files {
        fs::write(folder.join(name), content)?;
    }
    eprintln!("\nWritten to {}.", folder.display());
    let report = programs.target.join("criterion/report/index.html");
    eprintln!("Criterion's plots are in {}.", report.display());
    eprintln!("Also in {MINE}: `cargo run --release -- book` puts it into the book.");
    Ok(())
}
