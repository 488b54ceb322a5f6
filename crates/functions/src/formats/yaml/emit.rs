//! Writing nodes as text: which style a scalar gets, where lines break.

use super::characters::{is_blank, is_blank_or_end, is_break, is_printable, width};
use crate::MAX_RESULT;

/// How a scalar asks to be written; what its text does not allow is replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
}

/// Lines break at the first space behind this column.
const WIDTH: usize = 80;
/// The indentation of a level.
const INDENT: usize = 2;
/// Longer keys are written behind `?`.
const LONGEST_KEY: usize = 128;

/// What a text allows.
struct Analysis {
    multiline: bool,
    plain: bool,
    single_quoted: bool,
    block: bool,
}

/// The text as it grows.
pub(super) struct Emitter {
    out: Vec<u8>,
    column: usize,
    /// The indentation at hand; `None` before the first node.
    indent: Option<usize>,
    indents: Vec<Option<usize>>,
    /// Whether white space or an indicator that needs none stands in front.
    whitespace: bool,
    /// Whether only indentation and indicators stand in this line.
    indention: bool,
    /// Whether the node at hand is a key or value.
    in_mapping: bool,
}

impl Emitter {
    pub(super) fn new() -> Self {
        Self {
            out: Vec::new(),
            column: 0,
            indent: None,
            indents: Vec::new(),
            whitespace: true,
            indention: true,
            in_mapping: false,
        }
    }

    /// The text, with its last line ended.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.write_indent();
        self.out
    }

    /// How long the text is.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether there is more than may be; nothing worth the time is added then.
    fn is_full(&self) -> bool {
        self.out.len() > MAX_RESULT
    }

    // === Nodes ===

    /// Says where the next node stands.
    pub(super) fn place(&mut self, in_mapping: bool) {
        self.in_mapping = in_mapping;
    }

    /// `[]` or `{}`.
    pub(super) fn empty(&mut self, open: &str, close: &str) {
        self.indicator(open, true, true, false);
        self.indicator(close, false, false, false);
    }

    /// Goes into a sequence; under a key its dashes are not indented.
    pub(super) fn begin_sequence(&mut self) {
        let indentless = self.in_mapping && !self.indention;
        self.increase_indent(false, indentless);
    }

    pub(super) fn begin_mapping(&mut self) {
        self.increase_indent(false, false);
    }

    /// Leaves a sequence or mapping.
    pub(super) fn end(&mut self) {
        self.indent = self.indents.pop().flatten();
    }

    pub(super) fn dash(&mut self) {
        self.write_indent();
        self.indicator("-", true, false, true);
        self.place(false);
    }

    /// A key, with what introduces it and its value. The value follows.
    pub(super) fn key(&mut self, text: &[u8], tag: &str, style: Style) {
        self.write_indent();
        let simple = !analyze(text).multiline && text.len() + tag.len() <= LONGEST_KEY;
        if !simple {
            self.indicator("?", true, false, true);
        }
        self.place(true);
        self.scalar(text, tag, style, simple);
        if simple {
            self.indicator(":", false, false, false);
        } else {
            self.write_indent();
            self.indicator(":", true, false, true);
        }
        self.place(true);
    }

    /// A scalar that is no key, or one behind `?`.
    pub(super) fn value(&mut self, text: &[u8], tag: &str, style: Style) {
        self.scalar(text, tag, style, false);
    }

    fn scalar(&mut self, text: &[u8], tag: &str, style: Style, simple_key: bool) {
        let analysis = analyze(text);
        let style = choose(style, text, &analysis, simple_key);
        if !tag.is_empty() {
            if !self.whitespace {
                self.put(b' ');
            }
            self.put_all(tag.as_bytes());
            self.whitespace = false;
            self.indention = false;
        }
        self.increase_indent(true, false);
        match style {
            Style::Plain => self.plain(text, !simple_key),
            Style::SingleQuoted => self.single_quoted(text, !simple_key),
            Style::DoubleQuoted => self.double_quoted(text, !simple_key),
            Style::Literal => self.literal(text),
        }
        self.end();
    }

    // === Pieces ===

    fn put(&mut self, byte: u8) {
        self.out.push(byte);
        self.column += 1;
    }

    fn put_all(&mut self, ascii: &[u8]) {
        self.out.extend_from_slice(ascii);
        self.column += ascii.len();
    }

    fn put_break(&mut self) {
        self.out.push(b'\n');
        self.column = 0;
    }

    /// Copies the character at the beginning of `text` and gives its size.
    fn copy(&mut self, text: &[u8]) -> usize {
        let size = text.first().map_or(1, |&first| width(first));
        self.out.extend_from_slice(text.get(..size).unwrap_or(text));
        self.column += 1;
        size
    }

    /// Copies the line break at the beginning of `text` and gives its size.
    fn copy_break(&mut self, text: &[u8]) -> usize {
        let size = self.copy(text);
        self.column = 0;
        size
    }

    fn increase_indent(&mut self, flow: bool, indentless: bool) {
        self.indents.push(self.indent);
        self.indent = Some(match self.indent {
            None if flow => INDENT,
            None => 0,
            Some(indent) if indentless => indent,
            Some(indent) => indent + INDENT,
        });
    }

    fn write_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || self.column == indent && !self.whitespace {
            self.put_break();
        }
        if self.column < indent && !self.is_full() {
            self.out.resize(self.out.len() + indent - self.column, b' ');
            self.column = indent;
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn indicator(&mut self, text: &str, needs_space: bool, is_space: bool, is_indention: bool) {
        if needs_space && !self.whitespace {
            self.put(b' ');
        }
        self.put_all(text.as_bytes());
        self.whitespace = is_space;
        self.indention = self.indention && is_indention;
    }

    // === Scalars ===

    fn plain(&mut self, text: &[u8], may_break: bool) {
        if !self.whitespace {
            self.put(b' ');
        }
        self.flowing(text, may_break, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn single_quoted(&mut self, text: &[u8], may_break: bool) {
        self.indicator("'", true, false, false);
        self.flowing(text, may_break, true);
        self.indicator("'", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    /// Text whose lines may be folded at single spaces; each line break of its own takes an empty line more.
    fn flowing(&mut self, text: &[u8], may_break: bool, quoted: bool) {
        let (mut spaces, mut breaks) = (false, false);
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty() && !self.is_full()) {
            if rest.first() == Some(&b' ') {
                let inside = !quoted || at > 0 && rest.len() > 1;
                let fold = may_break
                    && !spaces
                    && self.column > WIDTH
                    && inside
                    && rest.get(1).is_some_and(|&next| next != b' ');
                if fold {
                    self.write_indent();
                    at += 1;
                } else {
                    at += self.copy(rest);
                }
                spaces = true;
            } else if is_break(rest) {
                if !breaks && rest.first() == Some(&b'\n') {
                    self.put_break();
                }
                at += self.copy_break(rest);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                if quoted && rest.first() == Some(&b'\'') {
                    self.put(b'\'');
                }
                at += self.copy(rest);
                self.indention = false;
                spaces = false;
                breaks = false;
            }
        }
    }

    fn double_quoted(&mut self, text: &[u8], may_break: bool) {
        self.indicator("\"", true, false, false);
        // The library looks for a byte order mark at the beginning only, and then escapes all.
        let escape_all = text.starts_with(b"\xef\xbb\xbf");
        let mut spaces = false;
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty() && !self.is_full()) {
            let first = rest.first().copied().unwrap_or_default();
            if escape_all || !is_printable(rest) || is_break(rest) || matches!(first, b'"' | b'\\') {
                at += self.escape(rest);
                spaces = false;
            } else if first == b' ' {
                if may_break && !spaces && self.column > WIDTH && at > 0 && rest.len() > 1 {
                    self.write_indent();
                    if rest.get(1) == Some(&b' ') {
                        self.put(b'\\');
                    }
                    at += 1;
                } else {
                    at += self.copy(rest);
                }
                spaces = true;
            } else {
                at += self.copy(rest);
                spaces = false;
            }
        }
        self.indicator("\"", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn escape(&mut self, rest: &[u8]) -> usize {
        let rune =
            rest.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()).unwrap_or_default();
        let code = u32::from(rune);
        let short = match code {
            0x00 => "0",
            0x07 => "a",
            0x08 => "b",
            0x09 => "t",
            0x0a => "n",
            0x0b => "v",
            0x0c => "f",
            0x0d => "r",
            0x1b => "e",
            0x22 => "\"",
            0x5c => "\\",
            0x85 => "N",
            0xa0 => "_",
            0x2028 => "L",
            0x2029 => "P",
            _ => "",
        };
        let escape = match code {
            _ if !short.is_empty() => format!("\\{short}"),
            0..=0xff => format!("\\x{code:02X}"),
            0x100..=0xffff => format!("\\u{code:04X}"),
            _ => format!("\\U{code:08X}"),
        };
        self.put_all(escape.as_bytes());
        rune.len_utf8()
    }

    fn literal(&mut self, text: &[u8]) {
        self.indicator("|", true, false, false);
        if is_break(text) || text.first() == Some(&b' ') {
            self.indicator(&INDENT.to_string(), false, false, false);
        }
        let chomping = chomping(text);
        if !chomping.is_empty() {
            self.indicator(chomping, false, false, false);
        }
        self.put_break();
        self.indention = true;
        self.whitespace = true;
        let mut breaks = true;
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty() && !self.is_full()) {
            if is_break(rest) {
                at += self.copy_break(rest);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                at += self.copy(rest);
                self.indention = false;
                breaks = false;
            }
        }
    }
}

/// `-` if the text ends in no line break, `+` if it ends in more than one or is one.
fn chomping(text: &[u8]) -> &'static str {
    let Some((_, before)) = split_last(text).filter(|(last, _)| is_break(last)) else { return "-" };
    match split_last(before) {
        Some((second, _)) if !is_break(second) => "",
        _ => "+",
    }
}

/// The last character, and what stands before it.
fn split_last(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = text.iter().rposition(|byte| byte & 0xc0 != 0x80)?;
    Some((text.get(start..)?, text.get(..start)?))
}

/// The style that a text allows, next to the one it asks for.
fn choose(style: Style, text: &[u8], analysis: &Analysis, simple_key: bool) -> Style {
    let mut style = if simple_key && analysis.multiline { Style::DoubleQuoted } else { style };
    if style == Style::Plain && (!analysis.plain || text.is_empty() && simple_key) {
        style = Style::SingleQuoted;
    }
    if style == Style::SingleQuoted && !analysis.single_quoted {
        style = Style::DoubleQuoted;
    }
    if style == Style::Literal && (!analysis.block || simple_key) {
        style = Style::DoubleQuoted;
    }
    style
}

fn analyze(text: &[u8]) -> Analysis {
    if text.is_empty() {
        return Analysis { multiline: false, plain: true, single_quoted: true, block: false };
    }
    let (mut indicators, mut line_breaks, mut special) =
        (text.starts_with(b"---") || text.starts_with(b"..."), false, false);
    let (mut break_space, mut space_break) = (false, false);
    let (mut after_space, mut after_break, mut after_blank) = (false, false, true);
    let (mut begins_blank, mut ends_space, mut ends_break) = (false, false, false);
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.first().copied().unwrap_or_default();
        let size = width(first);
        let next = rest.get(size..).unwrap_or_default();
        let before_blank = next.is_empty() || is_blank(next);
        indicators |= match first {
            b'#' | b',' | b'[' | b']' | b'{' | b'}' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"'
            | b'%' | b'@' | b'`'
                if at == 0 =>
            {
                true
            }
            b'?' | b'-' if at == 0 => before_blank,
            b':' => before_blank,
            b'#' => after_blank,
            _ => false,
        };
        special |= !is_printable(rest);
        let (space, line_break) = (first == b' ', is_break(rest));
        begins_blank |= at == 0 && (space || line_break);
        ends_space = space;
        ends_break = line_break;
        break_space |= space && after_break;
        space_break |= line_break && after_space;
        line_breaks |= line_break;
        after_space = space;
        after_break = line_break;
        after_blank = is_blank_or_end(rest);
        at += size;
    }
    let broken = space_break || special;
    Analysis {
        multiline: line_breaks,
        plain: !(begins_blank
            || ends_space
            || ends_break
            || break_space
            || broken
            || line_breaks
            || indicators),
        single_quoted: !(break_space || broken),
        block: !(ends_space || broken),
    }
}
