//! The files that not every stage has: README lists them, each with the stages that have it and the
//! reason.

use std::collections::BTreeMap;

use super::{shipped, words::cells};
use crate::ledger::STAGES;
use crate::problem::Problem;
use crate::sources::Tree;

/// The file with the table.
pub const FILE: &str = "README.md";

/// Compares README's rows with the stages' folders.
///
/// A row names a file in backticks, then the numbers of the stages that have it.
///
/// # Errors
/// A file that cannot be read.
pub fn check(tree: &Tree, readme: &str) -> Result<Vec<Problem>, Problem> {
    let mut found = BTreeMap::<String, String>::new();
    for (n, stage) in STAGES.iter().enumerate() {
        for source in shipped(tree, stage)? {
            if let Some((_, file)) = source.path.split_once("/src/") {
                let stages = found.entry(file.to_owned()).or_default();
                let gap = if stages.is_empty() { "" } else { ", " };
                stages.push_str(&format!("{gap}{}", n + 1));
            }
        }
    }
    found.retain(|_, stages| stages != "1, 2, 3");
    let mut problems = Vec::new();
    for (line, file, stages) in rows(readme) {
        match found.remove(file) {
            Some(actual) if actual == stages => {}
            Some(actual) => {
                let message = format!("`{file}` is in the stages {actual}, not in {stages}");
                problems.push(Problem::at(FILE, line, message));
            }
            None => {
                let message = format!("`{file}` is in all stages, or in none");
                problems.push(Problem::at(FILE, line, message));
            }
        }
    }
    problems.extend(found.into_iter().map(|(file, stages)| {
        let stages = match stages.len() {
            1 => format!("stage {stages} alone"),
            _ => format!("the stages {stages}"),
        };
        Problem::of(FILE, format!("no row for `{file}`, which is in {stages}"))
    }));
    Ok(problems)
}

/// Line, file and stages of each row that begins with a Rust file's name.
fn rows(readme: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    readme.lines().enumerate().filter_map(|(n, line)| {
        let cells = cells(line)?;
        let file = cells.first()?.strip_prefix('`')?.strip_suffix('`')?;
        file.ends_with(".rs").then(|| Some((n + 1, file, *cells.get(1)?)))?
    })
}
