//! What has to be classed, and whether each is classed once.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::entries::Entry;
use super::{STAGES, concept};
use crate::expand::pages::in_src;
use crate::problem::{Problem, Problems};
use crate::sources::nearest::nearest;
use crate::sources::{Item, Kind, Source, Tree};

/// The concepts of every unit of one stage, by the unit's path.
pub type Classes = BTreeMap<String, Entry>;

/// All stages' classes, in their order.
#[derive(Debug)]
pub struct Classed(pub [Classes; 3]);

/// Whether an item must have an entry of its own.
pub fn is_unit(source: &Source, item: &Item) -> bool {
    if item.test {
        return false;
    }
    let parent = item.parent.map(|p| source.items[p].kind);
    match item.kind {
        Kind::Function | Kind::Type | Kind::Trait | Kind::Macro | Kind::Inherent => true,
        Kind::TraitImpl => true,
        Kind::Method | Kind::Const => !matches!(parent, Some(Kind::Trait | Kind::TraitImpl)),
        // The items in a macro's braces are classed; a call without any is an item itself.
        Kind::MacroCall => !source
            .items
            .iter()
            .any(|i| i.parent.is_some_and(|p| std::ptr::eq(&source.items[p], item))),
        Kind::AssociatedType | Kind::Module | Kind::Declaration => false,
    }
}

/// Whether an item may have an entry: a member of a trait, or of a macro's braces, may.
fn may_be_classed(item: &Item) -> bool {
    !item.test && !matches!(item.kind, Kind::Module | Kind::Declaration)
}

/// Checks the entries against the sources.
///
/// # Errors
/// Every unit without an entry, every entry without an item, every item with two.
pub fn class(tree: &Tree, file: &str, entries: Vec<Entry>) -> Result<Classed, Problems> {
    let mut classed = [Classes::new(), Classes::new(), Classes::new()];
    let mut problems = Vec::new();
    for (stage, classes) in STAGES.iter().zip(&mut classed) {
        let files = stage_files(tree, stage)?;
        let known: Vec<&str> = files
            .iter()
            .flat_map(|f| &f.items)
            .filter(|i| may_be_classed(i))
            .map(|i| i.path.as_str())
            .collect();
        for entry in entries.iter().filter(|e| e.stage == *stage) {
            if !known.contains(&entry.path.as_str()) {
                let near = nearest(&entry.path, known.iter().copied(), 2).join("`, `");
                let message =
                    format!("{stage} has no item `{}`; near it: `{near}`", entry.path);
                problems.push(Problem::at(file, entry.line, message));
            } else if let Some(first) = classes.insert(entry.path.clone(), entry.clone()) {
                let message = format!("`{}` stands on line {} too", entry.path, first.line);
                problems.push(Problem::at(file, entry.line, message));
            }
        }
        for source in &files {
            problems.extend(missing(source, classes));
        }
    }
    Problems::check(problems).map(|()| Classed(classed))
}

/// The files of a stage that are classed.
///
/// # Errors
/// A file that cannot be read.
pub fn stage_files(tree: &Tree, stage: &str) -> Result<Vec<Rc<Source>>, Problem> {
    Ok(tree.files(stage)?.iter().filter(|f| in_src(f)).map(Rc::clone).collect())
}

/// The units of a file that have no entry.
pub fn missing(source: &Source, classes: &Classes) -> Vec<Problem> {
    source
        .items
        .iter()
        .filter(|i| is_unit(source, i) && class_of(source, i, classes).is_none())
        .map(|i| {
            let message = format!("`{}` has no concept in the ledger", i.path);
            Problem::at(source.path.clone(), i.lines.first, message)
        })
        .collect()
}

/// The entry that an item's lines belong to: its own, or that of the block around it.
pub fn class_of<'a>(source: &Source, item: &Item, classes: &'a Classes) -> Option<&'a Entry> {
    if let Some(entry) = classes.get(&item.path) {
        return Some(entry);
    }
    let parent = &source.items[item.parent?];
    let goes_along = matches!(parent.kind, Kind::Trait | Kind::TraitImpl)
        || item.kind == Kind::AssociatedType;
    if goes_along { class_of(source, parent, classes) } else { None }
}

/// An entry's concept by name, for a page.
pub fn name(entry: &Entry) -> &'static str {
    concept::CONCEPTS[entry.concept].name
}
