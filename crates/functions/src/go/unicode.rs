//! Go's `unicode` and `unicode/utf8`: the characters in bytes, their classes by general category, and their simple
//! mappings, one character for one. A byte that is no UTF-8 is U+FFFD of width one, each for itself.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// The characters of `bytes` with their bytes.
pub(crate) fn runes(bytes: &[u8]) -> impl Iterator<Item = (char, &[u8])> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid();
        let good = valid.char_indices().map(|(at, rune)| {
            let end = at + rune.len_utf8();
            (rune, valid.as_bytes().get(at..end).unwrap_or_default())
        });
        good.chain(chunk.invalid().chunks(1).map(|byte| (char::REPLACEMENT_CHARACTER, byte)))
    })
}

/// The characters of `bytes`.
pub(crate) fn chars(bytes: &[u8]) -> impl Iterator<Item = char> {
    runes(bytes).map(|(rune, _)| rune)
}

/// The first character and its width.
pub(crate) fn first_rune(bytes: &[u8]) -> Option<(char, usize)> {
    let &first = bytes.first()?;
    if first.is_ascii() {
        return Some((char::from(first), 1));
    }
    let window = bytes.get(..4).unwrap_or(bytes);
    let rune = window.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
    Some(rune.map_or((char::REPLACEMENT_CHARACTER, 1), |rune| (rune, rune.len_utf8())))
}

/// The last character and its width.
pub(crate) fn last_rune(bytes: &[u8]) -> Option<(char, usize)> {
    bytes.last()?;
    for width in 1..=bytes.len().min(4) {
        let tail = bytes.get(bytes.len() - width..).unwrap_or_default();
        if let Some(rune) = std::str::from_utf8(tail).ok().and_then(|tail| tail.chars().next()) {
            return Some((rune, width));
        }
    }
    Some((char::REPLACEMENT_CHARACTER, 1))
}

/// Whether a character of this width stands for a byte that is no UTF-8.
pub(crate) fn is_bad(rune: char, width: usize) -> bool {
    width == 1 && !rune.is_ascii()
}

/// The text that Go sees in bytes.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(chars(bytes).collect()),
    }
}

// === Classes, by general category ===
//
// An expression knows the categories of Go's Unicode, but takes long; so what cannot be is first left out.

pub(crate) fn is_upper(rune: char) -> bool {
    static UPPER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{Lu}$").ok());
    if rune.is_ascii() { rune.is_ascii_uppercase() } else { rune.is_uppercase() && in_class(&UPPER, rune) }
}

pub(crate) fn is_lower(rune: char) -> bool {
    static LOWER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{Ll}$").ok());
    if rune.is_ascii() {
        rune.is_ascii_lowercase()
    } else {
        rune.is_alphabetic() && !rune.is_uppercase() && in_class(&LOWER, rune)
    }
}

pub(crate) fn is_title(rune: char) -> bool {
    matches!(
        rune,
        '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}'
            | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}' | '\u{1fa8}'..='\u{1faf}'
            | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}'
    )
}

pub(crate) fn is_letter(rune: char) -> bool {
    static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{L}$").ok());
    if rune.is_ascii() { rune.is_ascii_alphabetic() } else { rune.is_alphabetic() && in_class(&LETTER, rune) }
}

pub(crate) fn is_number(rune: char) -> bool {
    static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{N}$").ok());
    if rune.is_ascii() { rune.is_ascii_digit() } else { rune.is_numeric() && in_class(&NUMBER, rune) }
}

pub(crate) fn is_punctuation(rune: char) -> bool {
    static PUNCTUATION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{P}$").ok());
    if rune.is_ascii() {
        // Go counts these as symbols.
        rune.is_ascii_punctuation() && !"$+<=>^`|~".contains(rune)
    } else {
        !rune.is_alphanumeric() && in_class(&PUNCTUATION, rune)
    }
}

fn in_class(class: &Option<Regex>, rune: char) -> bool {
    class.as_ref().is_some_and(|class| class.is_match(rune.encode_utf8(&mut [0; 4])))
}

// === Mappings ===

/// `unicode.ToUpper`. Rust maps to several characters where Unicode has a simple mapping beside that: for the
/// Greek letters with iota subscript.
pub(crate) fn to_upper(rune: char) -> char {
    let beside = match rune {
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => 8,
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => 9,
        _ => return single(rune, rune.to_uppercase()),
    };
    char::from_u32(u32::from(rune) + beside).unwrap_or(rune)
}

/// `unicode.ToLower`.
pub(crate) fn to_lower(rune: char) -> char {
    match rune {
        // Rust keeps the dot as a character of its own.
        '\u{130}' => 'i',
        _ => single(rune, rune.to_lowercase()),
    }
}

/// `unicode.ToTitle`: upper case, but for the letters that have a form between.
pub(crate) fn to_title(rune: char) -> char {
    match rune {
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        // Georgian capitals are for whole words only.
        '\u{10d0}'..='\u{10fa}' | '\u{10fd}'..='\u{10ff}' => rune,
        _ => to_upper(rune),
    }
}

fn single(rune: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => rune,
    }
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
    fn the_ends_of_a_text() {
        assert_eq!(first_rune("éa".as_bytes()), Some(('é', 2)));
        assert_eq!(last_rune("aé".as_bytes()), Some(('é', 2)));
        assert_eq!(first_rune(b"\xc3"), Some(('\u{fffd}', 1)));
        assert_eq!(last_rune(b"a\xc3"), Some(('\u{fffd}', 1)));
        assert_eq!((first_rune(b""), last_rune(b"")), (None, None));
    }

    #[test]
    fn classes_are_the_categories() {
        fn check(category: &str, all: &str, is: fn(char) -> bool) {
            let class = Regex::new(&format!(r"\p{{{category}}}")).unwrap();
            let listed = class.find_iter(all).filter_map(|found| found.as_str().chars().next());
            assert!(listed.eq(all.chars().filter(|&rune| is(rune))), "{category}");
        }
        let all: String = ('\u{80}'..='\u{1ffff}').collect();
        check("Lu", &all, is_upper);
        check("Ll", &all, is_lower);
        check("Lt", &all, is_title);
        check("L", &all, is_letter);
        check("N", &all, is_number);
        check("P", &all, is_punctuation);
    }
}
