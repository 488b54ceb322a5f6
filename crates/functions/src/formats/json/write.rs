//! Writing: compact, as Go's `Marshal`. Nothing recurses, so depth costs no stack.

use std::fmt::Write as _;
use std::sync::Arc;
use std::vec;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use gotemplate::{Key, Map, Type, UintKind, Value};

use super::read::pointer_token;
use crate::arguments::bounded;
use crate::formats::Fault;
use crate::formats::walk::{Special, Trail, key_text, special};
use crate::go::strconv::quote;
use crate::go::unicode::lossy;
use crate::{MAX_RESULT, Profile};

/// In which points writers differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// `<`, `>` and `&` are written `\u003c` and so on.
    pub(crate) escape_html: bool,
    /// Go before 1.27, with which Vault is built, knows no maps keyed by `interface {}`.
    pub(crate) profile: Profile,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { escape_html: true, profile: Profile::OpenBao }
    }
}

/// A value as compact JSON.
///
/// # Errors
/// Go's words for what has no JSON form, or that the text would be too large.
pub(crate) fn write(value: &Value, dialect: Dialect) -> Result<String, Fault> {
    let mut writer = Writer { dialect, out: String::new(), frames: Vec::new(), trail: Trail::default() };
    writer.run(value)?;
    Ok(writer.out)
}

/// A container that is half written.
enum Frame {
    Array { items: vec::IntoIter<Value>, written: usize },
    Object { fields: vec::IntoIter<(Arc<[u8]>, Value)>, written: usize, key: Arc<[u8]> },
}

struct Writer {
    dialect: Dialect,
    out: String,
    frames: Vec<Frame>,
    trail: Trail,
}

impl Writer {
    fn run(&mut self, value: &Value) -> Result<(), Fault> {
        self.value(value)?;
        loop {
            bounded(self.out.len())?;
            let escape_html = self.dialect.escape_html;
            let next = match self.frames.last_mut() {
                None => return Ok(()),
                Some(Frame::Array { items, written }) => {
                    let next = items.next();
                    if next.is_none() {
                        self.out.push(']');
                    } else if *written > 0 {
                        self.out.push(',');
                    }
                    *written += 1;
                    next
                }
                Some(Frame::Object { fields, written, key }) => match fields.next() {
                    None => {
                        self.out.push('}');
                        None
                    }
                    Some((name, value)) => {
                        if *written > 0 {
                            self.out.push(',');
                        }
                        *written += 1;
                        string(&name, escape_html, &mut self.out);
                        self.out.push(':');
                        *key = name;
                        Some(value)
                    }
                },
            };
            match next {
                Some(value) => self.value(&value)?,
                None => {
                    self.frames.pop();
                    self.trail.leave();
                }
            }
        }
    }

    /// Writes a scalar, or the beginning of a container.
    fn value(&mut self, value: &Value) -> Result<(), Fault> {
        let out = &mut self.out;
        match value {
            Value::Nil | Value::NilInterface | Value::NilPointer(_) => out.push_str("null"),
            Value::Bool(value) => _ = write!(out, "{value}"),
            Value::Int(_, value) => _ = write!(out, "{value}"),
            Value::Uint(_, value) => _ = write!(out, "{value}"),
            Value::Number(text) if text.is_empty() => out.push('0'),
            Value::Number(text) if is_number(text) => out.push_str(text),
            Value::Number(text) => {
                return Err(format!("json: invalid number literal {}", quote(text.as_bytes())).into());
            }
            Value::Float(value) => out.push_str(&float(*value)?),
            Value::Str(bytes) => string(bytes, self.dialect.escape_html, out),
            Value::List(list) if list.is_nil() => out.push_str("null"),
            Value::List(list) if *list.element() == Type::Uint(UintKind::Uint8) => {
                let bytes: Vec<u8> = list
                    .items()
                    .iter()
                    .map(|item| match item {
                        Value::Uint(_, byte) => u8::try_from(*byte).unwrap_or_default(),
                        _ => 0,
                    })
                    .collect();
                string(BASE64_STANDARD.encode(bytes).as_bytes(), false, out);
            }
            Value::List(list) => {
                out.push('[');
                self.enter(value)?;
                self.frames.push(Frame::Array { items: list.items().to_vec().into_iter(), written: 0 });
            }
            Value::Map(map) => self.map(map)?,
            Value::Object(object) => match special(object.as_ref()) {
                Some(Special::Time(time)) => {
                    let text = time.rfc3339().map_err(|why| {
                        format!("json: error calling MarshalJSON for type *time.Time: {why}")
                    })?;
                    string(text.as_bytes(), self.dialect.escape_html, out);
                }
                Some(Special::Text(text)) => string(&text, self.dialect.escape_html, out),
                None => {
                    out.push('{');
                    self.enter(value)?;
                    let fields = object.fields().into_iter();
                    self.object(fields.map(|(name, value)| (name.as_bytes().into(), value)).collect());
                }
            },
            Value::Complex(..) | Value::Chan(_) => {
                return Err(format!("json: unsupported type: {}", value.type_name()).into());
            }
        }
        Ok(())
    }

    fn map(&mut self, map: &Map) -> Result<(), Fault> {
        let value = Value::Map(map.clone());
        let keyed = matches!(map.key(), Type::Str | Type::Number | Type::Int(_) | Type::Uint(_));
        if !keyed && (self.dialect.profile == Profile::Vault || *map.key() != Type::Any) {
            return Err(format!("json: unsupported type: {}", value.type_name()).into());
        }
        if map.is_nil() {
            self.out.push_str("null");
            return Ok(());
        }
        self.enter(&value)?;
        self.out.push('{');
        let mut fields = Vec::new();
        for (key, value) in map.snapshot().iter() {
            let text = match (key_text(key), key) {
                (Some(text), _) => text,
                (None, Key::Float(number)) if !number.is_finite() => return Err(unsupported(*number).into()),
                (None, _) => return Err(self.key_is_no_string().into()),
            };
            fields.push((text, value.clone()));
        }
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.object(fields);
        Ok(())
    }

    fn object(&mut self, fields: Vec<(Arc<[u8]>, Value)>) {
        self.frames.push(Frame::Object { fields: fields.into_iter(), written: 0, key: Arc::from([]) });
    }

    fn enter(&mut self, value: &Value) -> Result<(), Fault> {
        let cycle = |kind: &str| format!("json: unsupported value: encountered a cycle via {kind}");
        self.trail.enter(value, cycle)
    }

    /// A key like `true` in a map that may have keys of any type.
    fn key_is_no_string(&self) -> String {
        let mut pointer = String::new();
        for frame in &self.frames {
            pointer.push('/');
            match frame {
                Frame::Array { written, .. } => _ = write!(pointer, "{}", written.saturating_sub(1)),
                Frame::Object { key, .. } => pointer.push_str(&pointer_token(key)),
            }
        }
        let within =
            if pointer.is_empty() { String::new() } else { format!(" within {}", quote(pointer.as_bytes())) };
        format!(
            "json: unsupported value: jsontext: object member name must be a string{within} after offset {}",
            self.out.len() + 1
        )
    }
}

fn string(bytes: &[u8], escape_html: bool, out: &mut String) {
    out.push('"');
    for c in lossy(bytes).chars() {
        if out.len() > MAX_RESULT {
            // Too much already; the rest is not worth the memory.
            return;
        }
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' if !escape_html => out.push(c),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..'\u{20}' => {
                _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether a `json.Number` is one.
fn is_number(text: &str) -> bool {
    super::parse(text.as_bytes()).is_ok_and(|parsed| matches!(parsed.value, Value::Float(_)))
        && !text.starts_with([' ', '\t', '\r', '\n'])
        && !text.ends_with([' ', '\t', '\r', '\n'])
}

/// Shortest digits; exponent form below 1e-6 and from 1e21 on, as JavaScript writes them.
pub(super) fn float(value: f64) -> Result<String, String> {
    if !value.is_finite() {
        return Err(unsupported(value));
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return Ok(match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        });
    }
    Ok(format!("{value}"))
}

fn unsupported(value: f64) -> String {
    let name = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    };
    format!("json: unsupported value: {name}")
}
