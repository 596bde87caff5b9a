//! The soak's short form: three thousand requests of each stage, by the program itself, which counts
//! its own threads, descriptors and memory.

use std::process::Command;

const REQUESTS: &str = "3000";

#[cfg(unix)]
#[test]
fn stage1_keeps_its_promises_over_a_server_that_fails() {
    soak("1");
}

#[test]
fn stage2_keeps_its_promises_over_a_server_that_fails() {
    soak("2");
}

#[test]
fn stage3_keeps_its_promises_over_a_server_that_fails() {
    soak("3");
}

fn soak(stage: &str) {
    let tour = env!("CARGO_BIN_EXE_tour");
    let ran =
        Command::new(tour).args(["soak", "--requests", REQUESTS, "--stage", stage]).output();
    let ran = ran.expect("the program runs");
    let (text, errors) =
        (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    println!("{text}");
    assert!(ran.status.success(), "{text}{errors}");
    assert!(text.contains(&format!("{REQUESTS} requests in ")), "{text}");
    assert!(text.contains("broken promises: 0"), "{text}");
}
