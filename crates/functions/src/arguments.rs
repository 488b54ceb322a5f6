//! Arguments as Rust values. The engine has checked their number and types; what is absent is empty or zero.

use std::borrow::Cow;

use gotemplate::{FuncError, List, Value};

use crate::patience::Patience;
use crate::{MAX_ELEMENTS, MAX_RESULT};

/// The bytes of a string argument.
pub(crate) fn bytes(arguments: &[Value], nth: usize) -> &[u8] {
    arguments.get(nth).and_then(Value::as_str).unwrap_or_default()
}

/// The text of a string argument; bytes that are no UTF-8 become U+FFFD. Where bytes will do, use [`bytes`].
pub(crate) fn text(arguments: &[Value], nth: usize) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes(arguments, nth))
}

/// An integer argument.
pub(crate) fn int(arguments: &[Value], nth: usize) -> i64 {
    arguments.get(nth).and_then(Value::as_int).unwrap_or_default()
}

/// Any argument.
pub(crate) fn any(arguments: &[Value], nth: usize) -> &Value {
    arguments.get(nth).unwrap_or(&Value::Nil)
}

/// A list argument's elements.
pub(crate) fn items(arguments: &[Value], nth: usize) -> &[Value] {
    match arguments.get(nth) {
        Some(Value::List(list)) => list_items(list),
        _ => &[],
    }
}

fn list_items(list: &List) -> &[Value] {
    list.items()
}

/// Refuses a text of more than [`MAX_RESULT`] bytes before it is made.
///
/// # Errors
/// The text to show.
pub(crate) fn bounded(size: usize) -> Result<(), FuncError> {
    if size > MAX_RESULT {
        return Err(FuncError::new(format!("the result is larger than {} MiB", MAX_RESULT >> 20)));
    }
    Ok(())
}

/// Puts a part behind a text, as long as that stays [`bounded`].
///
/// # Errors
/// The text to show.
pub(crate) fn append(text: &mut Vec<u8>, part: &[u8]) -> Result<(), FuncError> {
    bounded(text.len().saturating_add(part.len()))?;
    text.extend_from_slice(part);
    Ok(())
}

/// Refuses a list or map of more than [`MAX_ELEMENTS`] before it is made.
///
/// # Errors
/// The text to show.
pub(crate) fn bounded_elements(count: usize) -> Result<(), FuncError> {
    if count > MAX_ELEMENTS {
        return Err(FuncError::new(format!("the result has more than {MAX_ELEMENTS} elements")));
    }
    Ok(())
}

/// Counts what one call makes, of maps within maps too.
pub(crate) struct Elements {
    count: usize,
    patience: Patience,
}

impl Default for Elements {
    fn default() -> Self {
        Self { count: 0, patience: Patience::new() }
    }
}

impl Elements {
    /// A map for itself takes about as much as so many entries of a larger one.
    pub(crate) const MAP: usize = 4;

    /// Adds `count` that are about to be made.
    ///
    /// # Errors
    /// When there are more than [`MAX_ELEMENTS`], or they take too long.
    pub(crate) fn add(&mut self, count: usize) -> Result<(), FuncError> {
        self.count = self.count.saturating_add(count);
        self.patience.spend()?;
        bounded_elements(self.count)
    }
}
