//! Entries for what the ledger does not have yet, guessed from the file's name.

use std::fmt::Write;
use std::path::Path;

use super::units::{self, Classes};
use super::{FILE, SHARED, STAGES, entries};
use crate::problem::Problems;
use crate::sources::{Source, Tree};

/// The ledger's text that is missing, to be reviewed and put in by hand.
///
/// # Errors
/// A ledger that cannot be read as one, or sources that cannot be read.
pub fn propose(tree: &Tree, book: &Path) -> Result<String, Problems> {
    let text = std::fs::read_to_string(book.join(FILE)).unwrap_or_default();
    let entries = entries::parse(&format!("book/{FILE}"), &text)?;
    let classes = |package: &str| -> Classes {
        let ours = entries.iter().filter(|e| e.package == package);
        ours.map(|e| (e.path.clone(), e.clone())).collect()
    };
    let mut out = String::new();
    for stage in STAGES {
        for source in units::files_of(tree, stage)? {
            file(&mut out, &source, &classes(stage));
        }
    }
    let shared = classes(SHARED);
    for source in units::files_of(tree, SHARED)? {
        if !source.test && units::module_class(&source, &shared).is_none() {
            let module = units::module_name(&source);
            // Writing to a String cannot fail.
            let _ = writeln!(out, "[{SHARED}]\n{} = [\"{module}\"]\n", guess(module));
        }
    }
    Ok(out)
}

fn file(out: &mut String, source: &Source, classes: &Classes) {
    let missing: Vec<&str> = source
        .items
        .iter()
        .filter(|i| units::is_unit(source, i) && units::class_of(source, i, classes).is_none())
        .map(|i| i.path.as_str())
        .collect();
    if missing.is_empty() {
        return;
    }
    let module = units::module_name(source);
    let quoted =
        if module.contains("::") { format!("\"{module}\"") } else { module.to_owned() };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "[{}.{quoted}]\n{} = [", source.package, guess(module));
    let prefix = format!("{}::", source.module);
    for path in missing {
        let _ = writeln!(out, "  \"{}\",", path.strip_prefix(&prefix).unwrap_or(path));
    }
    out.push_str("]\n\n");
}

/// The concept that a file of this name is most likely about.
fn guess(module: &str) -> &'static str {
    match module.rsplit("::").next().unwrap_or(module) {
        "pool" | "idle" | "waiters" => "pooling",
        "timer" | "timers" | "deadline" => "timers",
        "resolver" | "resolve" => "resolving",
        "connect" | "race" => "chaining",
        "framing" | "connection" | "decode" | "response" => "framing",
        "event_loop" | "token" | "slab" => "dispatch",
        "inbox" | "waker" | "notifier" => "wakeup",
        "interest" | "readiness" => "interest",
        _ => "surface",
    }
}
