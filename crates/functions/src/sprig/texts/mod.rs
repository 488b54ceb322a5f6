//! Strings. They are bytes; where characters count, a byte that is no UTF-8 counts as one.

mod cases;
mod chances;
mod joining;
mod layout;
mod parts;
mod words;

use gotemplate::{FuncError, Param, Type, Value};

use super::convert::text;

pub(crate) use cases::ENTRIES as CASES;
pub(crate) use chances::ENTRIES as CHANCES;
pub(crate) use joining::ENTRIES as JOINING;
pub(crate) use layout::ENTRIES as LAYOUT;
pub(crate) use parts::ENTRIES as PARTS;

const TEXT: &[Param] = &[Param::Str];
const TEXT_TEXT: &[Param] = &[Param::Str, Param::Str];
const INT_TEXT: &[Param] = &[Param::Int, Param::Str];

/// The texts of a list's elements without nils, or the text of anything else alone.
///
/// # Errors
/// When a value is nested too deeply or the texts are too long.
pub(super) fn strings(value: &Value) -> Result<Vec<Vec<u8>>, FuncError> {
    let items = match value {
        Value::List(list) => list.items(),
        Value::Nil | Value::NilInterface => &[],
        other => std::slice::from_ref(other),
    };
    let (mut texts, mut size) = (Vec::with_capacity(items.len()), 0usize);
    for item in items.iter().filter(|item| !item.is_nil()) {
        let text = text(item)?.into_owned();
        size = size.saturating_add(text.len());
        crate::arguments::bounded(size)?;
        texts.push(text);
    }
    Ok(texts)
}

/// Whether a value is a `[]string`.
fn is_strings(value: &Value) -> bool {
    matches!(value, Value::List(list) if *list.element() == Type::Str)
}
