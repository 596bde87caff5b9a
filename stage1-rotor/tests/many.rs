//! A thousand calls over eight connections.

#[test]
fn many_calls_share_few_connections() {
    testbed::conformance::process::many_calls_share_few_connections::<stage1_rotor::Client>();
}
