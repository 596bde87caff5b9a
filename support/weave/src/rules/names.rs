//! One name, one meaning: each type name that the stages and `client-core` define more than once
//! has its meaning in `book/vocabulary.toml`.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::shipped;
use crate::ledger::{SHARED, STAGES};
use crate::problem::{Problem, Problems};
use crate::sources::{Kind, Tree};

/// The file, with a line for each name.
pub const FILE: &str = "book/vocabulary.toml";

/// A name's places: file and line.
pub type Places = Vec<(String, usize)>;

/// What one line of the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// What the name means, wherever it is defined.
    pub text: String,
    /// The line of the file.
    pub line: usize,
}

/// The type names that are defined more than once, with their places.
///
/// Types and traits count, tests and types named inside an impl do not. Two definitions of one path
/// under opposite `cfg`s are one.
///
/// # Errors
/// A file that cannot be read.
pub fn repeated(tree: &Tree) -> Result<BTreeMap<String, Places>, Problem> {
    let mut found = BTreeMap::<String, Places>::new();
    for package in STAGES.into_iter().chain([SHARED]) {
        for source in shipped(tree, package)? {
            let types = source.items.iter().filter(|i| {
                matches!(i.kind, Kind::Type | Kind::Trait) && !i.test && !i.path.contains('#')
            });
            for item in types {
                let name = item.path.rsplit("::").next().unwrap_or(&item.path);
                let places = found.entry(name.to_owned()).or_default();
                places.push((source.path.clone(), item.lines.first));
            }
        }
    }
    found.retain(|_, places| places.len() > 1);
    Ok(found)
}

/// Reads the file's text: `Name = "its meaning"`.
///
/// # Errors
/// What is no such line.
pub fn parse(text: &str) -> Result<BTreeMap<String, Meaning>, Problem> {
    let line_at = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|e| {
        Problem::at(FILE, e.span().map_or(0, |s| line_at(s.start)), e.message().to_owned())
    })?;
    let mut meanings = BTreeMap::new();
    for (name, meaning) in table.get_ref() {
        let line = line_at(name.span().start);
        let DeValue::String(text) = meaning.get_ref() else {
            return Err(Problem::at(FILE, line, "a name's meaning is a text"));
        };
        let meaning = Meaning { text: text.to_string(), line };
        meanings.insert(name.get_ref().to_string(), meaning);
    }
    Ok(meanings)
}

/// The names without a meaning, and the meanings without a name.
///
/// # Errors
/// A file that cannot be read.
pub fn check(
    tree: &Tree,
    meanings: &BTreeMap<String, Meaning>,
) -> Result<Vec<Problem>, Problem> {
    let found = repeated(tree)?;
    let unread = found.iter().filter(|(name, _)| !meanings.contains_key(*name));
    let unread = unread.flat_map(|(name, places)| {
        let others: Vec<String> =
            places.iter().skip(1).map(|(file, line)| format!("{file}:{line}")).collect();
        let message = format!(
            "`{name}` is defined in {} too: say in {FILE} what it means in all of them, or rename it",
            others.join(", ")
        );
        places.first().map(|(file, line)| Problem::at(file.clone(), *line, message))
    });
    let stale = meanings.iter().filter(|(name, _)| !found.contains_key(*name));
    let stale = stale.map(|(name, meaning)| {
        Problem::at(FILE, meaning.line, format!("`{name}` is not defined more than once"))
    });
    Ok(unread.chain(stale).collect())
}

/// The names, their places and what is said of them, for a terminal.
///
/// # Errors
/// A file that cannot be read.
pub fn text(tree: &Tree, meanings: &BTreeMap<String, Meaning>) -> Result<String, Problems> {
    let mut out = String::new();
    for (name, places) in repeated(tree)? {
        let meaning = meanings.get(&name).map_or("?", |m| m.text.as_str());
        out.push_str(&format!("{name}: {meaning}\n"));
        for (file, line) in places {
            out.push_str(&format!("  {file}:{line}\n"));
        }
    }
    Ok(out)
}
