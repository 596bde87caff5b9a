//! What stops a build: a message with the place that it speaks of.

use std::fmt;

/// One reason why the book was not built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file that has to be changed, relative to the workspace's root where it lies in it.
    pub file: String,
    /// The line in it, counted from 1; 0 if the problem has no line.
    pub line: usize,
    /// What is wrong and, where it is known, what would be right.
    pub message: String,
}

impl Problem {
    /// A problem of one line.
    pub fn at(file: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.into(), line, message: message.into() }
    }

    /// A problem of a whole file, or of something that is missing from it.
    pub fn of(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self::at(file, 0, message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for Problem {}

/// Why something that a line asks for cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A message about the line that asks.
    Here(String),
    /// A problem at another place. Every line that asks runs into the same one, so a build reports
    /// it once.
    There(Problem),
}

impl Cause {
    /// The problem, for a line that asked; `about` precedes a message about that line.
    pub fn for_line(self, file: &str, line: usize, about: &str) -> Problem {
        match self {
            Self::Here(message) => Problem::at(file, line, format!("{about}{message}")),
            Self::There(problem) => problem,
        }
    }
}

impl From<String> for Cause {
    fn from(message: String) -> Self {
        Self::Here(message)
    }
}

impl From<Problem> for Cause {
    fn from(problem: Problem) -> Self {
        Self::There(problem)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(message) => f.write_str(message),
            Self::There(problem) => problem.fmt(f),
        }
    }
}

/// Every problem that was found; a build reports all of them at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// `Ok` if nothing was found, else everything, in the order of files and lines.
    ///
    /// # Errors
    /// The problems themselves.
    pub fn check(mut found: Vec<Problem>) -> Result<(), Self> {
        if found.is_empty() {
            return Ok(());
        }
        found.sort();
        found.dedup();
        Err(Self(found))
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
