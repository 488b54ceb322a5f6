//! Title case of the words of a text.

use std::collections::HashMap;

use gotemplate::FuncError;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::arguments::bounded;
use crate::go::unicode::{first_rune, is_bad, is_title, to_title};

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
    // To find out takes long; texts have few characters beyond ASCII that differ.
    let mut kinds = HashMap::new();
    while let Some((c, width)) = first_rune(text) {
        let (here, rest) = text.split_at(width);
        // A bad byte has no property at all.
        let bad = is_bad(c, width);
        let kind = match c {
            _ if bad => Break::Always,
            _ if c.is_ascii() => kind(c),
            _ => *kinds.entry(c).or_insert_with(|| kind(c)),
        };
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

fn push_title(out: &mut Vec<u8>, c: char) {
    let mut push = |c: char| out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    let title = to_title(c);
    if title != c || is_title(c) || c.to_uppercase().len() == 1 {
        return push(title);
    }
    // Several letters in one. An apostrophe and an n.
    if c == '\u{149}' {
        return c.to_uppercase().for_each(push);
    }
    // Ligatures: only the first letter is raised. Behind Greek letters an iota goes below instead.
    let greek = matches!(c, '\u{1f80}'..='\u{1fff}');
    for (at, upper) in c.to_uppercase().enumerate() {
        match upper {
            '\u{399}' if at > 0 && greek => push('\u{345}'),
            _ if at > 0 => upper.to_lowercase().for_each(&mut push),
            _ => push(upper),
        }
    }
}
