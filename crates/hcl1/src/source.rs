//! A file's bytes under its name, and places in it.

use std::sync::Arc;

/// A place in a file: bytes `start..end`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// A place from `start` up to, not including, `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The smallest place that covers both.
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// Line and column as people count them, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A named text. Cheap to clone: diagnostics carry it along.
#[derive(Clone, Debug)]
pub struct Source {
    name: Arc<str>,
    bytes: Arc<[u8]>,
}

impl Source {
    /// `name` is what diagnostics print, usually the path.
    pub fn new(name: impl Into<Arc<str>>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into().into() }
    }

    /// The name given to [`Source::new`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text, or the offset of its first byte that is not UTF-8.
    pub(crate) fn utf8(&self) -> Result<&str, usize> {
        std::str::from_utf8(&self.bytes).map_err(|error| error.valid_up_to())
    }

    /// Where a byte stands, for people.
    pub fn position(&self, offset: usize) -> Position {
        let before = &self.bytes[..offset.min(self.bytes.len())];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        Position {
            line: before.iter().filter(|b| **b == b'\n').count() + 1,
            column: String::from_utf8_lossy(&before[line_start..]).chars().count() + 1,
        }
    }

    /// The line that holds `offset`, without its end, with its own span.
    pub(crate) fn line(&self, offset: usize) -> (Span, String) {
        let offset = offset.min(self.bytes.len());
        let start = self.bytes[..offset].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let end =
            self.bytes[offset..].iter().position(|b| *b == b'\n').map_or(self.bytes.len(), |at| offset + at);
        let text = String::from_utf8_lossy(&self.bytes[start..end]).into_owned();
        (Span::new(start, end), text)
    }
}
