//! No value of a secret stands in an error.
//!
//! Two nets. The values themselves are looked for in every text that may hold one ([`redacted`]). What a template
//! made of them (upper-cased, decoded, cut, split) cannot be looked for: there is no end of what templates can
//! make. So of what an evaluation says, only that is shown which is known to hold no data: the fixed wording of
//! errors (`wording.txt`) and what stands in the template itself ([`Public`]).
//!
//! A function with new words in its errors needs them in `wording.txt`; without that they are masked, which is
//! ugly but safe. A test holds it against all recorded errors.

use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

use crate::dependency::Dependency;
use crate::evaluate::{Knowledge, Known};
use crate::words::quoted;

/// Shorter strings say nothing and would tear the message apart.
const SHORTEST_SECRET: usize = 4;

/// What stands for something that is not shown; upstream's.
const MASK: &str = "[redacted]";

/// Every string of the secrets that a template used is replaced, the longer first.
pub(crate) fn redacted(text: &str, known: &Knowledge, needed: &BTreeSet<Dependency>) -> String {
    let mut values = Vec::new();
    for dependency in needed {
        match known.get(dependency) {
            Some(Known::Secret(Some(secret))) => {
                secret
                    .data
                    .iter()
                    .flat_map(|data| data.values())
                    .for_each(|value| strings(value, &mut values));
                let auth = secret.auth.iter().map(|auth| auth.client_token.expose());
                let wrapped = secret.wrap_info.iter().map(|wrapped| wrapped.token.expose());
                values.extend(auth.chain(wrapped).map(str::to_owned));
            }
            Some(Known::Certificate(certificate)) => {
                values.extend([&certificate.key, &certificate.cert].map(|text| text.trim().to_owned()));
            }
            _ => {}
        }
    }
    values.retain(|value| value.len() >= SHORTEST_SECRET);
    // As it stands in a quoted text.
    let inner = |value: &String| quoted(value).trim_matches('"').to_owned();
    let escaped: Vec<String> = values.iter().map(inner).filter(|value| !values.contains(value)).collect();
    values.extend(escaped);
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), MASK))
}

fn strings(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}

// === What may be shown ===

/// The words of error texts: those of Go and the agents, and our own.
static WORDING: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("wording.txt").split_whitespace().collect());

/// Text without data: whoever reads errors may see it, whole or in words.
pub(crate) struct Public<'a> {
    texts: Vec<&'a str>,
    words: HashSet<&'a str>,
}

impl<'a> Public<'a> {
    pub(crate) fn new(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let texts: Vec<&str> = texts.into_iter().collect();
        let words = texts.iter().flat_map(|text| pieces(text)).collect();
        Self { texts, words }
    }

    /// Whether it stands in one of the texts.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.texts.iter().any(|all| all.contains(text))
    }

    /// The message with everything masked that could be data: what is quoted, unless it stands so in a public
    /// text, and every word that is neither there nor in the wording of errors.
    pub(crate) fn mask(&self, message: &str) -> String {
        let mut out = String::with_capacity(message.len());
        // Where the last mask ends, to make one of two.
        let mut masked = None;
        // A lone number or character may follow a known word, as in `line 3`; more in a row may not.
        let mut behind_word = true;
        let mut rest = message;
        while let Some((part, behind)) = next_part(rest) {
            rest = behind;
            let (text, kind) = part;
            let known = match kind {
                Kind::Rune => behind_word.then_some(false),
                Kind::Word => self.knows(text, behind_word),
                Kind::Space | Kind::Quoted(_) => Some(behind_word),
            };
            behind_word = known.unwrap_or(false);
            match kind {
                Kind::Quoted(quote) => {
                    let inside = text.strip_prefix(quote).unwrap_or(text);
                    let inside = inside.strip_suffix(quote).unwrap_or(inside);
                    let shown = if self.has(inside) { inside } else { MASK };
                    out.extend([quote.encode_utf8(&mut [0; 4]), shown, quote.encode_utf8(&mut [0; 4])]);
                }
                _ if known.is_some() => out.push_str(text),
                _ => {
                    // Nor is anything left between the two that could be of one text with both.
                    let is_gap = |gap: &str| pieces(gap).all(|piece| piece.len() < 2);
                    match masked.filter(|&end| out.get(end..).is_some_and(is_gap)) {
                        Some(end) => out.truncate(end),
                        None => out.push_str(MASK),
                    }
                    masked = Some(out.len());
                    if text.ends_with(':') {
                        out.push(':');
                    }
                }
            }
        }
        out
    }

    /// Whether a word may be shown: each piece of it is public, or it is a small number behind such a word. Gives
    /// whether it is more than a number.
    fn knows(&self, word: &str, behind_word: bool) -> Option<bool> {
        let (mut pieces_known, mut digits) = (0, 0);
        for piece in pieces(word) {
            if self.words.contains(piece) || WORDING.contains(piece) {
                pieces_known += 1;
            } else if piece.bytes().all(|byte| byte.is_ascii_digit()) {
                digits += piece.len();
            } else {
                return None;
            }
        }
        let shown = match digits {
            0 => pieces_known > 0 || word.len() <= MOST_SIGNS || self.has(word),
            digits => digits <= MOST_DIGITS && (pieces_known > 0 || behind_word),
        };
        shown.then_some(pieces_known > 0 || digits == 0)
    }
}

/// Longer numbers could be data.
const MOST_DIGITS: usize = 5;

/// So could more signs in a row, without any letter.
const MOST_SIGNS: usize = 5;

/// Letters, digits and what is not ASCII; between them are the signs that wording puts there.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let is_sign = |c: char| c.is_whitespace() || c.is_ascii_punctuation() && c != '_';
    text.split(is_sign).filter(|piece| !piece.is_empty())
}

#[derive(Clone, Copy)]
enum Kind {
    Space,
    /// A character in single quotes.
    Rune,
    /// Text in quotes of this kind.
    Quoted(char),
    Word,
}

type Part<'a> = (&'a str, Kind);

/// The next part of a message, and what is behind it.
fn next_part(text: &str) -> Option<(Part<'_>, &str)> {
    let first = text.chars().next()?;
    let (end, kind) = match (first, rune_end(text)) {
        ('"' | '`', _) => (quote_end(text, first), Kind::Quoted(first)),
        (_, Some(end)) => (end, Kind::Rune),
        _ if first.is_whitespace() => (first.len_utf8(), Kind::Space),
        _ => {
            let ends = |&(at, c): &(usize, char)| {
                let is_rune = || text.get(at..).and_then(rune_end).is_some();
                at > 0 && (c.is_whitespace() || "\"`".contains(c) || is_rune())
            };
            (text.char_indices().find(ends).map_or(text.len(), |(at, _)| at), Kind::Word)
        }
    };
    let (part, behind) = text.split_at_checked(end)?;
    Some(((part, kind), behind))
}

/// Behind the closing quote; everything, if there is none.
fn quote_end(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if std::mem::take(&mut escaped) => {}
            '\\' if quote == '"' => escaped = true,
            char if char == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Behind a character in single quotes, as `'x'` or `'\x01'`, if there is one.
fn rune_end(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let mut chars = inside.char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?;
        // The longest is `\U0001f511`.
        let (at, _) = chars.take(9).find(|&(_, char)| char == '\'')?;
        return Some(at + 2);
    }
    let (at, _) = chars.next().filter(|&(_, char)| char == '\'')?;
    Some(at + 2)
}

// === How much is shown ===

/// The text with its middle left out, if it is longer than `most` bytes.
pub(crate) fn shortened(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let head = (0..=most / 2).rev().find_map(|end| text.get(..end)).unwrap_or_default();
    let tail = (text.len() - most / 2..).find_map(|start| text.get(start..)).unwrap_or_default();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests;
