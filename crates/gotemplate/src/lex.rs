//! The lexer: template text into tokens, one at a time.
//!
//! The rules are Go's, quirks included: space is a token inside an action, an error token carries the line on
//! which its token began, and trimming happens here, so that the parser never sees what was trimmed.

mod token;

pub(crate) use token::{Keyword, Kind, Token};

use crate::text::{decode, is_alphanumeric, is_print, is_space, quoted};

const LEFT_COMMENT: &[u8] = b"/*";
const RIGHT_COMMENT: &[u8] = b"*/";
/// The minus and the space beside it.
const TRIM_MARKER: usize = 2;

/// Reads tokens from a template.
#[derive(Debug)]
pub(crate) struct Lexer<'t> {
    text: &'t [u8],
    left: &'t [u8],
    right: &'t [u8],
    start: usize,
    start_line: usize,
    pos: usize,
    line: usize,
    paren_depth: usize,
    inside_action: bool,
    /// Set by the first error token; the lexer then stands still.
    failed: Option<(String, Token)>,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t [u8], left: &'t [u8], right: &'t [u8]) -> Self {
        Self {
            text,
            left,
            right,
            start: 0,
            start_line: 1,
            pos: 0,
            line: 1,
            paren_depth: 0,
            inside_action: false,
            failed: None,
        }
    }

    /// The bytes of a token.
    pub(crate) fn slice(&self, token: Token) -> &'t [u8] {
        &self.text[token.start..token.end]
    }

    /// The text of the error token.
    pub(crate) fn error_message(&self) -> &str {
        self.failed.as_ref().map_or("", |(message, _)| message)
    }

    /// The next token; after an error, that error again.
    pub(crate) fn next_token(&mut self) -> Token {
        if let Some((_, token)) = &self.failed {
            return *token;
        }
        if self.inside_action { self.inside() } else { self.outside() }
    }

    // === Text, delimiters, comments ===

    fn outside(&mut self) -> Token {
        // A loop, not a call: a comment leads back to text, and a template may hold many comments.
        loop {
            let Some(found) = find(&self.text[self.pos..], self.left) else {
                self.pos = self.text.len();
                let kind = if self.pos > self.start { Kind::Text } else { Kind::Eof };
                return self.emit_counting(kind);
            };
            if found > 0 {
                let delimiter = self.pos + found;
                let after = &self.text[delimiter + self.left.len()..];
                let text = &self.text[self.start..delimiter];
                let trimmed = if has_left_trim(after) { trailing_space(text) } else { 0 };
                self.pos = delimiter - trimmed;
                self.line += newlines(&self.text[self.start..self.pos]);
                let token = self.take(Kind::Text);
                self.pos = delimiter;
                self.ignore();
                if token.end > token.start {
                    return token;
                }
            }
            if let Some(token) = self.left_delimiter() {
                return token;
            }
        }
    }

    /// The delimiter, or `None` when a comment was skipped.
    fn left_delimiter(&mut self) -> Option<Token> {
        self.pos += self.left.len();
        let marker = if has_left_trim(&self.text[self.pos..]) { TRIM_MARKER } else { 0 };
        if self.text[self.pos + marker..].starts_with(LEFT_COMMENT) {
            self.pos += marker;
            self.ignore();
            return self.comment();
        }
        let token = self.take(Kind::LeftDelim);
        self.inside_action = true;
        self.pos += marker;
        self.ignore();
        self.paren_depth = 0;
        Some(token)
    }

    fn comment(&mut self) -> Option<Token> {
        self.pos += LEFT_COMMENT.len();
        let Some(found) = find(&self.text[self.pos..], RIGHT_COMMENT) else {
            return Some(self.fail("unclosed comment".into()));
        };
        self.pos += found + RIGHT_COMMENT.len();
        let Some(trim) = self.at_right_delimiter() else {
            return Some(self.fail("comment ends before closing delimiter".into()));
        };
        self.pos += self.right.len();
        if trim {
            self.pos += TRIM_MARKER;
            self.pos += leading_space(&self.text[self.pos..]);
        }
        self.ignore();
        None
    }

    fn right_delimiter(&mut self) -> Token {
        let trim = self.at_right_delimiter() == Some(true);
        if trim {
            self.pos += TRIM_MARKER;
            self.ignore();
        }
        self.pos += self.right.len();
        let token = self.take(Kind::RightDelim);
        if trim {
            self.pos += leading_space(&self.text[self.pos..]);
            self.ignore();
        }
        self.inside_action = false;
        token
    }

    /// Whether a right delimiter starts here, and whether it carries a trim marker.
    fn at_right_delimiter(&self) -> Option<bool> {
        let rest = &self.text[self.pos..];
        if has_right_trim(rest) && rest[TRIM_MARKER..].starts_with(self.right) {
            return Some(true);
        }
        rest.starts_with(self.right).then_some(false)
    }

    // === Inside an action ===

    fn inside(&mut self) -> Token {
        if self.at_right_delimiter().is_some() {
            if self.paren_depth == 0 {
                return self.right_delimiter();
            }
            return self.fail("unclosed left paren".into());
        }
        let Some(&byte) = self.text.get(self.pos) else {
            return self.fail("unclosed action".into());
        };
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => self.space(),
            b'=' => self.single(Kind::Assign),
            b':' => {
                self.advance();
                if self.peek_byte() != Some(b'=') {
                    return self.fail("expected :=".into());
                }
                self.single(Kind::Declare)
            }
            b'|' => self.single(Kind::Pipe),
            b'"' => self.quoted(b'"', Kind::Str, "unterminated quoted string"),
            b'\'' => self.quoted(b'\'', Kind::CharConstant, "unterminated character constant"),
            b'`' => self.raw_quoted(),
            b'$' => self.field_or_variable(Kind::Variable, Kind::Variable),
            b'.' if !self.text.get(self.pos + 1).is_none_or(u8::is_ascii_digit) => {
                self.field_or_variable(Kind::Dot, Kind::Field)
            }
            b'.' | b'+' | b'-' | b'0'..=b'9' => self.number(),
            b'(' => {
                self.paren_depth += 1;
                self.single(Kind::LeftParen)
            }
            b')' => {
                let Some(depth) = self.paren_depth.checked_sub(1) else {
                    return self.fail("unexpected right paren".into());
                };
                self.paren_depth = depth;
                self.single(Kind::RightParen)
            }
            _ => {
                let rune = self.peek().unwrap_or(char::REPLACEMENT_CHARACTER);
                if is_alphanumeric(rune) {
                    return self.identifier();
                }
                if rune.is_ascii() && is_print(rune) {
                    return self.single(Kind::Char);
                }
                self.fail(format!("unrecognized character in action: {}", unicode(rune)))
            }
        }
    }

    fn space(&mut self) -> Token {
        let begin = self.pos;
        while self.peek_byte().is_some_and(is_space) {
            self.advance();
        }
        // The last space may belong to a trim marker: ` -}}`.
        let last = self.pos - 1;
        let tail = &self.text[last..];
        if has_right_trim(tail) && tail[TRIM_MARKER..].starts_with(self.right) {
            if self.text[last] == b'\n' {
                self.line -= 1;
            }
            self.pos = last;
            if last == begin {
                return self.right_delimiter();
            }
        }
        self.take(Kind::Space)
    }

    fn identifier(&mut self) -> Token {
        self.word();
        if !self.at_terminator() {
            return self.bad_character();
        }
        let kind = match &self.text[self.start..self.pos] {
            b"block" => Kind::Keyword(Keyword::Block),
            b"break" => Kind::Keyword(Keyword::Break),
            b"continue" => Kind::Keyword(Keyword::Continue),
            b"define" => Kind::Keyword(Keyword::Define),
            b"else" => Kind::Keyword(Keyword::Else),
            b"end" => Kind::Keyword(Keyword::End),
            b"if" => Kind::Keyword(Keyword::If),
            b"nil" => Kind::Keyword(Keyword::Nil),
            b"range" => Kind::Keyword(Keyword::Range),
            b"template" => Kind::Keyword(Keyword::Template),
            b"with" => Kind::Keyword(Keyword::With),
            b"true" | b"false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.take(kind)
    }

    /// A `.` or `$` and the name behind it, if there is one.
    fn field_or_variable(&mut self, alone: Kind, named: Kind) -> Token {
        self.advance();
        if self.at_terminator() {
            return self.take(alone);
        }
        self.word();
        if !self.at_terminator() {
            return self.bad_character();
        }
        self.take(named)
    }

    /// Letters and digits, none of which is a newline.
    fn word(&mut self) {
        loop {
            match self.peek_byte() {
                Some(byte) if byte == b'_' || byte.is_ascii_alphanumeric() => self.pos += 1,
                Some(byte) if byte.is_ascii() => return,
                _ if self.peek().is_some_and(is_alphanumeric) => self.advance(),
                _ => return,
            }
        }
    }

    fn bad_character(&mut self) -> Token {
        let rune = self.peek().unwrap_or(char::REPLACEMENT_CHARACTER);
        self.fail(format!("bad character {}", unicode(rune)))
    }

    /// Whether what follows may stand directly behind a word.
    fn at_terminator(&self) -> bool {
        match self.peek_byte() {
            None => true,
            Some(byte) if is_space(byte) => true,
            Some(b'.' | b',' | b'|' | b':' | b')' | b'(') => true,
            Some(_) => self.text[self.pos..].starts_with(self.right),
        }
    }

    /// A literal in quotes whose backslashes protect the character behind them.
    fn quoted(&mut self, quote: u8, kind: Kind, unterminated: &str) -> Token {
        self.advance();
        loop {
            let byte = self.peek_byte();
            self.advance();
            match byte {
                Some(b'\\') => {
                    let escaped = self.peek_byte();
                    if escaped.is_none_or(|byte| byte == b'\n') {
                        return self.fail(unterminated.into());
                    }
                    self.advance();
                }
                None | Some(b'\n') => return self.fail(unterminated.into()),
                Some(byte) if byte == quote => return self.take(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_quoted(&mut self) -> Token {
        self.advance();
        loop {
            let byte = self.peek_byte();
            self.advance();
            match byte {
                None => return self.fail("unterminated raw quoted string".into()),
                Some(b'`') => return self.take(Kind::RawString),
                Some(_) => {}
            }
        }
    }

    fn number(&mut self) -> Token {
        if !self.scan_number() {
            return self.bad_number();
        }
        if !matches!(self.peek_byte(), Some(b'+' | b'-')) {
            return self.take(Kind::Number);
        }
        if !self.scan_number() || self.text[self.pos - 1] != b'i' {
            return self.bad_number();
        }
        self.take(Kind::Complex)
    }

    fn bad_number(&mut self) -> Token {
        self.fail(format!("bad number syntax: {}", quoted(&self.text[self.start..self.pos])))
    }

    fn scan_number(&mut self) -> bool {
        self.accept(b"+-");
        let mut digits: &[u8] = b"0123456789_";
        if self.accept(b"0") {
            if self.accept(b"xX") {
                digits = b"0123456789abcdefABCDEF_";
            } else if self.accept(b"oO") {
                digits = b"01234567_";
            } else if self.accept(b"bB") {
                digits = b"01_";
            }
        }
        self.accept_run(digits);
        if self.accept(b".") {
            self.accept_run(digits);
        }
        let exponent: &[u8] = match digits.len() {
            11 => b"eE",
            23 => b"pP",
            _ => b"",
        };
        if self.accept(exponent) {
            self.accept(b"+-");
            self.accept_run(b"0123456789_");
        }
        self.accept(b"i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.advance();
            return false;
        }
        true
    }

    // === Moving ===

    fn peek_byte(&self) -> Option<u8> {
        self.text.get(self.pos).copied()
    }

    /// The next rune; `None` at the end.
    fn peek(&self) -> Option<char> {
        match decode(&self.text[self.pos..]) {
            (_, 0) => None,
            (rune, _) => Some(rune.unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }

    fn advance(&mut self) {
        match self.peek_byte() {
            Some(b'\n') => {
                self.line += 1;
                self.pos += 1;
            }
            Some(byte) if byte.is_ascii() => self.pos += 1,
            _ => self.pos += decode(&self.text[self.pos..]).1,
        }
    }

    fn accept(&mut self, set: &[u8]) -> bool {
        let found = self.peek_byte().is_some_and(|byte| set.contains(&byte));
        if found {
            self.pos += 1;
        }
        found
    }

    fn accept_run(&mut self, set: &[u8]) {
        while self.accept(set) {}
    }

    fn single(&mut self, kind: Kind) -> Token {
        self.advance();
        self.take(kind)
    }

    /// The token from `start` to here; its newlines have been counted.
    fn take(&mut self, kind: Kind) -> Token {
        let token = Token { kind, start: self.start, end: self.pos, line: self.start_line };
        self.start = self.pos;
        self.start_line = self.line;
        token
    }

    fn emit_counting(&mut self, kind: Kind) -> Token {
        self.line += newlines(&self.text[self.start..self.pos]);
        self.take(kind)
    }

    fn ignore(&mut self) {
        self.line += newlines(&self.text[self.start..self.pos]);
        self.start = self.pos;
        self.start_line = self.line;
    }

    fn fail(&mut self, message: String) -> Token {
        let token = Token { kind: Kind::Error, start: self.start, end: self.pos, line: self.start_line };
        self.failed = Some((message, token));
        token
    }
}

/// Go's `%#U`: `U+0023 '#'`, without the character when it cannot be printed.
fn unicode(rune: char) -> String {
    if is_print(rune) {
        format!("U+{:04X} '{rune}'", u32::from(rune))
    } else {
        format!("U+{:04X}", u32::from(rune))
    }
}

fn has_left_trim(text: &[u8]) -> bool {
    matches!(text, [b'-', byte, ..] if is_space(*byte))
}

fn has_right_trim(text: &[u8]) -> bool {
    matches!(text, [byte, b'-', ..] if is_space(*byte))
}

fn trailing_space(text: &[u8]) -> usize {
    text.iter().rev().take_while(|&&byte| is_space(byte)).count()
}

fn leading_space(text: &[u8]) -> usize {
    text.iter().take_while(|&&byte| is_space(byte)).count()
}

fn newlines(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte == b'\n').count()
}

/// Where `needle` (never empty) first stands.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = 0;
    while let Some(step) = text[at..].iter().position(|&byte| byte == first) {
        at += step;
        if text[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let mut lexer = Lexer::new(text.as_bytes(), b"{{", b"}}");
        let mut kinds = Vec::new();
        loop {
            let token = lexer.next_token();
            kinds.push(token.kind);
            if matches!(token.kind, Kind::Eof | Kind::Error) {
                return kinds;
            }
        }
    }

    #[test]
    fn trimming_leaves_no_empty_text() {
        assert_eq!(
            kinds(" {{- 3 -}} {{/* c */}}"),
            [Kind::LeftDelim, Kind::Number, Kind::RightDelim, Kind::Eof]
        );
        assert_eq!(kinds("{{-3}}"), [Kind::LeftDelim, Kind::Number, Kind::RightDelim, Kind::Eof]);
    }

    #[test]
    fn lines_count_across_tokens() {
        let mut lexer = Lexer::new(b"a\n{{\n1\n-}}\n\nb{{2}}", b"{{", b"}}");
        let mut lines = Vec::new();
        loop {
            let token = lexer.next_token();
            lines.push(token.line);
            if token.kind == Kind::Eof {
                break;
            }
        }
        assert_eq!(lines, [1, 2, 2, 3, 4, 6, 6, 6, 6, 6]);
    }
}
