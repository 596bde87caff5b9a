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
    quick: bool,
    rounds: usize,
    milliseconds: usize,
}

/// Runs criterion's groups, the rounds and the counters, and prints what they say.
///
/// # Errors
///
/// If the programs cannot be built, or one of them fails.
pub(crate) fn compare(quick: bool) -> Result<(), Failure> {
    let effort = match quick {
        true => Effort { quick, rounds: 7, milliseconds: 150 },
        false => Effort { quick, rounds: 21, milliseconds: 400 },
    };
    let programs = Programs::build(quick)?;
    let comparison = Comparison::measure(&programs, effort)?;
    let text = table::of(&comparison)?;
    std::io::stdout().write_all(text.as_bytes())?;
    let folder = programs.target.join("comparison");
    fs::create_dir_all(&folder)?;
    let files = [
        ("comparison.json", format!("{:#}\n", comparison.to_json())),
        ("comparison.md", text),
        ("rates-1.svg", chart::of(&comparison, 1)?),
        ("rates-64.svg", chart::of(&comparison, 64)?),
    ];
    for (name, content) in files {
        fs::write(folder.join(name), content)?;
    }
    eprintln!(
        "\nWritten to {}; criterion's plots are in {}.",
        folder.display(),
        programs.target.join("criterion/report/index.html").display()
    );
    Ok(())
}
