//! Lists and maps: membership, splitting, loops, merging.

use gotemplate::{Chan, Func, FuncError, Key, Map, Param, Type, Value, sprintf};

use super::texts::parts;
use crate::arguments::{Elements, any, bytes, items};
use crate::go::mergo::{Conflict, merged};
use crate::go::strconv;
use crate::go::strings::{contains, index};
use crate::patience::Patience;
use crate::walk::Walk;
use crate::{Entry, entry};

const A: Param = Param::Any;

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("contains", &[A, A], |a| {
            is_in(any(a, 1), any(a, 0), &mut Patience::new()).map(Value::Bool)
        }),
        "contains value list",
        "Whether the value is in the list, or the string in the string. An int never equals a float.",
        r#"{{ "a,b" | split "," | contains "b" }}"#,
        "true",
    ),
    entry(
        Func::pure("containsAll", &[Param::Anys, A], |a| contains_some(a, true, true)),
        "containsAll values list",
        "Whether all of the values are in the list; true without values.",
        r#"{{ split "," "a,b" | containsAll (sprig_list "a" "b") }}"#,
        "true",
    ),
    entry(
        Func::pure("containsAny", &[Param::Anys, A], |a| contains_some(a, false, false)),
        "containsAny values list",
        "Whether one of the values is in the list; false without values.",
        r#"{{ split "," "a,b" | containsAny (sprig_list "b" "c") }}"#,
        "true",
    ),
    entry(
        Func::pure("containsNone", &[Param::Anys, A], |a| contains_some(a, true, false)),
        "containsNone values list",
        "Whether none of the values is in the list; true without values.",
        r#"{{ split "," "a,b" | containsNone (sprig_list "b" "c") }}"#,
        "false",
    ),
    entry(
        Func::pure("containsNotAll", &[Param::Anys, A], |a| contains_some(a, false, true)),
        "containsNotAll values list",
        "Whether one of the values is not in the list; false without values.",
        r#"{{ split "," "a,b" | containsNotAll (sprig_list "b" "c") }}"#,
        "true",
    ),
    entry(
        Func::pure("explodeMap", &[Param::StringMap], explode_map),
        "explodeMap map",
        "Nested maps from keys with slashes in them.",
        r#"{{ (explodeMap (sprig_dict "a/b" 1)).a.b }}"#,
        "1",
    ),
    entry(
        Func::pure("in", &[A, A], |a| is_in(any(a, 0), any(a, 1), &mut Patience::new()).map(Value::Bool)),
        "in list value",
        "Whether the value is in the list, or the string in the string. An int never equals a float.",
        r#"{{ in (split "," "a,b") "b" }}"#,
        "true",
    ),
    entry(
        Func::pure("loop", &[], make_loop).variadic(A),
        "loop [from] to",
        "Something to range over once: the numbers from 0 or `from` up to but without `to`, as `int64`.",
        "{{ range loop 2 5 }}{{ . }}{{ end }}",
        "234",
    ),
    entry(
        Func::pure("mergeMap", &[Param::StringMap, Param::StringMap], |a| merge(a, Conflict::Keep))
            .variadic(Param::Named("func(*mergo.Config)")),
        "mergeMap target source",
        "The target with what it lacks, or has empty, filled from the source, deeply. The target itself is changed.",
        r#"{{ mergeMap (sprig_dict "a" 1 "b" 0) (sprig_dict "a" 2 "b" 3) }}"#,
        "map[a:1 b:3]",
    ),
    entry(
        Func::pure("mergeMapWithOverride", &[Param::StringMap, Param::StringMap], |a| {
            merge(a, Conflict::Override)
        }),
        "mergeMapWithOverride target source",
        "The target with everything from the source put over it, deeply. The target itself is changed.",
        r#"{{ mergeMapWithOverride (sprig_dict "a" 1 "b" 0) (sprig_dict "a" 2) }}"#,
        "map[a:2 b:0]",
    ),
    entry(
        Func::pure("splitToMap", &[Param::Str, Param::Str, Param::Str], split_to_map),
        "splitToMap separator assignment text",
        "A map of strings; parts without the second separator are left out.",
        r#"{{ splitToMap "," "=" "a=1,b=2,c" }}"#,
        "map[a:1 b:2]",
    ),
];

/// Ints are compared with ints of any width, floats with floats, strings with strings. Nothing else is equal.
/// A nil can be compared with anything but a string: Go asks for its type then, and panics.
fn is_in(list: &Value, value: &Value, patience: &mut Patience) -> Result<bool, FuncError> {
    patience.spend_on(if let Value::Str(text) = list { text.len() } else { 0 })?;
    let no_nil = |found: bool| {
        if value.is_nil() {
            return Err(FuncError::new("reflect: call of reflect.Value.Type on zero Value"));
        }
        Ok(found)
    };
    match list {
        Value::List(list) => {
            for item in list.items() {
                patience.spend_on(if let Value::Str(text) = item { text.len() } else { 0 })?;
                let equal = match (item, value) {
                    (Value::Int(_, a), Value::Int(_, b)) => a == b,
                    (Value::Float(a), Value::Float(b)) => a == b,
                    (Value::Str(a), _) => no_nil(value.as_str() == Some(a))?,
                    (Value::Number(a), _) => no_nil(matches!(value, Value::Number(b) if a == b))?,
                    _ => false,
                };
                if equal {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Str(text) => no_nil(value.as_str().is_some_and(|part| contains(text, part))),
        Value::Number(text) => no_nil(matches!(value, Value::Number(part) if text.contains(&**part))),
        _ => Ok(false),
    }
}

/// Whether comparing goes on to the end, which gives `at_end`. It stops at the first value whose presence is not
/// `expected`.
fn contains_some(arguments: &[Value], at_end: bool, expected: bool) -> Result<Value, FuncError> {
    let mut patience = Patience::new();
    for value in items(arguments, 0) {
        if is_in(any(arguments, 1), value, &mut patience)? != expected {
            return Ok(Value::Bool(!at_end));
        }
    }
    Ok(Value::Bool(at_end))
}

fn explode_map(arguments: &[Value]) -> Result<Value, FuncError> {
    let exploded = Map::new(Type::Str, Type::Any, []);
    let mut elements = Elements::default();
    if let Value::Map(map) = any(arguments, 0) {
        for (key, value) in map.snapshot().iter() {
            if let Key::Str(key) = key {
                explode(&exploded, key, value.clone(), &mut elements)?;
            }
        }
    }
    Ok(Value::Map(exploded))
}

/// Slashes in one key of `explodeMap`: maps nested deeper can hardly be used.
const MAX_SLASHES: usize = 1000;

fn explode(target: &Map, path: &[u8], value: Value, elements: &mut Elements) -> Result<(), FuncError> {
    if path.iter().filter(|&&byte| byte == b'/').count() > MAX_SLASHES {
        return Err(FuncError::new(format!("explodeMap: a key has more than {MAX_SLASHES} slashes")));
    }
    let mut map = target.clone();
    let (mut whole, mut rest) = (path, path);
    while let Some(slash) = rest.iter().position(|&byte| byte == b'/') {
        let top = rest.get(..slash).unwrap_or_default();
        let key = Key::str(top);
        let inner = match map.get(&key) {
            Some(Value::Map(inner)) if *inner.key() == Type::Str && *inner.value() == Type::Any => inner,
            Some(other) => {
                let values = [Value::from(whole), Value::from(top), other];
                let text = sprintf(b"not a map: %q: %q already has value %q", &values).unwrap_or_default();
                return Err(FuncError::new(format!("explodeMap: {}", String::from_utf8_lossy(&text))));
            }
            None => {
                elements.add(Elements::MAP)?;
                let inner = Map::new(Type::Str, Type::Any, []);
                map.insert(key, Value::Map(inner.clone()));
                inner
            }
        };
        map = inner;
        // Messages name what was left one level above.
        whole = rest;
        rest = rest.get(slash + 1..).unwrap_or_default();
    }
    if !rest.is_empty() {
        elements.add(1)?;
        map.insert(Key::str(rest), value);
    }
    Ok(())
}

fn merge(arguments: &[Value], conflict: Conflict) -> Result<Value, FuncError> {
    if arguments.len() > 2 {
        // Only a nil can stand for a function here.
        return Err("runtime error: invalid memory address or nil pointer dereference".into());
    }
    match (any(arguments, 0), any(arguments, 1)) {
        (Value::Map(target), Value::Map(source)) => {
            Ok(Value::Map(merged(target, source, conflict, &mut Walk::new())?))
        }
        (target, _) => Ok(target.clone()),
    }
}

fn split_to_map(arguments: &[Value]) -> Result<Value, FuncError> {
    let (separator, assignment) = (bytes(arguments, 0), bytes(arguments, 1));
    let pairs = parts(bytes(arguments, 2), separator)?.into_iter().filter_map(|part| {
        let at = index(part, assignment)?;
        Some((Key::str(part.get(..at)?), Value::from(part.get(at + assignment.len()..)?)))
    });
    Ok(Value::Map(Map::new(Type::Str, Type::Str, pairs)))
}

fn make_loop(arguments: &[Value]) -> Result<Value, FuncError> {
    let range = match arguments {
        [to] => 0..bound(to)?,
        [from, to] => bound(from)?..bound(to)?,
        others => {
            let count = others.len();
            return Err(FuncError::new(format!(
                "loop: wrong number of arguments, expected 1 or 2, but got {count}"
            )));
        }
    };
    Ok(Value::Chan(Chan::new(range)))
}

fn bound(value: &Value) -> Result<i64, FuncError> {
    match value {
        Value::Int(_, value) => Ok(*value),
        Value::Uint(_, value) => Ok(*value as i64),
        Value::Str(text) => decimal(text),
        Value::Number(text) => decimal(text.as_bytes()),
        _ => Err(FuncError::new(format!("loop: bad argument type: {}", value.type_name()))),
    }
}

/// `parseInt`, empty being 0.
fn decimal(text: &[u8]) -> Result<i64, FuncError> {
    match text {
        b"" => Ok(0),
        text => strconv::parse_int(text).map_err(|why| FuncError::new(format!("parseInt: {why}"))),
    }
}
