//! Dependencies whose sources are not all here: a book fetches what it looks up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::workspace::Workspace;

/// Lines that need cargo's answer, each of them.
const PAGE: &str = "# A?\n\n{{#dependencies}}\n\n{{#version mio of=stage2-mio}}\n\n{{#done-by stage1-rotor}}\n";

/// Who does the work of deleted items: items of dependencies.
const DONE_BY: &str = "[stage1-rotor.pool]\n\"MOST\" = \"mio::poll::Poll\"\n\"wake\" = \"mio::waker::Waker::wake\"\n";

/// A cargo that has no sources before it has fetched them, and may not be able to. It keeps what it
/// was asked for. Its answers are those of this workspace's own cargo.
const CARGO: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/asked"
case "$1" in
fetch)
    echo "  Downloaded mio v1.0.0" >&2
    if [ -e "$here/no-network" ]; then
        printf 'error: failed to download `mio`\n\nCaused by:\n  no such host\n' >&2
        exit 101
    fi
    : > "$here/fetched" ;;
metadata)
    if [ ! -e "$here/fetched" ]; then
        printf 'error: failed to download `mio`\n\nCaused by:\n  --offline was specified\n' >&2
        exit 101
    fi ;;
esac
cd "$REAL_WORKSPACE" && exec "$REAL_CARGO" "$@"
"#;

fn workspace() -> Workspace {
    let workspace = Workspace::with_ledger(PAGE);
    workspace.write("book/now-done-by.toml", DONE_BY);
    workspace.write("tools/cargo", CARGO);
    let cargo = workspace.root().join("tools/cargo");
    fs::set_permissions(cargo, fs::Permissions::from_mode(0o755)).unwrap();
    workspace
}

fn build(workspace: &Workspace) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weave"))
        .arg("build")
        .current_dir(workspace.root())
        .env("CARGO", workspace.root().join("tools/cargo"))
        .env("REAL_CARGO", env!("CARGO"))
        .env("REAL_WORKSPACE", Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn fetches(workspace: &Workspace) -> usize {
    workspace.read("tools/asked").lines().filter(|line| line.starts_with("fetch ")).count()
}

#[test]
fn what_is_missing_is_fetched_with_its_progress() {
    let workspace = workspace();
    let first = build(&workspace);
    assert!(first.status.success(), "{}", told(&first));
    assert!(told(&first).contains("1, mio v1.0.0"), "{}", told(&first));
    assert!(workspace.read("book/book/page.html").contains("docs.rs/mio/"));
    assert_eq!(fetches(&workspace), 1);
    let second = build(&workspace);
    assert!(second.status.success(), "{}", told(&second));
    assert_eq!(fetches(&workspace), 1, "nothing is fetched that is here");
}

#[test]
fn without_sources_and_network_one_sentence_names_the_command() {
    let workspace = workspace();
    workspace.write("tools/no-network", "");
    let output = build(&workspace);
    assert_eq!(output.status.code(), Some(1));
    let told = told(&output);
    let problems: Vec<&str> =
        told.lines().filter(|line| !line.starts_with("weave: ")).collect();
    assert_eq!(problems.len(), 1, "{told}");
    assert!(problems[0].contains("(no such host)"), "{told}");
    assert!(problems[0].contains("`cargo fetch --locked`"), "{told}");
    assert_eq!(fetches(&workspace), 1, "what failed once is not tried for each line");
}
