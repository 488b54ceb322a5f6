//! Runes in byte strings: decoding, what is printable, quoting and unquoting as Go does it.
//!
//! Template text and strings are bytes; a byte that is not UTF-8 is the rune U+FFFD of width one.

use std::fmt::Write as _;

/// Decodes the first rune; `None` for a byte that is not UTF-8. The width is 0 only at the end.
pub(crate) fn decode(bytes: &[u8]) -> (Option<char>, usize) {
    let Some(&first) = bytes.first() else { return (None, 0) };
    let width = match first {
        0..=0x7f => return (Some(char::from(first)), 1),
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return (None, 1),
    };
    let rune =
        bytes.get(..width).and_then(|part| std::str::from_utf8(part).ok()).and_then(|s| s.chars().next());
    match rune {
        Some(rune) => (Some(rune), width),
        None => (None, 1),
    }
}

/// Number of runes, a bad byte counting as one.
pub(crate) fn rune_count(bytes: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        at += decode(&bytes[at..]).1;
        count += 1;
    }
    count
}

/// The first `limit` runes.
pub(crate) fn truncate_runes(bytes: &[u8], limit: usize) -> &[u8] {
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() && count < limit {
        at += decode(&bytes[at..]).1;
        count += 1;
    }
    &bytes[..at]
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols, and the ASCII space.
pub(crate) fn is_print(rune: char) -> bool {
    if rune.is_ascii() {
        return (' '..='~').contains(&rune);
    }
    // The standard library keeps the same table for its own escapes but shows it nowhere else. The letter in
    // front keeps it from escaping a combining mark for standing alone.
    let mut buffer = String::from("a");
    buffer.push(rune);
    buffer.escape_debug().nth(1) == Some(rune)
}

/// The four characters that are space inside an action.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Letters, digits (Unicode's decimal ones) and `_`.
pub(crate) fn is_alphanumeric(rune: char) -> bool {
    if rune.is_ascii() {
        return rune == '_' || rune.is_ascii_alphanumeric();
    }
    rune.is_alphabetic() && !is_letter_number(rune) || is_decimal_digit(rune)
}

/// Alphabetic for Rust, but no letter for Go: letter-like numbers and the alphabetic marks and symbols.
fn is_letter_number(rune: char) -> bool {
    rune.is_numeric() || matches!(rune, '\u{345}' | '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f189}')
}

fn is_decimal_digit(rune: char) -> bool {
    rune.is_ascii_digit()
        || matches!(rune, '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}' | '\u{966}'..='\u{96f}' | '\u{ff10}'..='\u{ff19}')
}

/// Whether [`quote`] may leave runes beyond ASCII as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoting {
    Unicode,
    Ascii,
}

/// [`quoted`], with runes beyond ASCII as `quoting` wants them.
pub(crate) fn quote(bytes: &[u8], quoting: Quoting) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    let mut at = 0;
    while at < bytes.len() {
        let plain = bytes[at..].iter().take_while(|byte| is_plain(**byte)).count();
        if let Ok(text) = std::str::from_utf8(&bytes[at..at + plain])
            && plain > 0
        {
            out.push_str(text);
            at += plain;
            continue;
        }
        let (rune, width) = decode(&bytes[at..]);
        match rune {
            Some(rune) => push_escaped(&mut out, rune, '"', quoting),
            None => push_byte(&mut out, bytes[at]),
        }
        at += width;
    }
    out.push('"');
    out
}

/// Go's `strconv.Quote`, which is what `%q` shows.
pub fn quoted(text: impl AsRef<[u8]>) -> String {
    quote(text.as_ref(), Quoting::Unicode)
}

/// ASCII that stands for itself between quotes.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Go's `strconv.QuoteRune`.
pub(crate) fn quote_rune(rune: char, quoting: Quoting) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, rune, '\'', quoting);
    out.push('\'');
    out
}

fn push_byte(out: &mut String, byte: u8) {
    // Writing into a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

fn push_escaped(out: &mut String, rune: char, quote: char, quoting: Quoting) {
    if rune == quote || rune == '\\' {
        out.push('\\');
        out.push(rune);
        return;
    }
    if is_print(rune) && (rune.is_ascii() || quoting == Quoting::Unicode) {
        out.push(rune);
        return;
    }
    match rune {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        '\0'..='\u{1f}' | '\u{7f}' => push_byte(out, rune as u8),
        _ => {
            let code = u32::from(rune);
            let _ = if code < 0x1_0000 { write!(out, "\\u{code:04x}") } else { write!(out, "\\U{code:08x}") };
        }
    }
}

/// The value of a string literal, interpreted or raw, quotes included; `None` when Go calls it invalid syntax.
pub(crate) fn unquote(literal: &[u8]) -> Option<Vec<u8>> {
    let (&first, rest) = literal.split_first()?;
    let (&last, body) = rest.split_last()?;
    if first != last {
        return None;
    }
    if first == b'`' {
        return Some(body.iter().copied().filter(|&byte| byte != b'\r').collect());
    }
    let mut out = Vec::with_capacity(body.len());
    let mut at = 0;
    while at < body.len() {
        let (unit, width) = unquote_one(&body[at..], first)?;
        match unit {
            Unit::Byte(byte) => out.push(byte),
            Unit::Rune(rune) => out.extend_from_slice(rune.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        at += width;
    }
    Some(out)
}

/// One character of a quoted literal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// `\xhh` or `\ooo`. A byte that stands there as it is and is no UTF-8 becomes U+FFFD, as in Go.
    Byte(u8),
    Rune(char),
}

/// Decodes one character or escape; `None` for what Go calls invalid syntax.
pub(crate) fn unquote_one(text: &[u8], quote: u8) -> Option<(Unit, usize)> {
    let first = *text.first()?;
    if first == quote || first == b'\n' {
        return None;
    }
    if first != b'\\' {
        return Some(match decode(text) {
            (Some(rune), width) => (Unit::Rune(rune), width),
            (None, _) => (Unit::Rune(char::REPLACEMENT_CHARACTER), 1),
        });
    }
    let escape = *text.get(1)?;
    let simple = |rune| Some((Unit::Rune(rune), 2));
    match escape {
        b'a' => simple('\u{7}'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'n' => simple('\n'),
        b'r' => simple('\r'),
        b't' => simple('\t'),
        b'v' => simple('\u{b}'),
        b'\\' => simple('\\'),
        b'\'' | b'"' if escape == quote => simple(char::from(escape)),
        b'x' => Some((Unit::Byte(u8::try_from(digits(text, 2, 2, 16)?).ok()?), 4)),
        b'0'..=b'7' => Some((Unit::Byte(u8::try_from(digits(text, 1, 3, 8)?).ok()?), 4)),
        b'u' => Some((Unit::Rune(char::from_u32(digits(text, 2, 4, 16)?)?), 6)),
        b'U' => Some((Unit::Rune(char::from_u32(digits(text, 2, 8, 16)?)?), 10)),
        _ => None,
    }
}

fn digits(text: &[u8], start: usize, count: usize, base: u32) -> Option<u32> {
    let mut value: u32 = 0;
    for &byte in text.get(start..start + count)? {
        value = value.checked_mul(base)?.checked_add(char::from(byte).to_digit(base)?)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        assert_eq!(quoted(b"a\"b\\\n\x00\x7f"), r#""a\"b\\\n\x00\x7f""#);
        assert_eq!(quoted("é€\u{200b}\u{1f600}".as_bytes()), "\"é€\\u200b\u{1f600}\"");
        assert_eq!(quoted(b"\xff"), r#""\xff""#);
        assert_eq!(quote("é\u{1f600}".as_bytes(), Quoting::Ascii), r#""\u00e9\U0001f600""#);
        assert_eq!(quote_rune('\'', Quoting::Unicode), r"'\''");
    }

    #[test]
    fn combining_marks_are_printable() {
        assert!(is_print('\u{301}') && is_print('\u{fffd}') && !is_print('\u{a0}') && !is_print('\u{ad}'));
    }

    #[test]
    fn unquotes_bytes_and_runes() {
        assert_eq!(unquote(br#""\xff\101\u20ac\t""#).unwrap(), b"\xffA\xe2\x82\xac\t");
        assert_eq!(unquote(b"`a\r\nb`").unwrap(), b"a\nb");
        for bad in [r#""\'""#, r#""\400""#, r#""\ud800""#, r#""\x1""#, r#""\q""#] {
            assert_eq!(unquote(bad.as_bytes()), None, "{bad}");
        }
    }
}
