//! The recordings of the book are what the stages do.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

/// What is the job itself, and therefore the same whatever the I/O model.
const JOB: [&str; 8] =
    ["resolve", "connect", "tls", "checkout", "write", "read", "retry", "checkin"];

/// What tokio does below stage 3, and does not report.
const TAKEN_OVER: [&str; 4] = ["register", "deregister", "ready", "would_block"];

fn recording(name: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("book/recordings/trace").join(format!("{name}.json"));
    let text = fs::read_to_string(&path).expect("the recording is kept");
    serde_json::from_str(&text).expect("it is JSON")
}

fn count(lane: &Value, what: &str) -> usize {
    let events = lane["events"].as_array().expect("a lane has events");
    events.iter().filter(|event| event["what"] == what).count()
}

#[test]
fn another_run_does_what_was_recorded() {
    let tour = Command::new(env!("CARGO_BIN_EXE_tour")).args(["trace", "--check"]).output();
    let ended = tour.expect("the tour starts");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
}

#[test]
fn the_job_is_the_same_on_each_stage() {
    for name in ["exchange", "chunked", "stale", "window", "tls"] {
        let recording = recording(name);
        let lanes = recording["lanes"].as_array().expect("a recording has lanes");
        assert_eq!(lanes.len(), 3, "{name}");
        for what in JOB {
            let counts: Vec<_> = lanes.iter().map(|lane| count(lane, what)).collect();
            // A hang-up is noticed without a read in stages 1 and 2; a buffer begins small in stage 3.
            let own = what == "read" && ["stale", "window"].contains(&name);
            let same = own || counts.windows(2).all(|pair| pair[0] == pair[1]);
            assert!(same, "{name}: {what} {counts:?}");
        }
        for what in TAKEN_OVER {
            assert_eq!(count(&lanes[2], what), 0, "{name}: {what} in stage 3");
        }
        assert!(count(&lanes[0], "register") > 0 && count(&lanes[1], "register") > 0, "{name}");
    }
}
