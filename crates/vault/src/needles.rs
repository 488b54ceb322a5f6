//! Our token's text in bytes that somebody else wrote, also where JSON's escapes hide it: pure.

use std::fmt;
use std::ops::Range;

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter};

/// The longest way to write a character in JSON: `\u0073`.
const LONGEST: usize = 6;

/// Texts that are looked for: a token and its accessor.
pub struct Needles {
    finders: [Option<Finder<'static>>; 2],
    /// Of the longest one, as it is.
    plain: usize,
    /// One of them has a character that JSON writes with a backslash before it.
    quoted: bool,
    stopgap: u8,
    escaped_stopgap: u8,
}

enum Match {
    /// It is there, so many bytes long.
    Whole(usize),
    /// It may be: the bytes end within it.
    Begun,
    Not,
}

impl Needles {
    /// For these texts; empty ones are not looked for.
    pub fn new(one: &str, other: Option<&str>) -> Self {
        let finder = |text: &str| (!text.is_empty()).then(|| Finder::new(text).into_owned());
        let finders = [finder(one), other.and_then(finder)];
        let texts = || finders.iter().flatten().map(Finder::needle);
        let plain = texts().map(<[u8]>::len).max().unwrap_or_default();
        let quoted = texts().any(|text| text.iter().any(is_quoted));
        let unused = |byte: &u8| texts().all(|text| !text.contains(byte));
        let stopgap = b"*#+ -_=~".iter().copied().find(unused).unwrap_or(b'*');
        let escaped_stopgap = if unused(&b'/') { b'/' } else { stopgap };
        Self { plain, quoted, stopgap, escaped_stopgap, finders }
    }

    /// What may stand where one was, behind the byte `before`: it is in none of them, so what stood around it does not
    /// become another one; and JSON stays JSON.
    pub fn stopgap(&self, before: u8) -> u8 {
        // Behind a backslash few characters may stand.
        if before == b'\\' { self.escaped_stopgap } else { self.stopgap }
    }

    /// Whether one of them is there.
    pub fn are_in(&self, bytes: &[u8]) -> bool {
        self.find_all(bytes).next().is_some()
    }

    /// Where they are, one behind the other. Costs no more than a few looks at each byte, whatever is in them.
    pub fn find_all<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
        Search { needles: self, bytes, from: 0, next: [Next::Unknown; 2] }
    }

    /// How many bytes at the end may be the beginning of one.
    pub fn begun(&self, bytes: &[u8]) -> usize {
        let mut from = bytes.len().saturating_sub(self.plain * LONGEST);
        if memchr(b'\\', &bytes[from..]).is_none() {
            from = bytes.len().saturating_sub(self.plain);
        }
        let begun = |at: &usize| {
            let rest = &bytes[*at..];
            self.texts().any(|text| text.starts_with(rest) || matches!(match_at(rest, text), Match::Begun))
        };
        (from..bytes.len()).find(begun).map_or(0, |start| bytes.len() - start)
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.finders.iter().flatten().map(Finder::needle)
    }

    /// The first one that has an escape in it and begins within `from..end`.
    fn escaped(&self, bytes: &[u8], from: usize, end: usize) -> Option<Range<usize>> {
        let mut untried = from;
        for at in memchr_iter(b'\\', bytes.get(from..end)?) {
            let at = from + at;
            let may_be = match bytes.get(at + 1) {
                Some(b'u') => bytes.get(at + 2..at + 4) == Some(b"00"),
                Some(byte) => self.quoted && is_quoted(byte),
                None => false,
            };
            if !may_be {
                continue;
            }
            // This is its first escape, so all before it stands there as it is.
            for start in untried.max((at + 1).saturating_sub(self.plain))..=at {
                let whole = self.texts().find_map(|text| match match_at(&bytes[start..], text) {
                    Match::Whole(length) => Some(length),
                    Match::Begun | Match::Not => None,
                });
                if let Some(length) = whole {
                    return Some(start..start + length);
                }
            }
            untried = at + 1;
        }
        None
    }
}

impl fmt::Debug for Needles {
    /// They are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Needles(***)")
    }
}

/// Where a text is next, as it is.
#[derive(Clone, Copy)]
enum Next {
    Unknown,
    At(usize),
    Nowhere,
}

struct Search<'a> {
    needles: &'a Needles,
    bytes: &'a [u8],
    from: usize,
    next: [Next; 2],
}

impl Iterator for Search<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let rest = self.bytes.get(self.from..)?;
        let mut first: Option<Range<usize>> = None;
        for (finder, next) in self.needles.finders.iter().zip(&mut self.next) {
            let Some(finder) = finder else { continue };
            if matches!(next, Next::Unknown) || matches!(next, Next::At(at) if *at < self.from) {
                *next = finder.find(rest).map_or(Next::Nowhere, |at| Next::At(self.from + at));
            }
            if let Next::At(at) = *next
                && first.as_ref().is_none_or(|first| at < first.start)
            {
                first = Some(at..at + finder.needle().len());
            }
        }
        let end = first.as_ref().map_or(self.bytes.len(), |first| first.start);
        let found = self.needles.escaped(self.bytes, self.from, end).or(first);
        // Without one there is none further on either.
        self.from = found.as_ref().map_or(self.bytes.len(), |found| found.end);
        found
    }
}

/// What JSON may write with a backslash before it. A token has no control characters.
fn is_quoted(byte: &u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'/')
}

/// Whether `bytes` begin with a text, each character as it is or escaped.
fn match_at(bytes: &[u8], text: &[u8]) -> Match {
    let mut at = 0;
    for wanted in text {
        match bytes.get(at) {
            None => return Match::Begun,
            Some(b'\\') => {
                let escape = &bytes[at..bytes.len().min(at + LONGEST)];
                if is_quoted(wanted) && escape.get(1) == Some(wanted) {
                    at += 2;
                    continue;
                }
                let written = [b'\\', b'u', b'0', b'0', digit(wanted >> 4), digit(wanted & 15)];
                if !written[..escape.len()].eq_ignore_ascii_case(escape) {
                    return Match::Not;
                }
                if escape.len() < LONGEST {
                    return Match::Begun;
                }
                at += LONGEST;
            }
            Some(byte) if byte == wanted => at += 1,
            Some(_) => return Match::Not,
        }
    }
    Match::Whole(at)
}

fn digit(nibble: u8) -> u8 {
    char::from_digit(nibble.into(), 16).map_or(b'0', |digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn s2_custom_ids_are_found_in_every_spelling() {
        let needles = Needles::new(r#"my"to\k/n"#, Some("acc"));
        for (text, found) in [
            (r#"my"to\k/n"#, 1),
            (r#"{"id":"my\"to\\k/n"}"#, 1),
            (r#"{"id":"my\u0022to\u005ck\/n"}"#, 1),
            (r#"{"id":"\u006dy\"to\\k\u002Fn"}"#, 1),
            (r#"{"id":"my\"to\\k\/"}"#, 0),
            (r#"{"id":"my\\"to\\k\/n"}"#, 0),
            (r#"acc my\"to\\k/n \u0061cc"#, 3),
        ] {
            assert_eq!(needles.find_all(text.as_bytes()).count(), found, "{text}");
        }
        // The bytes end within one.
        for (text, begun) in [(r#"x my"to\k"#, 7), (r#"x my\"to\"#, 7), (r#"my\u00"#, 6), ("xy", 0)] {
            assert_eq!(needles.begun(text.as_bytes()), begun, "{text}");
        }
        assert!(!format!("{needles:?}").contains("my"));
    }

    /// What it costs must not depend on what somebody puts into an answer.
    #[test]
    fn s2_searching_costs_the_same_whatever_is_there() {
        let needles = Needles::new("s.canary\\", Some("acc-canary"));
        for piece in ["\\", "\\u0073", "\\u0061", "\\\\u0061", "s.canary\\", "s", "acc-canary"] {
            let text = piece.repeat(2 * 1024 * 1024 / piece.len());
            let began = Instant::now();
            let found = needles.find_all(text.as_bytes()).count();
            // Without optimisation and on a busy machine; what is quadratic takes minutes.
            assert!(began.elapsed() < Duration::from_secs(5), "{piece}: {found} in {:?}", began.elapsed());
        }
    }
}
