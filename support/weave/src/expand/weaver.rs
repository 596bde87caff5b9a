//! What all directives share while a book is built.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::pages::Pages;
use crate::done_by::{self, Entries};
use crate::ledger::{self, count::Ledger};
use crate::problem::{Problem, Problems};
use crate::render::html::slug;
use crate::sources::{Lines, Source, Tree};
use crate::upstream::{Tell, Upstream};

/// The sources, and what the book has shown of them so far.
#[derive(Debug)]
pub struct Weaver {
    /// The workspace.
    pub tree: Tree,
    /// The book's folder, where results and recordings lie.
    pub book: PathBuf,
    /// Where whole files are shown.
    pub pages: Pages,
    /// The sources of dependencies.
    pub upstream: Upstream,
    /// The ledger, once a page has asked for it.
    ledger: OnceCell<Result<Ledger, Problems>>,
    /// Who does the work of deleted items, once a page has asked for it.
    done_by: OnceCell<Result<Entries, Problems>>,
    /// File path to the lines that some page shows.
    shown: RefCell<BTreeMap<String, BTreeSet<usize>>>,
    /// How often an identifier was asked for: each is used once in the whole book.
    ids: RefCell<BTreeMap<String, usize>>,
}

impl Weaver {
    /// Opens the workspace around a book; `tell` is told what cargo fetches.
    ///
    /// # Errors
    /// A workspace whose manifests cannot be read.
    pub fn open(root: &Path, book: &Path, tell: Tell) -> Result<Self, Problem> {
        Ok(Self {
            tree: Tree::open(root)?,
            book: book.to_owned(),
            pages: Pages::default(),
            upstream: Upstream::new(root, tell),
            ledger: OnceCell::new(),
            done_by: OnceCell::new(),
            shown: RefCell::default(),
            ids: RefCell::default(),
        })
    }

    /// The ledger.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn ledger(&self) -> Result<&Ledger, &Problems> {
        self.ledger.get_or_init(|| ledger::read(&self.tree, &self.book)).as_ref()
    }

    /// Who does the work of deleted items.
    ///
    /// # Errors
    /// All that is wrong with the file.
    pub fn done_by(&self) -> Result<&Entries, &Problems> {
        let read = || done_by::read(&self.tree, &self.upstream, &self.book);
        self.done_by.get_or_init(read).as_ref()
    }

    /// Whether a page needs the ledger.
    pub fn asked_for_ledger(&self) -> bool {
        self.ledger.get().is_some()
    }

    /// Whether a page needs to know who does the work of deleted items.
    pub fn asked_for_done_by(&self) -> bool {
        self.done_by.get().is_some()
    }

    /// An identifier that no other element of the book has.
    pub fn id(&self, name: &str) -> String {
        let id = format!("w-{}", slug(name));
        let mut ids = self.ids.borrow_mut();
        let count = ids.entry(id.clone()).or_insert(0);
        *count += 1;
        if *count == 1 { id } else { format!("{id}-{count}") }
    }

    /// Notes that lines are shown.
    pub fn show(&self, source: &Source, lines: Lines) {
        let mut shown = self.shown.borrow_mut();
        shown.entry(source.path.clone()).or_default().extend(lines.iter());
    }

    /// Whether some page shows all of these lines.
    pub fn is_shown(&self, source: &Source, lines: Lines) -> bool {
        let shown = self.shown.borrow();
        shown.get(&source.path).is_some_and(|s| lines.iter().all(|l| s.contains(&l)))
    }
}
