//! Our token's text in bytes that somebody else wrote, also where escapes of JSON or of URLs hide it: pure.

use std::fmt;
use std::ops::Range;

use memchr::memmem::Finder;
use memchr::{memchr2, memchr2_iter};

use crate::escape::{BEGINNINGS, Escape, LONGEST};

/// Texts that are looked for: a token and its accessor.
pub struct Needles {
    finders: [Option<Finder<'static>>; 2],
    /// Of the longest one, as it is.
    plain: usize,
    /// Which bytes they are made of.
    made_of: [bool; 256],
    /// An escaped letter may be of either case.
    folded: bool,
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
        let mut made_of = [false; 256];
        texts().flatten().for_each(|byte| made_of[usize::from(*byte)] = true);
        let unused = |byte: &u8| !made_of[usize::from(*byte)];
        let stopgap = b"*#+ -_=~".iter().copied().find(unused).unwrap_or(b'*');
        let escaped_stopgap = if unused(&b'/') { b'/' } else { stopgap };
        Self { plain, made_of, folded: false, stopgap, escaped_stopgap, finders }
    }

    /// For these texts where all letters became small ones: in names of headers.
    pub fn in_names(one: &str, other: Option<&str>) -> Self {
        let other = other.map(str::to_ascii_lowercase);
        Self { folded: true, ..Self::new(&one.to_ascii_lowercase(), other.as_deref()) }
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
        let [one, other] = BEGINNINGS;
        let mut from = bytes.len().saturating_sub(self.plain * LONGEST);
        if memchr2(one, other, &bytes[from..]).is_none() {
            from = bytes.len().saturating_sub(self.plain);
        }
        let begun =
            |at: &usize| self.texts().any(|text| matches!(self.match_at(&bytes[*at..], text), Match::Begun));
        (from..bytes.len()).find(begun).map_or(0, |start| bytes.len() - start)
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.finders.iter().flatten().map(Finder::needle)
    }

    /// The first one that has an escape in it and begins within `from..end`.
    fn escaped(&self, bytes: &[u8], from: usize, end: usize) -> Option<Range<usize>> {
        let [one, other] = BEGINNINGS;
        let mut untried = from;
        for at in memchr2_iter(one, other, bytes.get(from..end)?) {
            let at = from + at;
            match Escape::at(&bytes[at..]) {
                Escape::Of(byte, _) if self.made_of[usize::from(self.fold(byte))] => {}
                _ => continue,
            }
            // This is its first escape, so all before it stands there as it is.
            for start in untried.max((at + 1).saturating_sub(self.plain))..=at {
                let whole = self.texts().find_map(|text| match self.match_at(&bytes[start..], text) {
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

    /// Whether `bytes` begin with a text, each character as it is or escaped.
    fn match_at(&self, bytes: &[u8], text: &[u8]) -> Match {
        let mut at = 0;
        let mut otherwise = Match::Not;
        for (done, wanted) in text.iter().enumerate() {
            let Some(byte) = bytes.get(at) else { return Match::Begun };
            let plain = byte == wanted;
            let escape = Escape::at(&bytes[at..]);
            if plain && matches!(escape, Escape::Not) {
                at += 1;
                continue;
            }
            if plain {
                // What escapes begin with is a character of the text, too: it may mean itself.
                match self.match_at(&bytes[at + 1..], &text[done + 1..]) {
                    Match::Whole(length) => return Match::Whole(at + 1 + length),
                    Match::Begun => otherwise = Match::Begun,
                    Match::Not => {}
                }
            }
            match escape {
                Escape::Of(byte, length) if self.fold(byte) == *wanted => at += length,
                Escape::Begun => return Match::Begun,
                Escape::Of(..) | Escape::Not => return otherwise,
            }
        }
        Match::Whole(at)
    }

    fn fold(&self, byte: u8) -> u8 {
        if self.folded { byte.to_ascii_lowercase() } else { byte }
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
            (r#"my%22to%5ck%2Fn a%63\u0063 m%79"to\k/n"#, 3),
            ("my%22to%5cj%2Fn a%6 a%63", 0),
            (r#"\u0025\u0036\u0031%6\u0033c \u002561cc \u0025acc"#, 3),
        ] {
            assert_eq!(needles.find_all(text.as_bytes()).count(), found, "{text}");
        }
        // The bytes end within one.
        for (text, begun) in [
            (r#"x my"to\k"#, 7),
            (r#"x my\"to\"#, 7),
            (r#"my\u00"#, 6),
            (r#"my\u0025\u003"#, 13),
            ("xy", 0),
            ("x m%7", 3),
            ("a%63%", 5),
        ] {
            assert_eq!(needles.begun(text.as_bytes()), begun, "{text}");
        }
        assert!(!format!("{needles:?}").contains("my"));
    }

    /// A text may have in it what escapes begin with.
    #[test]
    fn s2_signs_of_escapes_may_mean_themselves() {
        let needles = Needles::new(r"a%2b\", Some("%25c"));
        for (text, found) in [
            (r"%61%2b\", 1),
            (r"\u0061%252b%5c", 1),
            (r"a%\u0032b\\", 1),
            ("%2%35c", 1),
            ("%25%32%35c", 1),
            ("a%2c", 0),
        ] {
            assert_eq!(needles.find_all(text.as_bytes()).count(), found, "{text}");
        }
        assert_eq!((needles.begun(b"x a%2"), needles.begun(b"x %61%"), needles.begun(b"%252")), (3, 4, 4));
    }

    #[test]
    fn s2_names_have_lost_their_case() {
        let needles = Needles::in_names("hvs.CAESab", Some("Acc"));
        for (name, found) in
            [("x-hvs.caesab", true), ("x-%48vs%2ecae%53ab", true), ("acc", true), ("x-hvs.caesb", false)]
        {
            assert_eq!(needles.are_in(name.as_bytes()), found, "{name}");
        }
    }

    /// What it costs must not depend on what somebody puts into an answer.
    #[test]
    fn s2_searching_costs_the_same_whatever_is_there() {
        let needles = Needles::new("s.canary\\", Some("acc-canary"));
        for piece in [
            "\\",
            "\\u0073",
            "\\u0061",
            "\\\\u0061",
            "s.canary\\",
            "s",
            "acc-canary",
            "%",
            "%73",
            "%61",
            "%%73",
            "%2573",
        ] {
            let text = piece.repeat(2 * 1024 * 1024 / piece.len());
            let began = Instant::now();
            let found = needles.find_all(text.as_bytes()).count();
            // Without optimisation and on a busy machine; what is quadratic takes minutes.
            assert!(began.elapsed() < Duration::from_secs(5), "{piece}: {found} in {:?}", began.elapsed());
        }
    }
}
