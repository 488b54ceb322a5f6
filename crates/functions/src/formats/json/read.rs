//! Reading: Go 1.27's grammar and words. Nothing recurses, so depth costs no stack.

use gotemplate::{Key, Map, Type, Value};

use crate::arguments::Elements;
use crate::formats::Fault;
use crate::go::strconv::quote;
use crate::go::unicode::{first_rune, is_bad, lossy};

/// What a text holds.
pub(crate) struct Parsed {
    /// The value; a number out of range is 0 in it.
    pub(crate) value: Value,
    /// The first number out of range, which Go reports after it has read everything.
    pub(crate) out_of_range: Option<String>,
}

/// Reads `text`: objects become `map[string]interface {}`, numbers `float64`, null a nil interface.
///
/// # Errors
/// Go's words for the first fault of syntax, or that there are too many values.
pub(crate) fn parse(text: &[u8]) -> Result<Parsed, Fault> {
    Reader { text, at: 0, frames: Vec::new(), out_of_range: None, elements: Elements::default() }.run()
}

/// As deep as Go reads.
const MAX_DEPTH: usize = 10_000;

const END: &str = "unexpected end of JSON input";

/// An array or object whose end was not seen yet.
enum Frame {
    Array(Vec<Value>),
    Object { entries: Vec<(Key, Value)>, key: Vec<u8> },
}

/// What stands where a value was looked for.
enum Found {
    Whole(Value),
    Opened,
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    frames: Vec<Frame>,
    out_of_range: Option<String>,
    elements: Elements,
}

impl Reader<'_> {
    fn run(mut self) -> Result<Parsed, Fault> {
        loop {
            if let Found::Whole(value) = self.value()?
                && let Some(value) = self.close(value)?
            {
                return Ok(Parsed { value, out_of_range: self.out_of_range });
            }
        }
    }

    /// Takes a whole value or the beginning of one.
    fn value(&mut self) -> Result<Found, Fault> {
        self.skip_space();
        self.elements.add(if self.peek() == Some(b'{') { Elements::MAP } else { 1 })?;
        let value = match self.peek() {
            None => return Err(END.to_owned().into()),
            Some(b'"') => Value::from(self.string()?),
            Some(b'n') => self.literal("null", Value::NilInterface)?,
            Some(b't') => self.literal("true", Value::from(true))?,
            Some(b'f') => self.literal("false", Value::from(false))?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'[') => {
                self.open(Frame::Array(Vec::new()))?;
                return Ok(self.first(b']')?);
            }
            Some(b'{') => {
                self.open(Frame::Object { entries: Vec::new(), key: Vec::new() })?;
                return Ok(self.first(b'}')?);
            }
            Some(_) => return Err(self.unexpected("looking for beginning of value").into()),
        };
        Ok(Found::Whole(value))
    }

    fn open(&mut self, frame: Frame) -> Result<(), String> {
        if self.frames.len() == MAX_DEPTH {
            return Err("exceeded max depth".to_owned());
        }
        self.at += 1;
        self.frames.push(frame);
        Ok(())
    }

    /// Behind an opening bracket: its end, or all before the first value.
    fn first(&mut self, end: u8) -> Result<Found, String> {
        self.skip_space();
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(Found::Whole(self.pop()));
        }
        if end == b'}' {
            self.key()?;
        }
        Ok(Found::Opened)
    }

    /// Puts a whole value where it belongs and takes what follows it. The value comes back when it is the text's.
    fn close(&mut self, mut value: Value) -> Result<Option<Value>, String> {
        loop {
            self.skip_space();
            let (end, what) = match self.frames.last_mut() {
                None => {
                    return match self.peek() {
                        None => Ok(Some(value)),
                        Some(_) => Err(self.unexpected("after top-level value")),
                    };
                }
                Some(Frame::Array(items)) => {
                    items.push(value);
                    (b']', "after array element")
                }
                Some(Frame::Object { entries, key }) => {
                    entries.push((Key::str(key), value));
                    (b'}', "after object key:value pair")
                }
            };
            match self.peek() {
                None => return Err(END.to_owned()),
                Some(b',') => {
                    self.at += 1;
                    if end == b'}' {
                        self.skip_space();
                        self.key()?;
                    }
                    return Ok(None);
                }
                Some(byte) if byte == end => {
                    self.at += 1;
                    value = self.pop();
                }
                Some(_) => return Err(self.unexpected(what)),
            }
        }
    }

    fn pop(&mut self) -> Value {
        match self.frames.pop() {
            Some(Frame::Array(items)) => Value::list(items),
            Some(Frame::Object { entries, .. }) => Value::Map(Map::new(Type::Str, Type::Any, entries)),
            None => Value::NilInterface,
        }
    }

    fn key(&mut self) -> Result<(), String> {
        match self.peek() {
            None => return Err(END.to_owned()),
            Some(b'"') => {}
            Some(_) => return Err(self.unexpected("looking for beginning of object key string")),
        }
        let name = self.string()?;
        if let Some(Frame::Object { key, .. }) = self.frames.last_mut() {
            *key = name;
        }
        self.skip_space();
        match self.peek() {
            None => Err(END.to_owned()),
            Some(b':') => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.unexpected("after object key")),
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, String> {
        for expected in word.bytes() {
            match self.peek() {
                None => return Err(END.to_owned()),
                Some(byte) if byte == expected => self.at += 1,
                Some(_) => {
                    let expected = char::from(expected);
                    return Err(self.unexpected(&format!("in literal {word} (expecting '{expected}')")));
                }
            }
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = std::str::from_utf8(self.text.get(start..self.at).unwrap_or_default()).unwrap_or_default();
        let value: f64 = text.parse().unwrap_or_default();
        if value.is_infinite() {
            if self.out_of_range.is_none() {
                let place = self.place();
                self.out_of_range =
                    Some(format!("json: cannot unmarshal number {text} into {place} of type float64"));
            }
            return Ok(Value::Float(0.0));
        }
        Ok(Value::Float(value))
    }

    fn digits(&mut self) -> Result<(), String> {
        match self.peek() {
            None => return Err(END.to_owned()),
            Some(b'0'..=b'9') => {}
            Some(_) => return Err(self.unexpected("in numeric literal")),
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    /// Where the value at hand belongs. Go takes every member for a struct's field, unless its name is a number.
    fn place(&self) -> String {
        let steps: Vec<String> = self
            .frames
            .iter()
            .map(|frame| match frame {
                Frame::Array(items) => items.len().to_string(),
                Frame::Object { key, .. } => pointer_token(key),
            })
            .collect();
        let path = steps.join(".");
        let last = path.rsplit('.').next().unwrap_or_default();
        if path.is_empty() {
            "Go value".to_owned()
        } else if !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) {
            format!(".{path}")
        } else {
            format!("Go struct field .{path}")
        }
    }

    /// A string with its quotes; what it means, always UTF-8.
    fn string(&mut self) -> Result<Vec<u8>, String> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.iter().take_while(|&&byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
            out.extend_from_slice(lossy(rest.get(..plain).unwrap_or_default()).as_bytes());
            self.at += plain;
            match self.peek() {
                None => return Err(END.to_owned()),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    let rune = self.escape()?;
                    out.extend_from_slice(rune.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(_) => return Err(self.unexpected("in string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let rune = match rest.get(1) {
            None => return Err(END.to_owned()),
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            Some(_) => return Err(bad_escape(rest.get(..2).unwrap_or(rest))),
        };
        self.at += 2;
        Ok(rune)
    }

    fn unicode(&mut self) -> Result<char, String> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(unit) = code_unit(rest) else {
            let whole = rest.get(..6);
            let cut_off = whole.is_none() && rest.iter().skip(2).all(u8::is_ascii_hexdigit);
            return Err(if cut_off { END.to_owned() } else { bad_escape(whole.unwrap_or(rest)) });
        };
        self.at += 6;
        if let 0xd800..0xdc00 = unit
            && let Some(low @ 0xdc00..0xe000) = rest.get(6..).and_then(code_unit)
        {
            self.at += 6;
            let code = 0x10000 + ((u32::from(unit) & 0x3ff) << 10) + (u32::from(low) & 0x3ff);
            return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
        }
        Ok(char::from_u32(u32::from(unit)).unwrap_or('\u{fffd}'))
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn unexpected(&self, place: &str) -> String {
        let rest = self.text.get(self.at..).unwrap_or_default();
        format!("invalid character {} {place}", quoted_rune(rest))
    }
}

/// One step of a JSON pointer.
pub(super) fn pointer_token(key: &[u8]) -> String {
    lossy(key).replace('~', "~0").replace('/', "~1")
}

/// The code unit of `\uXXXX` at the beginning of `text`.
fn code_unit(text: &[u8]) -> Option<u16> {
    let [b'\\', b'u', digits @ ..] = text else { return None };
    digits.get(..4)?.iter().try_fold(0u16, |unit, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

fn bad_escape(sequence: &[u8]) -> String {
    let plain = |c: char| c != '`' && c != '\u{fffd}' && c.is_ascii_graphic();
    match std::str::from_utf8(sequence) {
        Ok(text) if text.chars().all(|c| plain(c) || !c.is_ascii() && printable(c)) => {
            format!("invalid escape sequence `{text}` in string")
        }
        _ => format!("invalid escape sequence {} in string", quote(sequence)),
    }
}

/// Whether Go would print a character as it is: then quoting it changes nothing.
fn printable(c: char) -> bool {
    !c.is_whitespace() && quote(c.encode_utf8(&mut [0; 4]).as_bytes()).chars().nth(1) == Some(c)
}

/// The first character of `text` in single quotes, as Go's `%q` shows a rune.
fn quoted_rune(text: &[u8]) -> String {
    match first_rune(text) {
        Some((rune, width)) if !is_bad(rune, width) => {
            let quoted = gotemplate::sprintf(b"%q", &[Value::int(i64::from(u32::from(rune)))]);
            String::from_utf8_lossy(&quoted.unwrap_or_default()).into_owned()
        }
        _ => format!("'\\x{:02x}'", text.first().copied().unwrap_or_default()),
    }
}
