//! Stage 1's connection, in a script.

#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    stage1_rotor::fuzzing::drive(script);
});
