//! The suite that every stage passes, for this one.

testbed::conformance_tests!(stage2_mio::Client);
