//! Values of keys, by kind.

use std::path::PathBuf;

use hcl1::{Diagnostic, Kind, Value};

use super::Fields;
use crate::go_duration::GoDuration;
use crate::go_scalar::{parse_bool, parse_integer};
use crate::problem::Placed;

impl Fields<'_> {
    /// Bytes: a string, or a number as it was written.
    pub(crate) fn bytes(&self, key: &'static str) -> Option<Vec<u8>> {
        let value = self.value(key)?;
        match &value.kind {
            Kind::String(text) => Some(text.0.clone()),
            Kind::Number(text) => Some(text.clone().into_bytes()),
            Kind::Null => None,
            _ => {
                self.refuse_kind(key, value, "a string");
                None
            }
        }
    }

    /// Text; `Some("")` when the key is there and empty.
    pub(crate) fn text(&self, key: &'static str) -> Option<String> {
        match String::from_utf8(self.bytes(key)?) {
            Ok(text) => Some(text),
            Err(_) => {
                self.refuse(self.span_of(key), format!("`{key}` holds bytes that are not UTF-8"));
                None
            }
        }
    }

    /// Text, if there is any.
    pub(crate) fn filled(&self, key: &'static str) -> Option<String> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// Text with its place.
    pub(crate) fn placed(&self, key: &'static str) -> Option<Placed<String>> {
        let value = self.text(key)?;
        Some(Placed { value, place: self.report.place(self.span_of(key)) })
    }

    /// A path, if it is not empty.
    pub(crate) fn file(&self, key: &'static str) -> Option<PathBuf> {
        self.filled(key).map(PathBuf::from)
    }

    /// A whole number, bare or in a string.
    pub(crate) fn integer(&self, key: &'static str) -> Option<i64> {
        let value = self.value(key)?;
        let text = match &value.kind {
            Kind::Number(text) => text.as_str(),
            Kind::String(text) => text.as_str().unwrap_or("\u{fffd}"),
            Kind::Null => return None,
            _ => {
                self.refuse_kind(key, value, "a whole number");
                return None;
            }
        };
        if matches!(value.kind, Kind::Number(_)) && is_float(text) {
            let message = format!("`{key}` must be a whole number");
            self.refuse_as(&self.prefix, Diagnostic::error(&self.report.source, value.span, message), true);
            return None;
        }
        parse_integer(text)
            .map_err(|why| self.refuse_value(key, value.span, "error parsing", &why, None))
            .ok()
    }

    /// A number with decimals, bare or in a string.
    pub(crate) fn float(&self, key: &'static str) -> Option<f64> {
        let value = self.value(key)?;
        let text = match &value.kind {
            Kind::Number(text) => text.as_str(),
            Kind::String(text) => text.as_str().unwrap_or("\u{fffd}"),
            Kind::Null => return None,
            _ => {
                self.refuse_kind(key, value, "a number");
                return None;
            }
        };
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        if number.is_none() {
            let why = format!("strconv.ParseFloat: parsing {text:?}: invalid syntax");
            self.refuse_value(key, value.span, "error parsing", &why, None);
        }
        number
    }

    /// `true` or `false`, in a string too if it must be.
    pub(crate) fn strict_bool(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match &value.kind {
            Kind::Bool(value) => Some(*value),
            Kind::String(text) if text.0 == b"true" => Some(true),
            Kind::String(text) if text.0 == b"false" => Some(false),
            Kind::Null => None,
            _ => {
                let message = format!("`{key}` must be true or false");
                let diagnostic = Diagnostic::error(&self.report.source, value.span, message);
                self.refuse_as(&self.prefix, diagnostic, true);
                None
            }
        }
    }

    /// Whatever can pass for a boolean: any number, Go's words for true and false, nothing.
    pub(crate) fn lax_bool(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match lax_bool(value) {
            Ok(value) => value,
            Err(Some(why)) => {
                let why = format!("cannot parse '' as bool: {why}");
                self.refuse_value(key, value.span, "invalid value for", &why, Some("write true or false"));
                None
            }
            Err(None) => {
                self.refuse_kind(key, value, "true or false");
                None
            }
        }
    }

    /// Seconds as a number, or a duration in text.
    pub(crate) fn duration(&self, key: &'static str) -> Option<GoDuration> {
        let value = self.value(key)?;
        let duration = match &value.kind {
            Kind::Number(text) => seconds(text),
            Kind::String(text) => GoDuration::parse_lax(text.as_str().unwrap_or("\u{fffd}")),
            Kind::Null => return None,
            _ => Err("could not parse duration from input".to_owned()),
        };
        duration
            .map_err(|why| {
                let hint = "a number of seconds, or text like \"90s\", \"5m\", \"1h30m\"";
                self.refuse_value(key, value.span, "error parsing", &why, Some(hint));
            })
            .ok()
    }

    /// A list of strings.
    pub(crate) fn strings(&self, key: &'static str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        match &value.kind {
            Kind::List(values) => Some(self.elements(key, values)),
            Kind::Null => None,
            Kind::String(_) => {
                let message = format!("`{key}` must be a list of strings, not a string");
                let diagnostic = Diagnostic::error(&self.report.source, value.span, message)
                    .hint("put it in brackets: [\"…\"]");
                self.refuse_as(&self.prefix, diagnostic, true);
                None
            }
            _ => {
                self.refuse_kind(key, value, "a list of strings");
                None
            }
        }
    }

    /// A list of strings, or a lone string as `split` takes it apart.
    pub(crate) fn strings_or(
        &self,
        key: &'static str,
        split: impl Fn(&str) -> Vec<String>,
    ) -> Option<Vec<String>> {
        match &self.value(key)?.kind {
            Kind::List(values) => Some(self.elements(key, values)),
            _ => self.text(key).map(|text| split(&text)),
        }
    }

    fn elements(&self, key: &'static str, values: &[Value]) -> Vec<String> {
        let mut texts = Vec::new();
        for value in values {
            match &value.kind {
                Kind::String(text) => match text.as_str() {
                    Some(text) => texts.push(text.to_owned()),
                    None => self.refuse(value.span, format!("`{key}` holds bytes that are not UTF-8")),
                },
                Kind::Number(text) => texts.push(text.clone()),
                Kind::Null => {}
                _ => self.refuse_kind(key, value, "a list of strings"),
            }
        }
        texts
    }
}

/// `Err(None)` for a kind that can be no boolean.
pub(crate) fn lax_bool(value: &Value) -> Result<Option<bool>, Option<String>> {
    match &value.kind {
        Kind::Bool(value) => Ok(Some(*value)),
        Kind::Number(text) => Ok(Some(number_is_true(text))),
        Kind::String(text) if text.0.is_empty() => Ok(Some(false)),
        Kind::String(text) => parse_bool(text.as_str().unwrap_or("\u{fffd}")).map(Some).map_err(Some),
        Kind::Null => Ok(None),
        _ => Err(None),
    }
}

/// Zero is false, every other number true.
fn number_is_true(text: &str) -> bool {
    match parse_integer(text) {
        Ok(number) => number != 0,
        Err(_) => text.parse::<f64>() != Ok(0.0),
    }
}

pub(crate) fn is_float(text: &str) -> bool {
    !text.starts_with("0x") && !text.starts_with("0X") && text.contains(['.', 'e', 'E'])
}

/// A bare number as seconds.
pub(crate) fn seconds(text: &str) -> Result<GoDuration, String> {
    if !is_float(text) {
        return parse_integer(text).map(GoDuration::from_seconds);
    }
    match text.parse::<f64>() {
        // Casting saturates, which is what the longest Go duration is for.
        Ok(seconds) if seconds.is_finite() => Ok(GoDuration::from_nanoseconds((seconds * 1e9) as i64)),
        _ => Err(format!("time: invalid duration {text:?}")),
    }
}
