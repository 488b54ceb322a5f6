//! Go's way to put things.

use std::io;

use gotemplate::Value;

/// `%q`.
pub(crate) fn quoted(text: &str) -> String {
    let quoted = gotemplate::sprintf(b"%q", &[Value::from(text)]).unwrap_or_default();
    String::from_utf8_lossy(&quoted).into_owned()
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
