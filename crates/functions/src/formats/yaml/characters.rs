//! Classes of characters, looked at as the bytes at the beginning of a slice. Behind its end are NULs.

fn at(text: &[u8], nth: usize) -> u8 {
    text.get(nth).copied().unwrap_or_default()
}

/// How many bytes of UTF-8 a character has by its first one.
pub(super) fn width(first: u8) -> usize {
    match first {
        0..0x80 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf8 => 4,
        // No byte that begins a character; one step goes on.
        _ => 1,
    }
}

pub(super) fn is_alpha(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

pub(super) fn is_end(text: &[u8]) -> bool {
    at(text, 0) == 0
}

pub(super) fn is_blank(text: &[u8]) -> bool {
    matches!(at(text, 0), b' ' | b'\t')
}

/// CR, LF, NEL, LS or PS.
pub(super) fn is_break(text: &[u8]) -> bool {
    matches!(
        (at(text, 0), at(text, 1), at(text, 2)),
        (b'\r' | b'\n', ..) | (0xc2, 0x85, _) | (0xe2, 0x80, 0xa8 | 0xa9)
    )
}

pub(super) fn is_break_or_end(text: &[u8]) -> bool {
    is_break(text) || is_end(text)
}

pub(super) fn is_blank_or_end(text: &[u8]) -> bool {
    is_blank(text) || is_break_or_end(text)
}

/// What is written as it is. The library holds characters beyond U+FFFF for unprintable.
pub(super) fn is_printable(text: &[u8]) -> bool {
    match (at(text, 0), at(text, 1), at(text, 2)) {
        (b'\n' | 0x20..=0x7e, ..) => true,
        (0xc2, second, _) => second >= 0xa0,
        (0xc3..0xed, ..) => true,
        (0xed, second, _) => second < 0xa0,
        (0xee, ..) => true,
        (0xef, 0xbb, 0xbf) | (0xef, 0xbf, 0xbe | 0xbf) => false,
        (0xef, ..) => true,
        _ => false,
    }
}
