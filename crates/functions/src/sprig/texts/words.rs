//! xstrings' idea of words in `someHTTPServer2xx-name`, for the cases of identifiers.

use crate::go::unicode::{
    chars, first_rune, is_letter, is_number, is_punctuation, is_upper, to_lower, to_upper,
};

/// What separates words.
fn is_connector(rune: char) -> bool {
    matches!(rune, '-' | '_') || rune.is_whitespace()
}

// === Words ===

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Invalid,
    Number,
    Upper,
    Alphabet,
    Connector,
    Punctuation,
    Other,
}

/// Letters but for the Chinese ones that xstrings knows.
fn is_alphabet(rune: char) -> bool {
    is_letter(rune)
        && !matches!(rune, '\u{3400}'..='\u{4d85}' | '\u{4e00}'..='\u{9fcc}' | '\u{20000}'..='\u{2b81d}')
}

/// Letters that can go on a word.
fn is_small(rune: char) -> bool {
    is_alphabet(rune) && !is_upper(rune)
}

/// The first valid character of `text` and the bytes up to its end; `previous` if there is none.
fn next_valid(text: &[u8], previous: Option<char>) -> (Option<char>, usize) {
    let mut size = 0;
    while let Some((rune, width)) = text.get(size..).and_then(first_rune) {
        size += width;
        if rune != char::REPLACEMENT_CHARACTER {
            return (Some(rune), size);
        }
    }
    (previous, size)
}

/// How many bytes at the start of `text` belong together, while `belongs` holds, and the last of the characters
/// looked at.
fn span(text: &[u8], mut last: Option<char>, belongs: impl Fn(char) -> bool) -> (usize, Option<char>, usize) {
    let (mut at, mut step) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (rune, size) = next_valid(rest, last);
        last = rune;
        if !rune.is_some_and(&belongs) {
            break;
        }
        at += size;
        step = size;
    }
    (at, last, step)
}

/// The next word's kind, its bytes, and what is left.
fn next_word(text: &[u8]) -> (Kind, &[u8], &[u8]) {
    let (first, size) = next_valid(text, None);
    let Some(first) = first else { return (Kind::Invalid, text, &[]) };
    let rest = text.get(size..).unwrap_or_default();
    let (kind, more) = if is_connector(first) {
        (Kind::Connector, span(rest, Some(first), is_connector).0)
    } else if is_punctuation(first) {
        (Kind::Punctuation, span(rest, Some(first), is_punctuation).0)
    } else if is_upper(first) {
        (Kind::Upper, upper_word(rest, first))
    } else if is_alphabet(first) {
        (Kind::Alphabet, span(rest, Some(first), is_small).0)
    } else if is_number(first) {
        (Kind::Number, span(rest, Some(first), is_number).0)
    } else {
        let other =
            |rune| !(is_connector(rune) || is_alphabet(rune) || is_number(rune) || is_punctuation(rune));
        (Kind::Other, span(rest, Some(first), other).0)
    };
    let (word, rest) = text.split_at_checked(size + more).unwrap_or((text, &[]));
    (kind, word, rest)
}

/// What follows a capital: small letters, or more capitals up to the one that begins the next word.
fn upper_word(rest: &[u8], first: char) -> usize {
    match next_valid(rest, Some(first)).0 {
        _ if rest.is_empty() => 0,
        Some(second) if is_upper(second) => {
            let (length, last, step) = span(rest, Some(first), is_upper);
            // "HTTPServer" is "HTTP" and "Server".
            if length < rest.len() && last.is_some_and(is_alphabet) { length - step } else { length }
        }
        Some(second) if is_alphabet(second) => span(rest, Some(first), is_small).0,
        _ => 0,
    }
}

// === snake_case and kebab-case ===

/// Small letters, with `connector` between words.
pub(super) fn connected(text: &[u8], connector: char) -> Vec<u8> {
    let mut out = Connected { out: Vec::with_capacity(text.len()), connector };
    if text.is_empty() {
        return out.out;
    }
    let (mut kind, mut word, mut rest) = next_word(text);
    while !rest.is_empty() {
        if kind != Kind::Connector {
            out.word(kind, word);
        }
        let (previous, last) = (kind, word);
        (kind, word, rest) = next_word(rest);
        match previous {
            Kind::Number => {
                out.letters_and_numbers(&mut kind, &mut word, &mut rest);
                out.connect(kind);
            }
            Kind::Connector => out.word(previous, last),
            Kind::Punctuation => {}
            _ if kind != Kind::Number => out.connect(kind),
            _ if rest.is_empty() => {}
            _ => {
                let number = word;
                (kind, word, rest) = next_word(rest);
                if kind != Kind::Alphabet {
                    // The number belongs to the word before it, as in "Bld4Floor".
                    out.word(Kind::Number, number);
                    out.connect(kind);
                } else {
                    // It belongs to the letters behind it, as in "HTTP2xx".
                    out.connector();
                    out.word(Kind::Number, number);
                    out.letters_and_numbers(&mut kind, &mut word, &mut rest);
                    out.connect(kind);
                }
            }
        }
    }
    out.word(kind, word);
    out.out
}

struct Connected {
    out: Vec<u8>,
    connector: char,
}

impl Connected {
    fn push(&mut self, rune: char) {
        self.out.extend_from_slice(rune.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn connector(&mut self) {
        self.push(self.connector);
    }

    /// A connector before a word of this kind, unless it is none or separates by itself.
    fn connect(&mut self, next: Kind) {
        if !matches!(next, Kind::Invalid | Kind::Punctuation | Kind::Connector) {
            self.connector();
        }
    }

    fn letters_and_numbers<'a>(&mut self, kind: &mut Kind, word: &mut &'a [u8], rest: &mut &'a [u8]) {
        while matches!(kind, Kind::Alphabet | Kind::Number) {
            self.word(*kind, word);
            (*kind, *word, *rest) = next_word(rest);
        }
    }

    fn word(&mut self, kind: Kind, word: &[u8]) {
        if !matches!(kind, Kind::Upper | Kind::Connector) {
            self.out.extend_from_slice(word);
            return;
        }
        for rune in chars(word) {
            match rune {
                _ if is_connector(rune) => self.connector(),
                _ if is_upper(rune) => self.push(to_lower(rune)),
                _ => self.push(rune),
            }
        }
    }
}

// === CamelCase ===

/// What becomes of capitals within a word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Capitals {
    /// They stay.
    Keep,
    /// Those that follow a capital at a word's start become small: `HTTP_server` is `HttpServer`.
    Lower,
}

/// Each word with a capital and no connector before it; connectors at the start, the end and doubled ones stay.
pub(super) fn camel(text: &[u8], capitals: Capitals) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = chars(text);
    let mut here = None;
    let mut after_capital = false;
    for rune in rest.by_ref() {
        here = Some(rune);
        if !is_connector(rune) {
            after_capital = is_upper(rune);
            here = Some(to_upper(rune));
            break;
        }
        out.push(rune);
    }
    // Connectors alone: upstream writes the last one twice.
    let Some(mut here) = here else { return out };
    for next in rest {
        let before = std::mem::replace(&mut here, next);
        if is_connector(before) && is_connector(next) {
            out.push(before);
        } else if is_connector(before) {
            after_capital = is_upper(next);
            here = to_upper(next);
        } else {
            if after_capital && is_upper(next) {
                if capitals == Capitals::Lower {
                    here = to_lower(next);
                }
            } else {
                after_capital = false;
            }
            out.push(before);
        }
    }
    out.push(here);
    out
}
