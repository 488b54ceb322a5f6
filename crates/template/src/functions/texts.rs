//! `split`, `join`, `toUpper`, `toLower`, `trimSpace`.

use gotemplate::{Func, Param, Type, Value};

use super::text;
use crate::evaluate::Evaluation;

pub(super) fn functions() -> Vec<Func<Evaluation>> {
    vec![
        // The string is trimmed first; nothing gives an empty list, an empty separator the single characters.
        Func::pure("split", &[Param::Str, Param::Str], |arguments| {
            let (separator, whole) = (text(arguments.first()), text(arguments.get(1)));
            let whole = whole.trim();
            let parts: Vec<Value> = match (whole, separator.as_str()) {
                ("", _) => Vec::new(),
                (whole, "") => whole.chars().map(|c| Value::from(c.to_string())).collect(),
                (whole, separator) => whole.split(separator).map(Value::from).collect(),
            };
            Ok(Value::List(gotemplate::List::new(Type::Str, parts)))
        }),
        Func::pure("join", &[Param::Str, Param::Strings], |arguments| {
            let separator = arguments.first().and_then(Value::as_str).unwrap_or_default();
            let Some(Value::List(list)) = arguments.get(1) else { return Ok(Value::from("")) };
            let parts: Vec<&[u8]> =
                list.items().iter().map(|item| item.as_str().unwrap_or_default()).collect();
            Ok(Value::from(parts.join(separator)))
        }),
        // One character for one, as Go maps them: a sharp s stays.
        Func::pure("toUpper", &[Param::Str], |arguments| {
            Ok(Value::from(mapped(&arguments, |c| single(c, c.to_uppercase()))))
        }),
        Func::pure("toLower", &[Param::Str], |arguments| {
            Ok(Value::from(mapped(&arguments, |c| single(c, c.to_lowercase()))))
        }),
        Func::pure("trimSpace", &[Param::Str], |arguments| Ok(Value::from(text(arguments.first()).trim()))),
    ]
}

fn mapped(arguments: &[Value], map: impl Fn(char) -> char) -> String {
    text(arguments.first()).chars().map(map).collect()
}

fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}
