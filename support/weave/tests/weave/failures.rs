//! Builds that have to fail, each with the message that a writer needs.

use crate::workspace::Workspace;

/// Builds a book that is wrong, and asks for a problem that starts with the one text and holds the
/// other.
#[track_caller]
fn fails(workspace: &Workspace, place: &str, message: &str) {
    let found = match workspace.build() {
        Ok(report) => panic!("it was built: {report:?}"),
        Err(found) => found,
    };
    let told =
        |line: &String| line.starts_with(&format!("{place}: ")) && line.contains(message);
    assert!(found.iter().any(told), "no `{place}: … {message}` in\n{}", found.join("\n"));
}

/// A page with this text on its third line.
#[track_caller]
fn page_fails(line: &str, message: &str) {
    fails(&Workspace::new(&format!("# A?\n\n{line}\n")), "book/src/page.md:3", message);
}

#[test]
fn an_unknown_path_names_what_is_near() {
    page_fails("{{#item stage1-rotor::pool::Pool::chekout}}", "`pool::Pool::checkout`");
    page_fails(
        "{{#item stage9::pool}}",
        "the workspace has client-core, stage1-rotor, stage2-mio, stage3-tokio",
    );
    page_fails("{{#file stage1-rotor::pol}}", "`pool`");
    page_fails("{{#item stage1-rotor::pool}}", "is a file: write `file`");
    page_fails("{{#lines stage1-rotor::pool::gone}}", "no item `pool::gone`");
}

#[test]
fn an_unknown_directive_or_attribute_names_what_there_is() {
    page_fails(
        "{{#itme stage1-rotor::pool::Pool}}",
        "no directive `itme`; the nearest are `item`",
    );
    page_fails("{{#item stage1-rotor::pool::Pool form=\"x\"}}", "no attribute `form`");
    page_fails("{{#item stage1-rotor::pool::Pool", "is not closed");
    page_fails("text {{#item stage1-rotor::pool::Pool}}", "on a line of its own");
}

#[test]
fn a_text_to_pick_must_be_there_once() {
    page_fails("{{#item stage1-rotor::pool::Pool from=\"gone\"}}", "`gone` is not in");
    page_fails(
        "{{#item stage1-rotor::pool::Pool::checkout match=\"found\"}}",
        "on lines 14 and 15",
    );
    page_fails("{{#const stage1-rotor::pool::wake}}", "is no constant");
    page_fails("{{#const stage1-rotor::pool::Pool after=\"gone:\"}}", "`gone:` is not in");
}

#[test]
fn a_pair_names_lines_that_are_there() {
    let block = "# A?\n\n{{#pairs old=\"stage1-rotor::pool::wake\" new=\"nothing\"}}\n\n\"gone\" => nothing\n{{/pairs}}\n";
    fails(&Workspace::new(block), "book/src/page.md:5", "holds `gone`");
    page_fails("{{#step old=\"stage1-rotor::pool::wake\"}}", "`new=` is missing");
}

#[test]
fn a_command_has_a_recording_and_is_not_pasted() {
    page_fails("{{#run cargo test}}", "commands --record");
    page_fails("{{#run[status=x] cargo test}}", "status=x is no number");
    fails(
        &Workspace::new("# A?\n\n```console\n$ cargo test\n```\n"),
        "book/src/page.md:4",
        "no check",
    );
    fails(&Workspace::new("# A?\n\n```sh\nls\n```\n"), "book/src/page.md:4", "no check");
}

#[test]
fn a_command_that_another_check_runs_is_run_by_it() {
    page_fails("{{#run[by=\"gone\"] cargo bench}}", "gone");
    let workspace = Workspace::new("# A?\n\n{{#run[by=\"ci\"] cargo bench}}\n");
    workspace.write("ci", "cargo test\n");
    fails(&workspace, "book/src/page.md:3", "ci does not run `cargo bench`");
    workspace.write("ci", "cargo bench --locked\n");
    assert!(workspace.build().is_ok());
}

#[test]
fn a_figure_has_a_file_and_a_key() {
    fails(
        &Workspace::new("# A?\n\n{{#figure calls.json ns}}\n"),
        "book/results/calls.json",
        "",
    );
    let workspace = Workspace::new("# A?\n\n{{#figure calls.json row.ns}}\n");
    workspace.write("book/results/calls.json", r#"{"rows":{"ns":1}}"#);
    fails(&workspace, "book/src/page.md:3", "there is rows");
}

#[test]
fn a_run_of_the_comparison_is_the_reference_or_the_readers_own() {
    let missing = Workspace::new("# A?\n\n{{#measured-counters}}\n\n{{#measured-machine}}\n");
    assert_eq!(missing.build().unwrap_err(), ["book/results/reference.json: is missing"]);
    let workspace = Workspace::new("# A?\n\n{{#measured-mine}}\n");
    assert!(workspace.build().is_ok(), "nobody has to have measured");
    workspace.write("book/results/mine.json", "{}");
    fails(&workspace, "book/results/mine.json", "missing field");
}

/// A recording of two words.
const RECORDING: &str = r#"{"scenario":"talk","about":"they talk","parts":["One"],"lanes":[
{"stage":"stage1-rotor","events":[{"part":0,"what":"register","thread":"loop"},
{"part":0,"what":"wake","thread":"caller"}]},{"stage":"stage3-tokio","events":[]}]}"#;

#[test]
fn a_recording_is_there_and_has_the_stage_and_the_word() {
    page_fails("{{#trace talk}}", "no recording `talk`; there is none");
    for (line, message) in [
        ("{{#trace tell}}", "no recording `tell`; there is talk; `cargo run"),
        ("{{#trace talk only=\"regster\"}}", "the nearest are `register`"),
        ("Text {{#trace talk}}", "on a line of its own"),
        ("{{#trace-count talk 2 wake}}", "`2` is no stage of `talk`: stage1-rotor"),
        ("{{#trace-count talk 1 woke}}", "`woke` is no word of a recording"),
        ("{{#trace-count talk wake}}", "takes SCENARIO STAGE WORD"),
        ("{{#trace-count talk 1 wake thread=main}}", "there is loop, caller, resolver"),
        ("{{#trace-counts talks}}", "no recording `talks`"),
    ] {
        let workspace = Workspace::new(&format!("# A?\n\n{line}\n"));
        workspace.write("book/recordings/trace/talk.json", RECORDING);
        fails(&workspace, "book/src/page.md:3", message);
    }
}

#[test]
fn a_recording_has_no_word_and_no_part_that_nobody_explains() {
    for (old, new, message) in [
        ("\"wake\"", "\"shout\"", "`shout` is no word of a recording"),
        ("\"part\":0,\"what\":\"wake\"", "\"part\":1,\"what\":\"wake\"", "has no part 1"),
        ("\"about\"", "\"of\"", "unknown field `of`"),
    ] {
        let workspace = Workspace::new("# A?\n\n{{#trace talk}}\n\n{{#trace-counts talk}}\n");
        let file = "book/recordings/trace/talk.json";
        workspace.write(file, &RECORDING.replace(old, new));
        fails(&workspace, file, message);
        assert_eq!(workspace.build().unwrap_err().len(), 1, "two lines need it, one is told");
    }
}

#[test]
fn what_mdbook_only_warns_of_is_an_error() {
    page_fails("<div>", "`<div>` is opened here and never closed");
    page_fails("</div>", "closes nothing");
    let workspace = Workspace::new("# A?\n");
    workspace.replace("book/src/SUMMARY.md", "[Code]", "[Gone](gone.md)\n- [Code]");
    assert!(workspace.build().is_err());
}

#[test]
fn a_link_leads_somewhere_and_nothing_is_loaded_from_the_network() {
    page_fails("[a](gone.md)", "leads to no file");
    page_fails("[a](code.md#gone)", "the page has no `gone`");
    let workspace = Workspace::new("# A?\n\n![a](https://example.org/a.png)\n");
    let found = workspace.build().unwrap_err();
    assert!(found.iter().any(|l| l.contains("is loaded from the network")), "{found:?}");
    let workspace = Workspace::new("# A?\n\n<p id=\"x\">a</p>\n<p id=\"x\">b</p>\n");
    let found = workspace.build().unwrap_err();
    assert!(found.iter().any(|l| l.contains("`x` is here for the second time")), "{found:?}");
}

#[test]
fn a_file_that_is_no_rust_is_told_once_however_many_lines_show_it() {
    let workspace = Workspace::with_ledger(
        "# A?\n\n{{#item stage1-rotor::pool::Pool}}\n\n{{#lines stage1-rotor::pool::wake}}\n\n\
         {{#step old=\"stage1-rotor::pool::Pool\" new=\"stage2-mio::pool::Pool\"}}\n\n\
         {{#ledger}}\n\n{{#done-by stage1-rotor}}\n",
    );
    workspace.replace("stage1-rotor/src/pool.rs", "free: usize,", "free: usize, }");
    let found = workspace.build().unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("stage1-rotor/src/pool.rs:"), "{found:?}");
}

#[test]
fn a_word_has_one_spelling() {
    page_fails("A wake-up comes.", "is written wakeup");
}

#[test]
fn every_item_of_a_stage_is_shown() {
    let workspace = Workspace::new("# A?\n");
    workspace.write(
        "book/src/code.md",
        "# Code\n\n{{#sources stage1-rotor}}\n\n{{#sources stage2-mio}}\n",
    );
    fails(&workspace, "stage3-tokio/src/pool.rs:3", "no page shows all of `pool::Pool`");
}

#[test]
fn the_ledger_has_each_item_once() {
    let missing = Workspace::with_ledger("# A?\n");
    missing.replace("book/ledger.toml", "wakeup = [\"wake\"]", "");
    fails(&missing, "stage1-rotor/src/pool.rs:20", "`pool::wake` has no concept");

    let unknown = Workspace::with_ledger("# A?\n");
    unknown.replace("book/ledger.toml", "[\"wake\"]", "[\"wake\", \"wakes\"]");
    fails(&unknown, "book/ledger.toml:3", "no item `pool::wakes`; near it: `pool::wake`");

    let twice = Workspace::with_ledger("# A?\n");
    twice.replace("book/ledger.toml", "[\"wake\"]", "[\"wake\", \"MOST\"]");
    fails(&twice, "book/ledger.toml:3", "`pool::MOST` stands on line 2 too");

    let concept = Workspace::with_ledger("# A?\n");
    concept.replace("book/ledger.toml", "wakeup", "waking");
    fails(&concept, "book/ledger.toml:3", "`waking` is no concept: interest, wakeup");
}

#[test]
fn the_ledger_has_each_module_of_what_is_shared_once() {
    let missing = Workspace::with_ledger("# A?\n");
    missing.replace("book/ledger.toml", "\"timers also pooling\" = [\"limits\"]", "");
    fails(&missing, "client-core/src/limits.rs", "`limits` has no concept in the ledger's [");

    let unknown = Workspace::with_ledger("# A?\n");
    unknown.replace("book/ledger.toml", "[\"limits\"]", "[\"limits\", \"limit\"]");
    fails(&unknown, "book/ledger.toml:10", "no module `limit`; near it: `limits`");

    let twice = Workspace::with_ledger("# A?\n");
    twice.replace("book/ledger.toml", "[\"lib\"]", "[\"lib\", \"limits\"]");
    fails(&twice, "book/ledger.toml:10", "`limits` stands on line 9 too");

    let covered = Workspace::with_ledger("# A?\n");
    covered
        .write("client-core/src/limits/most.rs", "//! The most.\npub const MOST: usize = 2;\n");
    covered.draw();
    covered.build().unwrap();
}

#[test]
fn the_ledger_separates_what_it_can() {
    let mixed = Workspace::with_ledger("# A?\n");
    mixed.replace(
        "book/ledger.toml",
        "pooling = [\"MOST\"",
        "\"pooling also timers\" = [\"MOST\"",
    );
    fails(&mixed, "book/ledger.toml", "the limit is 15 %");

    let stale = Workspace::with_ledger("# A?\n");
    stale.replace(
        "stage1-rotor/src/pool.rs",
        "fn wake(_: bool) {}",
        "fn wake(x: bool) {\n    drop(x);\n}",
    );
    fails(&stale, "book/ledger.svg", "ledger --write");
}

#[test]
fn every_deleted_item_says_who_does_its_work() {
    let missing = Workspace::with_ledger("# A?\n");
    missing.replace("book/now-done-by.toml", "\"wake\" =", "\"Pool\" =");
    fails(&missing, "stage1-rotor/src/pool.rs:20", "`pool::wake` is deleted");

    let gone = Workspace::with_ledger("# A?\n");
    gone.replace(
        "book/now-done-by.toml",
        "stage2-mio::pool::Pool::checkout",
        "stage2-mio::pool::Pol",
    );
    fails(&gone, "book/now-done-by.toml:3", "`pool::Pool`");

    let unknown = Workspace::with_ledger("# A?\n");
    unknown.replace("book/now-done-by.toml", "\"MOST\"", "\"LEAST\"");
    fails(&unknown, "book/now-done-by.toml:2", "no item `pool::LEAST`");
}
