//! Looks for a few texts in bytes that arrive in pieces, also where JSON's escapes hide them: pure.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memmem};

/// The longest way to write a character in JSON: `\u0073`.
const LONGEST: usize = 6;

/// Takes out of a stream of bytes what must not pass.
pub(crate) struct Filter {
    needles: Vec<Vec<u8>>,
    /// Bytes that may be the beginning of one.
    held: BytesMut,
    longest: usize,
    /// Stands where one was, and is in none of them: what stood around it must not become another one.
    stopgap: u8,
    /// The last byte that passed.
    last: u8,
    /// How many were found.
    pub(crate) found: usize,
}

enum Match {
    /// It is there, so many bytes long.
    Whole(usize),
    /// It may be: the bytes end within it.
    Begun,
    Not,
}

impl Filter {
    /// For these texts; empty ones are not looked for.
    pub(crate) fn new<'a>(needles: impl IntoIterator<Item = &'a str>) -> Self {
        let needles: Vec<Vec<u8>> = needles
            .into_iter()
            .filter(|needle| !needle.is_empty())
            .map(|needle| needle.as_bytes().to_vec())
            .collect();
        let longest = needles.iter().map(Vec::len).max().unwrap_or_default() * LONGEST;
        let unused = |byte: &u8| needles.iter().all(|needle| !needle.contains(byte));
        let stopgap = b"*#+ -_=~".iter().copied().find(unused).unwrap_or(b'*');
        Self { needles, held: BytesMut::new(), longest, stopgap, last: b'"', found: 0 }
    }

    /// One that looks for the same in something else.
    pub(crate) fn another(&self) -> Self {
        Self { needles: self.needles.clone(), held: BytesMut::new(), last: b'"', found: 0, ..*self }
    }

    /// What may pass now, without what was found.
    pub(crate) fn push(&mut self, piece: Bytes) -> Bytes {
        if self.held.is_empty() && self.find(&piece, 0).is_none() {
            let passes = piece.len() - self.begun(&piece);
            self.held.extend_from_slice(&piece[passes..]);
            return self.passes(piece.slice(..passes));
        }
        self.held.extend_from_slice(&piece);
        let mut from = 0;
        while let Some(range) = self.find(&self.held, from) {
            self.found += 1;
            let before = range.start.checked_sub(1).map_or(self.last, |at| self.held[at]);
            let rest = self.held.split_off(range.end);
            self.held.truncate(range.start);
            from = range.start;
            // A string that was nothing else is empty now.
            if before != b'"' || rest.first().is_some_and(|after| *after != b'"') {
                self.held.extend_from_slice(&[self.stopgap]);
                from += 1;
            }
            self.held.extend_from_slice(&rest);
        }
        let passes = self.held.len() - self.begun(&self.held);
        let passes = self.held.split_to(passes).freeze();
        self.passes(passes)
    }

    fn passes(&mut self, bytes: Bytes) -> Bytes {
        self.last = bytes.last().copied().unwrap_or(self.last);
        bytes
    }

    /// The rest, when nothing more comes.
    pub(crate) fn finish(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    fn find(&self, bytes: &[u8], from: usize) -> Option<Range<usize>> {
        let bytes_from = bytes.get(from..)?;
        let plain = self.needles.iter().filter_map(|needle| {
            memmem::find(bytes_from, needle).map(|at| from + at..from + at + needle.len())
        });
        let first = plain.min_by_key(|range| range.start);
        // Only an escape can hide one from that.
        if memchr(b'\\', bytes_from).is_none() {
            return first;
        }
        let end = first.as_ref().map_or(bytes.len(), |range| range.start);
        (from..end)
            .find_map(|at| self.at(bytes, at).filter(|m| matches!(m, Match::Whole(_))).map(|m| (at, m)))
            .map_or(first, |(at, found)| match found {
                Match::Whole(length) => Some(at..at + length),
                Match::Begun | Match::Not => None,
            })
    }

    /// How many bytes at the end may be the beginning of one.
    fn begun(&self, bytes: &[u8]) -> usize {
        let from = bytes.len().saturating_sub(self.longest);
        let start = (from..bytes.len()).find(|at| matches!(self.at(bytes, *at), Some(Match::Begun)));
        start.map_or(0, |start| bytes.len() - start)
    }

    /// The best match that begins at `at`.
    fn at(&self, bytes: &[u8], at: usize) -> Option<Match> {
        let mut best = None;
        for needle in &self.needles {
            match match_at(bytes, at, needle) {
                Match::Not => {}
                whole @ Match::Whole(_) => return Some(whole),
                begun @ Match::Begun => best = Some(begun),
            }
        }
        best
    }
}

fn match_at(bytes: &[u8], mut at: usize, needle: &[u8]) -> Match {
    let start = at;
    for wanted in needle {
        match bytes.get(at) {
            None => return Match::Begun,
            Some(byte) if byte == wanted && *byte != b'\\' => at += 1,
            Some(b'\\') => {
                let escape = &bytes[at..bytes.len().min(at + LONGEST)];
                if matches!(wanted, b'"' | b'\\' | b'/') && escape.get(1) == Some(wanted) {
                    at += 2;
                    continue;
                }
                let written = format!("\\u{wanted:04x}");
                if !written
                    .as_bytes()
                    .get(..escape.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(escape))
                {
                    return Match::Not;
                }
                if escape.len() < LONGEST {
                    return Match::Begun;
                }
                at += LONGEST;
            }
            Some(_) => return Match::Not,
        }
    }
    Match::Whole(at - start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filtered(text: &[u8], size: usize) -> (Vec<u8>, usize) {
        let mut filter = Filter::new(["s.canary", "acc-1", ""]);
        let mut out = Vec::new();
        for piece in text.chunks(size.max(1)) {
            out.extend_from_slice(&filter.push(Bytes::copy_from_slice(piece)));
        }
        out.extend_from_slice(&filter.finish());
        (out, filter.found)
    }

    #[test]
    fn s2_found_across_any_border_and_in_any_spelling() {
        for (text, clean, found) in [
            (r#"{"id":"s.canary","a":"acc-1"}"#, r#"{"id":"","a":""}"#, 2),
            (r#"{"id":"\u0073.can\u0061ry"}"#, r#"{"id":""}"#, 1),
            (r#"{"id":"\u0073\u002E\u0063\u0061\u006e\u0061\u0072\u0079"}"#, r#"{"id":""}"#, 1),
            (r#"{"id":"is s.canary!"}"#, r#"{"id":"is *!"}"#, 1),
            (r#"{"id":"s.cas.canarynary"}"#, r#"{"id":"s.ca*nary"}"#, 1),
            (r#"{"id":"s.canar","b":"\u0073.canar"}"#, r#"{"id":"s.canar","b":"\u0073.canar"}"#, 0),
            (r#"x\u007s.canary"#, r#"x\u007*"#, 1),
            ("", "", 0),
        ] {
            for size in 1..=text.len().max(1) {
                let (out, count) = filtered(text.as_bytes(), size);
                assert_eq!(
                    (String::from_utf8(out).unwrap().as_str(), count),
                    (clean, found),
                    "{text} by {size}"
                );
            }
        }
    }

    #[test]
    fn what_holds_nothing_passes_at_once_and_uncopied() {
        let mut filter = Filter::new(["s.canary"]);
        let piece = Bytes::from_static(b"nothing to see here \\n");
        assert_eq!(filter.push(piece.clone()).as_ptr(), piece.as_ptr());
        assert_eq!(filter.push(Bytes::from_static(b"about s.can")), "about ");
        assert_eq!(filter.push(Bytes::from_static(b"dy")), "s.candy");
    }

    proptest! {
        /// Fuzz target 9 in small: wherever it is planted, it is not in what passes, and the rest is.
        #[test]
        fn s2_never_passes(
            before in "[a-z.\\\\\"u0-9]{0,20}", after in "[a-z.\\\\\"u0-9]{0,20}",
            escapes in prop::collection::vec(any::<bool>(), 8), size in 1_usize..30,
        ) {
            let hidden: String = "s.canary".chars().zip(&escapes)
                .map(|(c, escape)| if *escape { format!("\\u{:04X}", c as u32) } else { c.to_string() }).collect();
            let (out, found) = filtered(format!("{before}{hidden}{after}").as_bytes(), size);
            prop_assert!(found > 0);
            let (again, more) = filtered(&out, 1000);
            prop_assert_eq!(more, 0);
            prop_assert_eq!(again, out);
        }
    }
}
