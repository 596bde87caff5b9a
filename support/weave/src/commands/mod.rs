//! Commands that the book tells its reader to run: found in the chapters, run by a check, and
//! recorded, so that the output shown is what came out.

pub mod collect;
pub mod elsewhere;
pub mod recording;
pub mod run;

use crate::directive::Directive;

/// What becomes of a command's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// It is not shown.
    None,
    /// It is shown as it was recorded; it may differ from run to run.
    Recorded,
    /// It is shown, and must be the same at each run.
    Exact,
}

/// A command of a chapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What the reader types.
    pub line: String,
    /// The exit status that it must have.
    pub status: i32,
    /// What becomes of its output.
    pub output: Output,
    /// How many lines of the output are shown, if not all.
    pub head: Option<usize>,
    /// A command that must be running meanwhile.
    pub with: Option<String>,
    /// How long a check lets it run, in seconds.
    pub seconds: u64,
    /// The file of the check that runs it, if it is not this tool.
    pub by: Option<String>,
}

impl Command {
    /// Reads a `run` directive.
    ///
    /// # Errors
    /// An attribute that there is not, or whose value makes no sense.
    pub fn read(directive: &Directive) -> Result<Self, String> {
        directive.allow(&["status", "output", "head", "with", "seconds", "by"])?;
        if directive.subject.is_empty() {
            return Err("`run` needs a command".to_owned());
        }
        let number = |key: &str| -> Result<Option<u64>, String> {
            let parse = |v: &str| v.parse().map_err(|_| format!("{key}={v} is no number"));
            directive.get(key).map(parse).transpose()
        };
        let by = directive.get("by").map(str::to_owned);
        let output = match directive.get("output") {
            None if by.is_some() => Output::None,
            Some(_) if by.is_some() => {
                return Err("what another check runs has no output here".to_owned());
            }
            None => Output::Recorded,
            Some("none") => Output::None,
            Some("exact") => Output::Exact,
            Some(other) => return Err(format!("output={other}: there is `none` and `exact`")),
        };
        Ok(Self {
            line: directive.subject.clone(),
            status: i32::try_from(number("status")?.unwrap_or(0)).unwrap_or(i32::MAX),
            output,
            head: number("head")?.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
            with: directive.get("with").map(str::to_owned),
            seconds: number("seconds")?.unwrap_or(300),
            by,
        })
    }

    /// A command in a sentence: it must end well.
    pub fn mentioned(line: &str) -> Self {
        Self {
            line: line.to_owned(),
            status: 0,
            output: Output::None,
            head: None,
            with: None,
            seconds: 300,
            by: None,
        }
    }
}
