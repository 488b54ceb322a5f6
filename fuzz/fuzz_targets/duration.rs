//! Any text is a duration or is refused; what a duration prints as reads back the same.
#![no_main]

use functions::go::duration::Duration;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    if let Ok(duration) = Duration::parse(text) {
        assert_eq!(Duration::parse(duration.to_string().as_bytes()), Ok(duration));
    }
});
