//! From values to the text's nodes.

use std::vec;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use gotemplate::{Key, Object, Value};

use super::emit::{Emitter, Style};
use super::order::sorted;
use super::resolve::{Tag, is_base_60, tag_of};
use crate::arguments::bounded;
use crate::formats::Fault;
use crate::formats::walk::{Special, Trail, special};
use crate::go::layout::RFC3339_NANO;
use crate::go::strconv::{float, format_float, int};
use crate::go::strings::trim_space;

/// A value as a YAML document, trimmed.
///
/// # Errors
/// The library's words for what has no YAML form, or that the text would be too large.
pub(crate) fn write(value: &Value) -> Result<Vec<u8>, Fault> {
    let mut writer = Writer { emitter: Emitter::new(), frames: Vec::new(), trail: Trail::default() };
    writer.value(value)?;
    writer.run()?;
    Ok(trim_space(&writer.emitter.finish()).to_vec())
}

/// A container that is half written.
enum Frame {
    Sequence(vec::IntoIter<Value>),
    Mapping(vec::IntoIter<(Key, Value)>),
}

struct Writer {
    emitter: Emitter,
    frames: Vec<Frame>,
    trail: Trail,
}

impl Writer {
    fn run(&mut self) -> Result<(), Fault> {
        loop {
            bounded(self.emitter.len())?;
            let next = match self.frames.last_mut() {
                None => return Ok(()),
                Some(Frame::Sequence(items)) => items.next().inspect(|_| self.emitter.dash()),
                Some(Frame::Mapping(entries)) => entries.next().map(|(key, value)| {
                    let scalar = Scalar::of_key(&key);
                    self.emitter.key(&scalar.text, scalar.tag, scalar.style);
                    value
                }),
            };
            match next {
                Some(value) => self.value(&value)?,
                None => {
                    self.frames.pop();
                    self.trail.leave();
                    self.emitter.end();
                }
            }
        }
    }

    /// Writes a scalar, or begins a container.
    fn value(&mut self, value: &Value) -> Result<(), Fault> {
        match value {
            Value::List(list) if list.is_empty() => self.emitter.empty("[", "]"),
            Value::Map(map) if map.is_empty() => self.emitter.empty("{", "}"),
            Value::List(list) => {
                self.enter(value)?;
                self.emitter.begin_sequence();
                self.frames.push(Frame::Sequence(list.items().to_vec().into_iter()));
            }
            Value::Map(map) => {
                self.enter(value)?;
                self.emitter.begin_mapping();
                self.frames.push(Frame::Mapping(sorted(&map.snapshot()).into_iter()));
            }
            Value::Object(object) => match special(object.as_ref()) {
                Some(Special::Time(time)) => self.scalar(&Scalar::plain(time.format(RFC3339_NANO))),
                Some(Special::Text(text)) => self.scalar(&Scalar::text(&text)),
                None => self.object(value, object.as_ref())?,
            },
            Value::Complex(..) | Value::Chan(_) => {
                return Err(format!("cannot marshal type: {}", value.type_name()).into());
            }
            scalar => self.scalar(&Scalar::of(scalar)),
        }
        Ok(())
    }

    /// A struct: its fields in their order, in lower case.
    fn object(&mut self, value: &Value, object: &dyn Object) -> Result<(), Fault> {
        let fields: Vec<_> =
            object.fields().into_iter().map(|(name, value)| (Key::str(name.to_lowercase()), value)).collect();
        if fields.is_empty() {
            self.emitter.empty("{", "}");
            return Ok(());
        }
        self.enter(value)?;
        self.emitter.begin_mapping();
        self.frames.push(Frame::Mapping(fields.into_iter()));
        Ok(())
    }

    fn scalar(&mut self, scalar: &Scalar) {
        self.emitter.value(&scalar.text, scalar.tag, scalar.style);
    }

    fn enter(&mut self, value: &Value) -> Result<(), Fault> {
        self.trail.enter(value, |_| "yaml: the value contains itself".to_owned())
    }
}

/// A scalar on its way out.
struct Scalar {
    text: Vec<u8>,
    tag: &'static str,
    style: Style,
}

impl Scalar {
    fn of(value: &Value) -> Self {
        match value {
            Value::Bool(value) => Self::plain(value.to_string()),
            Value::Int(_, value) => Self::plain(value.to_string()),
            Value::Uint(_, value) => Self::plain(value.to_string()),
            Value::Float(value) => Self::float(*value),
            Value::Str(text) => Self::text(text),
            Value::Number(literal) => match (int(literal.as_bytes(), 10), float(literal.as_bytes())) {
                (Ok(number), _) => Self::plain(number.to_string()),
                (_, Ok(number)) => Self::float(number),
                _ => Self::text(literal.as_bytes()),
            },
            _ => Self::plain("null"),
        }
    }

    fn of_key(key: &Key) -> Self {
        Self::of(&key.value())
    }

    fn plain(text: impl Into<Vec<u8>>) -> Self {
        Self { text: text.into(), tag: "", style: Style::Plain }
    }

    fn float(value: f64) -> Self {
        if value.is_nan() {
            Self::plain(".nan")
        } else if value.is_infinite() {
            Self::plain(if value > 0.0 { ".inf" } else { "-.inf" })
        } else {
            Self::plain(format_float(value))
        }
    }

    /// Plain if it reads as itself; bytes that are no UTF-8 as base64.
    fn text(text: &[u8]) -> Self {
        let (text, tag, plain) = if std::str::from_utf8(text).is_err() {
            (base64_lines(text), "!!binary", true)
        } else {
            (text.to_vec(), "", tag_of(text) == Tag::Str && !is_base_60(text))
        };
        let style = if text.contains(&b'\n') {
            Style::Literal
        } else if plain {
            Style::Plain
        } else {
            Style::DoubleQuoted
        };
        Self { text, tag, style }
    }
}

/// Base64; if it is long, in lines that all end with a line break.
fn base64_lines(bytes: &[u8]) -> Vec<u8> {
    const LINE: usize = 70;
    let encoded = BASE64_STANDARD.encode(bytes).into_bytes();
    if encoded.len() < LINE {
        return encoded;
    }
    let mut out = Vec::with_capacity(encoded.len() + encoded.len() / LINE + 1);
    for line in encoded.chunks(LINE) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out
}
