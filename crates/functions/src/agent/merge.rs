//! Maps merged deeply, as the library mergo does it: `mergeMap` of the agents calls it with two maps.
//!
//! Its rules are kept with their edges. An empty value of the target counts as missing; a nil of the source is
//! only set when it overrides; lists are never joined. Maps of the target are changed in place, and maps of the
//! source that the target lacks are shared with it.

use gotemplate::{FuncError, Map, Shape, Type, Value};

/// How deep maps may be nested. One that contains itself would go on forever.
const MAX_DEPTH: usize = 200;

/// Elements looked at in one merge. Maps that share their inner maps have exponentially many.
const MAX_STEPS: usize = 4 << 20;

/// What becomes of a value that the target has already.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Conflict {
    Keep,
    Override,
}

/// Merges `source` into `target`, which is returned. A nil target becomes a new map.
pub(super) fn merged(target: &Map, source: &Map, conflict: Conflict) -> Result<Map, FuncError> {
    let target = if target.is_nil() && !source.is_nil() {
        Map::new(target.key().clone(), target.value().clone(), [])
    } else {
        target.clone()
    };
    let mut steps = MAX_STEPS;
    merge_maps(&target, source, conflict, 0, &mut steps)?;
    Ok(target)
}

fn merge_maps(
    target: &Map,
    source: &Map,
    conflict: Conflict,
    depth: usize,
    steps: &mut usize,
) -> Result<(), FuncError> {
    if depth > MAX_DEPTH {
        return Err("maps are nested too deeply to merge".into());
    }
    *steps = steps.checked_sub(source.len()).ok_or("the maps have too many elements to merge")?;
    let overriding = conflict == Conflict::Override;
    for (key, value) in source.entries() {
        if !assignable(source.key(), target.key()) {
            return Err(not_assignable("MapIndex", source.key(), target.key()));
        }
        let old = target.get(&key);
        // As `reflect` sees an element: its type is what the map declares, not what is in it.
        let set = |value: &Value, kind: &Type| {
            if !assignable(kind, target.value()) {
                return Err(not_assignable("SetMapIndex", kind, target.value()));
            }
            target.insert(key.clone(), value.clone());
            Ok(())
        };
        if value.is_nil() || is_nil_list_or_map(&value, source.value()) {
            if overriding {
                set(&value, source.value())?;
            }
            continue;
        }
        match &value {
            Value::Map(_) | Value::Object(_) => merge_values(old.as_ref(), &value, conflict, depth, steps)?,
            Value::List(list) => {
                let missing = match &old {
                    None => true,
                    Some(Value::Nil | Value::NilInterface) => true,
                    Some(old) => element_is_nil(old, target.value())?,
                };
                let kept = match old {
                    _ if overriding || target.is_empty() => value.clone(),
                    Some(ref old) if !missing => old.clone(),
                    _ => Value::List(gotemplate::List::new(list.element().clone(), Vec::new())),
                };
                let kind = kept.type_of().unwrap_or(Type::Any);
                set(&kept, &kind)?;
            }
            _ => {}
        }
        let filled = old.as_ref().filter(|old| !is_empty(old));
        match (filled, &value) {
            (Some(Value::Map(_)), Value::Map(_)) | (Some(Value::List(_)), Value::List(_)) => continue,
            (Some(_), _) if !overriding => continue,
            _ => set(&value, source.value())?,
        }
    }
    Ok(())
}

/// Merges an element that is a map or a struct into what the target has in its place.
fn merge_values(
    old: Option<&Value>,
    value: &Value,
    conflict: Conflict,
    depth: usize,
    steps: &mut usize,
) -> Result<(), FuncError> {
    match (old, value) {
        // A nil map cannot be changed in place; the caller sets it as a whole.
        (Some(Value::Map(old)), Value::Map(value)) if !old.is_nil() => {
            merge_maps(old, value, conflict, depth + 1, steps)
        }
        (Some(Value::Object(old)), value)
            if old.shape() == Shape::Pointer && conflict == Conflict::Keep && !is_pointer(value) =>
        {
            Err("src and dst must be of same type".into())
        }
        _ => Ok(()),
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
    match value {
        Value::Complex(..) | Value::Chan(_) | Value::Object(_) => false,
        other => !other.truth(),
    }
}

fn assignable(from: &Type, to: &Type) -> bool {
    from == to || *to == Type::Any
}

fn not_assignable(operation: &str, from: &Type, to: &Type) -> FuncError {
    FuncError::new(format!("reflect.Value.{operation}: value of type {from} is not assignable to type {to}"))
}
