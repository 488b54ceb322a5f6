//! Literal and folded scalars.

use super::{Problem, Scanner, TokenKind};
use crate::formats::yaml::characters::{is_blank, is_break, is_break_or_end};

/// What becomes of the line breaks at the end.
#[derive(Clone, Copy, PartialEq)]
enum Chomping {
    Strip,
    Clip,
    Keep,
}

impl Scanner {
    pub(super) fn scan_block_scalar(&mut self, literal: bool) -> Result<(), Problem> {
        let start = self.cursor.mark;
        self.cursor.skip();
        self.cursor.need(1)?;
        let (chomping, increment) = self.block_header()?;
        self.skip_rest_of_line()?;
        let mut indent = if increment > 0 { self.indent.max(0) + increment } else { 0 };
        let (mut value, mut line_break, mut empty_lines) = (Vec::new(), Vec::new(), Vec::new());
        self.block_breaks(&mut indent, &mut empty_lines)?;
        self.cursor.need(1)?;
        let mut after_indented = false;
        while self.cursor.mark.column == indent && self.cursor.at(0) != 0 {
            let indented = is_blank(self.cursor.rest());
            // Lines are folded into one unless one of them is indented further.
            if !literal && !after_indented && !indented && line_break.first() == Some(&b'\n') {
                if empty_lines.is_empty() {
                    value.push(b' ');
                }
                line_break.clear();
            } else {
                value.append(&mut line_break);
            }
            value.append(&mut empty_lines);
            after_indented = indented;
            while !is_break_or_end(self.cursor.rest()) {
                self.cursor.read(&mut value);
                self.cursor.need(1)?;
            }
            self.cursor.need(2)?;
            self.cursor.read_line(&mut line_break);
            self.block_breaks(&mut indent, &mut empty_lines)?;
        }
        if chomping != Chomping::Strip {
            value.append(&mut line_break);
        }
        if chomping == Chomping::Keep {
            value.append(&mut empty_lines);
        }
        self.push(TokenKind::Scalar { value, plain: false }, start);
        Ok(())
    }

    /// `+` or `-` and a digit, in any order, both optional.
    fn block_header(&mut self) -> Result<(Chomping, i64), Problem> {
        let chomping = self.chomping()?;
        let increment = match self.cursor.at(0) {
            b'0' => return Err(self.cursor.problem("found an indentation indicator equal to 0")),
            digit @ b'1'..=b'9' => {
                self.cursor.skip();
                i64::from(digit - b'0')
            }
            _ => 0,
        };
        if chomping.is_none() && increment > 0 {
            self.cursor.need(1)?;
            return Ok((self.chomping()?.unwrap_or(Chomping::Clip), increment));
        }
        Ok((chomping.unwrap_or(Chomping::Clip), increment))
    }

    fn chomping(&mut self) -> Result<Option<Chomping>, Problem> {
        let chomping = match self.cursor.at(0) {
            b'+' => Chomping::Keep,
            b'-' => Chomping::Strip,
            _ => return Ok(None),
        };
        self.cursor.skip();
        self.cursor.need(1)?;
        Ok(Some(chomping))
    }

    /// Takes indentation and empty lines; finds out the indentation if it is not known.
    fn block_breaks(&mut self, indent: &mut i64, breaks: &mut Vec<u8>) -> Result<(), Problem> {
        let mut widest = 0;
        loop {
            self.cursor.need(1)?;
            while (*indent == 0 || self.cursor.mark.column < *indent) && self.cursor.at(0) == b' ' {
                self.cursor.skip();
                self.cursor.need(1)?;
            }
            widest = widest.max(self.cursor.mark.column);
            if (*indent == 0 || self.cursor.mark.column < *indent) && self.cursor.at(0) == b'\t' {
                let problem = "found a tab character where an indentation space is expected";
                return Err(self.cursor.problem(problem));
            }
            if !is_break(self.cursor.rest()) {
                break;
            }
            self.cursor.need(2)?;
            self.cursor.read_line(breaks);
        }
        if *indent == 0 {
            *indent = widest.max(self.indent + 1).max(1);
        }
        Ok(())
    }
}
