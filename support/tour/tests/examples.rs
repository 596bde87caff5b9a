//! The lessons of each stage as processes: that they end well, and show what they promise.

mod programs;

use std::fs;

use programs::Program;
use testbed::api;

mod fan_out {
    crate::for_each_stage!("fan_out": a_thousand_calls_need_eight_connections);
}
mod slow_reader {
    crate::for_each_stage!("slow_reader": a_slow_reader_stops_its_server_only);
}
mod give_up {
    crate::for_each_stage!("give_up": nothing_is_left_of_calls_that_were_given_up);
}
mod pipeline {
    crate::for_each_stage!("pipeline":
        layers_retry_decompress_and_redirect_without_credentials,
        a_url_is_used_instead_of_a_server_of_its_own,
        a_wrong_command_line_says_what_was_expected,
    );
}

fn a_thousand_calls_need_eight_connections(fan_out: &Program) {
    let text = succeeds(fan_out);
    assert!(text.contains("1000 answers: 8 open (8 idle, 0 in use)"), "{text}");
    assert!(text.contains("8 created, 992 reused"), "{text}");
}

fn a_slow_reader_stops_its_server_only(slow_reader: &Program) {
    let text = succeeds(slow_reader);
    let sent = text.split("got rid of ").nth(1).and_then(|rest| rest.split(' ').next());
    let sent: usize = sent.and_then(|kib| kib.parse().ok()).expect("how far the server came");
    assert!(0 < sent && sent < api::BIG_MIB * 1024, "{text}");
    assert!(text.contains(&format!("all {} bytes: 2 open", api::BIG_MIB << 20)), "{text}");
}

fn nothing_is_left_of_calls_that_were_given_up(give_up: &Program) {
    let text = succeeds(give_up);
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains("0 open (0 idle, 0 in use), 0 connecting, 0 waiting"), "{text}");
    assert!(last.contains("3 closed: 1 cancelled, 1 body-dropped, 1 client-closed"), "{text}");
}

fn layers_retry_decompress_and_redirect_without_credentials(pipeline: &Program) {
    check_pipeline(&succeeds(pipeline));
}

fn a_url_is_used_instead_of_a_server_of_its_own(pipeline: &Program) {
    let server = api::start().unwrap();
    check_pipeline(&pipeline.run([server.url("/")]).expect(0).text());
    let log = server.finish();
    let expected =
        ["/flaky", "/flaky", "/flaky", "/compressed", "/headers", "/moved", "/headers"];
    assert_eq!(log.targets(), expected);
    let credentials: Vec<_> =
        log.requests.iter().map(|request| request.header("authorization").is_some()).collect();
    assert_eq!(credentials, [true, true, true, true, true, true, false]);
}

fn check_pipeline(text: &str) {
    for answer in ["/flaky: 200", "/compressed: 200", "/headers: 200", "/moved: 200"] {
        assert!(text.contains(answer), "{answer}: {text}");
    }
    assert_eq!(text.matches("\"id\":7").count(), 2, "{text}");
    assert_eq!(text.matches("authorization: Bearer secret").count(), 1, "{text}");
}

/// What is glued around a client does not know which one it is.
#[test]
fn pipelines_differ_in_the_name_of_the_client_only() {
    let [first, second, third] = ["stage1-rotor", "stage2-mio", "stage3-tokio"].map(|stage| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let text = fs::read_to_string(format!("{root}/{stage}/examples/pipeline.rs")).unwrap();
        let (name, _) = stage.split_once('-').unwrap();
        let renamed = text
            .replace(&stage.replace('-', "_"), "the_client")
            .replace(&format!("{name}-pipeline"), "the-pipeline");
        assert!(text != renamed && !renamed.contains(name), "{stage}");
        renamed
    });
    assert!(first == second && second == third);
}

fn a_wrong_command_line_says_what_was_expected(pipeline: &Program) {
    for args in [&["not a url"][..], &["http://a/", "http://b/"]] {
        let ended = pipeline.run(args).expect(2);
        assert!(ended.stderr.contains("expected"), "{args:?}: {}", ended.stderr);
    }
}

/// Runs a lesson against the server that it starts.
#[track_caller]
fn succeeds(program: &Program) -> String {
    program.run([""; 0]).expect(0).text()
}
