//! Stage 2's connection, in a script.

#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    stage2_mio::fuzzing::drive(script);
});
