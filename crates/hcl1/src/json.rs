//! The JSON twin. Upstream's reader is lenient where strict JSON is not, and files rely on it: commas may
//! trail or repeat in lists, a lone `{` is an empty file, duplicate keys all stay, and what follows the
//! closing brace is not looked at.

use crate::{Diagnostic, Item, Key, Kind, MAX_DEPTH, Object, Source, Span, StringText, Syntax, Value};

pub(crate) fn parse(source: &Source, text: &str, start: usize) -> Result<Object, Vec<Diagnostic>> {
    let mut parser = Parser { source, text, at: start, depth: 0 };
    parser.blanks();
    let open = parser.at;
    parser.at += 1;
    match parser.object(open) {
        Ok(Value { kind: Kind::Object(object), .. }) => Ok(object),
        Ok(value) => Err(vec![Diagnostic::error(source, value.span, "Expected object")]),
        Err(error) => Err(vec![*error]),
    }
}

struct Parser<'a> {
    source: &'a Source,
    text: &'a str,
    at: usize,
    depth: usize,
}

/// Boxed: a diagnostic is large, and every value passes through here.
type Parsed<T> = Result<T, Box<Diagnostic>>;

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn error<T>(&self, start: usize, message: impl Into<String>) -> Parsed<T> {
        let end = self.at.max(start + 1).min(self.text.len().max(start));
        Err(Box::new(Diagnostic::error(self.source, Span::new(start, end), message)))
    }

    fn unexpected<T>(&self, wanted: &str) -> Parsed<T> {
        let found = match self.text[self.at..].chars().next() {
            None => "EOF".to_owned(),
            Some(c) => format!("'{}'", c.escape_default()),
        };
        let error = self.error::<T>(self.at, format!("{wanted} got: {found}"));
        match self.peek() {
            Some(b'/' | b'#') => {
                error.map_err(|e| hint(e, "JSON has no comments; write the file as HCL to use them"))
            }
            Some(b'\'') => error.map_err(|e| hint(e, "JSON strings stand in double quotes")),
            _ => error,
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            return self.error(self.at, format!("nested more than {MAX_DEPTH} levels deep"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// The inside of `{ … }`; the opening brace at `open` is read already.
    fn object(&mut self, open: usize) -> Parsed<Value> {
        self.deeper(|parser| {
            let mut items = Vec::new();
            loop {
                parser.blanks();
                match parser.peek() {
                    Some(b'"') => items.push(parser.item()?),
                    Some(b'}') => {
                        parser.at += 1;
                        break;
                    }
                    // A lone `{` reads as an empty file.
                    None if items.is_empty() && parser.depth == 1 => break,
                    _ => return parser.unexpected("expected: STRING"),
                }
                parser.blanks();
                match parser.peek() {
                    Some(b',') => parser.at += 1,
                    Some(b'}') => {}
                    _ => return parser.unexpected("object expected comma or closing RBRACE"),
                }
            }
            let span = Span::new(open, parser.at);
            Ok(Value { kind: Kind::Object(Object { items, syntax: Syntax::Json, span }), span })
        })
    }

    fn item(&mut self) -> Parsed<Item> {
        let start = self.at;
        let bytes = self.string()?;
        let span = Span::new(start, self.at);
        let Ok(text) = String::from_utf8(bytes) else { return self.error(start, "a key must be UTF-8 text") };
        self.blanks();
        if self.peek() != Some(b':') {
            return self.unexpected("expected: COLON");
        }
        self.at += 1;
        Ok(Item { keys: vec![Key { text, span }], value: self.value()? })
    }

    fn value(&mut self) -> Parsed<Value> {
        self.blanks();
        let start = self.at;
        let kind = match self.peek() {
            Some(b'"') => Kind::String(StringText(self.string()?)),
            Some(b'{') => {
                self.at += 1;
                return self.object(start);
            }
            Some(b'[') => {
                self.at += 1;
                return self.list(start);
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => self.word()?,
            _ => return self.unexpected("expected value,"),
        };
        Ok(Value { kind, span: Span::new(start, self.at) })
    }

    fn list(&mut self, open: usize) -> Parsed<Value> {
        self.deeper(|parser| {
            let mut values = Vec::new();
            loop {
                parser.blanks();
                match parser.peek() {
                    Some(b',') => parser.at += 1,
                    Some(b']') => {
                        parser.at += 1;
                        let span = Span::new(open, parser.at);
                        return Ok(Value { kind: Kind::List(values), span });
                    }
                    None => return parser.unexpected("list expected comma or closing RBRACK"),
                    Some(_) => values.push(parser.value()?),
                }
            }
        })
    }

    fn word(&mut self) -> Parsed<Kind> {
        let start = self.at;
        while matches!(self.peek(), Some(c) if c.is_ascii_alphanumeric() || c == b'_' || c == b'-' || c == b'.')
        {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            "true" => Ok(Kind::Bool(true)),
            "false" => Ok(Kind::Bool(false)),
            "null" => Ok(Kind::Null),
            other => {
                let message = format!("expected value, got: {other}");
                self.error(start, message)
            }
        }
    }

    fn number(&mut self) -> Parsed<Kind> {
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'e' | b'E')) {
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        let digits = text.trim_start_matches('-');
        if digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit() {
            let error = self.error(start, "numbers cannot start with 0");
            return error.map_err(|e| {
                hint(e, "JSON has no octal numbers: write 416 for 0640, or the string \"0640\"")
            });
        }
        match text.parse::<f64>() {
            Ok(_) if digits.starts_with(|c: char| c.is_ascii_digit()) && !text.ends_with('.') => {
                Ok(Kind::Number(text.to_owned()))
            }
            _ => self.error(start, format!("illegal number {text}")),
        }
    }

    fn string(&mut self) -> Parsed<Vec<u8>> {
        let start = self.at;
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let Some(c) = self.peek() else { return self.error(start, "literal not terminated") };
            self.at += 1;
            match c {
                b'"' => return Ok(bytes),
                b'\n' => {
                    self.at -= 1;
                    return self.error(start, "literal not terminated");
                }
                b'\\' => self.escape(&mut bytes)?,
                c => bytes.push(c),
            }
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Parsed<()> {
        let start = self.at - 1;
        let kind = self.peek();
        self.at += 1;
        bytes.push(match kind {
            Some(b'"' | b'\\' | b'/') => kind.unwrap_or(b'/'),
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let c = self.unicode(start)?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            // Upstream takes HCL's other escapes here as well.
            _ => {
                let rest = self.text.get(start + 1..).unwrap_or_default();
                return match crate::text::unescape(rest, bytes) {
                    Some(after) => {
                        self.at = self.text.len() - after.len();
                        Ok(())
                    }
                    None => {
                        self.at = self.at.min(self.text.len());
                        self.error(start, "illegal char escape")
                    }
                };
            }
        });
        Ok(())
    }

    /// The four digits of `\uXXXX`, and those of the second half of a surrogate pair.
    fn unicode(&mut self, start: usize) -> Parsed<char> {
        let first = self.hex4(start)?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex4(start)?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or('\u{fffd}'))
    }

    fn hex4(&mut self, start: usize) -> Parsed<u32> {
        match self.text.get(self.at..self.at + 4).and_then(|d| u32::from_str_radix(d, 16).ok()) {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => self.error(start, "illegal char escape"),
        }
    }
}

#[expect(clippy::boxed_local, reason = "the caller's error is boxed and stays so")]
fn hint(error: Box<Diagnostic>, hint: &str) -> Box<Diagnostic> {
    Box::new(error.hint(hint))
}
