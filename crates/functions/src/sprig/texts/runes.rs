//! Characters as Go sees them in bytes, and their simple mappings: one character for one.

use std::sync::LazyLock;

use regex::Regex;

/// The characters of `bytes` with their bytes; none for a byte that is no UTF-8.
pub(super) fn runes(bytes: &[u8]) -> impl Iterator<Item = (Option<char>, &[u8])> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid();
        let good = valid.char_indices().map(|(at, rune)| {
            let end = at + rune.len_utf8();
            (Some(rune), valid.as_bytes().get(at..end).unwrap_or_default())
        });
        good.chain(chunk.invalid().chunks(1).map(|byte| (None, byte)))
    })
}

/// The characters of `bytes`, U+FFFD for a byte that is no UTF-8.
pub(super) fn chars(bytes: &[u8]) -> impl Iterator<Item = char> {
    runes(bytes).map(|(rune, _)| rune.unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// The first character, none for a byte that is no UTF-8, and its width.
pub(super) fn first_rune(bytes: &[u8]) -> (Option<char>, usize) {
    let window = bytes.get(..4).unwrap_or(bytes);
    match window.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()) {
        Some(rune) => (Some(rune), rune.len_utf8()),
        None => (None, window.len().min(1)),
    }
}

// === Classes, by general category ===

pub(super) fn is_upper(rune: char) -> bool {
    static UPPER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{Lu}$").ok());
    if rune.is_ascii() { rune.is_ascii_uppercase() } else { in_class(&UPPER, rune) }
}

pub(super) fn is_lower(rune: char) -> bool {
    static LOWER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{Ll}$").ok());
    if rune.is_ascii() { rune.is_ascii_lowercase() } else { in_class(&LOWER, rune) }
}

pub(super) fn is_title(rune: char) -> bool {
    static TITLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{Lt}$").ok());
    !rune.is_ascii() && in_class(&TITLE, rune)
}

pub(super) fn is_letter(rune: char) -> bool {
    static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{L}$").ok());
    if rune.is_ascii() { rune.is_ascii_alphabetic() } else { in_class(&LETTER, rune) }
}

pub(super) fn is_number(rune: char) -> bool {
    static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{N}$").ok());
    if rune.is_ascii() { rune.is_ascii_digit() } else { in_class(&NUMBER, rune) }
}

pub(super) fn is_punctuation(rune: char) -> bool {
    static PUNCTUATION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{P}$").ok());
    if rune.is_ascii() {
        // Go counts these as symbols.
        rune.is_ascii_punctuation() && !"$+<=>^`|~".contains(rune)
    } else {
        in_class(&PUNCTUATION, rune)
    }
}

fn in_class(class: &Option<Regex>, rune: char) -> bool {
    class.as_ref().is_some_and(|class| class.is_match(rune.encode_utf8(&mut [0; 4])))
}

// === Mappings ===

/// `unicode.ToUpper`. Rust maps to several characters where Unicode has a simple mapping beside that: for the
/// Greek letters with iota subscript.
pub(super) fn to_upper(rune: char) -> char {
    let beside = match rune {
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => 8,
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => 9,
        _ => return single(rune, rune.to_uppercase()),
    };
    char::from_u32(u32::from(rune) + beside).unwrap_or(rune)
}

/// `unicode.ToLower`.
pub(super) fn to_lower(rune: char) -> char {
    match rune {
        // Rust keeps the dot as a character of its own.
        '\u{130}' => 'i',
        _ => single(rune, rune.to_lowercase()),
    }
}

/// `unicode.ToTitle`: upper case, but for the letters that have a form between.
pub(super) fn to_title(rune: char) -> char {
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
