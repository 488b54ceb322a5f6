//! Any text is read by any layout or refused; what is read can be written by any layout.
#![no_main]

use functions::go::layout::{format, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], &[u8])| {
    let (layout, text, other) = input;
    if let Ok(time) = parse(layout, text) {
        let _ = format(&time, other);
    }
    if let Ok(time) = parse(b"2006-01-02T15:04:05.999999999Z07:00", text) {
        let _ = format(&time, other);
    }
});
