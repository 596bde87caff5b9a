//! The only test of its binary, which runs once more with few descriptors.

#![cfg(unix)]

#[test]
fn running_out_of_descriptors_is_no_wall() {
    testbed::conformance::descriptors::running_out_of_descriptors_is_no_wall::<
        stage2_mio::Client,
    >();
}
