//! The three connections in the same script: they tell the same, and end the same.

#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    let first = stage1_rotor::fuzzing::drive(script);
    let second = stage2_mio::fuzzing::drive(script);
    let third = stage3_tokio::fuzzing::drive(script);
    assert_eq!(first, second, "stages 1 and 2");
    assert_eq!(second, third, "stages 2 and 3");
});
