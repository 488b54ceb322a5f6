//! Strings. They are bytes: what is no UTF-8 passes through, or becomes U+FFFD where Go makes it so.

use gotemplate::{Func, FuncError, Param, Value};

use super::title;
use crate::arguments::{bounded, bytes, int, items};
use crate::go::regex::Regex;
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
            Ok(Value::Bool(Regex::remembered(bytes(&a, 0))?.is_match(bytes(&a, 1))))
        }),
        "regexMatch regex text",
        "Whether the expression matches anywhere in the text; Go's syntax, so no look-around.",
        r#"{{ regexMatch "^a.c$" "abc" }}"#,
        "true",
    ),
    entry(
        Func::pure("regexReplaceAll", &[S, S, S], |a| {
            Regex::remembered(bytes(&a, 0))?.replace_all(bytes(&a, 2), bytes(&a, 1)).map(Value::from)
        }),
        "regexReplaceAll regex template text",
        "The text with all matches replaced; `${1}` is the first group, and `$1x` the group named 1x.",
        r#"{{ regexReplaceAll "(b+)" "<${1}>" "abbc" }}"#,
        "a<bb>c",
    ),
    entry(
        Func::pure("replaceAll", &[S, S, S], replace_all),
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
        Func::pure("toLower", &[S], |a| Ok(map_runes(bytes(&a, 0), title::simple_lower))),
        "toLower text",
        "Lower case, character by character.",
        r#"{{ toLower "ABC" }}"#,
        "abc",
    ),
    entry(
        Func::pure("toTitle", &[S], |a| title::titled(bytes(&a, 0)).map(Value::from)),
        "toTitle text",
        "The first letter of each word in upper case; all others stay.",
        r#"{{ toTitle "o'neil mcDonald" }}"#,
        "O'neil McDonald",
    ),
    entry(
        Func::pure("toUpper", &[S], |a| Ok(map_runes(bytes(&a, 0), title::simple_upper))),
        "toUpper text",
        "Upper case, character by character: a sharp s stays.",
        r#"{{ toUpper "abc" }}"#,
        "ABC",
    ),
    entry(
        Func::pure("trim", &[S, S], trim),
        "trim characters text",
        "Without any of the characters at both ends.",
        r#"{{ trim "-/" "/-a-b/" }}"#,
        "a-b",
    ),
    entry(
        Func::pure("trimPrefix", &[S, S], |a| {
            let (prefix, text) = (bytes(&a, 0), bytes(&a, 1));
            Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)))
        }),
        "trimPrefix prefix text",
        "Without the prefix, once.",
        r#"{{ trimPrefix "a" "aab" }}"#,
        "ab",
    ),
    entry(
        Func::pure("trimSpace", &[S], |a| Ok(Value::from(trimmed(bytes(&a, 0))))),
        "trimSpace text",
        "Without white space at both ends.",
        r#"{{ trimSpace " a " }}"#,
        "a",
    ),
    entry(
        Func::pure("trimSuffix", &[S, S], |a| {
            let (suffix, text) = (bytes(&a, 0), bytes(&a, 1));
            Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)))
        }),
        "trimSuffix suffix text",
        "Without the suffix, once.",
        r#"{{ trimSuffix "b" "abb" }}"#,
        "ab",
    ),
];

fn indent(arguments: Vec<Value>) -> Result<Value, FuncError> {
    let (count, text) = (int(&arguments, 0), bytes(&arguments, 1));
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

fn join(arguments: Vec<Value>) -> Result<Value, FuncError> {
    let separator = bytes(&arguments, 0);
    let parts: Vec<&[u8]> =
        items(&arguments, 1).iter().map(|item| item.as_str().unwrap_or_default()).collect();
    let length: usize = parts.iter().map(|part| part.len()).sum();
    bounded(length.saturating_add(separator.len().saturating_mul(parts.len().saturating_sub(1))))?;
    Ok(Value::from(parts.join(separator)))
}

fn split(arguments: Vec<Value>) -> Result<Value, FuncError> {
    let (separator, text) = (bytes(&arguments, 0), trimmed(bytes(&arguments, 1)));
    Ok(Value::strings(parts(text, separator)))
}

/// Go's `strings.Split` of a text that is not empty; an empty one has no parts here.
pub(super) fn parts<'t>(text: &'t [u8], separator: &[u8]) -> Vec<&'t [u8]> {
    let mut parts = Vec::new();
    if text.is_empty() {
        return parts;
    }
    let mut rest = text;
    if separator.is_empty() {
        while let Some((_, width)) = rune(rest) {
            let (first, behind) = rest.split_at(width);
            parts.push(first);
            rest = behind;
        }
        return parts;
    }
    while let Some(at) = find(rest, separator) {
        parts.push(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + separator.len()..).unwrap_or_default();
    }
    parts.push(rest);
    parts
}

/// Where `needle` begins first.
pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let Some(&first) = needle.first() else { return Some(0) };
    let mut from = 0;
    while let Some(at) = text.get(from..)?.iter().position(|&byte| byte == first) {
        if text.get(from + at..)?.starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// The first character and its width; a byte that is no UTF-8 is U+FFFD of width one.
pub(crate) fn rune(text: &[u8]) -> Option<(char, usize)> {
    let head = text.get(..text.len().min(4)).unwrap_or_default();
    let chunk = head.utf8_chunks().next()?;
    Some(chunk.valid().chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8())))
}

/// The last character and its width, likewise.
fn last_rune(text: &[u8]) -> Option<(char, usize)> {
    text.last()?;
    for width in 1..=text.len().min(4) {
        let tail = text.get(text.len() - width..).unwrap_or_default();
        if let Ok(tail) = std::str::from_utf8(tail)
            && let Some(c) = tail.chars().next()
        {
            return Some((c, width));
        }
    }
    Some((char::REPLACEMENT_CHARACTER, 1))
}

/// Without the characters at both ends that `cut` says.
fn trimmed_by(mut text: &[u8], cut: impl Fn(char) -> bool) -> &[u8] {
    while let Some((c, width)) = rune(text)
        && cut(c)
    {
        text = text.get(width..).unwrap_or_default();
    }
    while let Some((c, width)) = last_rune(text)
        && cut(c)
    {
        text = text.get(..text.len() - width).unwrap_or_default();
    }
    text
}

/// Without white space at both ends.
pub(super) fn trimmed(text: &[u8]) -> &[u8] {
    trimmed_by(text, char::is_whitespace)
}

fn trim(arguments: Vec<Value>) -> Result<Value, FuncError> {
    let (characters, text) = (bytes(&arguments, 0), bytes(&arguments, 1));
    // A bad byte among the characters stands for U+FFFD, and so for any bad byte.
    let mut set = Vec::new();
    let mut rest = characters;
    while let Some((c, width)) = rune(rest) {
        set.push(c);
        rest = rest.get(width..).unwrap_or_default();
    }
    Ok(Value::from(trimmed_by(text, |c| set.contains(&c))))
}

fn replace_all(arguments: Vec<Value>) -> Result<Value, FuncError> {
    let (old, new, text) = (bytes(&arguments, 0), bytes(&arguments, 1), bytes(&arguments, 2));
    let mut out = Vec::new();
    let mut put = |part: &[u8]| {
        bounded(out.len() + part.len())?;
        out.extend_from_slice(part);
        Ok::<(), FuncError>(())
    };
    let mut rest = text;
    if old.is_empty() {
        put(new)?;
        while let Some((_, width)) = rune(rest) {
            let (first, behind) = rest.split_at(width);
            put(first)?;
            put(new)?;
            rest = behind;
        }
        return Ok(Value::from(out));
    }
    while let Some(at) = find(rest, old) {
        put(rest.get(..at).unwrap_or_default())?;
        put(new)?;
        rest = rest.get(at + old.len()..).unwrap_or_default();
    }
    put(rest)?;
    Ok(Value::from(out))
}

/// One character for one; each bad byte becomes U+FFFD.
fn map_runes(mut text: &[u8], map: fn(char) -> char) -> Value {
    let mut out = String::with_capacity(text.len());
    while let Some((c, width)) = rune(text) {
        out.push(map(c));
        text = text.get(width..).unwrap_or_default();
    }
    Value::from(out)
}
