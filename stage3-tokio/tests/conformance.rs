//! The suite that every stage passes, for this one.

testbed::conformance_tests!(stage3_tokio::Client);
