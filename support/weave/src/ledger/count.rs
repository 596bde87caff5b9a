//! Lines of code by concept and stage, and what each step deleted and added.
//!
//! A step compares the two stages' files of one name, line by line and without indentation, by the
//! same rule as the pages ([`crate::render::diff`]): a line stayed if it stands in a common run
//! that names something. A file without a counterpart is deleted, or added, as a whole.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::concept::CONCEPTS;
use super::units::{Classed, Classes, class_of, files_of, module_class, module_name};
use super::{SHARED, STAGES, units};
use crate::problem::Problem;
use crate::render::diff::{self, Side};
use crate::sources::{Kind, Source, Tree};

/// Mixed lines may be so many of all classed lines, in per cent.
pub const MIXED_LIMIT: f64 = 15.0;

/// Places behind the concepts: what is not classed, and tests.
pub const NOT_CLASSED: usize = CONCEPTS.len();
/// Lines that are compiled for tests only.
pub const TESTS: usize = CONCEPTS.len() + 1;

/// Lines of code by concept, with what is not classed and tests behind.
pub type Lines = [usize; CONCEPTS.len() + 2];

/// One step's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Lines of the earlier stage that are gone, by their concept there.
    pub deleted: Lines,
    /// Lines of the later stage that came, by their concept there.
    pub added: Lines,
}

/// The counts.
#[derive(Debug)]
pub struct Ledger {
    /// Each stage's lines.
    pub stages: [Lines; 3],
    /// Each stage's lines that serve more than one concept.
    pub mixed: [usize; 3],
    /// From the first stage to the second, and from the second to the third.
    pub steps: [Step; 2],
    /// The lines of `client-core`, which all stages share.
    pub shared: Lines,
    /// The classes, for the full table.
    pub classed: Classed,
}

impl Ledger {
    /// Lines of all concepts of a stage.
    pub fn classed(&self, stage: usize) -> usize {
        self.stages[stage][..CONCEPTS.len()].iter().sum()
    }

    /// Lines of all concepts of `client-core`.
    pub fn classed_shared(&self) -> usize {
        self.shared[..CONCEPTS.len()].iter().sum()
    }

    /// Mixed lines among the classed lines of all stages, in per cent.
    pub fn mixed_percent(&self) -> f64 {
        let all: usize = (0..3).map(|s| self.classed(s)).sum();
        100.0 * self.mixed.iter().sum::<usize>() as f64 / all.max(1) as f64
    }
}

/// Counts.
///
/// # Errors
/// A file that cannot be read.
pub fn count(tree: &Tree, classed: Classed) -> Result<Ledger, Problem> {
    let mut stages = [[0; CONCEPTS.len() + 2]; 3];
    let mut mixed = [0; 3];
    let mut files = Vec::new();
    for (n, stage) in STAGES.iter().enumerate() {
        let sources = files_of(tree, stage)?;
        let mut marked = Vec::new();
        for source in sources {
            let concepts = concepts(&source, &classed.stages[n]);
            for (line, concept) in concepts.iter().enumerate() {
                if source.is_code(line + 1) {
                    stages[n][concept.0] += 1;
                    mixed[n] += usize::from(concept.1);
                }
            }
            marked.push((source, concepts));
        }
        files.push(marked);
    }
    let steps = [step(&files[0], &files[1]), step(&files[1], &files[2])];
    let shared = count_shared(tree, &classed.shared)?;
    Ok(Ledger { stages, mixed, steps, shared, classed })
}

/// Whole modules are classed; `use`, `mod` and tests are counted apart as in the stages.
fn count_shared(tree: &Tree, classes: &Classes) -> Result<Lines, Problem> {
    let mut lines = [0; CONCEPTS.len() + 2];
    for source in files_of(tree, SHARED)? {
        for (concept, count) in module_lines(&source, classes).into_iter().enumerate() {
            lines[concept] += count;
        }
    }
    Ok(lines)
}

/// One file's lines of code by concept.
fn module_lines(source: &Source, classes: &Classes) -> Lines {
    let mut lines = [0; CONCEPTS.len() + 2];
    let concept = module_class(source, classes).map_or(NOT_CLASSED, |e| e.concept);
    let owners = source.owners();
    for (_, owner) in owners.iter().enumerate().filter(|(n, _)| source.is_code(n + 1)) {
        let of = match owner.map(|o| &source.items[o]) {
            _ if source.test => TESTS,
            Some(item) if item.test => TESTS,
            None => NOT_CLASSED,
            Some(item) if item.kind == Kind::Declaration => NOT_CLASSED,
            Some(_) => concept,
        };
        lines[of] += 1;
    }
    lines
}

/// Each file that is counted, with its lines of code; all of them together are a ledger's sums.
///
/// # Errors
/// A file that cannot be read.
pub fn files(tree: &Tree) -> Result<BTreeMap<String, usize>, Problem> {
    let mut found = BTreeMap::new();
    for package in STAGES.into_iter().chain([SHARED]) {
        for source in files_of(tree, package)? {
            let lines = (1..=source.lines.len()).filter(|line| source.is_code(*line)).count();
            found.insert(source.path.clone(), lines);
        }
    }
    Ok(found)
}

/// A line's concept, and whether it serves others too.
type Marked = (Rc<Source>, Vec<(usize, bool)>);

fn concepts(source: &Source, classes: &Classes) -> Vec<(usize, bool)> {
    if source.test {
        return vec![(TESTS, false); source.lines.len()];
    }
    let of = |owner: &Option<usize>| {
        let Some(item) = owner.map(|n| &source.items[n]) else { return (NOT_CLASSED, false) };
        if item.test {
            return (TESTS, false);
        }
        match class_of(source, item, classes) {
            Some(entry) => (entry.concept, !entry.also.is_empty()),
            None => (NOT_CLASSED, false),
        }
    };
    source.owners().iter().map(of).collect()
}

fn step(old: &[Marked], new: &[Marked]) -> Step {
    let mut step = Step { deleted: [0; _], added: [0; _] };
    let find = |files: &[Marked], module: &str| files.iter().position(|f| f.0.module == module);
    for (source, concepts) in old {
        let other = find(new, &source.module).map(|n| &new[n]);
        let hunks = compare(Some(source), other.map(|o| &o.0));
        for hunk in hunks.iter().filter(|h| !h.stayed) {
            tally(&mut step.deleted, source, concepts, hunk.old.clone());
            if let Some((source, concepts)) = other {
                tally(&mut step.added, source, concepts, hunk.new.clone());
            }
        }
    }
    for (source, concepts) in new.iter().filter(|f| find(old, &f.0.module).is_none()) {
        tally(&mut step.added, source, concepts, 0..source.lines.len());
    }
    step
}

fn compare(old: Option<&Rc<Source>>, new: Option<&Rc<Source>>) -> Vec<diff::Hunk> {
    let side = |source: Option<&Rc<Source>>| match source {
        Some(source) => (source.lines.clone(), source.lexed.clone()),
        None => (Vec::new(), Vec::new()),
    };
    let (a, b) = (side(old), side(new));
    diff::hunks(Side { lines: &a.0, lexed: &a.1 }, Side { lines: &b.0, lexed: &b.1 })
}

fn tally(
    lines: &mut Lines,
    source: &Source,
    concepts: &[(usize, bool)],
    range: std::ops::Range<usize>,
) {
    for n in range {
        if source.is_code(n + 1) {
            lines[concepts[n].0] += 1;
        }
    }
}

/// One unit of a stage, for the ledger in full.
#[derive(Debug)]
pub struct Unit {
    /// Its file.
    pub source: Rc<Source>,
    /// The item, by its index in the file.
    pub item: usize,
    /// The concept's name.
    pub concept: &'static str,
    /// Its own lines of code.
    pub lines: usize,
}

/// The units of a stage with their concept and lines.
///
/// # Errors
/// A file that cannot be read.
pub fn items(tree: &Tree, stage: usize, ledger: &Ledger) -> Result<Vec<Unit>, Problem> {
    let mut rows = Vec::new();
    let classes = &ledger.classed.stages[stage];
    for source in files_of(tree, STAGES[stage])? {
        let owners = source.owners();
        for (n, item) in source.items.iter().enumerate() {
            if item.kind == Kind::Declaration || !classes.contains_key(&item.path) {
                continue;
            }
            let own = |line: &usize| {
                source.is_code(*line)
                    && owners[line - 1].is_some_and(|o| {
                        class_of(&source, &source.items[o], classes)
                            .is_some_and(|e| e.path == item.path)
                    })
            };
            let lines = item.lines.iter().filter(own).count();
            let concept = units::name(&classes[&item.path]);
            rows.push(Unit { source: Rc::clone(&source), item: n, concept, lines });
        }
    }
    Ok(rows)
}

/// One module of `client-core`, for the ledger in full.
#[derive(Debug)]
pub struct Module {
    /// Its file.
    pub source: Rc<Source>,
    /// Its name as the ledger writes it.
    pub name: String,
    /// The concept's index.
    pub concept: usize,
    /// What else it serves.
    pub also: Vec<usize>,
    /// Its lines of code, without `use`, `mod` and tests.
    pub lines: usize,
}

/// The modules of `client-core` with their concept and lines.
///
/// # Errors
/// A file that cannot be read.
pub fn modules(tree: &Tree, ledger: &Ledger) -> Result<Vec<Module>, Problem> {
    let classes = &ledger.classed.shared;
    let files = files_of(tree, SHARED)?;
    let row = |source: Rc<Source>| {
        let entry = module_class(&source, classes).filter(|_| !source.test)?;
        let (concept, also) = (entry.concept, entry.also.clone());
        let name = module_name(&source).to_owned();
        let lines = module_lines(&source, classes)[concept];
        Some(Module { source, name, concept, also, lines })
    };
    Ok(files.into_iter().filter_map(row).collect())
}
