//! All commands of a book, with where they stand.

use std::fs;
use std::path::{Path, PathBuf};

use super::Command;
use crate::directive::{Part, parse};
use crate::problem::{Problem, Problems};
use crate::sources::tree::slashed;

/// A command and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The chapter's file.
    pub file: String,
    /// The line in it.
    pub line: usize,
    /// The command.
    pub command: Command,
}

/// The commands of a chapter. A console block whose lines start with `$ ` is a problem: its
/// command would be run by no check.
///
/// # Errors
/// What is wrong with a directive.
pub fn in_chapter(file: &str, text: &str) -> Result<Vec<Found>, Problems> {
    let parts = parse(text).map_err(|(line, message)| Problem::at(file, line, message))?;
    let mut found = Vec::new();
    let mut problems = unchecked(file, text);
    for part in parts {
        let Part::Directive(directive, _) = part else { continue };
        if directive.name != "run" {
            continue;
        }
        match Command::read(&directive) {
            Ok(command) => {
                found.push(Found { file: file.to_owned(), line: directive.line, command });
            }
            Err(message) => problems.push(Problem::at(file, directive.line, message)),
        }
    }
    Problems::check(problems).map(|()| found)
}

/// Commands that are written into the text.
pub fn unchecked(file: &str, text: &str) -> Vec<Problem> {
    let mut fenced = false;
    let mut problems = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            fenced = !fenced;
        } else if fenced && trimmed.starts_with("$ ") {
            let message = format!("`{trimmed}` is run by no check: write {{{{#run …}}}}");
            problems.push(Problem::at(file, n + 1, message));
        }
    }
    problems
}

/// The commands of all chapters below a book's `src`, each once.
///
/// # Errors
/// A chapter that cannot be read, or a directive that is wrong.
pub fn in_book(root: &Path, book: &Path) -> Result<Vec<Found>, Problems> {
    let mut chapters = Vec::new();
    markdown(&book.join("src"), &mut chapters)
        .map_err(|e| Problem::of(slashed(book), e.to_string()))?;
    chapters.sort();
    let mut all: Vec<Found> = Vec::new();
    for path in chapters {
        let file = slashed(path.strip_prefix(root).unwrap_or(&path));
        let text =
            fs::read_to_string(&path).map_err(|e| Problem::of(file.clone(), e.to_string()))?;
        for found in in_chapter(&file, &text)? {
            if !all.iter().any(|f| f.command == found.command) {
                all.push(found);
            }
        }
    }
    Ok(all)
}

fn markdown(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            markdown(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_and_pasted_ones_are_told() {
        let text = "{{#run cargo test}}\n\n{{#run[status=1 head=3] false}}\n";
        let found = in_chapter("a.md", text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[1].line, found[1].command.status, found[1].command.head),
            (3, 1, Some(3))
        );
        let pasted = in_chapter("a.md", "```console\n$ cargo test\n```\n").unwrap_err();
        assert_eq!(pasted.0[0].line, 2);
        let wrong = in_chapter("a.md", "{{#run[status=x] false}}").unwrap_err();
        assert!(wrong.0[0].message.contains("status=x"));
    }
}
