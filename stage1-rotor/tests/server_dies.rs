//! The only test of its binary, since it ends its server for all callers at once.

#[test]
fn every_caller_learns_that_the_server_is_gone() {
    testbed::conformance::process::every_caller_learns_that_the_server_is_gone::<stage1_rotor::Client>();
}
