//! No value of a secret stands in an error.
//!
//! Two nets. The values themselves are looked for in every text that may hold one ([`redacted`]). What a template
//! made of them (upper-cased, decoded, cut, split) cannot be looked for: there is no end of what templates can
//! make. So of what an evaluation says, only that is shown which is known to hold no data: the fixed wording of
//! errors (`wording.txt`) and what stands in the template itself ([`Public`]), as a whole word of two characters
//! at least: a shorter one stands everywhere, and a secret may be as short.
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

/// What has numbers and single letters in it as such.
const PHRASES: &[&str] = &[
    "as a ",
    "be a ",
    "by 0",
    "cannot 3-index slice",
    "create a ",
    "encode a ",
    "expected 1 or 2, but got ",
    "expected ',' or ']'",
    "expected ',' or '}'",
    "expected '-' indicator",
    "expected ':'",
    "missing ']' in host",
    "missing closing ): ",
    "missing closing ]: ",
    "must have 4 or less ",
    "not a ",
    "of a ",
    "should be 1 or 2",
    "starts with 0",
];

/// Behind these stands a number that says where in a text; never what is there.
const PLACES: &[&str] = &["line ", "column ", "offset ", "input byte "];

/// What the engine itself says: of the template's own text, of types, and of how many arguments there are. What a
/// function says is behind `error calling`.
const ENGINE: &[&str] = &[
    "can't evaluate field ",
    "can't give argument to non-function ",
    "can't handle ",
    "can't print ",
    "expected bool; found ",
    "expected float; found ",
    "expected integer; found ",
    "expected string; found ",
    "expected unsigned integer; found ",
    "invalid value; expected ",
    "map has no entry for key ",
    "nil data; no entry for key ",
    "nil pointer evaluating ",
    "wrong number of args for ",
    "wrong type for value; expected ",
];

/// More digits could be more than a place.
const MOST_DIGITS: usize = 8;

/// So could more signs in a row, beside a word.
const MOST_SIGNS: usize = 3;

/// Words of several pieces, and what stands behind others, are looked for in so much of a text, in bytes.
const SEARCHED: usize = 1 << 20;

/// Text without data: whoever reads errors may see the words of it.
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

    /// Whether it stands anywhere in one of the texts.
    fn has(&self, text: &str) -> bool {
        self.texts.iter().any(|all| all.contains(text))
    }

    /// Whether it stands in one of the texts by itself, not as a part of a word. What is so short that it could be
    /// anything does not count.
    pub(crate) fn has_whole(&self, text: &str) -> bool {
        if self.words.contains(text) || text.chars().nth(1).is_none() {
            return text.chars().nth(1).is_some();
        }
        // Most of what is no public text has a word that is not there.
        pieces(text).all(|piece| self.words.contains(piece))
            && self.texts.iter().any(|all| {
                let end = (0..=SEARCHED.min(all.len())).rev().find(|&end| all.is_char_boundary(end));
                let all = all.get(..end.unwrap_or_default()).unwrap_or_default();
                all.match_indices(text).any(|(at, _)| {
                    let before = all.get(..at).and_then(|before| before.chars().next_back());
                    let behind = all.get(at + text.len()..).and_then(|behind| behind.chars().next());
                    is_apart(before, text.chars().next()) && is_apart(behind, text.chars().next_back())
                })
            })
    }

    /// The message with everything masked that could be data: every word, number and quoted text that stands by
    /// itself neither in a public text nor in the wording of errors. Single characters and numbers stand in every
    /// text; they are shown only behind the same word as there.
    pub(crate) fn mask(&self, message: &str) -> String {
        if ENGINE.iter().any(|own| message.starts_with(own)) {
            return message.to_owned();
        }
        let mut out = String::with_capacity(message.len());
        // Where the last mask ends, to make one of two.
        let mut masked = None;
        let mut before = Before { is_space: true, ..Before::default() };
        let mut at = 0;
        while let Some(rest) = message.get(at..).filter(|rest| !rest.is_empty()) {
            let phrase = before.is_space.then(|| self.phrase(rest)).flatten();
            let Some((text, kind)) = phrase.map(|phrase| (phrase, Kind::Space)).or_else(|| next_part(rest))
            else {
                break;
            };
            let behind = rest.get(text.len()..).unwrap_or_default();
            let shown = match kind {
                Kind::Space => true,
                Kind::Rune => false,
                Kind::Word => {
                    let all = message.get(..at).unwrap_or_default();
                    self.knows(text, all, &before) || before.is_quote && GLUED.contains(&text) || {
                        behind.starts_with(['"', '`']) && OPENING.contains(&text)
                    }
                }
                Kind::Quoted(quote) => {
                    let inside = text.strip_prefix(quote).unwrap_or(text);
                    let closed = inside.strip_suffix(quote);
                    let inside = closed.unwrap_or(inside);
                    let is_nothing = inside.is_empty() && WORDING.contains(before.word);
                    let shown = is_nothing || self.has_quoted(text, inside);
                    if closed.is_some() && !shown {
                        let quote = quote.encode_utf8(&mut [0; 4]).to_owned();
                        out.extend([quote.as_str(), MASK, quote.as_str()]);
                    } else if shown {
                        out.push_str(text);
                    }
                    shown || closed.is_some()
                }
            };
            match kind {
                Kind::Quoted(_) if shown => {}
                _ if shown => out.push_str(text),
                _ => {
                    // Nor is anything left between the two that could be of one text with both.
                    let is_gap = |gap: &str| pieces(gap).all(|piece| piece.len() < 2);
                    match masked.filter(|&end| out.get(end..).is_some_and(is_gap)) {
                        Some(end) => out.truncate(end),
                        None => out.push_str(MASK),
                    }
                    masked = Some(out.len());
                    if text.ends_with(':') && behind.starts_with(' ') {
                        out.push(':');
                    }
                }
            }
            before = match kind {
                Kind::Space if phrase.is_some() => Before { is_space: true, ..Before::default() },
                Kind::Space => Before { is_space: true, is_quote: false, ..before },
                Kind::Word if shown => Before { word: text, ..Before::default() },
                Kind::Quoted(_) | Kind::Rune => Before { is_quote: true, ..Before::default() },
                _ => Before::default(),
            };
            at += text.len();
        }
        out
    }

    /// Quoted signs must be quoted in the text, too: there are many signs between words.
    fn has_quoted(&self, text: &str, inside: &str) -> bool {
        match pieces(inside).next() {
            Some(_) => self.has_whole(inside),
            None => inside.chars().nth(1).is_some() && self.has(text),
        }
    }

    /// A fixed phrase that a message goes on with; not where the template says the same with data behind it.
    fn phrase<'m>(&self, rest: &'m str) -> Option<&'m str> {
        let phrase = PHRASES.iter().find(|phrase| rest.starts_with(**phrase) && !self.has(phrase))?;
        let (found, behind) = rest.split_at_checked(phrase.len())?;
        let ends = phrase.ends_with(' ') || is_apart(behind.chars().next(), found.chars().next_back());
        ends.then_some(found)
    }

    /// Whether a word may be shown; `all` is the message before it.
    fn knows(&self, word: &str, all: &str, before: &Before<'_>) -> bool {
        if WORDING.contains(word) {
            return true;
        }
        // Signs alone are in every template.
        let is_known =
            |atom: &str| WORDING.contains(atom) || pieces(atom).next().is_some() && self.has_whole(atom);
        let atoms =
            || word.split(BRACKETS).map(|atom| atom.trim_start_matches(LEADING).trim_end_matches(TRAILING));
        let mut known = atoms().filter(|atom| !atom.is_empty()).peekable();
        if known.peek().is_some() {
            let few_signs =
                word.split(|c: char| !c.is_ascii_punctuation()).all(|run| run.len() <= MOST_SIGNS);
            if few_signs && known.all(is_known) {
                return true;
            }
        }
        // As in a public text: a number or a sign behind the same word.
        if before.is_space && !before.word.is_empty() {
            let trimmed = word.trim_end_matches(TRAILING);
            let pair = |word: &str| self.has_whole(&format!("{} {word}", before.word));
            if pair(word) || !trimmed.is_empty() && pair(trimmed) {
                return true;
            }
        }
        self.is_place(word, all, before)
    }

    /// Whether it is a number that tells a place, `3:` as well as `:3:24:`.
    fn is_place(&self, word: &str, all: &str, before: &Before<'_>) -> bool {
        let is_number = |text: &str| {
            !text.is_empty() && text.len() <= MOST_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let word = word.trim_end_matches([':', ',', ')']);
        // What the template says itself may have data behind it.
        let ends = |phrase: &&&str| all.ends_with(**phrase) && !self.has_whole(phrase.trim_end());
        if is_number(word) {
            return PLACES.iter().any(|place| ends(&place));
        }
        if before.word != "template:" || self.has("template: ") {
            return false;
        }
        let mut parts = word.split(':');
        let name = parts.next().unwrap_or_default();
        (name.is_empty() || WORDING.contains(name)) && parts.all(is_number)
    }
}

/// What stands before a part of a message.
#[derive(Clone, Copy, Default)]
struct Before<'m> {
    /// The last word, if it was shown.
    word: &'m str,
    is_space: bool,
    is_quote: bool,
}

/// Between words that stand in one, as in `map[string]interface`.
const BRACKETS: [char; 8] = ['(', ')', '<', '>', '[', ']', '{', '}'];

/// Punctuation of messages around a word.
const LEADING: [char; 4] = ['.', '*', ':', '\''];
const TRAILING: [char; 5] = ['.', ',', ':', ';', '\''];

/// The same between quotes and words.
const GLUED: &[&str] = &[")", "):", ",", ".", ":", ";", ">", ">:", "]", "]:", "])"];
const OPENING: &[&str] = &["(", "<", "[", "{"];

/// Letters, digits and what is not ASCII; between them are the signs that wording puts there.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_of_word(c)).filter(|piece| !piece.is_empty())
}

fn is_of_word(c: char) -> bool {
    c == '_' || !c.is_whitespace() && !c.is_ascii_punctuation() && !c.is_ascii_control()
}

/// Whether a text that begins or ends with `edge` ends there, with `beside` as its neighbour.
fn is_apart(beside: Option<char>, edge: Option<char>) -> bool {
    let (Some(beside), Some(edge)) = (beside, edge) else { return true };
    if is_of_word(edge) {
        return !is_of_word(beside);
    }
    beside.is_whitespace() || "\"`{}()".contains(beside)
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

/// The next part of a message.
fn next_part(text: &str) -> Option<(&str, Kind)> {
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
    Some((text.get(..end)?, kind))
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
