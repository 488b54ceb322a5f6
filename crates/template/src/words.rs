//! Go's way to put things.

use std::io;

/// `%q`.
pub(crate) fn quoted(text: &str) -> String {
    gotemplate::quoted(text)
}

/// The system's error in lower case, without its number.
pub(crate) fn errno(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}
