//! From many values one text, and from one text many.

use gotemplate::{Func, FuncError, Key, Map, Param, Type, Value, sprint, sprintf};

use super::super::convert;
use super::runes::first_rune;
use super::{TEXT_TEXT, is_strings, strings};
use crate::arguments::{any, bounded, bytes, int};
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_quote", &[], |arguments| quoted(&arguments, quote)).variadic(Param::Any),
        "sprig_quote [value ...]",
        "Each value in double quotes with Go's escapes, spaces between; nils are left out.",
        r#"{{ sprig_quote "a" 1 nil }}"#,
        r#""a" "1""#,
    ),
    entry(
        Func::pure("sprig_squote", &[], |arguments| quoted(&arguments, squote)).variadic(Param::Any),
        "sprig_squote [value ...]",
        "Each value in single quotes, without any escapes; nils are left out.",
        r#"{{ sprig_squote "a" 1 }}"#,
        "'a' '1'",
    ),
    entry(
        Func::pure("sprig_cat", &[], |arguments| {
            quoted(&arguments, |value| Ok(sprint(std::slice::from_ref(value))?))
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
        Func::pure("sprig_join", &[Param::Str, Param::Any], join),
        "sprig_join separator list",
        "The elements as texts with the separator between, without nils.",
        r#"{{ sprig_list 1 "a" | sprig_join "-" }}"#,
        "1-a",
    ),
    entry(
        Func::pure("sprig_split", TEXT_TEXT, |arguments| {
            numbered(split(bytes(&arguments, 1), bytes(&arguments, 0), None)?)
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
            Ok(Value::strings(split(bytes(&arguments, 1), bytes(&arguments, 0), None)?))
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

fn to_string(arguments: Vec<Value>) -> Result<Value, FuncError> {
    Ok(Value::from(&*convert::text(any(&arguments, 0))?))
}

fn to_strings(arguments: Vec<Value>) -> Result<Value, FuncError> {
    let value = any(&arguments, 0);
    if is_strings(value) {
        return Ok(value.clone());
    }
    Ok(Value::strings(strings(value)?))
}

fn join(arguments: Vec<Value>) -> Result<Value, FuncError> {
    let (separator, parts) = (bytes(&arguments, 0), strings(any(&arguments, 1))?);
    let size = parts.iter().map(Vec::len).sum::<usize>();
    bounded(size.saturating_add(separator.len().saturating_mul(parts.len())))?;
    Ok(Value::from(parts.join(separator)))
}

fn splitn(arguments: Vec<Value>) -> Result<Value, FuncError> {
    let (separator, text) = (bytes(&arguments, 0), bytes(&arguments, 2));
    numbered(match int(&arguments, 1) {
        0 => Vec::new(),
        count => split(text, separator, usize::try_from(count).ok())?,
    })
}

/// `strings.SplitN`: the parts between separators, the last with all the rest if `most` are reached.
fn split<'a>(text: &'a [u8], separator: &[u8], most: Option<usize>) -> Result<Vec<&'a [u8]>, FuncError> {
    let (mut parts, mut rest) = (Vec::new(), text);
    if separator.is_empty() && rest.is_empty() {
        return Ok(parts);
    }
    loop {
        let last = most.is_some_and(|most| parts.len() + 1 >= most);
        // The end of this part, and of the separator behind it.
        let cut = if last {
            None
        } else if separator.is_empty() {
            let width = first_rune(rest).1;
            (width < rest.len()).then_some((width, width))
        } else {
            find(rest, separator).map(|at| (at, at + separator.len()))
        };
        bounded(parts.len())?;
        let Some((end, next)) = cut else {
            parts.push(rest);
            return Ok(parts);
        };
        parts.push(rest.get(..end).unwrap_or_default());
        rest = rest.get(next..).unwrap_or_default();
    }
}

/// Where `needle`, which is not empty, is first found.
pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let (&first, tail) = needle.split_first()?;
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let at = from + rest.iter().position(|&byte| byte == first)?;
        if text.get(at + 1..)?.starts_with(tail) {
            return Some(at);
        }
        from = at + 1;
    }
}

fn numbered(parts: Vec<&[u8]>) -> Result<Value, FuncError> {
    let entries =
        parts.iter().enumerate().map(|(nth, part)| (Key::str(format!("_{nth}")), Value::from(*part)));
    Ok(Value::Map(Map::new(Type::Str, Type::Str, entries)))
}
