//! The real sources: what the tool knows of them leaves nothing out.

use std::path::Path;

use weave::ledger::STAGES;
use weave::sources::Tree;

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
