//! The comparison builtins: `eq ne lt le gt ge`.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::format::sprintf;
use crate::func::FuncError;
use crate::value::Value;

type Answer = Result<bool, FuncError>;

/// Go's basic kinds; within one, values compare whatever their width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basic {
    Bool,
    Complex,
    Int,
    Float,
    Str,
    Uint,
    Other,
}

fn basic(value: &Value) -> Basic {
    match value {
        Value::Bool(_) => Basic::Bool,
        Value::Complex(..) => Basic::Complex,
        Value::Int(..) => Basic::Int,
        Value::Float(_) => Basic::Float,
        Value::Str(_) | Value::Number(_) => Basic::Str,
        Value::Uint(..) => Basic::Uint,
        _ => Basic::Other,
    }
}

/// Whether the first equals any of the others.
pub(crate) fn eq(args: &[Value]) -> Answer {
    let Some((first, rest)) = args.split_first() else {
        return Err("missing argument for comparison".into());
    };
    if rest.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in rest {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(named_a: &Value, named_b: &Value) -> Answer {
    let (a, b) = (&*named_a.plain(), &*named_b.plain());
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Complex(a, b), Value::Complex(c, d)) => a == c && b == d,
        (Value::Float(a), Value::Float(b)) => a == b,
        _ => {
            if let Some(order) = order(a, b) {
                return Ok(order == Ordering::Equal);
            }
            if basic(a) != basic(b) {
                return if a.is_nil() || b.is_nil() {
                    Ok(false)
                } else {
                    Err(incompatible(named_a, named_b))
                };
            }
            return equal_other(a, b);
        }
    })
}

/// Two values of no basic kind, nils among them.
fn equal_other(a: &Value, b: &Value) -> Answer {
    if kind(a) != kind(b) && !a.is_nil() && !b.is_nil() {
        let (a_type, b_type) = (a.type_name(), b.type_name());
        return Err(
            format!("non-comparable types {}: {a_type}, {b_type}: {}", as_string(a)?, as_text(b)?).into()
        );
    }
    if nil_inside(a) || nil_inside(b) {
        return Ok(nil_inside(a) == nil_inside(b));
    }
    match (a, b) {
        (Value::Chan(a), Value::Chan(b)) => Ok(a.is_same(b)),
        (Value::Object(x), Value::Object(y)) => Ok(match (a.as_pointer(), b.as_pointer()) {
            (Some(x), Some(y)) => Arc::ptr_eq(x, y),
            (None, None) => x.type_name() == y.type_name() && x.equals(&**y),
            _ => false,
        }),
        _ => Err(format!("non-comparable type {}: {}", as_string(b)?, b.type_name()).into()),
    }
}

/// Go's reflect kind, as far as non-basic values differ.
fn kind(value: &Value) -> u8 {
    match value {
        Value::List(_) => 1,
        Value::Map(_) => 2,
        Value::Chan(_) => 3,
        Value::NilPointer(_) => 4,
        Value::Object(_) if value.as_pointer().is_some() => 4,
        Value::Object(_) => 5,
        _ => 0,
    }
}

fn nil_inside(value: &Value) -> bool {
    match value {
        Value::Nil | Value::NilInterface | Value::NilPointer(_) => true,
        Value::List(list) => list.is_nil(),
        Value::Map(map) => map.is_nil(),
        _ => false,
    }
}

/// `%s`, which marks the numbers inside: Go's own message does so.
fn as_string(value: &Value) -> Result<String, FuncError> {
    Ok(String::from_utf8_lossy(&sprintf(b"%s", std::slice::from_ref(value))?).into_owned())
}

fn as_text(value: &Value) -> Result<String, FuncError> {
    Ok(String::from_utf8_lossy(&sprintf(b"%v", std::slice::from_ref(value))?).into_owned())
}

/// Order of integers of either sign and of strings.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(_, a), Value::Int(_, b)) => Some(a.cmp(b)),
        (Value::Uint(_, a), Value::Uint(_, b)) => Some(a.cmp(b)),
        (Value::Int(_, a), Value::Uint(_, b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(_, a), Value::Int(_, b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        _ => Some(text(a)?.cmp(text(b)?)),
    }
}

fn text(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Str(text) => Some(text),
        Value::Number(text) => Some(text.as_bytes()),
        _ => None,
    }
}

fn incompatible(a: &Value, b: &Value) -> FuncError {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()).into()
}

/// `a < b`.
pub(crate) fn lt(named_a: &Value, named_b: &Value) -> Answer {
    let (a, b) = (&*named_a.plain(), &*named_b.plain());
    let (left, right) = (basic(a), basic(b));
    if left == Basic::Other || right == Basic::Other {
        return Err("invalid type for comparison".into());
    }
    if let (Value::Float(a), Value::Float(b)) = (a, b) {
        return Ok(a < b);
    }
    match order(a, b) {
        Some(order) => Ok(order == Ordering::Less),
        None if left == right => Err("invalid type for comparison".into()),
        None => Err(incompatible(named_a, named_b)),
    }
}

/// `a <= b`, which Go builds from `<` and `==`: a NaN is neither.
pub(crate) fn le(a: &Value, b: &Value) -> Answer {
    Ok(lt(a, b)? || equal(a, b)?)
}
