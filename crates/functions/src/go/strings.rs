//! Go's `strings` and `bytes`: looking for, cutting, joining and replacing. Each is linear in its texts.

use std::borrow::Borrow;

use gotemplate::FuncError;
use memchr::memmem;

use super::unicode::{chars, first_rune, last_rune, runes};
use crate::arguments::{append, bounded, bounded_elements};

/// Where `part` begins first; an empty one at 0.
pub(crate) fn index(text: &[u8], part: &[u8]) -> Option<usize> {
    // A search begins with reading all of the part.
    if part.len() > text.len() { None } else { memmem::find(text, part) }
}

/// Whether `part` is anywhere in `text`.
pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    index(text, part).is_some()
}

/// The text without `prefix`, if it begins so.
pub(crate) fn trim_prefix<'t>(text: &'t [u8], prefix: &[u8]) -> &'t [u8] {
    text.strip_prefix(prefix).unwrap_or(text)
}

/// The text without `suffix`, if it ends so.
pub(crate) fn trim_suffix<'t>(text: &'t [u8], suffix: &[u8]) -> &'t [u8] {
    text.strip_suffix(suffix).unwrap_or(text)
}

/// Without white space at both ends.
pub(crate) fn trim_space(text: &[u8]) -> &[u8] {
    trim_by(text, char::is_whitespace)
}

/// Without any of `characters` at both ends. A bad byte among them stands for U+FFFD, and so for any bad byte.
pub(crate) fn trim<'t>(text: &'t [u8], characters: &[u8]) -> &'t [u8] {
    let cut: Cutset = chars(characters).collect();
    trim_by(text, |rune| cut.contains(rune))
}

fn trim_by(mut text: &[u8], cut: impl Fn(char) -> bool) -> &[u8] {
    while let Some((rune, width)) = first_rune(text)
        && cut(rune)
    {
        text = text.get(width..).unwrap_or_default();
    }
    while let Some((rune, width)) = last_rune(text)
        && cut(rune)
    {
        text = text.get(..text.len() - width).unwrap_or_default();
    }
    text
}

/// Characters, a bit for each up to the last of them.
struct Cutset(Vec<u64>);

impl Cutset {
    fn place(rune: char) -> (usize, u64) {
        let code = u32::from(rune);
        ((code / 64) as usize, 1 << (code % 64))
    }

    fn contains(&self, rune: char) -> bool {
        let (word, bit) = Self::place(rune);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }
}

impl FromIterator<char> for Cutset {
    fn from_iter<I: IntoIterator<Item = char>>(characters: I) -> Self {
        let mut set = Self(Vec::new());
        for rune in characters {
            let (word, bit) = Self::place(rune);
            if set.0.len() <= word {
                set.0.resize(word + 1, 0);
            }
            if let Some(bits) = set.0.get_mut(word) {
                *bits |= bit;
            }
        }
        set
    }
}

/// The text with `map` of each character. Bad bytes become U+FFFD first.
pub(crate) fn map(text: &[u8], map: impl FnMut(char) -> char) -> String {
    let mut out = String::with_capacity(text.len());
    out.extend(chars(text).map(map));
    out
}

/// The parts between separators, or single characters if the separator is empty; at most `most`, of which the last
/// has all the rest. An empty text has one part, or no characters.
///
/// # Errors
/// When there are too many parts.
pub(crate) fn split<'t>(
    text: &'t [u8],
    separator: &[u8],
    most: Option<usize>,
) -> Result<Vec<&'t [u8]>, FuncError> {
    if text.is_empty() && separator.is_empty() {
        return Ok(Vec::new());
    }
    let most = most.unwrap_or(usize::MAX);
    if separator.is_empty() {
        let ends = runes(text).scan(0, |at, (_, rune)| {
            *at += rune.len();
            Some(*at..*at)
        });
        cut(text, ends.filter(|end| end.start < text.len()), most)
    } else {
        cut(text, memmem::find_iter(text, separator).map(|at| at..at + separator.len()), most)
    }
}

fn cut(
    text: &[u8],
    separators: impl Iterator<Item = std::ops::Range<usize>>,
    most: usize,
) -> Result<Vec<&[u8]>, FuncError> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    for separator in separators.take(most.saturating_sub(1)) {
        bounded_elements(parts.len() + 2)?;
        parts.push(text.get(begin..separator.start).unwrap_or_default());
        begin = separator.end;
    }
    parts.push(text.get(begin..).unwrap_or_default());
    Ok(parts)
}

/// The parts with the separator between them.
///
/// # Errors
/// When the result is too large.
pub(crate) fn join<P: Borrow<[u8]>>(parts: &[P], separator: &[u8]) -> Result<Vec<u8>, FuncError> {
    let size: usize = parts.iter().map(|part| part.borrow().len()).sum();
    bounded(size.saturating_add(separator.len().saturating_mul(parts.len().saturating_sub(1))))?;
    Ok(parts.join(separator))
}

/// The text with `new` for each `old`; an empty `old` is found before each character and at the end.
///
/// # Errors
/// When the result is too large.
pub(crate) fn replace_all(text: &[u8], old: &[u8], new: &[u8]) -> Result<Vec<u8>, FuncError> {
    let mut out = Vec::with_capacity(text.len());
    if old.is_empty() {
        for (_, rune) in runes(text) {
            append(&mut out, new)?;
            append(&mut out, rune)?;
        }
        append(&mut out, new)?;
        return Ok(out);
    }
    let mut begin = 0;
    for at in memmem::find_iter(text, old) {
        append(&mut out, text.get(begin..at).unwrap_or_default())?;
        append(&mut out, new)?;
        begin = at + old.len();
    }
    append(&mut out, text.get(begin..).unwrap_or_default())?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_of_all_kinds_is_trimmed() {
        assert_eq!(trim_space("\u{a0}\u{2028} a b \u{85}\n".as_bytes()), b"a b");
        assert_eq!(trim_space(b" \xff \xfe "), b"\xff \xfe");
        assert_eq!(trim_space(b" \n "), b"");
        assert_eq!(trim_space(b""), b"");
    }

    #[test]
    fn characters_are_trimmed_whatever_their_width() {
        assert_eq!(trim("é/a/\u{10ffff}".as_bytes(), "/\u{10ffff}é".as_bytes()), b"a");
        assert_eq!(trim(b"\xffa\xfe", b"\xc3"), b"a");
        assert_eq!(trim(b"a", b""), b"a");
    }

    #[test]
    fn a_text_is_cut_as_go_cuts_it() {
        let split = |text: &str, separator: &str, most| {
            let parts = split(text.as_bytes(), separator.as_bytes(), most).unwrap();
            parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(split("a,,b", ",", None), ["a", "", "b"]);
        assert_eq!(split("aaa", "aa", None), ["", "a"]);
        assert_eq!(split("a,b,c", ",", Some(2)), ["a", "b,c"]);
        assert_eq!(split("aéb", "", None), ["a", "é", "b"]);
        assert_eq!(split("aéb", "", Some(2)), ["a", "éb"]);
        assert_eq!(split("", ",", None), [""]);
        assert_eq!(split("", "", None), [""; 0]);
    }

    #[test]
    fn too_many_parts_are_refused() {
        let text = vec![b','; crate::MAX_ELEMENTS - 1];
        assert_eq!(split(&text, b",", None).map(|parts| parts.len()), Ok(crate::MAX_ELEMENTS));
        let text = vec![b','; crate::MAX_ELEMENTS];
        let why = split(&text, b",", None).unwrap_err();
        assert_eq!(why.to_string(), "the result has more than 1048576 elements");
        assert_eq!(split(&text, b",", Some(2)).map(|parts| parts.len()), Ok(2));
    }
}
