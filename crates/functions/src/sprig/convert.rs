//! How sprig turns any value into a number, a text or the name of its kind.

use std::borrow::Cow;

use gotemplate::{FuncError, IntKind, Shape, Type, UintKind, Value, sprint};

use crate::go::strconv;

/// What Go says when it asks a nil for its type.
pub(super) const NIL_DEREFERENCE: &str = "runtime error: invalid memory address or nil pointer dereference";

/// `cast.ToInt64`: 0 for what is no number. A text may have a base prefix, so "08" is none and "010" is 8.
pub(super) fn int(value: &Value) -> i64 {
    match value {
        Value::Int(_, value) => *value,
        Value::Uint(_, value) => *value as i64,
        Value::Float(value) => truncated(*value),
        Value::Bool(value) => i64::from(*value),
        Value::Str(text) => strconv::int(without_zero_fraction(text), 0).unwrap_or(0),
        Value::Number(text) => strconv::int(without_zero_fraction(text.as_bytes()), 0).unwrap_or(0),
        _ => 0,
    }
}

/// As the processor converts: what does not fit is the smallest number.
fn truncated(value: f64) -> i64 {
    // 2^63 itself does not fit.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

/// `12.00` as `12`; any other text as it is.
fn without_zero_fraction(text: &[u8]) -> &[u8] {
    let zeros = text.iter().rev().take_while(|&&byte| byte == b'0').count();
    match text.get(..text.len() - zeros) {
        Some([whole @ .., b'.']) if zeros > 0 => whole,
        _ => text,
    }
}

/// `cast.ToFloat64`: 0 for what is no number.
pub(super) fn float(value: &Value) -> f64 {
    match value {
        Value::Int(_, value) => *value as f64,
        Value::Uint(_, value) => *value as f64,
        Value::Float(value) => *value,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Str(text) => strconv::float(text).unwrap_or(0.0),
        Value::Number(text) => strconv::float(text.as_bytes()).unwrap_or(0.0),
        _ => 0.0,
    }
}

/// A value's text: a string as it is, bytes as the string they are, all else as `print` shows it.
///
/// # Errors
/// When it is nested too deeply or its text is too long.
pub(super) fn text(value: &Value) -> Result<Cow<'_, [u8]>, FuncError> {
    match value {
        Value::Str(text) => Ok(Cow::Borrowed(text)),
        Value::List(list) if *list.element() == Type::Uint(UintKind::Uint8) => {
            Ok(Cow::Owned(list.items().iter().map(|item| int(item) as u8).collect()))
        }
        _ => Ok(Cow::Owned(sprint(std::slice::from_ref(value))?)),
    }
}

/// Go's `reflect.Kind`.
pub(super) fn kind(value: &Value) -> &'static str {
    match value.plain().as_ref() {
        Value::Nil | Value::NilInterface => "invalid",
        Value::NilPointer(_) => "ptr",
        Value::Bool(_) => "bool",
        Value::Int(IntKind::Int, _) => "int",
        Value::Int(IntKind::Int8, _) => "int8",
        Value::Int(IntKind::Int16, _) => "int16",
        Value::Int(IntKind::Int32, _) => "int32",
        Value::Int(IntKind::Int64, _) => "int64",
        Value::Uint(UintKind::Uint, _) => "uint",
        Value::Uint(UintKind::Uint8, _) => "uint8",
        Value::Uint(UintKind::Uint16, _) => "uint16",
        Value::Uint(UintKind::Uint32, _) => "uint32",
        Value::Uint(UintKind::Uint64, _) => "uint64",
        Value::Float(_) => "float64",
        Value::Complex(..) => "complex128",
        Value::Str(_) | Value::Number(_) => "string",
        Value::List(_) => "slice",
        Value::Map(_) => "map",
        Value::Chan(_) => "chan",
        Value::Object(object) if object.shape() == Shape::Pointer => "ptr",
        Value::Object(_) => "struct",
    }
}
