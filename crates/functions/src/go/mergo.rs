//! The library mergo, which merges maps deeply for the agents' `mergeMap` and sprig's `merge`.
//!
//! Its rules are kept with their edges. An empty value of the target counts as missing; a nil of the source is
//! only set when it overrides; lists are never joined. Maps of the target are changed in place, and maps of the
//! source that the target lacks are shared with it. OpenBao's agent has version 0.3.15 for both callers, Vault's a
//! 1.0, which differs in options that nobody here sets.

use gotemplate::{FuncError, List, Map, Shape, Type, Value};

use crate::walk::Walk;

/// What becomes of a value that the target has already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Conflict {
    /// It stays, unless it is empty.
    Keep,
    /// What is merged wins, even if it is empty.
    Override,
}

/// Why two maps were not merged.
#[derive(Debug)]
pub(crate) enum Unmerged {
    /// mergo returns an error: a pointer of the target meets something else.
    Types,
    /// It panics, or we refuse.
    Panic(FuncError),
}

impl From<FuncError> for Unmerged {
    fn from(error: FuncError) -> Self {
        Self::Panic(error)
    }
}

impl From<Unmerged> for FuncError {
    fn from(why: Unmerged) -> Self {
        match why {
            Unmerged::Types => "src and dst must be of same type".into(),
            Unmerged::Panic(error) => error,
        }
    }
}

/// Merges `source` into `target`, which is returned. A nil target becomes a new map.
///
/// # Errors
/// Where mergo fails or panics, and when the maps are too deep or too large.
pub(crate) fn merged(
    target: &Map,
    source: &Map,
    conflict: Conflict,
    walk: &mut Walk,
) -> Result<Map, Unmerged> {
    let target = if target.is_nil() && !source.is_nil() {
        Map::new(target.key().clone(), target.value().clone(), [])
    } else {
        target.clone()
    };
    merge(&target, source, conflict, walk)?;
    Ok(target)
}

fn merge(target: &Map, source: &Map, conflict: Conflict, walk: &mut Walk) -> Result<(), Unmerged> {
    walk.down(source.len(), |walk| {
        for (key, value) in source.entries() {
            if !assignable(source.key(), target.key()) {
                return Err(not_assignable("MapIndex", source.key(), target.key()));
            }
            let old = target.get(&key);
            if let Some(new) = merged_value(target, source, old, value, conflict, walk)? {
                target.insert(key, new);
            }
        }
        Ok(())
    })
}

/// What the target shall have in the place of `old`, if that changes.
fn merged_value(
    target: &Map,
    source: &Map,
    old: Option<Value>,
    value: Value,
    conflict: Conflict,
    walk: &mut Walk,
) -> Result<Option<Value>, Unmerged> {
    let overriding = conflict == Conflict::Override;
    // As `reflect` sees an element: its type is what the map declares, not what is in it.
    let settable = |kind: &Type| match assignable(kind, target.value()) {
        true => Ok(()),
        false => Err(not_assignable("SetMapIndex", kind, target.value())),
    };
    if value.is_nil() || is_nil_list_or_map(&value, source.value()) {
        if !overriding {
            return Ok(None);
        }
        settable(source.value())?;
        return Ok(Some(value));
    }
    let mut new = None;
    match (&old, &value) {
        // A nil map cannot be changed in place; it is set as a whole below.
        (Some(Value::Map(old)), Value::Map(value)) if !old.is_nil() => merge(old, value, conflict, walk)?,
        (Some(Value::Object(old)), Value::Map(_) | Value::Object(_))
            if old.shape() == Shape::Pointer && !overriding && !is_pointer(&value) =>
        {
            return Err(Unmerged::Types);
        }
        (_, Value::List(list)) => {
            let missing = match &old {
                None | Some(Value::Nil | Value::NilInterface) => true,
                Some(old) => element_is_nil(old, target.value())?,
            };
            let kept = match &old {
                _ if overriding || target.is_empty() => value.clone(),
                Some(old) if !missing => old.clone(),
                _ => Value::List(List::new(list.element().clone(), Vec::new())),
            };
            settable(&kept.type_of().unwrap_or(Type::Any))?;
            new = Some(kept);
        }
        _ => {}
    }
    match (old.filter(|old| !is_empty(old)), &value) {
        (Some(Value::Map(_)), Value::Map(_)) | (Some(Value::List(_)), Value::List(_)) => Ok(new),
        (Some(_), _) if !overriding => Ok(new),
        _ => {
            settable(source.value())?;
            Ok(Some(value))
        }
    }
}

fn is_pointer(value: &Value) -> bool {
    matches!(value, Value::Object(object) if object.shape() == Shape::Pointer)
}

/// A nil list or map counts as nil only where the map declares such elements; in an interface it is a value.
fn is_nil_list_or_map(value: &Value, declared: &Type) -> bool {
    match value {
        Value::List(list) => list.is_nil() && matches!(declared, Type::List(_)),
        Value::Map(map) => map.is_nil() && matches!(declared, Type::Map(_)),
        _ => false,
    }
}

/// Go's `IsNil` on an element of a map, which panics for an element that can never be nil.
fn element_is_nil(value: &Value, declared: &Type) -> Result<bool, FuncError> {
    match declared {
        Type::Any | Type::List(_) | Type::Map(_) | Type::Chan => {
            Ok(value.is_nil() || is_nil_list_or_map(value, declared))
        }
        other => Err(FuncError::new(format!("reflect: call of reflect.Value.IsNil on {other} Value"))),
    }
}

/// What mergo takes for empty: zero, nothing in it, nil. Complex numbers and structs never are.
fn is_empty(value: &Value) -> bool {
    !value.truth() && !matches!(value, Value::Complex(..))
}

fn assignable(from: &Type, to: &Type) -> bool {
    from == to || *to == Type::Any
}

fn not_assignable(operation: &str, from: &Type, to: &Type) -> Unmerged {
    let text = format!("reflect.Value.{operation}: value of type {from} is not assignable to type {to}");
    Unmerged::Panic(text.into())
}
