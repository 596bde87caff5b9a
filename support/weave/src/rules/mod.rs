//! Rules of the code that a reader of the text can check: how long a function is, which words no
//! comment uses, which names have one meaning, which files a stage does not have.
//!
//! `cargo test -p weave` checks them, not the build of the book: a reader who experiments with a stage
//! can read the book about it all the same.

pub mod files;
pub mod length;
pub mod names;
pub mod words;

use std::path::Path;
use std::rc::Rc;

use crate::ledger::units::files_of;
use crate::ledger::{SHARED, STAGES};
use crate::problem::{Problem, Problems};
use crate::sources::{Source, Tree};

/// Checks the workspace's sources by all the rules.
///
/// # Errors
/// Every breach, with its file and line, and every file that cannot be read.
pub fn check(tree: &Tree) -> Result<(), Problems> {
    let mut problems = Vec::new();
    let contributing = read(tree.root(), words::FILE)?;
    let forbidden = words::Forbidden::read(&contributing)?;
    for package in STAGES.into_iter().chain([SHARED]) {
        for source in files_of(tree, package)? {
            if package != SHARED {
                problems.extend(length::check(&source));
            }
            problems.extend(forbidden.check(&source));
        }
    }
    let vocabulary = read(tree.root(), names::FILE)?;
    problems.extend(names::check(tree, &names::parse(&vocabulary)?)?);
    problems.extend(files::check(tree, &read(tree.root(), files::FILE)?)?);
    Problems::check(problems)
}

fn read(root: &Path, file: &str) -> Result<String, Problem> {
    std::fs::read_to_string(root.join(file)).map_err(|e| Problem::of(file, e.to_string()))
}

/// The files of a package's `src/` that are not compiled for tests only.
fn shipped(tree: &Tree, package: &str) -> Result<Vec<Rc<Source>>, Problem> {
    Ok(files_of(tree, package)?.into_iter().filter(|f| !f.test).collect())
}
