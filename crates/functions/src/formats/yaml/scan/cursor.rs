//! The characters and the place in them.

use gotemplate::FuncError;

use crate::formats::Fault;
use crate::formats::yaml::characters::{is_blank_or_end, is_break, width};
use crate::patience::Patience;

/// Why a text could not be read.
#[derive(Debug)]
pub(crate) struct Problem(Fault);

impl Problem {
    /// What the parser does not understand; `line` counts from 0, and is shown so.
    pub(crate) fn at(line: usize, text: &str) -> Self {
        match line {
            // The library shows no line where it counts 0.
            0 => Self::nowhere(text),
            line => Self(Fault::Said(format!("yaml: line {line}: {text}"))),
        }
    }

    pub(crate) fn nowhere(text: &str) -> Self {
        Self(Fault::Said(format!("yaml: {text}")))
    }

    /// Cannot happen: tokens are asked for behind the end.
    pub(crate) fn unknown() -> Self {
        Self::nowhere("unknown problem parsing YAML content")
    }
}

impl From<FuncError> for Problem {
    fn from(why: FuncError) -> Self {
        Self(Fault::Bound(why))
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        problem.0
    }
}

/// A place; all count from 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    /// Characters before it.
    pub(crate) index: usize,
    pub(crate) line: usize,
    pub(crate) column: i64,
}

pub(super) struct Cursor {
    text: Vec<u8>,
    position: usize,
    pub(super) mark: Mark,
    /// How many characters can be read before a bad one is in the way, and what is wrong with that.
    bad: Option<(usize, &'static str)>,
    patience: Patience,
}

/// The library decodes its input in pieces of this size, so a bad character is noticed before it is reached, but
/// not before its piece is.
const PIECE: usize = 512;

impl Cursor {
    /// # Errors
    /// When it takes too long.
    pub(super) fn new(raw: &[u8]) -> Result<Self, Problem> {
        let mut patience = Patience::new();
        let raw = if raw.is_empty() { b"\n" } else { raw };
        let whole = raw.len();
        let (decode, raw): (Decode, &[u8]) = match raw {
            [0xff, 0xfe, rest @ ..] => (|raw| utf16(raw, u16::from_le_bytes), rest),
            [0xfe, 0xff, rest @ ..] => (|raw| utf16(raw, u16::from_be_bytes), rest),
            [0xef, 0xbb, 0xbf, rest @ ..] => (utf8, rest),
            _ => (utf8, raw),
        };
        // The byte order mark belongs to the first piece.
        let mut piece_end = PIECE - (whole - raw.len());
        let (mut text, mut at, mut count, mut piece_start) = (Vec::with_capacity(raw.len()), 0, 0, 0);
        let mut bad = None;
        while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
            match decode(rest) {
                Ok((rune, size)) => {
                    if at + size > piece_end {
                        patience.spend()?;
                        (piece_start, piece_end) = (count, at + PIECE);
                    }
                    text.extend_from_slice(rune.encode_utf8(&mut [0; 4]).as_bytes());
                    at += size;
                    count += 1;
                }
                Err(problem) => {
                    bad = Some((if at >= piece_end { count } else { piece_start }, problem));
                    break;
                }
            }
        }
        Ok(Self { text, position: 0, mark: Mark::default(), bad, patience })
    }

    /// Makes sure that the next characters can be looked at, and that there is time for it.
    pub(super) fn need(&mut self, count: usize) -> Result<(), Problem> {
        self.patience.spend()?;
        match self.bad {
            Some((readable, problem)) if self.mark.index + count > readable => Err(Problem::nowhere(problem)),
            _ => Ok(()),
        }
    }

    /// What is left.
    pub(super) fn rest(&self) -> &[u8] {
        self.text.get(self.position..).unwrap_or_default()
    }

    /// A byte from here; NUL behind the end.
    pub(super) fn at(&self, offset: usize) -> u8 {
        self.text.get(self.position + offset).copied().unwrap_or_default()
    }

    /// `---` or `...` alone at the beginning of a line.
    pub(super) fn is_document_indicator(&self, mark: u8) -> bool {
        let rest = self.rest();
        self.mark.column == 0 && rest.starts_with(&[mark; 3]) && rest.get(3..).is_none_or(is_blank_or_end)
    }

    pub(super) fn skip(&mut self) {
        self.mark.index += 1;
        self.mark.column += 1;
        self.position += width(self.at(0));
    }

    pub(super) fn skip_line(&mut self) {
        if is_break(self.rest()) {
            self.line();
        }
    }

    /// Appends the character to `out`.
    pub(super) fn read(&mut self, out: &mut Vec<u8>) {
        let size = width(self.at(0));
        out.extend_from_slice(self.rest().get(..size).unwrap_or_default());
        self.skip();
    }

    /// Appends the line break to `out`: all but LS and PS as LF.
    pub(super) fn read_line(&mut self, out: &mut Vec<u8>) {
        if is_break(self.rest()) {
            match self.at(0) {
                0xe2 => out.extend_from_slice(self.rest().get(..3).unwrap_or_default()),
                _ => out.push(b'\n'),
            }
            self.line();
        }
    }

    fn line(&mut self) {
        let crlf = self.rest().starts_with(b"\r\n");
        self.mark.index += if crlf { 2 } else { 1 };
        self.position += if crlf { 2 } else { width(self.at(0)) };
        self.mark.column = 0;
        self.mark.line += 1;
    }

    pub(super) fn force_new_line(&mut self) {
        if self.mark.column != 0 {
            self.mark.column = 0;
            self.mark.line += 1;
        }
    }

    /// What is wrong here. The library shows no number on the first line.
    pub(super) fn problem(&self, text: &str) -> Problem {
        match self.mark.line {
            0 => Problem::nowhere(text),
            line => Problem::at(line + 1, text),
        }
    }
}

/// The first character and how many bytes it takes.
type Decoded = Result<(char, usize), &'static str>;
type Decode = fn(&[u8]) -> Decoded;

fn utf8(raw: &[u8]) -> Decoded {
    let first = raw.first().copied().unwrap_or_default();
    let (size, least) = match first {
        0..0x80 => (1, 0),
        0xc0..0xe0 => (2, 0x80),
        0xe0..0xf0 => (3, 0x800),
        0xf0..0xf8 => (4, 0x10000),
        _ => return Err("invalid leading UTF-8 octet"),
    };
    let Some(bytes) = raw.get(1..size) else { return Err("incomplete UTF-8 octet sequence") };
    if bytes.iter().any(|byte| byte & 0xc0 != 0x80) {
        return Err("invalid trailing UTF-8 octet");
    }
    let head = if size == 1 { u32::from(first) } else { u32::from(first) & (0x7f >> size) };
    let code = bytes.iter().fold(head, |code, byte| code << 6 | u32::from(byte & 0x3f));
    if code < least {
        return Err("invalid length of a UTF-8 sequence");
    }
    let rune = char::from_u32(code).ok_or("invalid Unicode character")?;
    Ok((allowed(rune)?, size))
}

fn utf16(raw: &[u8], unit: fn([u8; 2]) -> u16) -> Decoded {
    let at = |offset: usize| raw.get(offset..offset + 2).and_then(|pair| pair.try_into().ok()).map(unit);
    let first = at(0).ok_or("incomplete UTF-16 character")?;
    match first {
        0xdc00..0xe000 => Err("unexpected low surrogate area"),
        0xd800..0xdc00 => {
            let second = at(2).ok_or("incomplete UTF-16 surrogate pair")?;
            let rune = char::decode_utf16([first, second]).next().and_then(Result::ok);
            Ok((allowed(rune.ok_or("expected low surrogate area")?)?, 4))
        }
        _ => Ok((allowed(char::from_u32(u32::from(first)).unwrap_or_default())?, 2)),
    }
}

fn allowed(rune: char) -> Result<char, &'static str> {
    match rune {
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'.. => Ok(rune),
        _ => Err("control characters are not allowed"),
    }
}
