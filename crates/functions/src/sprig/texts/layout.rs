//! Texts in columns and lines.

use gotemplate::{Func, FuncError, Param, Value};

use super::INT_TEXT;
use crate::arguments::{append, bounded, bytes, int};
use crate::go::strings::{index, replace_all};
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_repeat", INT_TEXT, |arguments| {
            repeat(bytes(arguments, 1), int(arguments, 0)).map(Value::from)
        }),
        "sprig_repeat count text",
        "The text so many times.",
        r#"{{ sprig_repeat 3 "ab" }}"#,
        "ababab",
    ),
    entry(
        Func::pure("sprig_indent", INT_TEXT, |arguments| {
            indent(int(arguments, 0), bytes(arguments, 1)).map(Value::from)
        }),
        "sprig_indent count text",
        "The text with so many spaces at the start of each line, empty ones too.",
        r#"{{ sprig_indent 2 "a" }}"#,
        "  a",
    ),
    entry(
        Func::pure("sprig_nindent", INT_TEXT, |arguments| {
            let text = indent(int(arguments, 0), bytes(arguments, 1))?;
            Ok(Value::from([b"\n", text.as_slice()].concat()))
        }),
        "sprig_nindent count text",
        "As sprig_indent, behind a newline.",
        r#"a:{{ sprig_nindent 2 "b" }}"#,
        "a:\n  b",
    ),
    entry(
        Func::pure("sprig_abbrev", INT_TEXT, abbrev),
        "sprig_abbrev width text",
        "The text cut to so many bytes with three points at the end; a width below 4 cuts nothing.",
        r#"{{ sprig_abbrev 8 "hello world" }}"#,
        "hello...",
    ),
    entry(
        Func::pure("sprig_abbrevboth", &[Param::Int, Param::Int, Param::Str], abbrevboth),
        "sprig_abbrevboth offset width text",
        "The part of the text at the offset, cut to so many bytes with three points at both ends.",
        r#"{{ sprig_abbrevboth 5 10 "1234 5678 9123" }}"#,
        "...5678...",
    ),
    entry(
        Func::pure("sprig_wrap", INT_TEXT, |arguments| {
            wrap(bytes(arguments, 1), int(arguments, 0), b"\n", LongWords::Whole).map(Value::from)
        }),
        "sprig_wrap width text",
        "The text in lines of at most so many bytes, broken at spaces; longer words stay whole.",
        r#"{{ sprig_wrap 5 "ab cd ef" }}"#,
        "ab cd\nef",
    ),
    entry(
        Func::pure("sprig_wrapWith", &[Param::Int, Param::Str, Param::Str], wrap_with),
        "sprig_wrapWith width separator text",
        "As sprig_wrap with a separator instead of the newline; longer words are broken.",
        r#"{{ sprig_wrapWith 3 "|" "abcdefg hi" }}"#,
        "abc|def|g|hi",
    ),
];

fn repeat(text: &[u8], count: i64) -> Result<Vec<u8>, FuncError> {
    let Ok(count) = usize::try_from(count) else { return Err("strings: negative Repeat count".into()) };
    match text.len().checked_mul(count).filter(|size| i64::try_from(*size).is_ok()) {
        Some(size) => bounded(size)?,
        None => return Err("strings: Repeat output length overflow".into()),
    }
    Ok(text.repeat(count))
}

fn indent(count: i64, text: &[u8]) -> Result<Vec<u8>, FuncError> {
    let padding = repeat(b" ", count)?;
    let indented = replace_all(text, b"\n", &[b"\n", padding.as_slice()].concat())?;
    bounded(padding.len() + indented.len() + 1)?;
    Ok([padding, indented].concat())
}

// === Abbreviation ===

fn abbrev(arguments: &[Value]) -> Result<Value, FuncError> {
    let (width, text) = (int(arguments, 0), bytes(arguments, 1));
    Ok(Value::from(if width < 4 { text.to_vec() } else { abbreviated(text, 0, width) }))
}

fn abbrevboth(arguments: &[Value]) -> Result<Value, FuncError> {
    let (offset, width, text) = (int(arguments, 0), int(arguments, 1), bytes(arguments, 2));
    if width < 4 || offset > 0 && width < 7 {
        return Ok(Value::from(text));
    }
    Ok(Value::from(abbreviated(text, offset, width)))
}

/// goutils' `AbbreviateFull`; the width is at least 4, and 7 where the offset is positive.
fn abbreviated(text: &[u8], offset: i64, width: i64) -> Vec<u8> {
    let length = text.len() as i64;
    if length <= width {
        return text.to_vec();
    }
    let body = width - 3;
    let offset = offset.min(length - body);
    let part = |from: i64, to: i64| text.get(from as usize..to as usize).unwrap_or_default();
    if offset <= 4 {
        return [part(0, body), b"..."].concat();
    }
    if offset + body < length {
        let rest = part(offset, length);
        return [b"...", abbreviated(rest, 0, body).as_slice()].concat();
    }
    [b"...", part(length - body, length)].concat()
}

// === Wrapping ===

/// What becomes of words longer than a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LongWords {
    Whole,
    Broken,
}

fn wrap_with(arguments: &[Value]) -> Result<Value, FuncError> {
    let separator = match bytes(arguments, 1) {
        b"" => b"\n",
        separator => separator,
    };
    wrap(bytes(arguments, 2), int(arguments, 0), separator, LongWords::Broken).map(Value::from)
}

/// goutils' `WrapCustom`: leading spaces of a line go, trailing ones stay.
fn wrap(text: &[u8], width: i64, separator: &[u8], long_words: LongWords) -> Result<Vec<u8>, FuncError> {
    let width = usize::try_from(width).unwrap_or(0).max(1);
    let (mut out, mut rest) = (Vec::new(), text);
    while rest.len() > width {
        if let Some(spaceless) = rest.strip_prefix(b" ") {
            rest = spaceless;
            continue;
        }
        let window = rest.get(..=width).unwrap_or(rest);
        // The end of the line, and where the next one begins.
        let (end, next) = match (window.iter().rposition(|byte| *byte == b' '), long_words) {
            (Some(space), _) => (space, space + 1),
            (None, LongWords::Broken) => (width, width),
            (None, LongWords::Whole) => match rest.get(width..).and_then(|rest| index(rest, b" ")) {
                Some(space) => (width + space, width + space + 1),
                None => break,
            },
        };
        append(&mut out, rest.get(..end).unwrap_or_default())?;
        append(&mut out, separator)?;
        rest = rest.get(next..).unwrap_or_default();
    }
    append(&mut out, rest)?;
    Ok(out)
}
