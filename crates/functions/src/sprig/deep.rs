//! Whole values compared and copied.

use std::sync::Arc;

use gotemplate::{FuncError, List, Map, Value};

use super::semver;
pub(super) use crate::walk::Walk;

// === Comparison ===

/// `reflect.DeepEqual`: of the same type and the same all the way down; a nil list is no empty one.
///
/// # Errors
/// When the values are too deep or too large.
pub(super) fn equal(a: &Value, b: &Value, walk: &mut Walk) -> Result<bool, FuncError> {
    Ok(match (a, b) {
        (Value::Nil | Value::NilInterface, Value::Nil | Value::NilInterface) => true,
        (Value::NilPointer(a), Value::NilPointer(b)) => a.name == b.name,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a_kind, a), Value::Int(b_kind, b)) => a_kind == b_kind && a == b,
        (Value::Uint(a_kind, a), Value::Uint(b_kind, b)) => a_kind == b_kind && a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Complex(a, b), Value::Complex(c, d)) => a == c && b == d,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => a == b,
        (Value::List(a), Value::List(b)) => equal_lists(a, b, walk)?,
        (Value::Map(a), Value::Map(b)) => equal_maps(a, b, walk)?,
        (Value::Object(a), Value::Object(b)) => {
            if Arc::ptr_eq(a, b) {
                return Ok(true);
            }
            if a.type_name() != b.type_name() {
                return Ok(false);
            }
            if a.equals(&**b) {
                return Ok(true);
            }
            let (a, b) = (a.fields(), b.fields());
            if a.is_empty() || a.len() != b.len() {
                return Ok(false);
            }
            walk.down::<_, FuncError>(a.len(), |walk| {
                for ((_, a), (_, b)) in a.iter().zip(&b) {
                    if !equal(a, b, walk)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            })?
        }
        _ => false,
    })
}

fn equal_lists(a: &List, b: &List, walk: &mut Walk) -> Result<bool, FuncError> {
    if a.element() != b.element() || a.is_nil() != b.is_nil() || a.len() != b.len() {
        return Ok(false);
    }
    if std::ptr::eq(a.items(), b.items()) {
        return Ok(true);
    }
    walk.down(a.len(), |walk| {
        for (a, b) in a.items().iter().zip(b.items()) {
            if !equal(a, b, walk)? {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

fn equal_maps(a: &Map, b: &Map, walk: &mut Walk) -> Result<bool, FuncError> {
    if a.key() != b.key() || a.value() != b.value() || a.is_nil() != b.is_nil() || a.len() != b.len() {
        return Ok(false);
    }
    walk.down(a.len(), |walk| {
        for (key, value) in a.entries() {
            match b.get(&key) {
                Some(other) if equal(&value, &other, walk)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    })
}

// === Copying ===

/// A copy that shares no map with the original. Objects cannot be changed and are shared, but for a version:
/// Go's copy of one is empty, because its fields are private.
///
/// # Errors
/// When the value is too deep or too large.
pub(super) fn copy(value: &Value, walk: &mut Walk) -> Result<Value, FuncError> {
    Ok(match value {
        Value::List(list) if !list.is_nil() => {
            let items = walk.down(list.len(), |walk| {
                list.items().iter().map(|item| copy(item, walk)).collect::<Result<_, FuncError>>()
            })?;
            Value::List(List::new(list.element().clone(), items))
        }
        Value::Map(map) if !map.is_nil() => {
            let entries = walk.down(map.len(), |walk| {
                let copied = |(key, value)| Ok((key, copy(&value, walk)?));
                map.entries().into_iter().map(copied).collect::<Result<Vec<_>, FuncError>>()
            })?;
            Value::Map(Map::new(map.key().clone(), map.value().clone(), entries))
        }
        Value::Object(object) => semver::emptied(&**object).unwrap_or_else(|| value.clone()),
        _ => value.clone(),
    })
}

#[cfg(test)]
mod tests {
    use gotemplate::{Key, Type};

    use super::*;
    use crate::go::mergo::{Conflict, merged};

    /// A map that is its own element twice over: walking it all takes for ever.
    fn endless() -> (Value, Map) {
        let map = Map::new(Type::Str, Type::Any, []);
        map.insert(Key::str("a"), Value::Map(map.clone()));
        map.insert(Key::str("b"), Value::Map(map.clone()));
        (Value::Map(map.clone()), map)
    }

    /// A walk that tires soon.
    fn short() -> Walk {
        Walk::of(10_000)
    }

    #[test]
    fn maps_in_themselves_are_refused() {
        let ((a, a_map), (b, b_map)) = (endless(), endless());
        assert!(equal(&a, &b, &mut short()).is_err());
        assert!(copy(&a, &mut short()).is_err());
        assert!(merged(&a_map, &b_map, Conflict::Keep, &mut short()).is_err());
    }

    #[test]
    fn a_value_that_doubles_at_each_level_is_refused() {
        let doubled = || (0..100).fold(Value::int(1), |inner, _| Value::list(vec![inner.clone(), inner]));
        assert!(equal(&doubled(), &doubled(), &mut short()).is_err());
        assert!(copy(&doubled(), &mut short()).is_err());
        let one = doubled();
        assert_eq!(equal(&one, &one, &mut short()), Ok(true));
    }
}
