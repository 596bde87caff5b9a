//! A whole book, built: what the directives show.

use crate::workspace::Workspace;

const PAGE: &str = r#"# What does a pool do?

{{#item stage1-rotor::pool::Pool::checkout}}

{{#item stage1-rotor::pool::Pool::checkout match="wake(found)"}}

It holds {{#const stage1-rotor::pool::MOST}}, in {{#lines stage1-rotor::pool::Pool}} lines, and has
{{#count stage1-rotor kind=functions}} functions.

{{#step old="stage1-rotor::pool::Pool::checkout" new="stage2-mio::pool::Pool::checkout"}}

{{#pairs old="stage1-rotor::pool::wake" new="nothing"}}
"fn wake" => nothing : nobody is woken
{{/pairs}}

{{#run[status=1 head=1] false}}

A call takes {{#figure calls.json rows.stage=two.ns}} ns, {{#ratio calls.json rows.0.ns rows.1.ns digits=1}} times less.

{{#ledger}}

{{#ledger-picture}}

{{#ledger-items stage1-rotor}}

{{#ledger-items client-core}}

Waking had {{#ledger-lines wakeup stage=1}} line, and timers have {{#ledger-lines timers of=shared}} in common.

{{#done-by stage1-rotor::pool}}

As text: `\{{#item y}}`.
"#;

fn whole() -> Workspace {
    let workspace = Workspace::with_ledger(PAGE);
    workspace.write(
        "book/results/calls.json",
        r#"{"rows":[{"stage":"one","ns":30},{"stage":"two","ns":12}]}"#,
    );
    let line = weave::directive::parse("{{#run[status=1] false}}").unwrap();
    let weave::directive::Part::Directive(directive, _) = &line[1] else {
        panic!("no directive")
    };
    let command = weave::commands::Command::read(directive).unwrap();
    let recording =
        weave::commands::recording::Recording { status: 1, output: "one\ntwo\n".to_owned() };
    weave::commands::recording::store(&workspace.root().join("book"), &command, &recording)
        .unwrap();
    workspace
}

#[test]
fn a_whole_book_shows_what_its_directives_name() {
    let workspace = whole();
    let report = workspace.build().unwrap();
    assert!(report.pages >= 3 && report.links > 0, "{report:?}");
    let html = workspace.read("book/book/page.html");
    for expected in [
        // The listing says where it is from, and links to the whole file.
        "stage1-rotor/src/pool.rs:12–17</a>",
        "<a href=\"code.html#src-stage1-rotor-src-pool-rs-pool-Pool-checkout\">",
        "lines not shown here",
        // Numbers.
        "It holds 4,096, in 3 lines, and has\n2 functions.",
        "A call takes 12 ns, 2.5 times less.",
        "Waking had 1 line, and timers have 1 in common.",
        // What is shared has its column: lines of the concept, then `mod`, then tests.
        "<tr><th scope=\"row\"><code>limits</code></th><td>timers, also pooling</td><td class=\"n\">1</td></tr>",
        "<td class=\"n\">1</td><td class=\"n\">1</td></tr>\n\n<tr><th scope=\"row\">tests",
        // A deleted line is a `del`, whoever found it.
        "<del class=\"l\" data-n=\"15\">",
        "nobody is woken",
        // The command, its output, and what of it is left out.
        "false</code></pre>",
        "1 more line",
        // Who does it now.
        "nothing has a fixed size",
        "<code>{{#item y}}</code>",
    ] {
        assert!(html.contains(expected), "no `{expected}` in\n{html}");
    }
    assert!(!html.contains("{{#item stage1"), "a directive is left");
}

#[test]
fn a_recording_is_shown_and_counted() {
    let page = "# A?\n\n{{#trace talk}}\n\n{{#trace-counts talk}}\n\nIt wakes {{#trace-count talk 1 wake}} and {{#trace-count talk 1 wake thread=loop}} times, of {{#trace-count talk 1 all}}.\n";
    let workspace = Workspace::new(page);
    workspace.write(
        "book/recordings/trace/talk.json",
        r#"{"scenario":"talk","about":"they talk","parts":["One"],"lanes":[
        {"stage":"stage1-rotor","events":[{"part":0,"what":"wake","thread":"caller"}]},
        {"stage":"stage3-tokio","events":[]}]}"#,
    );
    workspace.build().unwrap();
    let html = workspace.read("book/book/page.html");
    for expected in [
        "<figure class=\"w-trace\" id=\"w-trace-talk\">",
        "<code>wake</code> on the caller’s thread</li>",
        "<dt><code>wake</code></dt>",
        "<th scope=\"row\"><code>wake</code></th><td class=\"n\">1</td><td class=\"n\">0</td>",
        "It wakes 1 and 0 times, of 1.",
    ] {
        assert!(html.contains(expected), "no `{expected}` in\n{html}");
    }
}

#[test]
fn a_step_counts_a_brace_for_no_common_line() {
    let workspace = Workspace::new(
        "# A?\n\n{{#step old=\"stage1-rotor::pool::wake\" new=\"stage2-mio::pool::Pool\"}}\n",
    );
    workspace.build().unwrap();
    let html = workspace.read("book/book/page.html");
    assert!(!html.contains("w-same"), "nothing stayed, but\n{html}");
}

#[test]
fn the_same_text_gives_the_same_page() {
    let workspace = whole();
    workspace.build().unwrap();
    let first = workspace.read("book/book/page.html");
    workspace.build().unwrap();
    assert_eq!(first, workspace.read("book/book/page.html"));
}
