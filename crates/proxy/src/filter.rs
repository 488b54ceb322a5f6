//! Takes our token and its accessor out of bytes that arrive in pieces: pure. How they are found: `vault::Needles`.

use bytes::{Bytes, BytesMut};
use vault::TokenState;

/// Takes out of a stream of bytes what must not pass.
pub(crate) struct Filter {
    /// Whose token and accessor.
    ours: TokenState,
    /// Bytes that may be the beginning of one.
    held: BytesMut,
    /// The last byte that passed.
    last: u8,
    /// How many were found.
    pub(crate) found: usize,
}

impl Filter {
    /// For the token and accessor of `ours`, if there is one.
    pub(crate) fn new(ours: TokenState) -> Option<Self> {
        ours.token.as_ref()?;
        Some(Self { ours, held: BytesMut::new(), last: b'"', found: 0 })
    }

    /// Another one for the same, of which nothing has passed.
    pub(crate) fn again(&self) -> Self {
        Self { ours: self.ours.clone(), held: BytesMut::new(), last: b'"', found: 0 }
    }

    /// What may pass now, without what was found.
    pub(crate) fn push(&mut self, piece: Bytes) -> Bytes {
        let Some(needles) = self.ours.needles() else { return piece };
        let all = if self.held.is_empty() {
            piece
        } else {
            self.held.extend_from_slice(&piece);
            self.held.split().freeze()
        };
        let mut clean = BytesMut::new();
        let mut done = 0;
        for range in needles.find_all(&all) {
            self.found += 1;
            clean.extend_from_slice(&all[done..range.start]);
            let before = clean.last().copied().unwrap_or(self.last);
            // A string that was nothing else is empty now.
            if before != b'"' || all.get(range.end).is_some_and(|after| *after != b'"') {
                clean.extend_from_slice(&[needles.stopgap(before)]);
            }
            done = range.end;
        }
        let passes = all.len() - needles.begun(&all[done..]);
        self.held.extend_from_slice(&all[passes..]);
        let passes = if done == 0 {
            all.slice(..passes)
        } else {
            clean.extend_from_slice(&all[done..passes]);
            clean.freeze()
        };
        self.last = passes.last().copied().unwrap_or(self.last);
        passes
    }

    /// The rest, when nothing more comes.
    pub(crate) fn finish(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    /// A whole body without what was found.
    pub(crate) fn clean(mut self, body: Bytes) -> Bytes {
        let (clean, rest) = (self.push(body), self.finish());
        if rest.is_empty() { clean } else { [clean, rest].concat().into() }
    }

    /// Whose token it looks for.
    pub(crate) fn ours(&self) -> &TokenState {
        &self.ours
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vault::{Accessor, Token};

    use super::*;

    fn filter() -> Filter {
        Filter::new(TokenState {
            token: Some(Token::new("s.canary").unwrap().into()),
            accessor: Some(Accessor::new("acc-1").unwrap().into()),
            ..TokenState::default()
        })
        .unwrap()
    }

    fn filtered(text: &[u8], size: usize) -> (Vec<u8>, usize) {
        let mut filter = filter();
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
            ("t=s%2Ecanary&u=%73%2e%63%61%6E%61%72%79&v=s%2Ecanar", "t=*&u=*&v=s%2Ecanar", 2),
            (r#"{"id":"s%2e\u0063anary","a":"%s.canary"}"#, r#"{"id":"","a":"%*"}"#, 2),
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
        let mut filter = filter();
        let piece = Bytes::from_static(b"nothing to see here \\n");
        assert_eq!(filter.push(piece.clone()).as_ptr(), piece.as_ptr());
        assert_eq!(filter.push(Bytes::from_static(b"about s.can")), "about ");
        assert_eq!(filter.push(Bytes::from_static(b"dy")), "s.candy");
    }

    /// Each byte as a reader of JSON and of URLs would read it.
    fn read(text: &[u8]) -> Vec<u8> {
        let number = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let (mut read, mut at) = (Vec::new(), 0);
        while let Some(byte) = text.get(at) {
            let (escaped, length) = match &text[at..] {
                [b'%', one, other, ..] => (number(&[*one, *other]), 3),
                [b'\\', b'u', b'0', b'0', one, other, ..] => (number(&[*one, *other]), 6),
                [b'\\', quoted @ (b'"' | b'\\' | b'/'), ..] => (Some(*quoted), 2),
                _ => (None, 1),
            };
            read.push(escaped.unwrap_or(*byte));
            at += if escaped.is_some() { length } else { 1 };
        }
        read
    }

    fn spelled(text: &str, how: &[u8]) -> String {
        let spell = |(c, how): (char, &u8)| match how {
            0 => c.to_string(),
            1 => format!("\\u{:04X}", c as u32),
            2 => format!("\\u{:04x}", c as u32),
            3 => format!("%{:02X}", c as u32),
            _ => format!("%{:02x}", c as u32),
        };
        text.chars().zip(how).map(spell).collect()
    }

    proptest! {
        /// Fuzz target 9 in small: wherever it is planted, it is not in what passes, and the rest is.
        #[test]
        fn s2_never_passes(
            before in "[a-z.%\\\\\"u0-9]{0,20}", after in "[a-z.%\\\\\"u0-9]{0,20}",
            how in prop::collection::vec(0..5_u8, 8), size in 1_usize..30,
        ) {
            let hidden = spelled("s.canary", &how);
            let (out, found) = filtered(format!("{before}{hidden}{after}").as_bytes(), size);
            prop_assert!(found > 0);
            let (again, more) = filtered(&out, 1000);
            prop_assert_eq!(more, 0);
            let canary = |bytes: &[u8]| read(bytes).windows(8).any(|part| part == b"s.canary");
            prop_assert!((0..out.len()).all(|from| !canary(&out[from..])));
            prop_assert_eq!(again, out);
        }
    }
}
