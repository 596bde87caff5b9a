//! The real sources: what the tool knows of them leaves nothing out.

use std::path::Path;

use weave::ledger::{self, STAGES};
use weave::rules;
use weave::sources::Tree;

use crate::workspace::Workspace;

/// A line of code that no item owns would be counted for nobody and shown for nobody.
#[test]
fn every_line_of_code_of_the_stages_belongs_to_an_item() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tree = Tree::open(&root).unwrap();
    for package in STAGES.into_iter().chain(["client-core", "testbed", "weave"]) {
        for source in tree.files(package).unwrap().iter() {
            for (n, owner) in source.owners().iter().enumerate() {
                let text = source.lines[n].trim();
                let fine = owner.is_some() || !source.is_code(n + 1) || text.starts_with("#![");
                assert!(fine, "{}:{}: nobody owns `{text}`", source.path, n + 1);
            }
        }
    }
}

/// The rules that CONTRIBUTING.md lists, as far as a text shows whether they hold.
#[test]
fn the_stages_keep_the_rules_of_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tree = Tree::open(&root).unwrap();
    rules::check(&tree).unwrap_or_else(|problems| panic!("{problems}"));
}

/// CI asks another counter for the files' lines, so it has to be the files that make up the sums.
#[test]
fn the_ledger_s_sums_are_those_of_its_files() {
    let workspace = Workspace::with_ledger("# A?\n");
    let tree = Tree::open(workspace.root()).unwrap();
    let ledger = ledger::read(&tree, &workspace.root().join("book")).unwrap();
    let sum: usize = ledger.stages.iter().chain([&ledger.shared]).flatten().sum();
    let files = ledger::count::files(&tree).unwrap();
    assert_eq!(files.len(), 8);
    assert_eq!(files.values().sum::<usize>(), sum);
}
