//! Stage 3's connection, in a script.

#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    stage3_tokio::fuzzing::drive(script);
});
