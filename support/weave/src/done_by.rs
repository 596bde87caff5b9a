//! "Now done by": for each deleted item the item that does its work today.
//!
//! `book/now-done-by.toml` has a table for each file, as the ledger has: `[stage1-rotor.timer]`, and
//! in it an entry for each item that the next stage does not have under the same path. An entry of
//! a type, a trait or an impl speaks for its members too, unless they have entries of their own.
//!
//! ```toml
//! "Timers::arm" = "tokio::runtime::time::entry::TimerEntry::reset"
//! "Selector" = ["mio::sys::unix::selector::Selector::select @ src/sys/unix/selector/epoll.rs"]
//! "Ring" = { by = ["stage2-mio::event_loop::Loop::turn"], note = "what else there is to say" }
//! "Seed" = { gone = "why nobody has to do it" }
//! ```
//!
//! An address names an item of a dependency that the next stage, or stage 3, links, in the version
//! that the lock file names, or an item of this workspace. Each is looked up at each build.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::ledger::STAGES;
use crate::ledger::units::{files_of, is_unit};
use crate::problem::{Cause, Problem, Problems};
use crate::sources::nearest::nearest;
use crate::sources::{Source, Target, Tree, find};
use crate::upstream::{Found, Upstream};

/// The file, relative to the book's folder.
pub const FILE: &str = "now-done-by.toml";

/// Who does an item's work.
#[derive(Debug, Clone)]
pub enum Doer {
    /// An item of a dependency.
    Upstream(Found),
    /// An item of this workspace, by its full path.
    Ours(Target, String),
}

/// One entry.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// The items that do the work now.
    pub by: Vec<Doer>,
    /// Why nobody has to do it, or what else there is to say.
    pub note: Option<String>,
    /// Where it stands in the file.
    pub line: usize,
}

/// All entries: stage, then path in the stage.
pub type Entries = BTreeMap<(usize, String), Entry>;

/// Reads the file, looks up every address, and checks that every deleted item has an entry.
///
/// # Errors
/// Every entry that is wrong, and every deleted item without one.
pub fn read(tree: &Tree, upstream: &Upstream, book: &Path) -> Result<Entries, Problems> {
    let file = format!("book/{FILE}");
    let text = std::fs::read_to_string(book.join(FILE))
        .map_err(|e| Problem::of(file.clone(), e.to_string()))?;
    let (raw, mut problems) = parse(&file, &text);
    let mut entries = Entries::new();
    for (stage, path, value, line) in raw {
        let next = STAGES.get(stage + 1).copied().unwrap_or(STAGES[2]);
        // An entry that is wrong still speaks for its items: they are not missing besides.
        let found = entry(tree, upstream, next, value, line).unwrap_or_else(|cause| {
            problems.push(cause.for_line(&file, line, &format!("`{path}`: ")));
            Entry { line, ..Entry::default() }
        });
        entries.insert((stage, path), found);
    }
    for stage in 0..2 {
        check_stage(tree, stage, &entries, &file, &mut problems)?;
    }
    Problems::check(problems).map(|()| entries)
}

/// The items of a stage that the next one does not have under the same path.
///
/// # Errors
/// Sources that cannot be read.
pub fn deleted(
    tree: &Tree,
    stage: usize,
) -> Result<Vec<(std::rc::Rc<Source>, usize)>, Problem> {
    let next = files_of(tree, STAGES[stage + 1])?;
    let stays = |path: &str| next.iter().flat_map(|f| &f.items).any(|i| i.path == path);
    let mut gone = Vec::new();
    for source in files_of(tree, STAGES[stage])? {
        for (n, item) in source.items.iter().enumerate() {
            if is_unit(&source, item) && !stays(&item.path) {
                gone.push((std::rc::Rc::clone(&source), n));
            }
        }
    }
    Ok(gone)
}

/// Lines for the file, one for each deleted item of which it says nothing yet.
///
/// # Errors
/// Sources that cannot be read.
pub fn propose(tree: &Tree, book: &Path) -> Result<String, Problem> {
    let text = std::fs::read_to_string(book.join(FILE)).unwrap_or_default();
    let known = parse(FILE, &text).0;
    let has = |stage, path: &str| {
        around(path).iter().any(|p| known.iter().any(|(s, k, ..)| *s == stage && k == p))
    };
    let mut out = String::new();
    for stage in 0..2 {
        let mut module = None;
        for (source, n) in deleted(tree, stage)? {
            let path = &source.items[n].path;
            if has(stage, path) {
                continue;
            }
            if module.as_ref() != Some(&source.module) {
                let name = if source.module.is_empty() { "lib" } else { &source.module };
                out.push_str(&format!("\n[{}.{name}]\n", source.package));
                module = Some(source.module.clone());
            }
            let prefix = format!("{}::", source.module);
            out.push_str(&format!("\"{}\" = \n", path.strip_prefix(&prefix).unwrap_or(path)));
        }
    }
    Ok(out)
}

/// The entry that speaks for an item: its own, or that of the type, trait or impl around it.
pub fn entry_of<'a>(entries: &'a Entries, stage: usize, path: &str) -> Option<&'a Entry> {
    around(path).into_iter().find_map(|p| entries.get(&(stage, p)))
}

/// The paths under which an entry may speak for an item, the item's own first.
fn around(path: &str) -> Vec<String> {
    let mut paths = vec![path.to_owned()];
    if let Some((module, rest)) = path.split_once("<") {
        if let Some((block, _)) = rest.split_once(">::") {
            paths.push(format!("{module}<{block}>"));
        }
        paths.extend(rest.split(" as ").next().map(|of| format!("{module}{of}")));
    } else if let Some((module, of)) = path.split_once("impl ") {
        paths.push(format!("{module}{}", of.split('#').next().unwrap_or(of)));
    } else if let Some((of, _)) = path.rsplit_once("::") {
        paths.push(of.to_owned());
    }
    paths
}

fn check_stage(
    tree: &Tree,
    stage: usize,
    entries: &Entries,
    file: &str,
    problems: &mut Vec<Problem>,
) -> Result<(), Problem> {
    let files = files_of(tree, STAGES[stage])?;
    let known: Vec<&str> =
        files.iter().flat_map(|f| &f.items).map(|i| i.path.as_str()).collect();
    for ((_, path), entry) in entries.iter().filter(|((s, _), _)| *s == stage) {
        if !known.contains(&path.as_str()) {
            let near = nearest(path, known.iter().copied(), 2).join("`, `");
            let message = format!("{} has no item `{path}`; near it: `{near}`", STAGES[stage]);
            problems.push(Problem::at(file, entry.line, message));
        }
    }
    for (source, n) in deleted(tree, stage)? {
        let item = &source.items[n];
        if entry_of(entries, stage, &item.path).is_none() {
            let message = format!(
                "`{}` is deleted, and {file} does not say who does its work",
                item.path
            );
            problems.push(Problem::at(source.path.clone(), item.lines.first, message));
        }
    }
    Ok(())
}

/// An entry as it stands in the file.
#[derive(Debug, Default)]
struct Raw {
    by: Vec<String>,
    note: Option<String>,
}

fn entry(
    tree: &Tree,
    upstream: &Upstream,
    next: &str,
    raw: Raw,
    line: usize,
) -> Result<Entry, Cause> {
    if raw.by.is_empty() && raw.note.is_none() {
        return Err("says neither who does the work nor why nobody does".to_owned().into());
    }
    let by = raw.by.iter().map(|a| doer(tree, upstream, next, a)).collect::<Result<_, _>>()?;
    Ok(Entry { by, note: raw.note, line })
}

fn doer(tree: &Tree, upstream: &Upstream, next: &str, address: &str) -> Result<Doer, Cause> {
    let package = address.split("::").next().unwrap_or(address);
    if tree.packages().any(|p| p == package) {
        return Ok(Doer::Ours(find::find(tree, address)?, address.to_owned()));
    }
    upstream
        .find(next, address)
        .or_else(|first| upstream.find(STAGES[2], address).map_err(|_| first))
        .map(Doer::Upstream)
}

/// A stage's index, an item's path, what the file says of it, and the line.
type RawEntry = (usize, String, Raw, usize);

fn parse(file: &str, text: &str) -> (Vec<RawEntry>, Vec<Problem>) {
    let line_at = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(e) => {
            let line = e.span().map_or(0, |s| line_at(s.start));
            return (Vec::new(), vec![Problem::at(file, line, e.message().to_owned())]);
        }
    };
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    for (name, modules) in table.get_ref() {
        let stage = STAGES[..2].iter().position(|s| *s == name.get_ref().as_ref());
        let (Some(stage), DeValue::Table(modules)) = (stage, modules.get_ref()) else {
            let message = format!("`{}` is no table of stage 1 or 2", name.get_ref());
            problems.push(Problem::at(file, line_at(name.span().start), message));
            continue;
        };
        for (module, items) in modules {
            let DeValue::Table(items) = items.get_ref() else { continue };
            for (item, value) in items {
                let line = line_at(item.span().start);
                let (module, item) = (module.get_ref(), item.get_ref());
                let path = if module == "lib" {
                    item.to_string()
                } else {
                    format!("{module}::{item}")
                };
                match raw(value.get_ref()) {
                    Some(raw) => entries.push((stage, path, raw, line)),
                    None => problems.push(Problem::at(
                        file,
                        line,
                        format!("`{path}`: an address, a list of them, or a table with by, note, gone"),
                    )),
                }
            }
        }
    }
    (entries, problems)
}

fn raw(value: &DeValue<'_>) -> Option<Raw> {
    let text = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    };
    let list = |value: &DeValue<'_>| match value {
        DeValue::Array(all) => all.iter().map(|v| text(v.get_ref())).collect(),
        other => text(other).map(|one| vec![one]),
    };
    let DeValue::Table(table) = value else {
        return list(value).map(|by| Raw { by, note: None });
    };
    let mut raw = Raw::default();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "by" => raw.by = list(value.get_ref())?,
            "note" | "gone" => raw.note = Some(text(value.get_ref())?),
            _ => return None,
        }
    }
    Some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_speaks_for_what_lies_within() {
        assert_eq!(around("t::Timers::arm"), ["t::Timers::arm", "t::Timers"]);
        assert_eq!(around("t::impl Timers#2"), ["t::impl Timers#2", "t::Timers"]);
        assert_eq!(
            around("t::<Timers as Drop>::drop"),
            ["t::<Timers as Drop>::drop", "t::<Timers as Drop>", "t::Timers"]
        );
    }

    #[test]
    fn entries_have_several_shapes() {
        let text = "[stage1-rotor.t]\n\"A\" = \"mio::Poll\"\n\"B\" = { gone = \"no\" }\n\"C\" = [\"x::y\", \"z::w\"]\n\"D\" = 1\n[stage3-tokio.x]\n";
        let (entries, problems) = parse("f", text);
        assert_eq!(entries.len(), 3);
        let lines: Vec<usize> = problems.iter().map(|p| p.line).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.contains(&5) && lines.contains(&6));
    }
}
