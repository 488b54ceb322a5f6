//! Any pattern compiles or is refused, and what compiles matches and replaces in any text.
#![no_main]

use functions::go::regex::Regex;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], &[u8])| {
    let (pattern, text, replacement) = input;
    let Ok(regex) = Regex::new(pattern) else { return };
    let Ok(found) = regex.find(text) else { return };
    assert_eq!(Ok(found.is_some()), regex.is_match(text));
    if let Some(range) = found {
        assert!(text.get(range).is_some());
    }
    let _ = regex.replace_all(text, replacement);
    let _ = regex.split(text, -1);
});
