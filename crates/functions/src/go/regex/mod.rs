//! Regular expressions in Go's dialect (RE2), on the `regex` crate.
//!
//! `translate` reads Go's syntax, refuses what Go refuses in Go's words, and writes the same expression for the
//! crate with every default spelled out. Both engines take the leftmost match and prefer the earlier alternative,
//! so that what they find is equal.
//!
//! Go reads text as UTF-8 in which a bad byte is U+FFFD of width one. The crate gets such a text with each bad
//! byte replaced by that character, and positions are counted back ([`Subject`]).

mod classes;
mod expand;
mod translate;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;

use gotemplate::FuncError;
use regex::{CaptureLocations, RegexBuilder};

use crate::arguments::{append, bounded_elements};
use crate::patience::Patience;
use expand::Template;

/// Memory that one compiled expression may take; Go allows about ten times as much.
const MAX_COMPILED: usize = 16 << 20;
/// Above what the nesting that `translate` lets pass can need.
const NEST_LIMIT: u32 = 4 * translate::MAX_HEIGHT as u32 + 100;
/// Pieces of an expression times bytes of a text. Each byte may meet every piece, at some 10 ns, where the states that
/// the crate remembers are too many or too large; it cannot be asked to stop.
const MAX_MEETINGS: u64 = 1 << 28;
/// Compiled expressions that a thread remembers: a template is rendered again and again.
const REMEMBERED: usize = 8;

/// A compiled expression. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Regex {
    inner: regex::Regex,
    /// The groups' names from group 0 on, empty for those without.
    names: Vec<String>,
    /// Its pieces, those repeated counted as often.
    size: u64,
    /// The expression is the empty text, for which [`split`](Self::split) has a rule of its own.
    empty: bool,
}

impl Regex {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Go's words, ``error parsing regexp: missing closing ): `(` ``.
    pub fn new(pattern: &[u8]) -> Result<Self, String> {
        // Some take milliseconds, and a template may make thousands.
        Patience::new().spend().map_err(|error| error.to_string())?;
        let translated = translate::translate(pattern)?;
        let inner = RegexBuilder::new(&translated.pattern)
            .size_limit(MAX_COMPILED)
            .nest_limit(NEST_LIMIT)
            .build()
            .map_err(|why| match why {
                regex::Error::CompiledTooBig(_) => translate::error("expression too large", pattern),
                _ => translate::error("regexp/syntax: internal error", pattern),
            })?;
        Ok(Self { inner, names: translated.names, size: translated.size, empty: pattern.is_empty() })
    }

    /// [`new`](Self::new), or what this thread compiled before.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn remembered(pattern: &[u8]) -> Result<Self, String> {
        thread_local! {
            static KNOWN: RefCell<Vec<(Vec<u8>, Regex)>> = const { RefCell::new(Vec::new()) };
        }
        KNOWN.with_borrow_mut(|known| {
            let regex = match known.iter().position(|(text, _)| text == pattern) {
                Some(at) => known.remove(at).1,
                None => Self::new(pattern)?,
            };
            if known.len() >= REMEMBERED {
                known.remove(0);
            }
            known.push((pattern.to_vec(), regex.clone()));
            Ok(regex)
        })
    }

    /// Whether it matches anywhere.
    ///
    /// # Errors
    /// When the expression is large and the text long, which could take minutes. So it is for all that follow.
    pub fn is_match(&self, text: &[u8]) -> Result<bool, FuncError> {
        Ok(self.inner.is_match(&self.subject(text)?.text))
    }

    /// The leftmost match.
    ///
    /// # Errors
    /// As [`is_match`](Self::is_match).
    pub fn find(&self, text: &[u8]) -> Result<Option<Range<usize>>, FuncError> {
        let subject = self.subject(text)?;
        Ok(self.inner.find(&subject.text).map(|found| subject.range(found.range())))
    }

    fn subject<'t>(&self, text: &'t [u8]) -> Result<Subject<'t>, FuncError> {
        if self.size.saturating_mul(text.len() as u64) > MAX_MEETINGS {
            return Err("the expression is too large for so long a text".into());
        }
        Ok(Subject::new(text))
    }

    /// The matches one after the other, at most `limit` of them unless it is negative. An empty match right
    /// behind another match does not count.
    ///
    /// # Errors
    /// When there are too many, or it takes seconds: each match is found in linear time, all of them are not.
    pub fn find_all(&self, text: &[u8], limit: i64) -> Result<Vec<Range<usize>>, FuncError> {
        let mut patience = Patience::new();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let subject = self.subject(text)?;
        let (mut found, mut position, mut previous_end) = (Vec::new(), 0, None);
        while found.len() < limit && position <= subject.text.len() {
            patience.spend()?;
            let Some(range) = self.inner.find_at(&subject.text, position).map(|found| found.range()) else {
                break;
            };
            let mut accepted = true;
            if range.end == position {
                accepted = previous_end != Some(range.start);
                position += subject.width(position).max(1);
            } else {
                position = range.end;
            }
            previous_end = Some(range.end);
            if accepted {
                bounded_elements(found.len() + 1)?;
                found.push(subject.range(range));
            }
        }
        Ok(found)
    }

    /// All matches replaced by `template`, in which `$1`, `${1}` and `${name}` stand for groups and `$$` for `$`.
    ///
    /// # Errors
    /// When the result would be too long, the template has too many references, or it takes seconds.
    pub fn replace_all(&self, text: &[u8], template: &[u8]) -> Result<Vec<u8>, FuncError> {
        if !template.contains(&b'$') {
            return self.replace_all_literal(text, template);
        }
        let template = Template::parse(template, &self.names)?;
        self.replace(text, |out, locations, source, patience| {
            let group = |number| locations.get(number).and_then(|(start, end)| source.get(start..end));
            template.expand(out, group, patience)
        })
    }

    /// All matches replaced by `replacement` as it is.
    ///
    /// # Errors
    /// When the result would be too long, or it takes seconds.
    pub fn replace_all_literal(&self, text: &[u8], replacement: &[u8]) -> Result<Vec<u8>, FuncError> {
        self.replace(text, |out, _, _, _| append(out, replacement))
    }

    fn replace(
        &self,
        text: &[u8],
        mut put: impl FnMut(
            &mut Vec<u8>,
            &CaptureLocations,
            &Source<'_, '_>,
            &mut Patience,
        ) -> Result<(), FuncError>,
    ) -> Result<Vec<u8>, FuncError> {
        let subject = self.subject(text)?;
        let source = Source { text, subject: &subject };
        let mut patience = Patience::new();
        let mut locations = self.inner.capture_locations();
        let (mut out, mut position, mut last_end) = (Vec::with_capacity(text.len()), 0, 0);
        while position <= subject.text.len() {
            patience.spend()?;
            let Some(range) = self
                .inner
                .captures_read_at(&mut locations, &subject.text, position)
                .map(|found| found.range())
            else {
                break;
            };
            append(&mut out, source.get(last_end..range.start).unwrap_or_default())?;
            // An empty match right behind another one would replace twice.
            if range.end > last_end || range.start == 0 {
                put(&mut out, &locations, &source, &mut patience)?;
            }
            last_end = range.end;
            position = range.end.max(position + subject.width(position).max(1));
        }
        append(&mut out, source.get(last_end..subject.text.len()).unwrap_or_default())?;
        Ok(out)
    }

    /// The parts between matches: at most `limit` of them, all if it is negative, `None` if it is zero.
    ///
    /// # Errors
    /// As [`find_all`](Self::find_all).
    pub fn split<'t>(&self, text: &'t [u8], limit: i64) -> Result<Option<Vec<&'t [u8]>>, FuncError> {
        if limit == 0 {
            return Ok(None);
        }
        if !self.empty && text.is_empty() {
            return Ok(Some(vec![text]));
        }
        let (mut parts, mut begin, mut end) = (Vec::new(), 0, 0);
        for found in self.find_all(text, limit)? {
            if usize::try_from(limit).is_ok_and(|limit| parts.len() + 1 == limit) {
                break;
            }
            end = found.start;
            if found.end != 0 {
                parts.push(text.get(begin..end).unwrap_or_default());
            }
            begin = found.end;
        }
        if end != text.len() {
            parts.push(text.get(begin..).unwrap_or_default());
        }
        Ok(Some(parts))
    }
}

/// An expression that matches this text only.
pub fn quote_meta(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        if br"\.+*?()|[]{}^$".contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}

/// A text as the crate reads it, and the way back to the bytes it was made of.
struct Subject<'t> {
    text: Cow<'t, str>,
    /// Where in `text` the characters end that stand for one bad byte each. Half a `usize`, as a text of 16 MiB may
    /// have nothing else; the end of an address space of 4 GiB is none of a text here.
    replaced: Vec<u32>,
}

impl<'t> Subject<'t> {
    fn new(bytes: &'t [u8]) -> Self {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Self { text: Cow::Borrowed(text), replaced: Vec::new() };
        }
        let bad: usize = bytes.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
        let mut text = String::with_capacity(bytes.len() + 2 * bad);
        let mut replaced = Vec::with_capacity(bad);
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            for _ in chunk.invalid() {
                text.push(char::REPLACEMENT_CHARACTER);
                replaced.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
            }
        }
        Self { text: Cow::Owned(text), replaced }
    }

    /// The width of the character at a position, 0 at the end.
    fn width(&self, position: usize) -> usize {
        self.text.get(position..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
    }

    fn range(&self, range: Range<usize>) -> Range<usize> {
        self.original(range.start)..self.original(range.end)
    }

    fn original(&self, position: usize) -> usize {
        let before = self.replaced.partition_point(|&end| end as usize <= position);
        position - before * (char::REPLACEMENT_CHARACTER.len_utf8() - 1)
    }
}

/// The bytes of a text by positions in its [`Subject`].
struct Source<'s, 't> {
    text: &'t [u8],
    subject: &'s Subject<'t>,
}

impl<'t> Source<'_, 't> {
    fn get(&self, range: Range<usize>) -> Option<&'t [u8]> {
        self.text.get(self.subject.range(range))
    }
}
