//! Where an answer redirects to: only to a place that was named, and never from TLS to none.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vault::fuzzing::location(data));
