//! Walks through whole values: deep comparison, copying and merging.
//!
//! A template can nest values without end and even put a map into itself, where Go would exhaust its stack. Here
//! every walk has a bound in depth and in steps.

use std::sync::Arc;

use gotemplate::{FuncError, List, Map, Type, Value};

use super::convert::kind;
use super::semver;
/// Lists and maps may nest this deep.
const MAX_DEPTH: usize = 200;
/// A walk sees so many elements at most.
const MAX_STEPS: usize = 4 << 20;

/// What is left of a walk.
pub(super) struct Walk {
    steps: usize,
    depth: usize,
}

impl Walk {
    /// A fresh one.
    pub(super) fn new() -> Self {
        Self { steps: MAX_STEPS, depth: MAX_DEPTH }
    }

    /// Goes one level down for `inside`, which sees `count` elements.
    fn down<T>(
        &mut self,
        count: usize,
        inside: impl FnOnce(&mut Self) -> Result<T, FuncError>,
    ) -> Result<T, FuncError> {
        self.depth = self.depth.checked_sub(1).ok_or("the value is nested too deep")?;
        self.steps = self.steps.checked_sub(count).ok_or("the values have too many elements")?;
        let result = inside(self);
        self.depth += 1;
        result
    }
}

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
            walk.down(a.len(), |walk| {
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
                list.items().iter().map(|item| copy(item, walk)).collect::<Result<_, _>>()
            })?;
            Value::List(List::new(list.element().clone(), items))
        }
        Value::Map(map) if !map.is_nil() => {
            let entries = walk.down(map.len(), |walk| {
                let copied = |(key, value)| Ok::<_, FuncError>((key, copy(&value, walk)?));
                map.entries().into_iter().map(copied).collect::<Result<Vec<_>, _>>()
            })?;
            Value::Map(Map::new(map.key().clone(), map.value().clone(), entries))
        }
        Value::Object(object) => semver::emptied(&**object).unwrap_or_else(|| value.clone()),
        _ => value.clone(),
    })
}

// === Merging ===

/// What happens to a key that both maps have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Conflict {
    /// What is there stays, unless it is empty.
    Keep,
    /// What is merged wins, even if it is empty.
    Overwrite,
}

/// Why two maps were not merged.
pub(super) enum Unmerged {
    /// mergo returns an error: a pointer meets a map.
    Types,
    /// It panics, or we refuse.
    Panic(FuncError),
}

impl From<FuncError> for Unmerged {
    fn from(error: FuncError) -> Self {
        Self::Panic(error)
    }
}

/// mergo's `Merge`: puts `source` into `target`, maps in maps key by key. Lists are never joined.
///
/// # Errors
/// Where mergo fails or panics, and when the values are too deep or too large.
pub(super) fn merge(target: &Map, source: &Map, conflict: Conflict, walk: &mut Walk) -> Result<(), Unmerged> {
    let mut outcome = Ok(());
    walk.down(source.len(), |walk| {
        outcome = merge_entries(target, source, conflict, walk);
        Ok(())
    })?;
    outcome
}

fn merge_entries(target: &Map, source: &Map, conflict: Conflict, walk: &mut Walk) -> Result<(), Unmerged> {
    let overwrite = conflict == Conflict::Overwrite;
    for (key, value) in source.entries() {
        if source.key() != target.key() && *target.key() != Type::Any {
            return Err(unassignable("MapIndex", source.key(), target.key()));
        }
        let insert = |value: Value| {
            if source.value() != target.value() && *target.value() != Type::Any {
                return Err(unassignable("SetMapIndex", source.value(), target.value()));
            }
            target.insert(key.clone(), value);
            Ok(())
        };
        if value.is_nil() {
            if overwrite {
                insert(value)?;
            }
            continue;
        }
        let present = target.get(&key);
        match (&present, &value) {
            (Some(Value::Map(inner)), Value::Map(source)) if !inner.is_nil() => {
                merge(inner, source, conflict, walk)?;
            }
            (Some(pointer), Value::Map(_)) if kind(pointer) == "ptr" && !overwrite => {
                return Err(Unmerged::Types);
            }
            _ => {}
        }
        if let Some(present) = present
            && !is_empty(&present)
            && (!overwrite || kind(&present) == "map" && kind(&value) == "map")
        {
            continue;
        }
        insert(value)?;
    }
    Ok(())
}

/// mergo's idea of emptiness: a complex zero is something.
fn is_empty(value: &Value) -> bool {
    !value.truth() && !matches!(value, Value::Complex(..))
}

fn unassignable(method: &str, have: &Type, want: &Type) -> Unmerged {
    let text = format!("reflect.Value.{method}: value of type {have} is not assignable to type {want}");
    Unmerged::Panic(text.into())
}

#[cfg(test)]
mod tests {
    use gotemplate::Key;

    use super::*;

    /// A map that is its own element twice over: walking it all takes for ever.
    fn endless() -> (Value, Map) {
        let map = Map::new(Type::Str, Type::Any, []);
        map.insert(Key::str("a"), Value::Map(map.clone()));
        map.insert(Key::str("b"), Value::Map(map.clone()));
        (Value::Map(map.clone()), map)
    }

    /// A walk that tires soon.
    fn short() -> Walk {
        Walk { steps: 10_000, depth: MAX_DEPTH }
    }

    #[test]
    fn maps_in_themselves_are_refused() {
        let ((a, a_map), (b, b_map)) = (endless(), endless());
        assert!(equal(&a, &b, &mut short()).is_err());
        assert!(copy(&a, &mut short()).is_err());
        assert!(merge(&a_map, &b_map, Conflict::Keep, &mut short()).is_err());
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
