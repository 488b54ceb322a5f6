//! Bytes as the text that Go sees in them.

use std::borrow::Cow;

/// The text of bytes, with U+FFFD for EACH byte that is no UTF-8, as Go ranges over a string.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    Cow::Owned(out)
}

/// Without white space at both ends, as `bytes.TrimSpace` leaves it.
pub(crate) fn trimmed(bytes: &[u8]) -> &[u8] {
    let start = bytes.utf8_chunks().next().map_or(0, |first| {
        let valid = first.valid();
        valid.len() - valid.trim_start().len()
    });
    let bytes = bytes.get(start..).unwrap_or_default();
    let end = bytes.utf8_chunks().last().filter(|last| last.invalid().is_empty()).map_or(0, |last| {
        let valid = last.valid();
        valid.len() - valid.trim_end().len()
    });
    bytes.get(..bytes.len() - end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_byte_is_a_replacement() {
        assert_eq!(lossy(b"a\xed\xa0\x80b"), "a\u{fffd}\u{fffd}\u{fffd}b");
        assert_eq!(lossy(b"\xf0\x9f\x98"), "\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(lossy("é".as_bytes()), "é");
    }

    #[test]
    fn white_space_of_all_kinds_is_trimmed() {
        assert_eq!(trimmed("\u{a0}\u{2028} a b \u{85}\n".as_bytes()), b"a b");
        assert_eq!(trimmed(b" \xff \xfe "), b"\xff \xfe");
        assert_eq!(trimmed(b" \n "), b"");
        assert_eq!(trimmed(b""), b"");
    }
}
