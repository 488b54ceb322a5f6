//! JSON in and out, as Go's encoder and the official client see it.

mod pretty;
mod read;
mod write;

pub(crate) use pretty::indented;
pub(crate) use read::parse;
pub(crate) use write::{Dialect, write};

use gotemplate::Value;

/// A server's JSON as a template value: numbers keep their text (`json.Number`), null is a nil interface.
pub fn to_value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::NilInterface,
        serde_json::Value::Bool(value) => Value::from(*value),
        serde_json::Value::Number(number) => Value::number(number.to_string()),
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(values) => Value::list(values.iter().map(to_value).collect()),
        serde_json::Value::Object(fields) => {
            Value::map(fields.iter().map(|(key, value)| (key, to_value(value))))
        }
    }
}

/// Go's `json.Marshal`: compact, keys sorted, `<`, `>` and `&` escaped.
///
/// # Errors
/// Go's words for what has no JSON form, or that the text would be too large.
pub fn marshal(value: &Value) -> Result<String, String> {
    write(value, Dialect::default()).map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests;
