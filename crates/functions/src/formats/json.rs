//! JSON in and out, as Go's encoder and the official client see it.

use std::fmt::Write as _;

use gotemplate::{Key, Value};

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
/// Go's words for what has no JSON form.
pub fn marshal(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    write(value, &mut out, 0)?;
    Ok(out)
}

/// Deeper values are refused; what servers send is far from it.
const MAX_DEPTH: usize = 200;

fn write(value: &Value, out: &mut String, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("json: the value is nested too deep".to_owned());
    }
    match value {
        Value::Nil | Value::NilInterface | Value::NilPointer(_) => out.push_str("null"),
        Value::Bool(value) => drop(write!(out, "{value}")),
        Value::Int(_, value) => drop(write!(out, "{value}")),
        Value::Uint(_, value) => drop(write!(out, "{value}")),
        Value::Number(text) => out.push_str(if text.is_empty() { "0" } else { text }),
        Value::Float(value) => out.push_str(&float(*value)?),
        Value::Str(bytes) => string(bytes, out),
        Value::List(list) if list.is_nil() => out.push_str("null"),
        Value::List(list) => {
            out.push('[');
            for (nth, item) in list.items().iter().enumerate() {
                if nth > 0 {
                    out.push(',');
                }
                write(item, out, depth + 1)?;
            }
            out.push(']');
        }
        Value::Map(map) if map.is_nil() => out.push_str("null"),
        Value::Map(map) => {
            let mut entries = Vec::new();
            for (key, value) in map.entries() {
                let key = match key {
                    Key::Str(text) => text.to_vec(),
                    Key::Int(_, number) => number.to_string().into_bytes(),
                    Key::Uint(_, number) => number.to_string().into_bytes(),
                    _ => {
                        return Err(format!(
                            "json: unsupported type: {}",
                            Value::Map(map.clone()).type_name()
                        ));
                    }
                };
                entries.push((key, value));
            }
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            fields(entries.iter().map(|(key, value)| (key.as_slice(), value)), out, depth)?;
        }
        Value::Object(object) => {
            let entries = object.fields();
            fields(entries.iter().map(|(key, value)| (key.as_bytes(), value)), out, depth)?;
        }
        Value::Complex(..) | Value::Chan(_) => {
            return Err(format!("json: unsupported type: {}", value.type_name()));
        }
    }
    Ok(())
}

fn fields<'a>(
    entries: impl Iterator<Item = (&'a [u8], &'a Value)>,
    out: &mut String,
    depth: usize,
) -> Result<(), String> {
    out.push('{');
    for (nth, (key, value)) in entries.enumerate() {
        if nth > 0 {
            out.push(',');
        }
        string(key, out);
        out.push(':');
        write(value, out, depth + 1)?;
    }
    out.push('}');
    Ok(())
}

fn string(bytes: &[u8], out: &mut String) {
    out.push('"');
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c if u32::from(c) < 0x20 => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Shortest digits; exponent form below 1e-6 and from 1e21 on, as JavaScript writes them.
fn float(value: f64) -> Result<String, String> {
    if !value.is_finite() {
        let name = if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return Err(format!("json: unsupported value: {name}"));
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return Ok(match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        });
    }
    Ok(format!("{value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> String {
        marshal(&to_value(&serde_json::from_str(text).unwrap())).unwrap()
    }

    #[test]
    fn keys_are_sorted_numbers_kept_and_html_escaped() {
        assert_eq!(
            round(r#"{"b":1000000,"a":[1.50,true,null],"c":"<a&b>\u2028\u0001é"}"#),
            "{\"a\":[1.50,true,null],\"b\":1000000,\"c\":\"\\u003ca\\u0026b\\u003e\\u2028\\u0001é\"}"
        );
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (value, text) in [
            (1.0, "1"),
            (1.5, "1.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (-0.5, "-0.5"),
        ] {
            assert_eq!(float(value).unwrap(), text);
        }
        assert_eq!(float(f64::NAN).unwrap_err(), "json: unsupported value: NaN");
    }
}
