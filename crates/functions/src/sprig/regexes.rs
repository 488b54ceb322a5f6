//! Regular expressions. A bad expression is a plain error of the `must` functions; the others panic in sprig,
//! which reads differently, and `regexMatch` only says no.

use gotemplate::{Func, FuncError, List, Param, Type, Value, sprintf};

use crate::arguments::{bytes, int};
use crate::go::regex::{Regex, quote_meta};
use crate::{Entry, entry};

const S: Param = Param::Str;

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_mustRegexFind", &[S, S], |a| find(&must(a)?, a)),
        "sprig_mustRegexFind regex text",
        "The first match, empty if there is none.",
        r#"{{ sprig_mustRegexFind "b+" "abbc" }}"#,
        "bb",
    ),
    entry(
        Func::pure("sprig_mustRegexFindAll", &[S, S, Param::Int], |a| find_all(&must(a)?, a)),
        "sprig_mustRegexFindAll regex text count",
        "A list of the matches, at most so many; -1 for all.",
        r#"{{ sprig_mustRegexFindAll "[0-9]" "a1b2c3" 2 }}"#,
        "[1 2]",
    ),
    entry(
        Func::pure("sprig_mustRegexMatch", &[S, S], |a| is_match(&must(a)?, a)),
        "sprig_mustRegexMatch regex text",
        "Whether the expression matches anywhere in the text.",
        r#"{{ sprig_mustRegexMatch "^a" "abc" }}"#,
        "true",
    ),
    entry(
        Func::pure("sprig_mustRegexReplaceAll", &[S, S, S], |a| replace_all(&must(a)?, a)),
        "sprig_mustRegexReplaceAll regex text template",
        "The text with all matches replaced; `${1}` is the first group. The text stands before the template.",
        r#"{{ sprig_mustRegexReplaceAll "a(x*)b" "ab-axxb" "${1}W" }}"#,
        "W-xxW",
    ),
    entry(
        Func::pure("sprig_mustRegexReplaceAllLiteral", &[S, S, S], |a| replace_literal(&must(a)?, a)),
        "sprig_mustRegexReplaceAllLiteral regex text replacement",
        "The text with all matches replaced; `$` means nothing.",
        r#"{{ sprig_mustRegexReplaceAllLiteral "b" "abc" "$1" }}"#,
        "a$1c",
    ),
    entry(
        Func::pure("sprig_mustRegexSplit", &[S, S, Param::Int], |a| split(&must(a)?, a)),
        "sprig_mustRegexSplit regex text count",
        "A list of the parts between matches, at most so many; -1 for all.",
        r#"{{ sprig_mustRegexSplit ",+" "a,,b,c" -1 }}"#,
        "[a b c]",
    ),
    entry(
        Func::pure("sprig_regexFind", &[S, S], |a| find(&compiled(a)?, a)),
        "sprig_regexFind regex text",
        "The first match, empty if there is none.",
        r#"{{ sprig_regexFind "b+" "abbc" }}"#,
        "bb",
    ),
    entry(
        Func::pure("sprig_regexFindAll", &[S, S, Param::Int], |a| find_all(&compiled(a)?, a)),
        "sprig_regexFindAll regex text count",
        "A list of the matches, at most so many; -1 for all.",
        r#"{{ sprig_regexFindAll "[0-9]" "a1b2c3" -1 }}"#,
        "[1 2 3]",
    ),
    entry(
        Func::pure("sprig_regexMatch", &[S, S], |a| match must(a) {
            Ok(regex) => is_match(&regex, a),
            Err(_) => Ok(Value::Bool(false)),
        }),
        "sprig_regexMatch regex text",
        "Whether the expression matches anywhere in the text; a bad expression matches nothing.",
        r#"{{ sprig_regexMatch "^a" "abc" }} {{ sprig_regexMatch "(" "(" }}"#,
        "true false",
    ),
    entry(
        Func::pure("sprig_regexQuoteMeta", &[S], |a| Ok(Value::from(quote_meta(bytes(a, 0))))),
        "sprig_regexQuoteMeta text",
        "An expression that matches the text only.",
        r#"{{ sprig_regexQuoteMeta "1.2" }}"#,
        r"1\.2",
    ),
    entry(
        Func::pure("sprig_regexReplaceAll", &[S, S, S], |a| replace_all(&compiled(a)?, a)),
        "sprig_regexReplaceAll regex text template",
        "The text with all matches replaced; `${1}` is the first group. The text stands before the template.",
        r#"{{ sprig_regexReplaceAll "a(x*)b" "ab-axxb" "${1}W" }}"#,
        "W-xxW",
    ),
    entry(
        Func::pure("sprig_regexReplaceAllLiteral", &[S, S, S], |a| replace_literal(&compiled(a)?, a)),
        "sprig_regexReplaceAllLiteral regex text replacement",
        "The text with all matches replaced; `$` means nothing.",
        r#"{{ sprig_regexReplaceAllLiteral "b" "abc" "$1" }}"#,
        "a$1c",
    ),
    entry(
        Func::pure("sprig_regexSplit", &[S, S, Param::Int], |a| split(&compiled(a)?, a)),
        "sprig_regexSplit regex text count",
        "A list of the parts between matches, at most so many; -1 for all.",
        r#"{{ sprig_regexSplit "z+" "pizza" -1 }}"#,
        "[pi a]",
    ),
];

fn must(arguments: &[Value]) -> Result<Regex, FuncError> {
    Ok(Regex::remembered(bytes(arguments, 0))?)
}

/// Like Go's `MustCompile`, whose panic names the expression once more.
fn compiled(arguments: &[Value]) -> Result<Regex, FuncError> {
    Regex::remembered(bytes(arguments, 0)).map_err(|why| {
        let pattern = sprintf(b"%#q", arguments.get(..1).unwrap_or_default()).unwrap_or_default();
        FuncError::new(format!("regexp: Compile({}): {why}", String::from_utf8_lossy(&pattern)))
    })
}

fn is_match(regex: &Regex, arguments: &[Value]) -> Result<Value, FuncError> {
    regex.is_match(bytes(arguments, 1)).map(Value::Bool)
}

fn find(regex: &Regex, arguments: &[Value]) -> Result<Value, FuncError> {
    let text = bytes(arguments, 1);
    let found = regex.find(text)?.and_then(|range| text.get(range));
    Ok(Value::from(found.unwrap_or_default()))
}

fn find_all(regex: &Regex, arguments: &[Value]) -> Result<Value, FuncError> {
    let text = bytes(arguments, 1);
    let found = regex.find_all(text, int(arguments, 2))?;
    if found.is_empty() {
        return Ok(Value::List(List::nil(Type::Str)));
    }
    Ok(Value::strings(found.into_iter().map(|range| text.get(range).unwrap_or_default())))
}

fn replace_all(regex: &Regex, arguments: &[Value]) -> Result<Value, FuncError> {
    regex.replace_all(bytes(arguments, 1), bytes(arguments, 2)).map(Value::from)
}

fn replace_literal(regex: &Regex, arguments: &[Value]) -> Result<Value, FuncError> {
    regex.replace_all_literal(bytes(arguments, 1), bytes(arguments, 2)).map(Value::from)
}

fn split(regex: &Regex, arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(match regex.split(bytes(arguments, 1), int(arguments, 2))? {
        Some(parts) => Value::strings(parts),
        None => Value::List(List::nil(Type::Str)),
    })
}
