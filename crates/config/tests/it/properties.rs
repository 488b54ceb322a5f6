//! Whatever is in a file, the answer is settings or problems.

use hcl1::Color;

use crate::corpus::cases;
use crate::{agent, proxy};

/// A xorshift: enough to spread, and the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

const SCRAPS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"=",
    b",",
    b"\n",
    b"\\xff",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"\xff",
    b"\0",
    b"99999999999999999999",
    b"\"\"",
    b"{}",
    b"[]",
    b"[{}]",
    b"0640",
    b"\"\xc3\xa9\"",
    b"-9223372036854775808",
];

#[test]
fn damaged_files_never_panic() {
    let texts: Vec<Vec<u8>> =
        cases().into_iter().flat_map(|case| case.files).map(|(_, text)| text.into_bytes()).collect();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..10_000 {
        let mut text = texts[random.below(texts.len())].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(text.len() + 1);
            let end = (at + random.below(6)).min(text.len());
            match random.below(4) {
                0 => drop(text.drain(at..end)),
                1 => drop(text.splice(at..end, SCRAPS[random.below(SCRAPS.len())].iter().copied())),
                2 => text.truncate(at),
                _ => {
                    let other = &texts[random.below(texts.len())];
                    let from = random.below(other.len() + 1);
                    text.splice(at..at, other[from..].iter().copied());
                }
            }
        }
        let load = if round % 2 == 0 { agent() } else { proxy() };
        match load.text(text) {
            Ok(loaded) => {
                accepted += 1;
                loaded.warnings.iter().for_each(|warning| drop(warning.render(Color::Plain)));
            }
            Err(failure) => {
                refused += 1;
                assert!(!failure.problems.is_empty());
                drop((failure.render(Color::Plain), failure.to_string()));
            }
        }
    }
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}
