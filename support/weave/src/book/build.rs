//! The build: what `mdbook build book` does, with every warning an error, and the built pages
//! checked.

use std::path::{Path, PathBuf};

use mdbook_driver::MDBook;

use super::preprocess::Weave;
use super::warnings;
use crate::checks;
use crate::problem::{Problem, Problems};
use crate::upstream::Tell;

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The first page.
    pub index: PathBuf,
    /// How many pages were built and checked, the print page included.
    pub pages: usize,
    /// How many links within the book were followed.
    pub links: usize,
}

/// Builds the book of a workspace: `book/` below its root. `tell` is told what takes a while.
///
/// # Errors
/// Everything that is wrong with the book, each with its file and line where it has one.
pub fn build(root: &Path, tell: Tell) -> Result<Report, Problems> {
    let folder = root.join("book");
    let (built, warned) = warnings::collect(|| -> Result<PathBuf, Problems> {
        let mut book = MDBook::load(&folder).map_err(|e| told("book/book.toml", &e))?;
        book.with_preprocessor(Weave { tell });
        book.build().map_err(|e| told("book", &e))?;
        Ok(book.build_dir_for("html"))
    });
    let html = built?;
    let mut problems: Vec<Problem> =
        warned.into_iter().map(|message| located(&folder, message)).collect();
    let pages = checks::pages(&html, &folder.join("src"), &mut problems)?;
    Problems::check(problems)?;
    Ok(Report { index: html.join("index.html"), pages: pages.count, links: pages.links })
}

/// Our own problems keep their places; what mdBook or the disk says is told as it is.
fn told(file: &str, error: &mdbook_driver::errors::Error) -> Problems {
    for cause in error.chain() {
        if let Some(problems) = cause.downcast_ref::<Problems>() {
            return problems.clone();
        }
        if let Some(problem) = cause.downcast_ref::<Problem>() {
            return problem.clone().into();
        }
    }
    let message = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    Problem::of(file, message).into()
}

/// A warning of mdBook names a chapter at most; the line is that of the tag it speaks of.
fn located(book: &Path, message: String) -> Problem {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let Some(chapter) = quoted.iter().find(|q| q.ends_with(".md")) else {
        return Problem::of("book", message);
    };
    let text = std::fs::read_to_string(book.join("src").join(chapter)).unwrap_or_default();
    let tag = quoted.iter().find_map(|q| q.strip_suffix('>')).unwrap_or_default();
    let holds = |line: &str| !tag.is_empty() && line.contains(tag);
    let line = text.lines().position(holds).map_or(0, |n| n + 1);
    Problem::at(format!("book/src/{chapter}"), line, message)
}
