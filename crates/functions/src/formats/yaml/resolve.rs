//! What a plain scalar means: null, a bool, a number, or itself.

use gotemplate::{UintKind, Value};

use crate::go::strconv::{float, int, uint};

/// The tags that scalars resolve to, by their short names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tag {
    Str,
    Bool,
    Int,
    Float,
    Null,
    Timestamp,
}

const PREFIX: &str = "tag:yaml.org,2002:";

impl Tag {
    pub(super) fn short(self) -> &'static str {
        match self {
            Self::Str => "!!str",
            Self::Bool => "!!bool",
            Self::Int => "!!int",
            Self::Float => "!!float",
            Self::Null => "!!null",
            Self::Timestamp => "!!timestamp",
        }
    }

    /// The tag that a long name stands for, if scalars are resolved for it.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let name = name.strip_prefix(PREFIX.as_bytes())?;
        Some(match name {
            b"str" => Self::Str,
            b"bool" => Self::Bool,
            b"int" => Self::Int,
            b"float" => Self::Float,
            b"null" => Self::Null,
            b"timestamp" => Self::Timestamp,
            _ => return None,
        })
    }
}

pub(super) fn is_binary(name: &[u8]) -> bool {
    name == b"tag:yaml.org,2002:binary"
}

pub(super) fn is_merge(name: &[u8]) -> bool {
    name == b"tag:yaml.org,2002:merge"
}

/// The value of a scalar with a known tag, or with none.
///
/// # Errors
/// The text is nothing that the tag allows.
pub(super) fn resolve(tag: Option<Tag>, text: &[u8]) -> Result<(Tag, Value), String> {
    let (found, value) = look(tag, text);
    match tag {
        None | Some(Tag::Str) => Ok((found, value)),
        Some(tag) if tag == found => Ok((found, value)),
        Some(Tag::Float) if let Value::Int(_, number) = value => {
            Ok((Tag::Float, Value::Float(number as f64)))
        }
        Some(tag) => {
            let (found, tag, text) = (found.short(), tag.short(), String::from_utf8_lossy(text));
            Err(format!("cannot decode {found} `{text}` as a {tag}"))
        }
    }
}

/// What a plain scalar without a tag is.
pub(super) fn tag_of(text: &[u8]) -> Tag {
    look(None, text).0
}

fn look(tag: Option<Tag>, text: &[u8]) -> (Tag, Value) {
    let itself = || (Tag::Str, Value::from(text));
    if tag == Some(Tag::Str) {
        return itself();
    }
    if let Some(known) = word(text) {
        return known;
    }
    match text.first() {
        Some(b'.') => float(text).map_or_else(|_| itself(), |number| (Tag::Float, Value::Float(number))),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            if matches!(tag, None | Some(Tag::Timestamp)) && is_timestamp(text) {
                return (Tag::Timestamp, Value::from(text));
            }
            number(text).unwrap_or_else(itself)
        }
        _ => itself(),
    }
}

fn word(text: &[u8]) -> Option<(Tag, Value)> {
    Some(match text {
        b"y" | b"Y" | b"yes" | b"Yes" | b"YES" | b"true" | b"True" | b"TRUE" | b"on" | b"On" | b"ON" => {
            (Tag::Bool, Value::from(true))
        }
        b"n" | b"N" | b"no" | b"No" | b"NO" | b"false" | b"False" | b"FALSE" | b"off" | b"Off" | b"OFF" => {
            (Tag::Bool, Value::from(false))
        }
        b"" | b"~" | b"null" | b"Null" | b"NULL" => (Tag::Null, Value::NilInterface),
        b".nan" | b".NaN" | b".NAN" => (Tag::Float, Value::Float(f64::NAN)),
        b".inf" | b".Inf" | b".INF" | b"+.inf" | b"+.Inf" | b"+.INF" => {
            (Tag::Float, Value::Float(f64::INFINITY))
        }
        b"-.inf" | b"-.Inf" | b"-.INF" => (Tag::Float, Value::Float(f64::NEG_INFINITY)),
        _ => return None,
    })
}

fn number(text: &[u8]) -> Option<(Tag, Value)> {
    let plain: Vec<u8> = text.iter().copied().filter(|&byte| byte != b'_').collect();
    if let Ok(number) = int(&plain, 0) {
        return Some((Tag::Int, Value::int(number)));
    }
    if let Ok(number) = uint(&plain, 0) {
        return Some((Tag::Int, Value::Uint(UintKind::Uint64, number)));
    }
    if looks_like_float(&plain)
        && let Ok(number) = float(&plain)
    {
        return Some((Tag::Float, Value::Float(number)));
    }
    // A second sign behind the prefix, as in `0b-1`, is accepted here.
    let number = match plain.as_slice() {
        [b'0', b'b', digits @ ..] => int(digits, 2)
            .map(Value::int)
            .or_else(|_| uint(digits, 2).map(|number| Value::Uint(UintKind::Uint64, number))),
        [b'-', b'0', b'b', digits @ ..] => int(&[b"-", digits].concat(), 2).map(Value::int),
        _ => return None,
    };
    number.ok().map(|number| (Tag::Int, number))
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn looks_like_float(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let (whole, rest) = digits(text);
    let rest = match rest {
        [b'.', rest @ ..] => {
            let (fraction, rest) = digits(rest);
            if whole + fraction == 0 {
                return false;
            }
            rest
        }
        _ if whole == 0 => return false,
        _ => rest,
    };
    match rest {
        [] => true,
        [b'e' | b'E', rest @ ..] => {
            let rest = rest.strip_prefix(b"-").or(rest.strip_prefix(b"+")).unwrap_or(rest);
            !rest.is_empty() && rest.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

fn digits(text: &[u8]) -> (usize, &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count, text.get(count..).unwrap_or_default())
}

/// Numbers in base 60, `1:30`, are text here but quoted when written: other parsers read them as numbers.
/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`
pub(super) fn is_base_60(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let (whole, fraction) = match text.iter().position(|&byte| byte == b'.') {
        Some(at) => text.split_at_checked(at).unwrap_or((text, b"")),
        None => (text, b"".as_slice()),
    };
    let digit_or_line = |byte: &u8| byte.is_ascii_digit() || *byte == b'_';
    let mut parts = whole.split(|&byte| byte == b':');
    let head = parts.next().unwrap_or_default();
    let mut sixtieths = 0;
    for part in parts {
        sixtieths += 1;
        if !matches!(part, [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']) {
            return false;
        }
    }
    sixtieths > 0
        && head.first().is_some_and(u8::is_ascii_digit)
        && head.iter().all(digit_or_line)
        && fraction.iter().skip(1).all(digit_or_line)
}

// === Timestamps ===

/// Whether Go's `time.Parse` takes it in one of the four layouts that the library tries.
fn is_timestamp(text: &[u8]) -> bool {
    let [y1, y2, y3, y4, b'-', rest @ ..] = text else { return false };
    if ![y1, y2, y3, y4].iter().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let year = [y1, y2, y3, y4].iter().fold(0u32, |year, &&digit| year * 10 + u32::from(digit - b'0'));
    let Some((month, [b'-', rest @ ..])) = one_or_two(rest) else { return false };
    let Some((day, rest)) = one_or_two(rest) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    if !(1..=days).contains(&day) {
        return false;
    }
    match rest {
        [] => true,
        [b'T' | b't', rest @ ..] => clock(rest).is_some_and(is_zone),
        [b' ', ..] => clock(rest.trim_ascii_start()).is_some_and(<[u8]>::is_empty),
        _ => false,
    }
}

/// `15:4:5.999`; what follows it.
fn clock(text: &[u8]) -> Option<&[u8]> {
    let (hour, rest) = one_or_two(text)?;
    let (minute, rest) = one_or_two(rest.strip_prefix(b":")?)?;
    let (second, rest) = one_or_two(rest.strip_prefix(b":")?)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    match rest {
        [b'.' | b',', b'0'..=b'9', rest @ ..] => Some(digits(rest).1),
        _ => Some(rest),
    }
}

fn is_zone(text: &[u8]) -> bool {
    match text {
        [b'Z'] => true,
        [b'+' | b'-', h1 @ b'0'..=b'9', h2 @ b'0'..=b'9', b':', m1 @ b'0'..=b'9', m2 @ b'0'..=b'9'] => {
            // Go allows a whole day and a whole hour.
            (h1 - b'0') * 10 + (h2 - b'0') <= 24 && (m1 - b'0') * 10 + (m2 - b'0') <= 60
        }
        _ => false,
    }
}

fn one_or_two(text: &[u8]) -> Option<(u32, &[u8])> {
    match text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', rest @ ..] => {
            Some((u32::from(a - b'0') * 10 + u32::from(b - b'0'), rest))
        }
        [a @ b'0'..=b'9', rest @ ..] => Some((u32::from(a - b'0'), rest)),
        _ => None,
    }
}
