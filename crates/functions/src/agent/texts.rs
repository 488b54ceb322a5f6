//! Strings.

use gotemplate::{Func, FuncError, Param, Value};

use crate::arguments::{bytes, items, text};
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("join", &[Param::Str, Param::Strings], join),
        "join separator strings",
        "The strings with the separator between them.",
        r#"{{ split "," "a,b" | join "+" }}"#,
        "a+b",
    ),
    entry(
        Func::pure("split", &[Param::Str, Param::Str], split),
        "split separator text",
        "A list of the parts; the text is trimmed first, and an empty separator gives single characters.",
        r#"{{ split "," "a,b,c" }}"#,
        "[a b c]",
    ),
    entry(
        Func::pure("toLower", &[Param::Str], to_lower),
        "toLower text",
        "Lower case, character by character.",
        r#"{{ toLower "ABC" }}"#,
        "abc",
    ),
    entry(
        Func::pure("toUpper", &[Param::Str], to_upper),
        "toUpper text",
        "Upper case, character by character: a sharp s stays.",
        r#"{{ toUpper "abc" }}"#,
        "ABC",
    ),
    entry(
        Func::pure("trimSpace", &[Param::Str], trim_space),
        "trimSpace text",
        "Without white space at both ends.",
        r#"{{ trimSpace " a " }}"#,
        "a",
    ),
];

fn join(arguments: Vec<Value>) -> Result<Value, FuncError> {
    let parts: Vec<&[u8]> =
        items(&arguments, 1).iter().map(|item| item.as_str().unwrap_or_default()).collect();
    Ok(Value::from(parts.join(bytes(&arguments, 0))))
}

fn split(arguments: Vec<Value>) -> Result<Value, FuncError> {
    let (separator, whole) = (text(&arguments, 0), text(&arguments, 1));
    let parts: Vec<String> = match (whole.trim(), &*separator) {
        ("", _) => Vec::new(),
        (whole, "") => whole.chars().map(String::from).collect(),
        (whole, separator) => whole.split(separator).map(str::to_owned).collect(),
    };
    Ok(Value::strings(parts))
}

fn to_lower(arguments: Vec<Value>) -> Result<Value, FuncError> {
    Ok(Value::from(text(&arguments, 0).chars().map(|c| single(c, c.to_lowercase())).collect::<String>()))
}

fn to_upper(arguments: Vec<Value>) -> Result<Value, FuncError> {
    Ok(Value::from(text(&arguments, 0).chars().map(|c| single(c, c.to_uppercase())).collect::<String>()))
}

/// One character for one, as Go maps them.
fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

fn trim_space(arguments: Vec<Value>) -> Result<Value, FuncError> {
    Ok(Value::from(text(&arguments, 0).trim()))
}
