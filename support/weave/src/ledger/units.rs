//! What has to be classed, and whether each is classed once.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::entries::Entry;
use super::{SHARED, STAGES, concept};
use crate::expand::pages::in_src;
use crate::problem::{Problem, Problems};
use crate::sources::nearest::nearest;
use crate::sources::{Item, Kind, Source, Tree};

/// The concepts of every unit of one stage, by the unit's path; of `client-core`, by the module.
pub type Classes = BTreeMap<String, Entry>;

/// What each entry speaks of, found in the sources.
#[derive(Debug)]
pub struct Classed {
    /// The stages' units, in the order of the stages.
    pub stages: [Classes; 3],
    /// The modules of `client-core`.
    pub shared: Classes,
}

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
        let files = files_of(tree, stage)?;
        let known: Vec<&str> = files
            .iter()
            .flat_map(|f| &f.items)
            .filter(|i| may_be_classed(i))
            .map(|i| i.path.as_str())
            .collect();
        let ours = entries.iter().filter(|e| e.package == *stage);
        problems.extend(insert(file, ours, &known, "item", classes));
        for source in &files {
            problems.extend(missing(source, classes));
        }
    }
    let mut shared = Classes::new();
    let files = files_of(tree, SHARED)?;
    let modules: Vec<&str> = files.iter().filter(|f| !f.test).map(|f| module_name(f)).collect();
    let ours = entries.iter().filter(|e| e.package == SHARED);
    problems.extend(insert(file, ours, &modules, "module", &mut shared));
    for source in files.iter().filter(|f| !f.test && module_class(f, &shared).is_none()) {
        let message =
            format!("`{}` has no concept in the ledger's [{SHARED}]", module_name(source));
        problems.push(Problem::of(source.path.clone(), message));
    }
    Problems::check(problems).map(|()| Classed { stages: classed, shared })
}

/// Puts one package's entries under their paths; says which ones are unknown, or there twice.
fn insert<'a>(
    file: &str,
    entries: impl Iterator<Item = &'a Entry>,
    known: &[&str],
    what: &str,
    classes: &mut Classes,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for entry in entries {
        if !known.contains(&entry.path.as_str()) {
            let near = nearest(&entry.path, known.iter().copied(), 2).join("`, `");
            let message =
                format!("{} has no {what} `{}`; near it: `{near}`", entry.package, entry.path);
            problems.push(Problem::at(file, entry.line, message));
        } else if let Some(first) = classes.insert(entry.path.clone(), entry.clone()) {
            let message = format!("`{}` stands on line {} too", entry.path, first.line);
            problems.push(Problem::at(file, entry.line, message));
        }
    }
    problems
}

/// The name of a file's module as the ledger writes it.
pub fn module_name(source: &Source) -> &str {
    if source.module.is_empty() { "lib" } else { &source.module }
}

/// The entry of a file of `client-core`: its own, or that of the nearest module around it.
pub fn module_class<'a>(source: &Source, classes: &'a Classes) -> Option<&'a Entry> {
    let mut module = module_name(source);
    loop {
        if let Some(entry) = classes.get(module) {
            return Some(entry);
        }
        module = module.rsplit_once("::")?.0;
    }
}

/// The files of a package that are classed.
///
/// # Errors
/// A file that cannot be read.
pub fn files_of(tree: &Tree, package: &str) -> Result<Vec<Rc<Source>>, Problem> {
    Ok(tree.files(package)?.iter().filter(|f| in_src(f)).map(Rc::clone).collect())
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
