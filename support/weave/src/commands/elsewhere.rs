//! Commands that another check runs, because they go on for ever or for minutes: CI's own steps.
//!
//! `{{#run[by=".ci/run"] cargo bench}}` is true as long as the named file holds the command. Flags
//! that change nothing as long as all goes well may differ. README's blocks of commands are such a
//! file too: `.ci/newcomer` runs what stands there.

use std::fs;
use std::path::Path;

use super::Command;

/// Fails if a command says that a file runs it, and the file does not.
///
/// # Errors
/// A message for the command's line in the chapter.
pub fn check(root: &Path, command: &Command) -> Result<(), String> {
    let Some(file) = &command.by else { return Ok(()) };
    let text =
        fs::read_to_string(root.join(file)).map_err(|e| format!("by=\"{file}\": {e}"))?;
    if runs(&text, &command.line) {
        return Ok(());
    }
    Err(format!("{file} does not run `{}`", command.line))
}

/// Whether a script runs a command.
pub fn runs(script: &str, command: &str) -> bool {
    script.lines().any(|line| holds(line, command))
}

/// Whether two lines do the same.
pub fn same(one: &str, other: &str) -> bool {
    words(one).eq(words(other))
}

/// Whether a script's line runs a command, and the command alone: its output may go elsewhere.
fn holds(line: &str, command: &str) -> bool {
    if line.trim_start().starts_with('#') {
        return false;
    }
    let (line, command): (Vec<&str>, Vec<&str>) =
        (words(line).collect(), words(command).collect());
    let ends = |rest: &[&str]| rest.first().is_none_or(|w| w.starts_with(['<', '>', '|', '&']));
    (0..line.len()).any(|at| {
        line[at..].strip_prefix(command.as_slice()).is_some_and(ends) && !command.is_empty()
    })
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
        .filter(|w| !matches!(*w, "-q" | "--quiet" | "--locked" | "--no-fail-fast"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_s_line_runs_the_whole_command_or_another_one() {
        assert!(holds("  cargo run --release --locked </dev/null", "cargo run -q --release"));
        assert!(holds("      - run: cargo bench", "cargo bench"));
        assert!(!holds("cargo run --release -- bench", "cargo run --release"));
        assert!(!holds("# cargo bench", "cargo bench"));
        assert!(same("cargo run -q -p a", "cargo run --locked -p a"));
    }
}
