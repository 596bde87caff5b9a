//! Builds the book, and counts for it.

use std::{error::Error, path::PathBuf, time::Instant};

use weave::{ledger, sources::Tree};

use crate::{
    claim::Claim,
    screen::{self, Strong, say},
};

type Failure = Box<dyn Error>;

/// Builds the book with every warning an error.
///
/// # Errors
///
/// Everything that is wrong with it, each with its file and line.
pub(crate) fn build() -> Result<(), Failure> {
    let root = root()?;
    let begun = Instant::now();
    let report = screen::during("Building the book from the sources as they stand", || {
        let wait = || screen::tell("waiting for another process that builds it");
        let _claim = Claim::to_build(&root, wait)?;
        weave::build(&root, screen::tell)
            .map_err(|problems| Failure::from(format!("the book was not built:\n{problems}")))
    })?;
    say(format_args!(
        "{}: {} pages, {} links within it followed, built in {:.1} s from the sources as they stand",
        Strong("The book"),
        report.pages,
        report.links,
        begun.elapsed().as_secs_f64()
    ))
}

/// Prints the ledger, and how to read it.
///
/// # Errors
///
/// Everything that does not fit the sources.
pub(crate) fn ledger() -> Result<(), Failure> {
    let root = root()?;
    let text = screen::during("Counting the sources as they stand", || {
        let tree = Tree::open(&root)?;
        ledger::read(&tree, &root.join("book")).map(|counted| ledger::text::text(&counted))
    })?;
    say(text.trim_end())
}

/// The workspace: the folder here or above that has the book.
///
/// # Errors
///
/// If there is none.
pub(crate) fn root() -> Result<PathBuf, String> {
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    let found = here.ancestors().find(|folder| folder.join("book/book.toml").exists());
    found.map(std::path::Path::to_owned).ok_or_else(|| {
        "expected to be started within the repository: no book/book.toml here or above".into()
    })
}
