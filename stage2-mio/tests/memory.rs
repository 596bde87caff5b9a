//! The only test of its binary, since it counts what the process has.

#[test]
fn a_hundred_megabytes_pass_through_little_memory() {
    testbed::conformance::process::a_hundred_megabytes_pass_through_little_memory::<
        stage2_mio::Client,
    >();
}
