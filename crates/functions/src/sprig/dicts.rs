//! Dictionaries. `set`, `unset` and the merges change the dictionary itself, for everyone who holds it.

use gotemplate::{Func, FuncError, Key, List, Map, Param, Type, Value};

use super::convert::text;
use super::deep::{self, Walk};
use crate::arguments::{any, bounded_elements, bytes};
use crate::go::mergo::{Conflict, Unmerged, merged};
use crate::{Entry, entry};

const DICT: &[Param] = &[Param::StringMap];
const DICT_KEY: &[Param] = &[Param::StringMap, Param::Str];

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_dict", &[], dict).variadic(Param::Any),
        "sprig_dict [key value ...]",
        "A dictionary of keys and values; a key without a value gets an empty text.",
        r#"{{ sprig_dict "a" 1 "b" 2 }}"#,
        "map[a:1 b:2]",
    ),
    entry(
        Func::pure("sprig_get", DICT_KEY, get).any(),
        "sprig_get dict key",
        "The value of a key, or an empty text.",
        r#"{{ sprig_get (sprig_dict "a" 1) "a" }}"#,
        "1",
    ),
    entry(
        Func::pure("sprig_set", &[Param::StringMap, Param::Str, Param::Any], set),
        "sprig_set dict key value",
        "Sets a key in the dictionary itself, and gives the dictionary.",
        r#"{{ $d := sprig_dict "a" 1 }}{{ $_ := sprig_set $d "b" 2 }}{{ $d }}"#,
        "map[a:1 b:2]",
    ),
    entry(
        Func::pure("sprig_unset", DICT_KEY, unset),
        "sprig_unset dict key",
        "Removes a key from the dictionary itself, and gives the dictionary.",
        r#"{{ sprig_unset (sprig_dict "a" 1 "b" 2) "b" }}"#,
        "map[a:1]",
    ),
    entry(
        Func::pure("sprig_hasKey", DICT_KEY, has_key),
        "sprig_hasKey dict key",
        "Whether the dictionary has the key, whatever its value.",
        r#"{{ sprig_hasKey (sprig_dict "a" nil) "a" }}"#,
        "true",
    ),
    entry(
        Func::pure("sprig_pluck", &[Param::Str], pluck).variadic(Param::StringMap),
        "sprig_pluck key [dict ...]",
        "A list of the values that the dictionaries have for the key.",
        r#"{{ sprig_pluck "a" (sprig_dict "a" 1) (sprig_dict "a" 2 "b" 3) }}"#,
        "[1 2]",
    ),
    entry(
        Func::pure("sprig_dig", &[], dig).variadic(Param::Any).any(),
        "sprig_dig key [key ...] default dict",
        "The value behind a chain of keys, or the default where a key is missing.",
        r#"{{ sprig_dig "a" "b" "none" (sprig_dict "a" (sprig_dict "b" 1)) }}"#,
        "1",
    ),
    entry(
        Func::pure("sprig_keys", &[], keys).variadic(Param::StringMap),
        "sprig_keys [dict ...]",
        "All keys, sorted within each dictionary (upstream: in random order); a key of two dictionaries is there twice.",
        r#"{{ sprig_keys (sprig_dict "b" 1 "a" 2) }}"#,
        "[a b]",
    ),
    entry(
        Func::pure("sprig_values", DICT, values),
        "sprig_values dict",
        "All values, in the order of their keys (upstream: in random order).",
        r#"{{ sprig_values (sprig_dict "b" 1 "a" 2) }}"#,
        "[2 1]",
    ),
    entry(
        Func::pure("sprig_pick", DICT, pick).variadic(Param::Str),
        "sprig_pick dict [key ...]",
        "A new dictionary of these keys only.",
        r#"{{ sprig_pick (sprig_dict "a" 1 "b" 2) "a" }}"#,
        "map[a:1]",
    ),
    entry(
        Func::pure("sprig_omit", DICT, omit).variadic(Param::Str),
        "sprig_omit dict [key ...]",
        "A new dictionary without these keys.",
        r#"{{ sprig_omit (sprig_dict "a" 1 "b" 2) "a" }}"#,
        "map[b:2]",
    ),
    entry(
        Func::pure("sprig_merge", DICT, |arguments| merge(arguments, Conflict::Keep, false))
            .variadic(Param::StringMap)
            .any(),
        "sprig_merge target [source ...]",
        "Puts the sources into the target itself, where the target has nothing or something empty.",
        r#"{{ sprig_merge (sprig_dict "a" 1) (sprig_dict "a" 2 "b" 3) }}"#,
        "map[a:1 b:3]",
    ),
    entry(
        Func::pure("sprig_mustMerge", DICT, |arguments| merge(arguments, Conflict::Keep, true))
            .variadic(Param::StringMap)
            .any(),
        "sprig_mustMerge target [source ...]",
        "The same as sprig_merge, with an error where that gives an empty text.",
        r#"{{ sprig_mustMerge (sprig_dict "a" 1) (sprig_dict "a" 2 "b" 3) }}"#,
        "map[a:1 b:3]",
    ),
    entry(
        Func::pure("sprig_mergeOverwrite", DICT, |arguments| merge(arguments, Conflict::Override, false))
            .variadic(Param::StringMap)
            .any(),
        "sprig_mergeOverwrite target [source ...]",
        "Puts the sources into the target itself; the last source wins.",
        r#"{{ sprig_mergeOverwrite (sprig_dict "a" 1) (sprig_dict "a" 2 "b" 3) }}"#,
        "map[a:2 b:3]",
    ),
    entry(
        Func::pure("sprig_mustMergeOverwrite", DICT, |arguments| merge(arguments, Conflict::Override, true))
            .variadic(Param::StringMap)
            .any(),
        "sprig_mustMergeOverwrite target [source ...]",
        "The same as sprig_mergeOverwrite, with an error where that gives an empty text.",
        r#"{{ sprig_mustMergeOverwrite (sprig_dict "a" 1) (sprig_dict "a" 2) }}"#,
        "map[a:2]",
    ),
    entry(
        Func::pure("sprig_deepCopy", &[Param::Any], deep_copy).any(),
        "sprig_deepCopy value",
        "A copy that shares no dictionary with the original.",
        r#"{{ sprig_deepCopy (sprig_dict "a" (sprig_list 1)) }}"#,
        "map[a:[1]]",
    ),
    entry(
        Func::pure("sprig_mustDeepCopy", &[Param::Any], deep_copy).any(),
        "sprig_mustDeepCopy value",
        "The same as sprig_deepCopy.",
        r#"{{ sprig_mustDeepCopy (sprig_dict "a" 1) }}"#,
        "map[a:1]",
    ),
];

/// A dictionary argument; a nil one if there is none.
fn map(arguments: &[Value], nth: usize) -> Map {
    match arguments.get(nth) {
        Some(Value::Map(map)) => map.clone(),
        _ => Map::nil(Type::Str, Type::Any),
    }
}

fn maps(arguments: &[Value]) -> impl Iterator<Item = &Map> {
    arguments.iter().filter_map(|argument| match argument {
        Value::Map(map) => Some(map),
        _ => None,
    })
}

fn dict(arguments: &[Value]) -> Result<Value, FuncError> {
    let mut entries = Vec::with_capacity(arguments.len().div_ceil(2));
    for pair in arguments.chunks(2) {
        let key = text(any(pair, 0))?.into_owned();
        entries.push((key, pair.get(1).cloned().unwrap_or_else(|| Value::from(""))));
    }
    Ok(Value::map(entries))
}

fn get(arguments: &[Value]) -> Result<Value, FuncError> {
    let value = map(arguments, 0).get(&Key::str(bytes(arguments, 1)));
    Ok(value.unwrap_or_else(|| Value::from("")))
}

fn set(arguments: &[Value]) -> Result<Value, FuncError> {
    let map = map(arguments, 0);
    bounded_elements(map.len() + 1)?;
    if !map.insert(Key::str(bytes(arguments, 1)), any(arguments, 2).clone()) {
        return Err("assignment to entry in nil map".into());
    }
    Ok(Value::Map(map))
}

fn unset(arguments: &[Value]) -> Result<Value, FuncError> {
    let map = map(arguments, 0);
    map.remove(&Key::str(bytes(arguments, 1)));
    Ok(Value::Map(map))
}

fn has_key(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(map(arguments, 0).get(&Key::str(bytes(arguments, 1))).is_some()))
}

fn pluck(arguments: &[Value]) -> Result<Value, FuncError> {
    let key = Key::str(bytes(arguments, 0));
    Ok(Value::list(maps(arguments).filter_map(|map| map.get(&key)).collect()))
}

fn dig(arguments: &[Value]) -> Result<Value, FuncError> {
    let [keys @ .., default, dict] = arguments else {
        return Err("dig needs at least three arguments".into());
    };
    if keys.is_empty() {
        return Err("dig needs at least three arguments".into());
    }
    let mut here = string_map(dict)?;
    for key in keys {
        key.as_str().ok_or_else(|| conversion(key, &Type::Str))?;
    }
    for (at, key) in keys.iter().enumerate() {
        let Some(step) = here.get(&Key::str(key.as_str().unwrap_or_default())) else {
            return Ok(default.clone());
        };
        if at + 1 == keys.len() {
            return Ok(step);
        }
        here = string_map(&step)?;
    }
    Ok(default.clone())
}

fn string_map(value: &Value) -> Result<Map, FuncError> {
    let wanted = Type::Map((Type::Str, Type::Any).into());
    match value {
        Value::Map(map) if value.type_of().as_ref() == Some(&wanted) => Ok(map.clone()),
        other => Err(conversion(other, &wanted)),
    }
}

fn conversion(value: &Value, wanted: &Type) -> FuncError {
    let have = if value.is_nil() { "nil".to_owned() } else { value.type_name() };
    format!("interface conversion: interface {{}} is {have}, not {wanted}").into()
}

fn keys(arguments: &[Value]) -> Result<Value, FuncError> {
    bounded_elements(maps(arguments).map(Map::len).sum())?;
    let mut keys = Vec::new();
    for map in maps(arguments) {
        keys.extend(map.snapshot().iter().map(|(key, _)| key.value()));
    }
    Ok(Value::List(List::new(Type::Str, keys)))
}

fn values(arguments: &[Value]) -> Result<Value, FuncError> {
    let entries = map(arguments, 0).snapshot();
    Ok(Value::list(entries.iter().map(|(_, value)| value.clone()).collect()))
}

fn pick(arguments: &[Value]) -> Result<Value, FuncError> {
    let map = map(arguments, 0);
    let keys = arguments.iter().skip(1).filter_map(Value::as_str);
    Ok(Value::map(keys.filter_map(|key| Some((key, map.get(&Key::str(key))?)))))
}

fn omit(arguments: &[Value]) -> Result<Value, FuncError> {
    let picked = Map::new(Type::Str, Type::Any, map(arguments, 0).entries());
    for key in arguments.iter().skip(1).filter_map(Value::as_str) {
        picked.remove(&Key::str(key));
    }
    Ok(Value::Map(picked))
}

fn merge(arguments: &[Value], conflict: Conflict, must: bool) -> Result<Value, FuncError> {
    let mut target = map(arguments, 0);
    for source in maps(arguments.get(1..).unwrap_or_default()) {
        target = match merged(&target, source, conflict, &mut Walk::new()) {
            Err(Unmerged::Types) if !must => return Ok(Value::from("")),
            outcome => outcome?,
        };
    }
    Ok(Value::Map(target))
}

fn deep_copy(arguments: &[Value]) -> Result<Value, FuncError> {
    match any(arguments, 0) {
        Value::Nil | Value::NilInterface => Err("reflect: call of reflect.Value.Type on zero Value".into()),
        value => deep::copy(value, &mut Walk::new()),
    }
}
