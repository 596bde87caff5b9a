//! Recorded outputs: one text file for each command, in `book/recordings/commands`.
//!
//! The first line is the command behind `$ `, the second its exit status, the third is empty; what
//! follows is the output. A file says what it is a recording of, so that a chapter whose command
//! was changed does not show the output of another.

use std::fs;
use std::path::{Path, PathBuf};

use super::Command;
use crate::render::html::slug;

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Its exit status.
    pub status: i32,
    /// What it printed, standard error included, in the order in which it came.
    pub output: String,
}

/// The file of a command.
pub fn path(book: &Path, command: &Command) -> PathBuf {
    // FNV-1a tells commands apart whose first letters are the same.
    let hash = command.line.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let name: String = slug(&command.line).chars().take(60).collect();
    book.join("recordings/commands").join(format!("{name}-{:08x}.txt", hash >> 32))
}

/// Reads a command's recording.
///
/// # Errors
/// A message with the command that makes the recording.
pub fn load(book: &Path, command: &Command) -> Result<Recording, String> {
    let path = path(book, command);
    let again = "`cargo run -p weave -- commands --record` makes it";
    let text = fs::read_to_string(&path).map_err(|_| {
        format!("no recording of `{}` ({}); {again}", command.line, name(&path))
    })?;
    let recording = parse(&text, &command.line).ok_or_else(|| {
        format!("{} is no recording of `{}`; {again}", name(&path), command.line)
    })?;
    if recording.status != command.status {
        return Err(format!(
            "`{}` ended with status {}, the book says {}",
            command.line, recording.status, command.status
        ));
    }
    Ok(recording)
}

fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn parse(text: &str, command: &str) -> Option<Recording> {
    let rest = text.strip_prefix("$ ")?.strip_prefix(command)?.strip_prefix("\nstatus ")?;
    let (status, output) = rest.split_once("\n\n")?;
    Some(Recording { status: status.parse().ok()?, output: output.to_owned() })
}

/// Writes a command's recording.
///
/// # Errors
/// The disk's.
pub fn store(book: &Path, command: &Command, recording: &Recording) -> std::io::Result<()> {
    let path = path(book, command);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let Recording { status, output } = recording;
    fs::write(path, format!("$ {}\nstatus {status}\n\n{output}", command.line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_says_what_it_is_of() {
        let text = "$ a b\nstatus 1\n\none\n\ntwo\n";
        let recording = Recording { status: 1, output: "one\n\ntwo\n".into() };
        assert_eq!(parse(text, "a b"), Some(recording));
        assert_eq!(parse(text, "a"), None);
    }
}
