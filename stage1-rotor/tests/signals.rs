//! The only test of its binary, since it changes what a signal does to the process.

#![cfg(unix)]

#[test]
fn dead_sockets_are_left_alone() {
    testbed::conformance::signals::dead_sockets_are_left_alone::<stage1_rotor::Client>();
}
