//! Arguments as Rust values. The engine has checked their number and types; what is absent is empty or zero.

use std::borrow::Cow;

use gotemplate::{FuncError, List, Value};

use crate::MAX_RESULT;

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

/// Refuses a result of more than [`MAX_RESULT`] bytes or elements before it is made.
///
/// # Errors
/// The text to show.
pub(crate) fn bounded(size: usize) -> Result<(), FuncError> {
    if size > MAX_RESULT {
        return Err(FuncError::new(format!("the result is larger than {} MiB", MAX_RESULT >> 20)));
    }
    Ok(())
}
