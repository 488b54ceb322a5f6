//! HCL1's tokens.
//!
//! The rules are those of the Go library that the agents use; the odd ones are marked. A token carries its
//! span alone: text is cut from the source when it is wanted.

use crate::Span;

/// What a token is. `name` gives the word that upstream's messages use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Token {
    Eof,
    Illegal,
    Ident,
    Number,
    Float,
    Bool,
    String,
    Heredoc,
    LeftBracket,
    LeftBrace,
    Comma,
    Period,
    RightBracket,
    RightBrace,
    Assign,
    Add,
    Sub,
}

impl Token {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Eof => "EOF",
            Self::Illegal => "ILLEGAL",
            Self::Ident => "IDENT",
            Self::Number => "NUMBER",
            Self::Float => "FLOAT",
            Self::Bool => "BOOL",
            Self::String => "STRING",
            Self::Heredoc => "HEREDOC",
            Self::LeftBracket => "LBRACK",
            Self::LeftBrace => "LBRACE",
            Self::Comma => "COMMA",
            Self::Period => "PERIOD",
            Self::RightBracket => "RBRACK",
            Self::RightBrace => "RBRACE",
            Self::Assign => "ASSIGN",
            Self::Add => "ADD",
            Self::Sub => "SUB",
        }
    }
}

/// A fault inside a token: where, and upstream's words for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LexError {
    pub(crate) span: Span,
    pub(crate) message: &'static str,
}

/// Cuts a text into tokens. Comments are skipped: nobody reads them.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Faults so far; a faulty token is still returned, so that the parser can go on.
    pub(crate) errors: Vec<LexError>,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at, errors: Vec::new() }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat_while(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let start = self.at;
        while self.peek().is_some_and(&wanted) {
            self.bump();
        }
        self.at > start
    }

    fn fault(&mut self, start: usize, message: &'static str) {
        let end = self.at.max(start + 1).min(self.text.len().max(start));
        self.errors.push(LexError { span: Span::new(start, end), message });
    }

    /// The next token and where it stands; [`Token::Eof`] for ever at the end.
    pub(crate) fn next_token(&mut self) -> (Token, Span) {
        loop {
            self.eat_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            let start = self.at;
            let token = match self.bump() {
                None => Token::Eof,
                Some('#') => {
                    self.eat_while(|c| c != '\n');
                    continue;
                }
                Some('/') => {
                    self.comment(start);
                    continue;
                }
                Some(c) => self.token(start, c),
            };
            return (token, Span::new(start, self.at));
        }
    }

    fn token(&mut self, start: usize, first: char) -> Token {
        match first {
            c if is_letter(c) => {
                self.eat_while(|c| is_letter(c) || is_digit(c) || c == '-' || c == '.');
                match &self.text[start..self.at] {
                    "true" | "false" => Token::Bool,
                    _ => Token::Ident,
                }
            }
            '0'..='9' => self.number(start, first),
            '-' if self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                let first = self.bump().unwrap_or('0');
                self.number(start, first)
            }
            '.' if self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.eat_while(|c| c.is_ascii_digit());
                self.exponent();
                Token::Float
            }
            '"' => {
                self.string(start);
                Token::String
            }
            '<' => {
                self.heredoc(start);
                Token::Heredoc
            }
            '[' => Token::LeftBracket,
            ']' => Token::RightBracket,
            '{' => Token::LeftBrace,
            '}' => Token::RightBrace,
            ',' => Token::Comma,
            '.' => Token::Period,
            '=' => Token::Assign,
            '+' => Token::Add,
            '-' => Token::Sub,
            _ => {
                self.fault(start, "illegal char");
                Token::Illegal
            }
        }
    }

    fn comment(&mut self, start: usize) {
        match self.peek() {
            Some('/') => {
                self.eat_while(|c| c != '\n');
            }
            Some('*') => {
                self.bump();
                match self.text[self.at..].find("*/") {
                    Some(end) => self.at += end + 2,
                    None => {
                        self.at = self.text.len();
                        self.fault(start, "comment not terminated");
                    }
                }
            }
            _ => self.fault(start, "expected '/' for comment"),
        }
    }

    fn number(&mut self, start: usize, first: char) -> Token {
        if first == '0' && matches!(self.peek(), Some('x' | 'X')) {
            self.bump();
            if !self.eat_while(|c| c.is_ascii_hexdigit()) {
                self.fault(start, "illegal hexadecimal number");
            }
            return Token::Number;
        }
        let digits = self.at;
        self.eat_while(|c| c.is_ascii_digit());
        // Only digits behind the second are looked at, so `08` passes here and fails where a number is wanted.
        let octal =
            first == '0' && self.text[digits..self.at].chars().skip(1).any(|c| matches!(c, '8' | '9'));
        if self.exponent() {
            return Token::Number;
        }
        if self.peek() == Some('.') {
            self.bump();
            self.eat_while(|c| c.is_ascii_digit());
            self.exponent();
            return Token::Float;
        }
        if octal {
            self.fault(start, "illegal octal number");
        }
        Token::Number
    }

    fn exponent(&mut self) -> bool {
        if !matches!(self.peek(), Some('e' | 'E')) {
            return false;
        }
        self.bump();
        if matches!(self.peek(), Some('+' | '-')) {
            self.bump();
        }
        self.eat_while(|c| c.is_ascii_digit());
        true
    }

    /// A quoted string. Inside `${ … }` quotes and newlines are plain text until its braces balance: the
    /// language once had interpolation, and files rely on what is left of it.
    fn string(&mut self, start: usize) {
        let mut braces = 0usize;
        loop {
            let at = self.at;
            match self.peek() {
                None => return self.fault(start, "literal not terminated"),
                Some('\n') if braces == 0 => return self.fault(start, "literal not terminated"),
                Some('"') if braces == 0 => {
                    self.bump();
                    return;
                }
                Some('$') if braces == 0 && self.text[at + 1..].starts_with('{') => {
                    self.at += 2;
                    braces = 1;
                }
                Some('{') if braces > 0 => {
                    self.bump();
                    braces += 1;
                }
                Some('}') if braces > 0 => {
                    self.bump();
                    braces -= 1;
                }
                Some('\\') => {
                    self.bump();
                    self.escape(at);
                }
                Some(_) => {
                    self.bump();
                }
            }
        }
    }

    fn escape(&mut self, start: usize) {
        let digits = match self.bump() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '"') => return,
            Some('0'..='7') => {
                self.at -= 1;
                (3, 8)
            }
            Some('x') => (2, 16),
            Some('u') => (4, 16),
            Some('U') => (8, 16),
            _ => (1, 0),
        };
        for _ in 0..digits.0 {
            if !self.peek().is_some_and(|c| digits.1 != 0 && c.is_digit(digits.1)) {
                return self.fault(start, "illegal char escape");
            }
            self.bump();
        }
    }

    /// `<<MARK` or `<<-MARK` up to the line that holds the mark alone. What is inside is raw.
    fn heredoc(&mut self, start: usize) {
        if self.peek() != Some('<') {
            return self.fault(start, "heredoc expected second '<', didn't see it");
        }
        self.bump();
        let anchor_start = self.at;
        if self.peek() == Some('-') {
            self.bump();
        }
        self.eat_while(|c| is_letter(c) || is_digit(c));
        if self.text[self.at..].starts_with("\r\n") {
            self.bump();
        }
        let anchor = self.text[anchor_start..self.at].trim_end_matches('\r');
        match self.peek() {
            None => return self.fault(start, "heredoc not terminated"),
            Some('\n') => self.bump(),
            Some(_) => return self.fault(start, "invalid characters in heredoc anchor"),
        };
        let mark = anchor.strip_prefix('-').unwrap_or(anchor);
        if mark.is_empty() {
            return self.fault(start, "zero-length heredoc anchor");
        }
        loop {
            let Some(length) = self.text[self.at..].find('\n') else {
                self.at = self.text.len();
                return self.fault(start, "heredoc not terminated");
            };
            let line = &self.text[self.at..self.at + length];
            self.at += length + 1;
            // The closing line must be at least as long as the anchor with its dash, so that `<<-` wants a
            // blank before its mark. Odd, but it decides which line ends the text.
            let bare = line.trim_end_matches('\r');
            let ends = bare.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}') == mark;
            if ends && line.len() >= anchor.len() {
                return;
            }
        }
    }
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || (!c.is_ascii() && c.is_alphabetic() && !c.is_numeric())
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && c.is_numeric())
}
