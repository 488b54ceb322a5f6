//! Lists. Each function takes any list, whatever its elements, and gives a new one.

mod parts;

use std::collections::BTreeSet;

use gotemplate::{Func, FuncError, IntKind, List, Param, Type, UintKind, Value};

use super::convert::{NIL_DEREFERENCE, kind, text};
use super::deep::{Walk, equal};
use crate::arguments::{any, bounded_elements};
use crate::patience::Patience;
use crate::{Entry, entry};

pub(crate) use parts::ENTRIES as PARTS;

const LIST: &[Param] = &[Param::Any];
const TWO: &[Param] = &[Param::Any, Param::Any];

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_list", &[], list).variadic(Param::Any),
        "sprig_list [value ...]",
        "A list of the arguments.",
        r#"{{ sprig_list 1 "a" true }}"#,
        "[1 a true]",
    ),
    entry(
        Func::pure("sprig_tuple", &[], list).variadic(Param::Any),
        "sprig_tuple [value ...]",
        "A list of the arguments; the same as sprig_list.",
        "{{ sprig_tuple 1 2 }}",
        "[1 2]",
    ),
    entry(
        Func::pure("sprig_append", TWO, push),
        "sprig_append list value",
        "A new list with the value at its end; the old one stays as it is.",
        "{{ sprig_append (sprig_list 1 2) 3 }}",
        "[1 2 3]",
    ),
    entry(
        Func::pure("sprig_push", TWO, push),
        "sprig_push list value",
        "The same as sprig_append.",
        "{{ sprig_push (sprig_list 1 2) 3 }}",
        "[1 2 3]",
    ),
    entry(
        Func::pure("sprig_mustAppend", TWO, push),
        "sprig_mustAppend list value",
        "The same as sprig_append.",
        "{{ sprig_mustAppend (sprig_list 1 2) 3 }}",
        "[1 2 3]",
    ),
    entry(
        Func::pure("sprig_mustPush", TWO, push),
        "sprig_mustPush list value",
        "The same as sprig_append.",
        "{{ sprig_mustPush (sprig_list 1 2) 3 }}",
        "[1 2 3]",
    ),
    entry(
        Func::pure("sprig_prepend", TWO, prepend),
        "sprig_prepend list value",
        "A new list with the value in front.",
        "{{ sprig_prepend (sprig_list 1 2) 0 }}",
        "[0 1 2]",
    ),
    entry(
        Func::pure("sprig_mustPrepend", TWO, prepend),
        "sprig_mustPrepend list value",
        "The same as sprig_prepend.",
        "{{ sprig_mustPrepend (sprig_list 1 2) 0 }}",
        "[0 1 2]",
    ),
    entry(
        Func::pure("sprig_concat", &[], concat).variadic(Param::Any).any(),
        "sprig_concat [list ...]",
        "One list of all elements of the lists, one after the other.",
        r#"{{ sprig_concat (sprig_list 1) (sprig_list 2 "a") }}"#,
        "[1 2 a]",
    ),
    entry(
        Func::pure("sprig_reverse", LIST, reverse),
        "sprig_reverse list",
        "The elements from the last to the first.",
        "{{ sprig_reverse (sprig_list 1 2 3) }}",
        "[3 2 1]",
    ),
    entry(
        Func::pure("sprig_mustReverse", LIST, reverse),
        "sprig_mustReverse list",
        "The same as sprig_reverse.",
        "{{ sprig_mustReverse (sprig_list 1 2 3) }}",
        "[3 2 1]",
    ),
    entry(
        Func::pure("sprig_uniq", LIST, uniq),
        "sprig_uniq list",
        "Each element once, at its first place; the number 1 and the text \"1\" differ.",
        r#"{{ sprig_uniq (sprig_list 1 1 "1" 2) }}"#,
        "[1 1 2]",
    ),
    entry(
        Func::pure("sprig_mustUniq", LIST, uniq),
        "sprig_mustUniq list",
        "The same as sprig_uniq.",
        "{{ sprig_mustUniq (sprig_list 1 1 2) }}",
        "[1 2]",
    ),
    entry(
        Func::pure("sprig_without", LIST, without).variadic(Param::Any),
        "sprig_without list [value ...]",
        "The elements that equal none of the values, in type too.",
        "{{ sprig_without (sprig_list 1 2 3) 1 3 }}",
        "[2]",
    ),
    entry(
        Func::pure("sprig_mustWithout", LIST, without).variadic(Param::Any),
        "sprig_mustWithout list [value ...]",
        "The same as sprig_without.",
        "{{ sprig_mustWithout (sprig_list 1 2 3) 1 }}",
        "[2 3]",
    ),
    entry(
        Func::pure("sprig_has", TWO, has),
        "sprig_has value list",
        "Whether the list has an element that equals the value, in type too; false for a nil list.",
        r#"{{ sprig_has 4 (sprig_list 4 5) }} {{ sprig_has "4" (sprig_list 4 5) }}"#,
        "true false",
    ),
    entry(
        Func::pure("sprig_mustHas", TWO, has),
        "sprig_mustHas value list",
        "The same as sprig_has.",
        "{{ sprig_mustHas 4 (sprig_list 4 5) }}",
        "true",
    ),
    entry(
        Func::pure("sprig_compact", LIST, compact),
        "sprig_compact list",
        "The elements that are not empty: no zero, no empty text or list, no nil, no false.",
        r#"{{ sprig_compact (sprig_list 1 0 "" "a") }}"#,
        "[1 a]",
    ),
    entry(
        Func::pure("sprig_mustCompact", LIST, compact),
        "sprig_mustCompact list",
        "The same as sprig_compact.",
        r#"{{ sprig_mustCompact (sprig_list 1 0 "" "a") }}"#,
        "[1 a]",
    ),
    entry(
        Func::pure("sprig_sortAlpha", LIST, sort_alpha),
        "sprig_sortAlpha list",
        "The elements as texts, sorted by their bytes: 10 before 9, capitals before small letters.",
        r#"{{ sprig_sortAlpha (sprig_list "b" 10 9 "a") }}"#,
        "[10 9 a b]",
    ),
];

/// The elements of a list argument.
///
/// # Errors
/// As sprig complains about anything else, with `complaint` in front of its kind.
fn elements<'a>(list: &'a Value, complaint: &str) -> Result<&'a [Value], FuncError> {
    match list {
        Value::List(list) => Ok(list.items()),
        Value::Nil | Value::NilInterface => Err(NIL_DEREFERENCE.into()),
        other => Err(format!("{complaint} {}", kind(other)).into()),
    }
}

fn list(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::list(arguments.to_vec()))
}

fn push(arguments: &[Value]) -> Result<Value, FuncError> {
    let items = elements(any(arguments, 0), "Cannot push on type")?;
    bounded_elements(items.len() + 1)?;
    Ok(Value::list(items.iter().chain([any(arguments, 1)]).cloned().collect()))
}

fn prepend(arguments: &[Value]) -> Result<Value, FuncError> {
    let items = elements(any(arguments, 0), "Cannot prepend on type")?;
    bounded_elements(items.len() + 1)?;
    Ok(Value::list([any(arguments, 1)].into_iter().chain(items).cloned().collect()))
}

fn concat(arguments: &[Value]) -> Result<Value, FuncError> {
    let mut joined: Vec<Value> = Vec::new();
    for list in arguments {
        match list {
            Value::List(list) => {
                bounded_elements(joined.len() + list.len())?;
                joined.extend_from_slice(list.items());
            }
            Value::Nil | Value::NilInterface => return Err(NIL_DEREFERENCE.into()),
            other => return Err(format!("Cannot concat type {} as list", kind(other)).into()),
        }
    }
    if joined.is_empty() {
        return Ok(Value::List(List::nil(Type::Any)));
    }
    Ok(Value::list(joined))
}

fn reverse(arguments: &[Value]) -> Result<Value, FuncError> {
    let items = elements(any(arguments, 0), "Cannot find reverse on type")?;
    Ok(Value::list(items.iter().rev().cloned().collect()))
}

fn uniq(arguments: &[Value]) -> Result<Value, FuncError> {
    let items = elements(any(arguments, 0), "Cannot find uniq on type")?;
    let (mut kept, mut plain, mut others) = (Vec::new(), BTreeSet::new(), Vec::new());
    let (mut walk, mut patience) = (Walk::new(), Patience::new());
    for item in items {
        patience.spend()?;
        let known = match Fingerprint::of(item) {
            Some(fingerprint) => !plain.insert(fingerprint),
            None => {
                let known = contains(&others, item, &mut walk, &mut patience)?;
                if !known {
                    others.push(item);
                }
                known
            }
        };
        if !known {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(kept))
}

/// What tells a plain value from every other of any type, so that most lists need no comparison of all with all.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
enum Fingerprint<'a> {
    Nil,
    Text(&'a [u8]),
    Number(&'a str),
    Bool(bool),
    Int(IntKind, i64),
    Uint(UintKind, u64),
    Float(u64),
}

impl<'a> Fingerprint<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        Some(match value {
            Value::Nil | Value::NilInterface => Self::Nil,
            Value::Str(text) => Self::Text(text),
            Value::Number(text) => Self::Number(text),
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(kind, value) => Self::Int(*kind, *value),
            Value::Uint(kind, value) => Self::Uint(*kind, *value),
            // The two zeros are equal, and no NaN equals itself.
            Value::Float(value) if !value.is_nan() => Self::Float((value + 0.0).to_bits()),
            _ => return None,
        })
    }
}

fn contains(
    haystack: &[&Value],
    needle: &Value,
    walk: &mut Walk,
    patience: &mut Patience,
) -> Result<bool, FuncError> {
    for item in haystack {
        patience.spend()?;
        if equal(needle, item, walk)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn without(arguments: &[Value]) -> Result<Value, FuncError> {
    let items = elements(any(arguments, 0), "Cannot find without on type")?;
    let unwanted: Vec<&Value> = arguments.iter().skip(1).collect();
    let (mut kept, mut walk, mut patience) = (Vec::new(), Walk::new(), Patience::new());
    for item in items {
        if !contains(&unwanted, item, &mut walk, &mut patience)? {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(kept))
}

fn has(arguments: &[Value]) -> Result<Value, FuncError> {
    let (needle, list) = (any(arguments, 0), any(arguments, 1));
    if list.is_nil() {
        return Ok(Value::from(false));
    }
    let items: Vec<&Value> = elements(list, "Cannot find has on type")?.iter().collect();
    Ok(Value::from(contains(&items, needle, &mut Walk::new(), &mut Patience::new())?))
}

fn compact(arguments: &[Value]) -> Result<Value, FuncError> {
    let items = elements(any(arguments, 0), "Cannot compact on type")?;
    Ok(Value::list(items.iter().filter(|item| item.truth()).cloned().collect()))
}

fn sort_alpha(arguments: &[Value]) -> Result<Value, FuncError> {
    let mut sorted = match any(arguments, 0) {
        list @ Value::List(_) => super::texts::strings(list)?,
        other => vec![text(other)?.into_owned()],
    };
    sorted.sort_unstable();
    Ok(Value::strings(sorted))
}
