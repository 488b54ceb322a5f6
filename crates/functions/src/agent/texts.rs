//! Strings. They are bytes: what is no UTF-8 passes through, or becomes U+FFFD where Go makes it so.

use gotemplate::{Func, FuncError, Param, Value};

use super::title;
use crate::arguments::{bounded, bytes, int, items};
use crate::go::regex::Regex;
use crate::go::{strings, unicode};
use crate::{Entry, entry};

const S: Param = Param::Str;

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("indent", &[Param::Int, S], indent),
        "indent count text",
        "So many spaces before each line that is not empty.",
        r#"{{ indent 2 "a" }}"#,
        "  a",
    ),
    entry(
        Func::pure("join", &[S, Param::Strings], join),
        "join separator strings",
        "The strings with the separator between them; takes what `split` gives, not a list of anything.",
        r#"{{ split "," "a,b" | join "+" }}"#,
        "a+b",
    ),
    entry(
        Func::pure("regexMatch", &[S, S], |a| {
            Regex::remembered(bytes(a, 0))?.is_match(bytes(a, 1)).map(Value::Bool)
        }),
        "regexMatch regex text",
        "Whether the expression matches anywhere in the text; Go's syntax, so no look-around.",
        r#"{{ regexMatch "^a.c$" "abc" }}"#,
        "true",
    ),
    entry(
        Func::pure("regexReplaceAll", &[S, S, S], |a| {
            Regex::remembered(bytes(a, 0))?.replace_all(bytes(a, 2), bytes(a, 1)).map(Value::from)
        }),
        "regexReplaceAll regex template text",
        "The text with all matches replaced; `${1}` is the first group, and `$1x` the group named 1x.",
        r#"{{ regexReplaceAll "(b+)" "<${1}>" "abbc" }}"#,
        "a<bb>c",
    ),
    entry(
        Func::pure("replaceAll", &[S, S, S], |a| {
            strings::replace_all(bytes(a, 2), bytes(a, 0), bytes(a, 1)).map(Value::from)
        }),
        "replaceAll old new text",
        "The text with `new` for each `old`; an empty `old` is found before each character and at the end.",
        r#"{{ replaceAll "a" "o" "banana" }}"#,
        "bonono",
    ),
    entry(
        Func::pure("split", &[S, S], split),
        "split separator text",
        "A list of the parts; the text is trimmed first, and an empty separator gives single characters.",
        r#"{{ split "," "a,b,c" }}"#,
        "[a b c]",
    ),
    entry(
        Func::pure("toLower", &[S], |a| Ok(Value::from(strings::map(bytes(a, 0), unicode::to_lower)))),
        "toLower text",
        "Lower case, character by character.",
        r#"{{ toLower "ABC" }}"#,
        "abc",
    ),
    entry(
        Func::pure("toTitle", &[S], |a| title::titled(bytes(a, 0)).map(Value::from)),
        "toTitle text",
        "The first letter of each word in upper case; all others stay.",
        r#"{{ toTitle "o'neil mcDonald" }}"#,
        "O'neil McDonald",
    ),
    entry(
        Func::pure("toUpper", &[S], |a| Ok(Value::from(strings::map(bytes(a, 0), unicode::to_upper)))),
        "toUpper text",
        "Upper case, character by character: a sharp s stays.",
        r#"{{ toUpper "abc" }}"#,
        "ABC",
    ),
    entry(
        Func::pure("trim", &[S, S], |a| Ok(Value::from(strings::trim(bytes(a, 1), bytes(a, 0))))),
        "trim characters text",
        "Without any of the characters at both ends.",
        r#"{{ trim "-/" "/-a-b/" }}"#,
        "a-b",
    ),
    entry(
        Func::pure("trimPrefix", &[S, S], |a| {
            Ok(Value::from(strings::trim_prefix(bytes(a, 1), bytes(a, 0))))
        }),
        "trimPrefix prefix text",
        "Without the prefix, once.",
        r#"{{ trimPrefix "a" "aab" }}"#,
        "ab",
    ),
    entry(
        Func::pure("trimSpace", &[S], |a| Ok(Value::from(strings::trim_space(bytes(a, 0))))),
        "trimSpace text",
        "Without white space at both ends.",
        r#"{{ trimSpace " a " }}"#,
        "a",
    ),
    entry(
        Func::pure("trimSuffix", &[S, S], |a| {
            Ok(Value::from(strings::trim_suffix(bytes(a, 1), bytes(a, 0))))
        }),
        "trimSuffix suffix text",
        "Without the suffix, once.",
        r#"{{ trimSuffix "b" "abb" }}"#,
        "ab",
    ),
];

fn indent(arguments: &[Value]) -> Result<Value, FuncError> {
    let (count, text) = (int(arguments, 0), bytes(arguments, 1));
    let Ok(count) = usize::try_from(count) else {
        return Err("indent value must be a positive integer".into());
    };
    let lines = || text.split_inclusive(|&byte| byte == b'\n');
    let filled = lines().filter(|line| !line.starts_with(b"\n")).count();
    let length = text.len().saturating_add(count.saturating_mul(filled));
    bounded(length)?;
    let mut out = Vec::with_capacity(length);
    for line in lines() {
        if !line.starts_with(b"\n") {
            out.resize(out.len() + count, b' ');
        }
        out.extend_from_slice(line);
    }
    Ok(Value::from(out))
}

fn join(arguments: &[Value]) -> Result<Value, FuncError> {
    let parts: Vec<&[u8]> =
        items(arguments, 1).iter().map(|item| item.as_str().unwrap_or_default()).collect();
    strings::join(&parts, bytes(arguments, 0)).map(Value::from)
}

fn split(arguments: &[Value]) -> Result<Value, FuncError> {
    parts(bytes(arguments, 1), bytes(arguments, 0)).map(Value::strings)
}

/// The parts of a text that is trimmed first; an empty one has none.
///
/// # Errors
/// When there are too many.
pub(super) fn parts<'t>(text: &'t [u8], separator: &[u8]) -> Result<Vec<&'t [u8]>, FuncError> {
    match strings::trim_space(text) {
        b"" => Ok(Vec::new()),
        text => strings::split(text, separator, None),
    }
}
