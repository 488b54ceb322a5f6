//! Scalars in quotes, and plain ones.

use super::{Problem, Scanner, TokenKind};
use crate::formats::yaml::characters::{is_blank, is_blank_or_end, is_break};

/// White space inside of a scalar, until it is known whether something follows it.
#[derive(Default)]
struct Space {
    blanks: Vec<u8>,
    first_break: Vec<u8>,
    more_breaks: Vec<u8>,
    /// Whether a line break was among it: blanks no longer count.
    broken: bool,
}

impl Space {
    /// One line break becomes a space, more become one less; LS and PS stay as they are.
    fn fold_into(&mut self, out: &mut Vec<u8>) {
        if !self.broken {
            out.append(&mut self.blanks);
            return;
        }
        if self.first_break == b"\n" {
            if self.more_breaks.is_empty() {
                out.push(b' ');
            }
            out.append(&mut self.more_breaks);
        } else {
            out.append(&mut self.first_break);
            out.append(&mut self.more_breaks);
        }
        *self = Self::default();
    }
}

impl Scanner {
    pub(super) fn scan_quoted(&mut self, single: bool) -> Result<(), Problem> {
        let start = self.cursor.mark;
        let mut value = Vec::new();
        self.cursor.skip();
        loop {
            self.cursor.need(4)?;
            if self.cursor.is_document_indicator(b'-') || self.cursor.is_document_indicator(b'.') {
                return Err(self.cursor.problem("found unexpected document indicator"));
            }
            if self.cursor.at(0) == 0 {
                return Err(self.cursor.problem("found unexpected end of stream"));
            }
            let mut space = Space { broken: self.quoted_text(single, &mut value)?, ..Space::default() };
            self.cursor.need(1)?;
            if self.cursor.at(0) == if single { b'\'' } else { b'"' } {
                break;
            }
            self.take_space(&mut space, None)?;
            space.fold_into(&mut value);
        }
        self.cursor.skip();
        self.push(TokenKind::Scalar { value, plain: false }, start);
        Ok(())
    }

    /// Takes what is not blank, up to the quote. True if it ends in an escaped line break.
    fn quoted_text(&mut self, single: bool, value: &mut Vec<u8>) -> Result<bool, Problem> {
        while !is_blank_or_end(self.cursor.rest()) {
            match (self.cursor.at(0), self.cursor.at(1)) {
                (b'\'', b'\'') if single => {
                    value.push(b'\'');
                    self.cursor.skip();
                    self.cursor.skip();
                }
                (b'\'', _) if single => return Ok(false),
                (b'"', _) if !single => return Ok(false),
                (b'\\', _) if !single && self.cursor.rest().get(1..).is_some_and(is_break) => {
                    self.cursor.need(3)?;
                    self.cursor.skip();
                    self.cursor.skip_line();
                    return Ok(true);
                }
                (b'\\', escaped) if !single => self.escape(escaped, value)?,
                _ => self.cursor.read(value),
            }
            self.cursor.need(2)?;
        }
        Ok(false)
    }

    fn escape(&mut self, escaped: u8, value: &mut Vec<u8>) -> Result<(), Problem> {
        let (rune, digits) = match escaped {
            b'0' => ('\0', 0),
            b'a' => ('\u{7}', 0),
            b'b' => ('\u{8}', 0),
            b't' | b'\t' => ('\t', 0),
            b'n' => ('\n', 0),
            b'v' => ('\u{b}', 0),
            b'f' => ('\u{c}', 0),
            b'r' => ('\r', 0),
            b'e' => ('\u{1b}', 0),
            b' ' | b'"' | b'\'' | b'\\' => (char::from(escaped), 0),
            b'N' => ('\u{85}', 0),
            b'_' => ('\u{a0}', 0),
            b'L' => ('\u{2028}', 0),
            b'P' => ('\u{2029}', 0),
            b'x' => ('\0', 2),
            b'u' => ('\0', 4),
            b'U' => ('\0', 8),
            _ => return Err(self.cursor.problem("found unknown escape character")),
        };
        self.cursor.skip();
        self.cursor.skip();
        if digits == 0 {
            value.extend_from_slice(rune.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        self.cursor.need(digits)?;
        let mut code = 0u32;
        for nth in 0..digits {
            let digit = char::from(self.cursor.at(nth)).to_digit(16);
            let digit =
                digit.ok_or_else(|| self.cursor.problem("did not find expected hexdecimal number"))?;
            code = code << 4 | digit;
        }
        let rune = char::from_u32(code)
            .ok_or_else(|| self.cursor.problem("found invalid Unicode character escape code"))?;
        value.extend_from_slice(rune.encode_utf8(&mut [0; 4]).as_bytes());
        for _ in 0..digits {
            self.cursor.skip();
        }
        Ok(())
    }

    pub(super) fn scan_plain(&mut self) -> Result<(), Problem> {
        let start = self.cursor.mark;
        let indent = self.indent + 1;
        let (mut value, mut space) = (Vec::new(), Space::default());
        loop {
            self.cursor.need(4)?;
            if self.cursor.is_document_indicator(b'-')
                || self.cursor.is_document_indicator(b'.')
                || self.cursor.at(0) == b'#'
            {
                break;
            }
            while !is_blank_or_end(self.cursor.rest()) && !self.ends_plain() {
                space.fold_into(&mut value);
                self.cursor.read(&mut value);
                self.cursor.need(2)?;
            }
            let rest = self.cursor.rest();
            if !is_blank(rest) && !is_break(rest) {
                break;
            }
            self.cursor.need(1)?;
            self.take_space(&mut space, Some(indent))?;
            if self.flow_level == 0 && self.cursor.mark.column < indent {
                break;
            }
        }
        if space.broken {
            self.simple_key_allowed = true;
        }
        self.push(TokenKind::Scalar { value, plain: true }, start);
        Ok(())
    }

    fn ends_plain(&self) -> bool {
        match self.cursor.at(0) {
            b':' => self.cursor.rest().get(1..).is_none_or(is_blank_or_end),
            b',' | b'?' | b'[' | b']' | b'{' | b'}' => self.flow_level > 0,
            _ => false,
        }
    }

    /// Takes blanks and line breaks; tabs left of `indent` are refused.
    fn take_space(&mut self, space: &mut Space, indent: Option<i64>) -> Result<(), Problem> {
        loop {
            let rest = self.cursor.rest();
            if is_blank(rest) {
                if space.broken {
                    let too_far_left = indent.is_some_and(|indent| self.cursor.mark.column < indent);
                    if too_far_left && self.cursor.at(0) == b'\t' {
                        return Err(self.cursor.problem("found a tab character that violates indentation"));
                    }
                    self.cursor.skip();
                } else {
                    self.cursor.read(&mut space.blanks);
                }
            } else if is_break(rest) {
                self.cursor.need(2)?;
                if space.broken {
                    self.cursor.read_line(&mut space.more_breaks);
                } else {
                    space.blanks.clear();
                    self.cursor.read_line(&mut space.first_break);
                    space.broken = true;
                }
            } else {
                return Ok(());
            }
            self.cursor.need(1)?;
        }
    }
}
