//! Headers of any kind: what is of one connection, and whose token a request travels with.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxy::fuzzing::header_rules(data));
