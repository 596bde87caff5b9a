//! The rules of the code: what breaks one is found, and named with its place.

use weave::rules::{self, files, names};
use weave::sources::Tree;

use crate::workspace::Workspace;

const CONTRIBUTING: &str = "| thing | word | not |\n|---|---|---|\n| a | *b* | `gong` |\n";

/// A workspace that breaks no rule.
fn workspace() -> Workspace {
    let workspace = Workspace::new("# A?\n");
    workspace.write("CONTRIBUTING.md", CONTRIBUTING);
    workspace.write("book/vocabulary.toml", "Pool = \"what lends\"\n");
    workspace.write("README.md", "| file | stages |\n|---|---|\n");
    workspace
}

fn breaches(workspace: &Workspace) -> Vec<String> {
    let tree = Tree::open(workspace.root()).unwrap();
    let found = rules::check(&tree).map_or_else(|problems| problems.0, |()| Vec::new());
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_workspace_that_keeps_the_rules_has_no_breach() {
    assert_eq!(breaches(&workspace()), [""; 0]);
}

#[test]
fn a_name_of_two_types_has_a_meaning() {
    let unread = workspace();
    unread.write("stage1-rotor/src/a.rs", "struct Next;\nfn f() {\n    struct Pool;\n}\n");
    unread.write("client-core/src/a.rs", "enum Next {}\n");
    unread.write("stage2-mio/src/pool.rs", "//! None.\n");
    unread.write("stage3-tokio/src/pool.rs", "#[cfg(test)]\nstruct Pool;\n");
    unread.write("README.md", "| `a.rs` | 1 | why |\n");
    let expected = [
        "book/vocabulary.toml:1: `Pool` is not defined more than once",
        "stage1-rotor/src/a.rs:1: `Next` is defined in client-core/src/a.rs:1 too: say in \
         book/vocabulary.toml what it means in all of them, or rename it",
    ];
    assert_eq!(breaches(&unread), expected);

    let tree = Tree::open(unread.root()).unwrap();
    let meanings = names::parse("Next = \"what comes\"\n").unwrap();
    let text = names::text(&tree, &meanings).unwrap();
    assert_eq!(text, "Next: what comes\n  stage1-rotor/src/a.rs:1\n  client-core/src/a.rs:1\n");
    assert_eq!(names::parse("\nA = 1\n").unwrap_err().line, 2);
}

#[test]
fn one_type_under_two_conditions_is_one_definition() {
    let workspace = workspace();
    let twice = "#[cfg(unix)]\nstruct A;\n#[cfg(not(unix))]\nstruct A;\n";
    workspace.write("client-core/src/a.rs", twice);
    assert_eq!(breaches(&workspace), [""; 0]);
}

#[test]
fn a_file_that_not_every_stage_has_stands_in_the_readme() {
    let workspace = workspace();
    workspace.write("stage1-rotor/src/inbox.rs", "//! In.\n");
    workspace.write("stage2-mio/src/inbox.rs", "//! In.\n");
    workspace.write("stage3-tokio/src/runtime.rs", "//! Runs.\n");
    let missing = "README.md: no row for `runtime.rs`, which is in stage 3 alone";
    let no_inbox = "README.md: no row for `inbox.rs`, which is in the stages 1, 2";
    assert_eq!(breaches(&workspace), [no_inbox, missing]);

    let readme =
        "| `inbox.rs` | 1 | why |\n| `pool.rs` | 1 | why |\n| `runtime.rs` | 3 | why |\n";
    workspace.write("README.md", readme);
    let expected = [
        "README.md:1: `inbox.rs` is in the stages 1, 2, not in 1",
        "README.md:2: `pool.rs` is in all stages, or in none",
    ];
    assert_eq!(breaches(&workspace), expected);
    let tree = Tree::open(workspace.root()).unwrap();
    assert!(files::check(&tree, &readme.replace("| 1 |", "| 1, 2 |")).unwrap().len() == 1);
}

#[test]
fn a_comment_and_a_function_are_found_in_the_stages() {
    let workspace = workspace();
    workspace.write("client-core/src/gong.rs", "//! A gong.\n");
    let long = format!("fn long() {{\n{}}}\n", "    x();\n".repeat(39));
    workspace.write("client-core/src/long.rs", &long);
    workspace
        .write("stage1-rotor/src/pool.rs", &format!("/// A pool.\nstruct Pool;\n\n{long}"));
    let expected = [
        "client-core/src/gong.rs:1: a comment says `gong`; write: b",
        "stage1-rotor/src/pool.rs:4: `pool::long` has 41 lines; at most 40 are allowed",
    ];
    assert_eq!(breaches(&workspace), expected);
}
