//! From many values one text, and from one text many.

use gotemplate::{Func, FuncError, Key, Map, Param, Type, Value, sprint, sprintf};

use super::super::convert;
use super::{TEXT_TEXT, is_strings, strings};
use crate::arguments::{any, bounded, bytes, int};
use crate::go::strings::{join, split};
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_quote", &[], |arguments| quoted(arguments, quote)).variadic(Param::Any),
        "sprig_quote [value ...]",
        "Each value in double quotes with Go's escapes, spaces between; nils are left out.",
        r#"{{ sprig_quote "a" 1 nil }}"#,
        r#""a" "1""#,
    ),
    entry(
        Func::pure("sprig_squote", &[], |arguments| quoted(arguments, squote)).variadic(Param::Any),
        "sprig_squote [value ...]",
        "Each value in single quotes, without any escapes; nils are left out.",
        r#"{{ sprig_squote "a" 1 }}"#,
        "'a' '1'",
    ),
    entry(
        Func::pure("sprig_cat", &[], |arguments| {
            quoted(arguments, |value| Ok(sprint(std::slice::from_ref(value))?))
        })
        .variadic(Param::Any),
        "sprig_cat [value ...]",
        "The values with spaces between; nils are left out.",
        r#"{{ sprig_cat "a" 1 nil "b" }}"#,
        "a 1 b",
    ),
    entry(
        Func::pure("sprig_toString", &[Param::Any], to_string),
        "sprig_toString value",
        "The value as print shows it.",
        "{{ sprig_toString 1.5 }}",
        "1.5",
    ),
    entry(
        Func::pure("sprig_toStrings", &[Param::Any], to_strings),
        "sprig_toStrings list",
        "The elements as texts, without nils; a single value becomes a list.",
        "{{ sprig_toStrings (sprig_list 1 2 nil) | join `-` }}",
        "1-2",
    ),
    entry(
        Func::pure("sprig_join", &[Param::Str, Param::Any], |arguments| {
            join(&strings(any(arguments, 1))?, bytes(arguments, 0)).map(Value::from)
        }),
        "sprig_join separator list",
        "The elements as texts with the separator between, without nils.",
        r#"{{ sprig_list 1 "a" | sprig_join "-" }}"#,
        "1-a",
    ),
    entry(
        Func::pure("sprig_split", TEXT_TEXT, |arguments| {
            numbered(split(bytes(arguments, 1), bytes(arguments, 0), None)?)
        }),
        "sprig_split separator text",
        "The parts of a text as a dictionary with the keys _0, _1 and so on.",
        r#"{{ (sprig_split "," "a,b,c")._1 }}"#,
        "b",
    ),
    entry(
        Func::pure("sprig_splitn", &[Param::Str, Param::Int, Param::Str], splitn),
        "sprig_splitn separator count text",
        "As sprig_split, with at most so many parts.",
        r#"{{ (sprig_splitn "," 2 "a,b,c")._1 }}"#,
        "b,c",
    ),
    entry(
        Func::pure("sprig_splitList", TEXT_TEXT, |arguments| {
            Ok(Value::strings(split(bytes(arguments, 1), bytes(arguments, 0), None)?))
        }),
        "sprig_splitList separator text",
        "A list of the parts of a text; an empty separator gives single characters.",
        r#"{{ sprig_splitList "," "a,b,c" }}"#,
        "[a b c]",
    ),
];

fn quoted(values: &[Value], write: fn(&Value) -> Result<Vec<u8>, FuncError>) -> Result<Value, FuncError> {
    let (mut out, mut first) = (Vec::new(), true);
    for value in values.iter().filter(|value| !value.is_nil()) {
        if !std::mem::take(&mut first) {
            out.push(b' ');
        }
        out.extend(write(value)?);
        bounded(out.len())?;
    }
    Ok(Value::from(out))
}

fn quote(value: &Value) -> Result<Vec<u8>, FuncError> {
    Ok(gotemplate::quoted(convert::text(value)?).into_bytes())
}

fn squote(value: &Value) -> Result<Vec<u8>, FuncError> {
    Ok(sprintf(b"'%v'", std::slice::from_ref(value))?)
}

fn to_string(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(&*convert::text(any(arguments, 0))?))
}

fn to_strings(arguments: &[Value]) -> Result<Value, FuncError> {
    let value = any(arguments, 0);
    if is_strings(value) {
        return Ok(value.clone());
    }
    Ok(Value::strings(strings(value)?))
}

fn splitn(arguments: &[Value]) -> Result<Value, FuncError> {
    let (separator, text) = (bytes(arguments, 0), bytes(arguments, 2));
    numbered(match int(arguments, 1) {
        0 => Vec::new(),
        count => split(text, separator, usize::try_from(count).ok())?,
    })
}

fn numbered(parts: Vec<&[u8]>) -> Result<Value, FuncError> {
    let entries =
        parts.iter().enumerate().map(|(nth, part)| (Key::str(format!("_{nth}")), Value::from(*part)));
    Ok(Value::Map(Map::new(Type::Str, Type::Str, entries)))
}
