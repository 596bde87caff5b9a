//! The only test of its binary, since it counts what the process has.

#[test]
fn nothing_is_left_of_a_client() {
    testbed::conformance::process::nothing_is_left_of_a_client::<stage2_mio::Client>();
}
