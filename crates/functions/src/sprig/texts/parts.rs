//! Parts of a text: cutting off, taking out, looking for and replacing.

use gotemplate::{Func, FuncError, Param, Value};

use super::{INT_TEXT, TEXT, TEXT_TEXT};
use crate::arguments::{bytes, int};
use crate::go::strings;
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_trim", TEXT, |arguments| Ok(Value::from(strings::trim_space(bytes(arguments, 0))))),
        "sprig_trim text",
        "Without white space at both ends.",
        r#"{{ sprig_trim "  a b " }}"#,
        "a b",
    ),
    entry(
        Func::pure("sprig_trimAll", TEXT_TEXT, trim_all),
        "sprig_trimAll characters text",
        "Without any of the characters at both ends.",
        r#"{{ sprig_trimAll "$" "$5.00$" }}"#,
        "5.00",
    ),
    entry(
        Func::pure("sprig_trimall", TEXT_TEXT, trim_all),
        "sprig_trimall characters text",
        "The same as sprig_trimAll.",
        r#"{{ sprig_trimall "$" "$5.00$" }}"#,
        "5.00",
    ),
    entry(
        Func::pure("sprig_trimPrefix", TEXT_TEXT, |arguments| {
            Ok(Value::from(strings::trim_prefix(bytes(arguments, 1), bytes(arguments, 0))))
        }),
        "sprig_trimPrefix prefix text",
        "Without the prefix, if it is there.",
        r#"{{ sprig_trimPrefix "-" "-hello" }}"#,
        "hello",
    ),
    entry(
        Func::pure("sprig_trimSuffix", TEXT_TEXT, |arguments| {
            Ok(Value::from(strings::trim_suffix(bytes(arguments, 1), bytes(arguments, 0))))
        }),
        "sprig_trimSuffix suffix text",
        "Without the suffix, if it is there.",
        r#"{{ sprig_trimSuffix "-" "hello-" }}"#,
        "hello",
    ),
    entry(
        Func::pure("sprig_nospace", TEXT, nospace),
        "sprig_nospace text",
        "Without white space; if there was any, each byte beyond ASCII becomes a character of its own.",
        r#"{{ sprig_nospace " a b c " }}"#,
        "abc",
    ),
    entry(
        Func::pure("sprig_initials", TEXT, initials),
        "sprig_initials text",
        "The first byte of each word.",
        r#"{{ sprig_initials "First Try" }}"#,
        "FT",
    ),
    entry(
        Func::pure("sprig_substr", &[Param::Int, Param::Int, Param::Str], substr),
        "sprig_substr from to text",
        "The bytes from one position up to, not including, another.",
        r#"{{ sprig_substr 0 5 "hello world" }}"#,
        "hello",
    ),
    entry(
        Func::pure("sprig_trunc", INT_TEXT, trunc),
        "sprig_trunc count text",
        "The first so many bytes; the last ones, if the count is negative.",
        r#"{{ sprig_trunc 5 "hello world" }} {{ sprig_trunc -5 "hello world" }}"#,
        "hello world",
    ),
    entry(
        Func::pure("sprig_contains", TEXT_TEXT, |arguments| {
            Ok(Value::from(strings::contains(bytes(arguments, 1), bytes(arguments, 0))))
        }),
        "sprig_contains part text",
        "Whether the part is in the text.",
        r#"{{ sprig_contains "cat" "catch" }}"#,
        "true",
    ),
    entry(
        Func::pure("sprig_hasPrefix", TEXT_TEXT, |arguments| {
            Ok(Value::from(bytes(arguments, 1).starts_with(bytes(arguments, 0))))
        }),
        "sprig_hasPrefix prefix text",
        "Whether the text begins with the prefix.",
        r#"{{ sprig_hasPrefix "cat" "catch" }}"#,
        "true",
    ),
    entry(
        Func::pure("sprig_hasSuffix", TEXT_TEXT, |arguments| {
            Ok(Value::from(bytes(arguments, 1).ends_with(bytes(arguments, 0))))
        }),
        "sprig_hasSuffix suffix text",
        "Whether the text ends with the suffix.",
        r#"{{ sprig_hasSuffix "tch" "catch" }}"#,
        "true",
    ),
    entry(
        Func::pure("sprig_replace", &[Param::Str, Param::Str, Param::Str], |arguments| {
            let (old, new, text) = (bytes(arguments, 0), bytes(arguments, 1), bytes(arguments, 2));
            strings::replace_all(text, old, new).map(Value::from)
        }),
        "sprig_replace old new text",
        "The text with new for each old; an empty old is found around every character.",
        r#"{{ sprig_replace " " "-" "I am" }}"#,
        "I-am",
    ),
    entry(
        Func::pure("sprig_plural", &[Param::Str, Param::Str, Param::Int], plural),
        "sprig_plural one many count",
        "The first text for a count of 1, the second for any other.",
        r#"{{ len "abc" | sprig_plural "one byte" "many bytes" }}"#,
        "many bytes",
    ),
];

fn trim_all(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(strings::trim(bytes(arguments, 1), bytes(arguments, 0))))
}

/// A byte as goutils sees it: a character of Latin-1.
fn is_space(byte: u8) -> bool {
    char::from(byte).is_whitespace()
}

fn nospace(arguments: &[Value]) -> Result<Value, FuncError> {
    let text = bytes(arguments, 0);
    if !text.iter().copied().any(is_space) {
        return Ok(Value::from(text));
    }
    let kept = text.iter().copied().filter(|byte| !is_space(*byte));
    Ok(Value::from(kept.map(char::from).collect::<String>()))
}

fn initials(arguments: &[Value]) -> Result<Value, FuncError> {
    let words = bytes(arguments, 0).split(|byte| is_space(*byte));
    Ok(Value::from(words.filter_map(|word| word.first().copied().map(char::from)).collect::<String>()))
}

fn substr(arguments: &[Value]) -> Result<Value, FuncError> {
    let (from, to, text) = (int(arguments, 0), int(arguments, 1), bytes(arguments, 2));
    let length = text.len() as i64;
    let (from, to) = match (from, to) {
        (..0, ..0) => return out_of_range(format!("[:{to}]")),
        (..0, _) if to > length => return out_of_range(format!("[:{to}] with length {length}")),
        (..0, _) => (0, to),
        (_, ..0) => (from, length),
        _ => (from, to.min(length)),
    };
    match text.get(from as usize..to as usize) {
        Some(part) => Ok(Value::from(part)),
        None => out_of_range(format!("[{from}:{to}]")),
    }
}

fn out_of_range(bounds: String) -> Result<Value, FuncError> {
    Err(format!("runtime error: slice bounds out of range {bounds}").into())
}

fn trunc(arguments: &[Value]) -> Result<Value, FuncError> {
    let (count, text) = (int(arguments, 0), bytes(arguments, 1));
    let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(text.len());
    let range = if count < 0 { text.len() - size..text.len() } else { 0..size };
    Ok(Value::from(text.get(range).unwrap_or_default()))
}

fn plural(arguments: &[Value]) -> Result<Value, FuncError> {
    let nth = if int(arguments, 2) == 1 { 0 } else { 1 };
    Ok(Value::from(bytes(arguments, nth)))
}
