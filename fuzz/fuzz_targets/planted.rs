//! Our token in an answer, in any spelling and in any pieces: it does not leave.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxy::fuzzing::planted(data));
