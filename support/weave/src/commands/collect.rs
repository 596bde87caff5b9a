//! All commands of a book, with where they stand.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Command, elsewhere};
use crate::book::markup;
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
    /// Whether it stands in a sentence, and not in a directive.
    pub mentioned: bool,
}

/// The commands of a chapter, those in its sentences included. A block for a shell is a problem:
/// its commands would be run by no check.
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
                found.push(Found {
                    file: file.to_owned(),
                    line: directive.line,
                    command,
                    mentioned: false,
                });
            }
            Err(message) => problems.push(Problem::at(file, directive.line, message)),
        }
    }
    found.extend(mentioned(file, text));
    Problems::check(problems).map(|()| found)
}

/// The files outside the book that tell a reader what to type, below the workspace's root.
const READMES: &[&str] = &["README.md", "CONTRIBUTING.md"];

/// The script that runs some of their commands itself.
const CI: &str = ".ci/run";

/// Words behind a fence that say that a reader types what is in the block.
const SHELLS: &[&str] = &["bash", "console", "sh", "shell", "zsh"];

/// Commands that are written into the text, as a block for a shell or behind a prompt.
pub fn unchecked(file: &str, text: &str) -> Vec<Problem> {
    let mut fence: Option<bool> = None;
    let mut problems = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            let language = trimmed.trim_start_matches(['`', '~']);
            let word = language.split([',', ' ']).next().unwrap_or_default();
            fence = fence.is_none().then(|| SHELLS.contains(&word));
            continue;
        }
        let Some(shell) = fence else { continue };
        if (shell && !trimmed.is_empty()) || trimmed.starts_with("$ ") {
            let message = format!("`{trimmed}` is run by no check: write {{{{#run …}}}}");
            problems.push(Problem::at(file, n + 1, message));
        }
    }
    problems
}

/// Calls of cargo within sentences.
fn mentioned(file: &str, text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for (line, code) in markup::spans(text) {
        if code.starts_with("cargo ") {
            let command = Command::mentioned(&code);
            found.push(Found { file: file.to_owned(), line, command, mentioned: true });
        }
    }
    found
}

/// The commands of all chapters below a book's `src`, each once, and those of the workspace's README
/// and CONTRIBUTING. What a sentence mentions, or one of these two, is left out if some directive or
/// CI's script runs it.
///
/// # Errors
/// A chapter that cannot be read, or a directive that is wrong.
pub fn in_book(root: &Path, book: &Path) -> Result<Vec<Found>, Problems> {
    let mut chapters = Vec::new();
    markdown(&book.join("src"), &mut chapters)
        .map_err(|e| Problem::of(slashed(book), e.to_string()))?;
    chapters.sort();
    let mut all: Vec<Found> = Vec::new();
    let mut mentions = Vec::new();
    for path in chapters {
        let file = slashed(path.strip_prefix(root).unwrap_or(&path));
        let text =
            fs::read_to_string(&path).map_err(|e| Problem::of(file.clone(), e.to_string()))?;
        for found in in_chapter(&file, &text)? {
            if found.mentioned {
                mentions.push(found);
            } else if !all.iter().any(|f| f.command == found.command) {
                all.push(found);
            }
        }
    }
    for file in READMES {
        mentions
            .extend(in_readme(file, &fs::read_to_string(root.join(file)).unwrap_or_default()));
    }
    let ci = fs::read_to_string(root.join(CI)).unwrap_or_default();
    mentions.retain(|found| !elsewhere::runs(&ci, &found.command.line));
    for found in mentions {
        let line = &found.command.line;
        let runs = |f: &Found| {
            let Command { line: one, with, .. } = &f.command;
            [Some(one), with.as_ref()].into_iter().flatten().any(|l| elsewhere::same(l, line))
        };
        if !all.iter().any(runs) {
            all.push(found);
        }
    }
    Ok(all)
}

/// The calls of cargo in a file's blocks for a shell. What a comment says of them is left out.
fn in_readme(file: &str, text: &str) -> Vec<Found> {
    let mut shell = false;
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            shell = SHELLS.contains(&language);
        } else if shell && line.starts_with("cargo ") {
            let line = line.split(" #").next().unwrap_or(line).trim_end();
            let command = Command::mentioned(line);
            let file = file.to_owned();
            found.push(Found { file, line: n + 1, command, mentioned: true });
        }
    }
    found
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
        let typed = in_chapter("a.md", "a\n\n```sh\nls\n\nls\n```\n\n```text\nls\n```\n");
        let lines: Vec<usize> = typed.unwrap_err().0.iter().map(|p| p.line).collect();
        assert_eq!(lines, [4, 6]);
        let wrong = in_chapter("a.md", "{{#run[status=x] false}}").unwrap_err();
        assert!(wrong.0[0].message.contains("status=x"));
    }

    #[test]
    fn readme_s_calls_of_cargo_are_found_without_their_comments() {
        let text = "`cargo x`\n\n```sh\ngit clone a && cd a\ncargo run   # as y\n```\n\n```\ncargo z\n```\n";
        let found = in_readme("README.md", text);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].command.line.as_str()), (5, "cargo run"));
    }

    #[test]
    fn a_command_in_a_sentence_is_found_and_code_in_a_block_is_not() {
        let text = "Then\n`cargo test -p a` and `git`.\n\n```text\n`cargo test -p b`\n```\n";
        let found = in_chapter("a.md", text).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].command.line.as_str()), (2, "cargo test -p a"));
    }
}
