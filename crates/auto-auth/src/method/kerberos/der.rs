//! DER as far as Kerberos goes: lengths that are told, tags of one byte, each field in a tag of its own.

use thiserror::Error;

/// Bytes that are no such DER.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("it is malformed")]
pub(super) struct Malformed;

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const TIME: u8 = 0x18;
const TEXT: u8 = 0x1b;
const SEQUENCE: u8 = 0x30;
const FIELD: u8 = 0xa0;
const APPLICATION: u8 = 0x60;

// === Writing ===

/// Anything with a tag.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = length.iter().position(|byte| *byte != 0).map_or(&[][..], |at| &length[at..]);
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    match significant {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            // At most eight bytes of length.
            out.push(0x80 | long.len() as u8);
            out.extend(long);
        }
    }
    out.extend(content);
    out
}

/// What follows one another.
pub(super) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// The field with this number; below 31.
pub(super) fn field(number: u8, content: &[u8]) -> Vec<u8> {
    element(FIELD | number, content)
}

/// A message with this number; below 31.
pub(super) fn application(number: u8, content: &[u8]) -> Vec<u8> {
    element(APPLICATION | number, content)
}

pub(super) fn integer(number: i64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    // The first byte goes while the next one has the sign as well.
    let extra = bytes.windows(2).take_while(|pair| match pair {
        [0, next] => next & 0x80 == 0,
        [0xff, next] => next & 0x80 != 0,
        _ => false,
    });
    element(INTEGER, bytes.get(extra.count()..).unwrap_or_default())
}

pub(super) fn octets(bytes: &[u8]) -> Vec<u8> {
    element(OCTETS, bytes)
}

pub(super) fn text(text: &str) -> Vec<u8> {
    element(TEXT, text.as_bytes())
}

/// `20261122065510Z`.
pub(super) fn time(time: &str) -> Vec<u8> {
    element(TIME, time.as_bytes())
}

/// Thirty-two flags; the first is the highest bit.
pub(super) fn flags(flags: u32) -> Vec<u8> {
    let mut content = vec![0];
    content.extend(flags.to_be_bytes());
    element(BITS, &content)
}

// === Reading ===

/// Reads one element after the other. Goes no deeper by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// All that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// The tag that comes next, if there is one.
    pub(super) fn tag(self) -> Option<u8> {
        self.0.first().copied()
    }

    /// What the next element holds.
    fn next(&mut self) -> Result<&'a [u8], Malformed> {
        let (_, behind) = self.0.split_first().ok_or(Malformed)?;
        let (first, behind) = behind.split_first().ok_or(Malformed)?;
        let (length, behind) = match first {
            0..=0x7f => (usize::from(*first), behind),
            0x81..=0x84 => {
                let (bytes, behind) = behind.split_at_checked(usize::from(first & 0x7f)).ok_or(Malformed)?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), behind)
            }
            // A length told by an end mark is not DER, and nothing here is longer than four bytes tell.
            _ => return Err(Malformed),
        };
        let (content, behind) = behind.split_at_checked(length).ok_or(Malformed)?;
        self.0 = behind;
        Ok(content)
    }

    fn of(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        if self.tag() == Some(tag) { self.next() } else { Err(Malformed) }
    }

    pub(super) fn application(&mut self, number: u8) -> Result<Self, Malformed> {
        self.of(APPLICATION | number).map(Self)
    }

    pub(super) fn sequence(&mut self) -> Result<Self, Malformed> {
        self.of(SEQUENCE).map(Self)
    }

    /// The elements of a list, each by itself.
    pub(super) fn list(&mut self) -> Result<Vec<Self>, Malformed> {
        let mut inside = self.sequence()?;
        let mut found = Vec::new();
        while let before @ [_, ..] = inside.0 {
            inside.next()?;
            let length = before.len() - inside.0.len();
            found.push(Self(before.get(..length).unwrap_or_default()));
        }
        Ok(found)
    }

    /// The field with this number; fields before it are passed over.
    pub(super) fn optional(&mut self, number: u8) -> Result<Option<Self>, Malformed> {
        let wanted = FIELD | number;
        while self.tag().is_some_and(|tag| tag < wanted) {
            self.next()?;
        }
        if self.tag() == Some(wanted) { self.next().map(Self).map(Some) } else { Ok(None) }
    }

    /// The same, where it must be there.
    pub(super) fn field(&mut self, number: u8) -> Result<Self, Malformed> {
        self.optional(number)?.ok_or(Malformed)
    }

    pub(super) fn integer(&mut self) -> Result<i64, Malformed> {
        match self.of(INTEGER)? {
            [] => Err(Malformed),
            bytes if bytes.len() > 8 => Err(Malformed),
            bytes @ [first, ..] => {
                let sign = if first & 0x80 == 0 { 0 } else { -1 };
                Ok(bytes.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte)))
            }
        }
    }

    pub(super) fn octets(&mut self) -> Result<&'a [u8], Malformed> {
        self.of(OCTETS)
    }

    /// Text; what is no UTF-8 is replaced.
    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        self.of(TEXT).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub(super) fn time(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.of(TIME)?).map_err(|_| Malformed)
    }

    pub(super) fn flags(&mut self) -> Result<u32, Malformed> {
        match self.of(BITS)? {
            [_, a, b, c, d, ..] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_and_numbers_are_as_short_as_they_can_be() {
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(127), [2, 1, 127]);
        assert_eq!(integer(128), [2, 2, 0, 128]);
        assert_eq!(integer(-1), [2, 1, 0xff]);
        assert_eq!(integer(-138), [2, 2, 0xff, 0x76]);
        assert_eq!(octets(&[0; 127])[..2], [4, 127]);
        assert_eq!(octets(&[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(octets(&[0; 256])[..4], [4, 0x82, 1, 0]);
        assert_eq!(octets(&[]), [4, 0]);
    }

    #[test]
    fn fields_are_found_behind_others_and_missed_when_they_are_not_there() {
        let written = sequence(&[field(0, &integer(5)), field(2, &text("x")), field(3, &flags(1 << 31))]);
        let mut inside = Reader::new(&written).sequence().unwrap();
        assert!(inside.optional(1).unwrap().is_none());
        assert_eq!(inside.field(2).unwrap().text().unwrap(), "x");
        assert_eq!(inside.field(3).unwrap().flags().unwrap(), 0x8000_0000);
        assert_eq!(inside.field(4).unwrap_err(), Malformed);
        assert!(Reader::new(&written[..written.len() - 1]).sequence().is_err(), "cut short");
    }

    proptest! {
        #[test]
        fn numbers_come_back(number: i64) {
            prop_assert_eq!(Reader::new(&integer(number)).integer().unwrap(), number);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            let _ = reader.list();
            let _ = Reader::new(&bytes).optional(3);
            let _ = Reader::new(&bytes).integer();
            let _ = Reader::new(&bytes).flags();
        }
    }
}
