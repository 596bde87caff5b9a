//! The suite that every stage passes, for this one.

testbed::conformance_tests!(stage1_rotor::Client);
