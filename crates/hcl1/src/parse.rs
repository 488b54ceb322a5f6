//! HCL1's grammar: items of keys and values, objects, lists.
//!
//! Newline, comma or nothing at all separates items. After an error the parser goes on at the next line that
//! can start an item, so that one run tells of several mistakes.

use crate::lex::{Lexer, Token};
use crate::text;
use crate::{Diagnostic, Item, Key, Kind, MAX_DEPTH, Object, Source, Span, StringText, Syntax, Value};

pub(crate) fn parse(source: &Source, text: &str, start: usize) -> Result<Object, Vec<Diagnostic>> {
    let mut parser = Parser::new(source, text, start);
    let items = parser.items(Ends::AtEof);
    let mut errors: Vec<Diagnostic> =
        parser.lexer.errors.iter().map(|e| Diagnostic::error(source, e.span, e.message)).collect();
    errors.append(&mut parser.errors);
    errors.sort_by_key(|e| e.span.map_or(0, |span| span.start));
    // A faulty token makes the parser stumble in the same line: say it once, in the lexer's words, which
    // the stable sort has put first.
    errors.dedup_by(|later, first| line_of(later) == line_of(first));
    errors.truncate(MAX_ERRORS);
    if errors.is_empty() {
        Ok(Object { items, syntax: Syntax::Hcl, span: Span::new(0, text.len()) })
    } else {
        Err(errors)
    }
}

fn line_of(error: &Diagnostic) -> Option<usize> {
    Some(error.source.as_ref()?.position(error.span?.start).line)
}

/// More than this many errors are one mistake's echo.
const MAX_ERRORS: usize = 20;

/// What ends a run of items.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    AtEof,
    AtBrace,
}

/// A syntax error was recorded; the caller finds a place to go on.
struct Stumbled;

struct Parser<'a> {
    source: &'a Source,
    text: &'a str,
    lexer: Lexer<'a>,
    token: Token,
    span: Span,
    depth: usize,
    errors: Vec<Diagnostic>,
}

impl<'a> Parser<'a> {
    fn new(source: &'a Source, text: &'a str, start: usize) -> Self {
        let mut lexer = Lexer::new(text, start);
        let (token, span) = lexer.next_token();
        Self { source, text, lexer, token, span, depth: 0, errors: Vec::new() }
    }

    fn advance(&mut self) {
        (self.token, self.span) = self.lexer.next_token();
    }

    fn stumble<T>(&mut self, span: Span, message: impl Into<String>) -> Result<T, Stumbled> {
        self.errors.push(Diagnostic::error(self.source, span, message));
        Err(Stumbled)
    }

    fn items(&mut self, ends: Ends) -> Vec<Item> {
        let mut items = Vec::new();
        loop {
            match self.token {
                Token::Eof => return items,
                Token::RightBrace if ends == Ends::AtBrace => return items,
                _ => {}
            }
            match self.item(ends) {
                Ok(item) => {
                    items.push(item);
                    if self.token == Token::Comma {
                        self.advance();
                    }
                }
                Err(Stumbled) if self.errors.len() > MAX_ERRORS => {
                    while self.token != Token::Eof {
                        self.advance();
                    }
                }
                Err(Stumbled) => self.next_line(ends),
            }
        }
    }

    /// Skips to a token that starts a line and may start an item, or to what ends the run.
    fn next_line(&mut self, ends: Ends) {
        let mut open = 0usize;
        loop {
            let before = self.span.end;
            match self.token {
                Token::Eof => return,
                Token::LeftBrace => open += 1,
                Token::RightBrace if open == 0 && ends == Ends::AtBrace => return,
                Token::RightBrace => open = open.saturating_sub(1),
                _ => {}
            }
            self.advance();
            let new_line = self.text[before.min(self.span.start)..self.span.start].contains('\n');
            if new_line && open == 0 && matches!(self.token, Token::Ident | Token::String) {
                return;
            }
        }
    }

    fn item(&mut self, ends: Ends) -> Result<Item, Stumbled> {
        let mut keys: Vec<Key> = Vec::new();
        loop {
            match self.token {
                Token::Ident => {
                    keys.push(Key {
                        text: self.text[self.span.start..self.span.end].to_owned(),
                        span: self.span,
                    });
                    self.advance();
                }
                Token::String => {
                    let bytes = self.unquoted()?;
                    let Ok(text) = String::from_utf8(bytes) else {
                        return self.stumble(self.span, "a key must be UTF-8 text");
                    };
                    keys.push(Key { text, span: self.span });
                    self.advance();
                }
                Token::Assign if keys.is_empty() => return self.stumble(self.span, "no object keys found!"),
                Token::Assign if keys.len() > 1 => {
                    return self.stumble(self.span, "nested object expected: LBRACE got: ASSIGN");
                }
                Token::Assign => {
                    let equals = self.span;
                    self.advance();
                    // `key =` as the last thing of a file is accepted upstream and means nothing.
                    let value = if self.token == Token::Eof && ends == Ends::AtEof {
                        Value { kind: Kind::Null, span: equals }
                    } else {
                        self.value()?
                    };
                    return Ok(Item { keys, value });
                }
                Token::LeftBrace if keys.is_empty() => {
                    return self.stumble(self.span, "expected: IDENT | STRING got: LBRACE");
                }
                Token::LeftBrace => return Ok(Item { keys, value: self.object()? }),
                Token::Illegal => return self.stumble(self.span, "illegal char"),
                Token::Eof | Token::RightBrace if !keys.is_empty() => {
                    let names: Vec<&str> = keys.iter().map(|k| k.text.as_str()).collect();
                    let message = format!(
                        "key '{}' expected start of object ('{{') or assignment ('=')",
                        names.join(" ")
                    );
                    let at = keys.iter().fold(keys[0].span, |all, key| all.to(key.span));
                    return self.stumble(at, message);
                }
                other => {
                    let message = format!("expected: IDENT | STRING | ASSIGN | LBRACE got: {}", other.name());
                    return self.stumble(self.span, message);
                }
            }
        }
    }

    fn value(&mut self) -> Result<Value, Stumbled> {
        let span = self.span;
        let kind = match self.token {
            Token::LeftBrace => return self.object(),
            Token::LeftBracket => return self.list(),
            Token::Number | Token::Float => Kind::Number(self.text[span.start..span.end].to_owned()),
            Token::Bool => Kind::Bool(&self.text[span.start..span.end] == "true"),
            Token::String => Kind::String(StringText(self.unquoted()?)),
            Token::Heredoc => Kind::String(StringText(text::heredoc(&self.text[span.start..span.end]))),
            other => {
                let at = self.source.position(span.start);
                let text = &self.text[span.start..span.end];
                let message = format!("Unknown token: {}:{} {} {}", at.line, at.column, other.name(), text);
                self.errors
                    .push(unquoted_hint(Diagnostic::error(self.source, span, message.trim_end()), other));
                return Err(Stumbled);
            }
        };
        self.advance();
        Ok(Value { kind, span })
    }

    fn unquoted(&mut self) -> Result<Vec<u8>, Stumbled> {
        match text::unquote(&self.text[self.span.start..self.span.end]) {
            Some(bytes) => Ok(bytes),
            // The lexer has told of an unclosed quote and of most bad escapes.
            None if self.lexer.errors.iter().any(|e| e.span.start >= self.span.start) => {
                self.advance();
                Err(Stumbled)
            }
            None => self.stumble(self.span, "invalid syntax"),
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Stumbled>) -> Result<T, Stumbled> {
        if self.depth == MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            let result = self.stumble(self.span, message);
            // Nothing behind it can be understood.
            while self.token != Token::Eof {
                self.advance();
            }
            return result;
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn object(&mut self) -> Result<Value, Stumbled> {
        self.deeper(|parser| {
            let open = parser.span;
            parser.advance();
            let items = parser.items(Ends::AtBrace);
            if parser.token != Token::RightBrace {
                let message = format!("object expected closing RBRACE got: {}", parser.token.name());
                parser.errors.push(Diagnostic::error(parser.source, parser.span, message).hint(format!(
                    "the brace opened in line {} is never closed",
                    parser.source.position(open.start).line
                )));
                return Err(Stumbled);
            }
            let span = open.to(parser.span);
            parser.advance();
            Ok(Value { kind: Kind::Object(Object { items, syntax: Syntax::Hcl, span }), span })
        })
    }

    fn list(&mut self) -> Result<Value, Stumbled> {
        self.deeper(|parser| {
            let open = parser.span;
            parser.advance();
            let mut values = Vec::new();
            let mut comma_wanted = false;
            loop {
                match parser.token {
                    Token::RightBracket => {
                        let span = open.to(parser.span);
                        parser.advance();
                        return Ok(Value { kind: Kind::List(values), span });
                    }
                    Token::Comma => {
                        parser.advance();
                        comma_wanted = false;
                    }
                    other if comma_wanted => {
                        let message =
                            format!("error parsing list, expected comma or list end, got: {}", other.name());
                        return parser.stumble(parser.span, message);
                    }
                    Token::LeftBracket => {
                        // Lists in a list need no comma between them upstream.
                        values.push(parser.list()?);
                    }
                    Token::Bool
                    | Token::Number
                    | Token::Float
                    | Token::String
                    | Token::Heredoc
                    | Token::LeftBrace => {
                        values.push(parser.value()?);
                        comma_wanted = true;
                    }
                    other => {
                        let message = format!("unexpected token while parsing list: {}", other.name());
                        let error = Diagnostic::error(parser.source, parser.span, message);
                        parser.errors.push(unquoted_hint(error, other));
                        return Err(Stumbled);
                    }
                }
            }
        })
    }
}

fn unquoted_hint(error: Diagnostic, token: Token) -> Diagnostic {
    match token {
        Token::Ident => error.hint("a value is a quoted string, a number, true, false, a list or an object"),
        _ => error,
    }
}
