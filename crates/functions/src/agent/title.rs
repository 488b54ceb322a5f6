//! Upper, lower and title case of characters, and of the words of a text.

use gotemplate::FuncError;
use unicode_segmentation::UnicodeSegmentation as _;

use super::texts::rune;
use crate::arguments::bounded;

/// The one character that is this one in lower case.
pub(super) fn simple_lower(c: char) -> char {
    match c {
        // The only one whose full mapping, with a combining dot, differs from the simple one.
        '\u{130}' => 'i',
        _ => single(c, c.to_lowercase()),
    }
}

/// The one character that is this one in upper case; without one it stays.
pub(super) fn simple_upper(c: char) -> char {
    match iota_subscript(c) {
        Some(title) => title,
        None => single(c, c.to_uppercase()),
    }
}

fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// Greek letters with an iota below: in full they grow by a letter, but there is one character for each.
fn iota_subscript(c: char) -> Option<char> {
    let distance = match c {
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => 8,
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => 9,
        _ => return None,
    };
    char::from_u32(u32::from(c) + distance)
}

/// How a character takes part in the division into words.
#[derive(Clone, Copy, PartialEq)]
enum Break {
    /// Belongs to a word.
    None,
    /// Belongs to a word when it stands between two that do, alone.
    Middle,
    /// Ends a word.
    Always,
}

/// The text with the first cased character of each word in title case.
///
/// The rule is that of Go's `cases` package, which goes from character to character and does not look ahead: a
/// word begins behind a character that ends words, or at the second of two in its middle.
pub(super) fn titled(mut text: &[u8]) -> Result<Vec<u8>, FuncError> {
    let mut out = Vec::with_capacity(text.len());
    let (mut within, mut after_middle) = (false, false);
    while let Some((c, width)) = rune(text) {
        let (here, rest) = text.split_at(width);
        // A bad byte has no property at all.
        let bad = width == 1 && !c.is_ascii();
        let kind = if bad { Break::Always } else { kind(c) };
        if after_middle && kind == Break::Middle {
            within = false;
        }
        bounded(out.len() + 4 * width)?;
        if !bad && is_cased(c) {
            if within {
                out.extend_from_slice(here);
            } else {
                push_title(&mut out, c);
                within = true;
            }
        } else {
            out.extend_from_slice(here);
            if kind == Break::Always {
                within = false;
            }
        }
        after_middle = kind == Break::Middle;
        text = rest;
    }
    Ok(out)
}

fn kind(c: char) -> Break {
    if c.is_ascii() {
        return match c {
            '0'..='9' | 'A'..='Z' | 'a'..='z' | '_' => Break::None,
            '\'' | '.' | ':' => Break::Middle,
            _ => Break::Always,
        };
    }
    // The property is not told, but can be seen from how words are divided.
    let mut buffer = [0; 12];
    let mut words = |text: [char; 3], count: usize| {
        let mut length = 0;
        for c in text.iter().take(count) {
            length += c.encode_utf8(buffer.get_mut(length..).unwrap_or_default()).len();
        }
        std::str::from_utf8(buffer.get(..length).unwrap_or_default())
            .map_or(0, |text| text.split_word_bounds().count())
    };
    if words(['a', c, 'a'], 2) == 1 {
        Break::None
    } else if words(['a', c, 'a'], 3) == 1 {
        Break::Middle
    } else {
        Break::Always
    }
}

/// Upper, lower or title case.
fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || is_title(c)
}

fn is_title(c: char) -> bool {
    matches!(
        c,
        '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}'
            | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}' | '\u{1fa8}'..='\u{1faf}'
            | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}'
    )
}

fn push_title(out: &mut Vec<u8>, c: char) {
    let mut push = |c: char| out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    if is_title(c) {
        return push(c);
    }
    if let Some(title) = iota_subscript(c) {
        return push(title);
    }
    match c {
        // Two letters in one: the first in upper case, the second not.
        '\u{1c4}'..='\u{1c6}' => push('\u{1c5}'),
        '\u{1c7}'..='\u{1c9}' => push('\u{1c8}'),
        '\u{1ca}'..='\u{1cc}' => push('\u{1cb}'),
        '\u{1f1}'..='\u{1f3}' => push('\u{1f2}'),
        // Georgian has capitals, but not for the beginning of a word.
        '\u{10d0}'..='\u{10fa}' | '\u{10fd}'..='\u{10ff}' => push(c),
        // An apostrophe and an n.
        '\u{149}' => c.to_uppercase().for_each(push),
        // Ligatures: only the first letter is raised. Behind Greek letters an iota goes below instead.
        _ => {
            let greek = matches!(c, '\u{1f80}'..='\u{1fff}');
            for (at, upper) in c.to_uppercase().enumerate() {
                match upper {
                    '\u{399}' if at > 0 && greek => push('\u{345}'),
                    _ if at > 0 => upper.to_lowercase().for_each(&mut push),
                    _ => push(upper),
                }
            }
        }
    }
}
