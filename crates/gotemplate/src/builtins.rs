//! Go's own functions, each with the texts of its errors.

use std::borrow::Cow;

use crate::compare::{eq, le, lt};
use crate::format::{MAX_LENGTH, TOO_LONG, sprint, sprintf, sprintln};
use crate::func::{Call, Func, FuncError, Param};
use crate::text::{decode, is_print};
use crate::value::{Key, List, Type, UintKind, Value};

type Answer = Result<Value, FuncError>;

const REFLECT: &[Param] = &[Param::Reflect];
const TWO: &[Param] = &[Param::Reflect, Param::Reflect];

/// All of them.
pub(crate) fn table<C>() -> Vec<Func<C>> {
    vec![
        Func::new("and", REFLECT, Call::And).variadic(Param::Reflect),
        Func::new("or", REFLECT, Call::Or).variadic(Param::Reflect),
        Func::new("call", REFLECT, Call::Invoke).variadic(Param::Reflect),
        Func::pure("not", REFLECT, |args| Ok(Value::Bool(!arg(args, 0).truth()))),
        Func::pure("eq", REFLECT, |args| eq(args).map(Value::Bool)).variadic(Param::Reflect),
        Func::pure("ne", TWO, |args| eq(args).map(|equal| Value::Bool(!equal))),
        Func::pure("lt", TWO, |args| lt(arg(args, 0), arg(args, 1)).map(Value::Bool)),
        Func::pure("le", TWO, |args| le(arg(args, 0), arg(args, 1)).map(Value::Bool)),
        Func::pure("gt", TWO, |args| le(arg(args, 0), arg(args, 1)).map(|le| Value::Bool(!le))),
        Func::pure("ge", TWO, |args| lt(arg(args, 0), arg(args, 1)).map(|lt| Value::Bool(!lt))),
        Func::pure("len", REFLECT, |args| len(arg(args, 0))),
        Func::pure("index", REFLECT, index).variadic(Param::Reflect),
        Func::pure("slice", REFLECT, slice).variadic(Param::Reflect),
        Func::pure("print", &[], |args| Ok(sprint(args)?.into())).variadic(Param::Any),
        Func::pure("println", &[], |args| Ok(sprintln(args)?.into())).variadic(Param::Any),
        Func::pure("printf", &[Param::Str], |args| {
            Ok(sprintf(arg(args, 0).as_str().unwrap_or_default(), args.get(1..).unwrap_or_default())?.into())
        })
        .variadic(Param::Any),
        Func::pure("html", &[], |args| Ok(html(&joined(args)?)?.into())).variadic(Param::Any),
        Func::pure("js", &[], |args| Ok(js(&joined(args)?)?.into())).variadic(Param::Any),
        Func::pure("urlquery", &[], |args| Ok(urlquery(&joined(args)?)?.into())).variadic(Param::Any),
    ]
}

/// An argument the signature promises.
fn arg(args: &[Value], at: usize) -> &Value {
    args.get(at).unwrap_or(&Value::Nil)
}

/// What the escapers escape: their arguments as `print` joins them, a nil as `<no value>`.
fn joined(args: &[Value]) -> Result<Cow<'_, [u8]>, FuncError> {
    if let [Value::Str(text)] = args {
        return Ok(Cow::Borrowed(text));
    }
    let shown = |arg: &Value| if arg.is_nil() { Value::from("<no value>") } else { arg.clone() };
    let args: Vec<Value> = args.iter().map(shown).collect();
    Ok(Cow::Owned(sprint(&args)?))
}

// === Containers ===

fn len(item: &Value) -> Answer {
    let len = match item {
        Value::Str(text) => text.len(),
        Value::Number(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        Value::Chan(_) => 0,
        Value::NilPointer(_) | Value::NilInterface => return Err("len of nil pointer".into()),
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        _ => return Err(format!("len of type {}", pointed_to(item)).into()),
    };
    Ok(Value::int(len as i64))
}

/// The type of a value, or of what it points to: Go has followed the pointer by then.
fn pointed_to(item: &Value) -> String {
    let name = item.type_name();
    name.strip_prefix('*').map_or(name.clone(), str::to_owned)
}

fn index(args: &[Value]) -> Answer {
    let (first, indexes) = args.split_first().unwrap_or((&Value::Nil, &[]));
    if first.is_nil() {
        return Err("index of untyped nil".into());
    }
    let mut item = first.clone();
    for index in indexes {
        item = match &item {
            Value::Nil | Value::NilInterface | Value::NilPointer(_) => {
                return Err("index of nil pointer".into());
            }
            Value::List(list) => {
                let at = position(index, list.len())?;
                list.items().get(at).cloned().ok_or("reflect: slice index out of range")?
            }
            Value::Str(text) => element(text, index)?,
            Value::Number(text) => element(text.as_bytes(), index)?,
            Value::Map(map) => {
                let key = key(index, map.key())?;
                map.get(&key).unwrap_or_else(|| map.zero())
            }
            _ => return Err(format!("can't index item of type {}", pointed_to(&item)).into()),
        };
    }
    Ok(item)
}

fn element(text: &[u8], index: &Value) -> Answer {
    let at = position(index, text.len())?;
    let byte = text.get(at).ok_or("reflect: string index out of range")?;
    Ok(Value::Uint(UintKind::Uint8, u64::from(*byte)))
}

/// An index from 0 to `cap`, inclusive: Go checks the upper end elsewhere.
fn position(index: &Value, cap: usize) -> Result<usize, FuncError> {
    let at = match &*index.plain() {
        Value::Int(_, at) => *at,
        Value::Uint(_, at) => *at as i64,
        Value::Nil | Value::NilInterface => return Err("cannot index slice/array with nil".into()),
        _ => return Err(format!("cannot index slice/array with type {}", index.type_name()).into()),
    };
    usize::try_from(at).ok().filter(|&at| at <= cap).ok_or_else(|| format!("index out of range: {at}").into())
}

/// The key, converted between integer types where the map's keys are integers.
fn key(index: &Value, want: &Type) -> Result<Key, FuncError> {
    if index.is_nil() {
        return match want {
            Type::Any => Ok(Key::Nil),
            _ => Err(format!("value is nil; should be of type {want}").into()),
        };
    }
    let have = index.type_of().unwrap_or(Type::Any);
    let converted = match (want, index) {
        (Type::Any, _) => Key::of(index)
            .ok_or_else(|| FuncError::new(format!("runtime error: hash of unhashable type {have}")))?,
        _ if have == *want => Key::of(index).ok_or("unsupported key")?,
        (Type::Int(kind), Value::Int(_, value)) => Key::Int(*kind, *value),
        (Type::Int(kind), Value::Uint(_, value)) => Key::Int(*kind, *value as i64),
        (Type::Uint(kind), Value::Int(_, value)) => Key::Uint(*kind, *value as u64),
        (Type::Uint(kind), Value::Uint(_, value)) => Key::Uint(*kind, *value),
        _ => return Err(format!("value has type {have}; should be {want}").into()),
    };
    Ok(converted)
}

fn slice(args: &[Value]) -> Answer {
    let (item, indexes) = args.split_first().unwrap_or((&Value::Nil, &[]));
    if item.is_nil() {
        return Err("slice of untyped nil".into());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()).into());
    }
    let cap = match item {
        Value::Str(_) | Value::Number(_) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".into());
        }
        Value::Str(text) => text.len(),
        Value::Number(text) => text.len(),
        // Go slices up to the capacity, which no template can rely on; here it is the length.
        Value::List(list) => list.len(),
        _ => return Err(format!("can't slice item of type {}", pointed_to(item)).into()),
    };
    let mut at = [0, cap, cap];
    for (slot, index) in at.iter_mut().zip(indexes) {
        *slot = position(index, cap)?;
    }
    let invalid = |low: usize, high: usize| Err(format!("invalid slice index: {low} > {high}").into());
    if at[0] > at[1] {
        return invalid(at[0], at[1]);
    }
    if at[1] > at[2] {
        return invalid(at[1], at[2]);
    }
    let range = at[0]..at[1];
    Ok(match item {
        Value::Str(text) => Value::Str(text.get(range).unwrap_or_default().into()),
        Value::Number(text) => Value::number(text.get(range).unwrap_or_default()),
        Value::List(list) => {
            let items = list.items().get(range).unwrap_or_default().to_vec();
            Value::List(List::new(list.element().clone(), items))
        }
        _ => Value::Nil,
    })
}

// === Escapers ===

/// Writes each piece, and refuses before the text gets too long: it can become six times as long as it was.
fn bounded(text: &[u8], mut piece: impl FnMut(&[u8], &mut Vec<u8>) -> usize) -> Result<Vec<u8>, FuncError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let width = piece(rest, &mut out).max(1);
        rest = rest.get(width..).unwrap_or_default();
        if out.len() > MAX_LENGTH {
            return Err(TOO_LONG.into());
        }
    }
    Ok(out)
}

fn html(text: &[u8]) -> Result<Vec<u8>, FuncError> {
    bounded(text, |rest, out| {
        match rest.first() {
            Some(b'"') => out.extend_from_slice(b"&#34;"),
            Some(b'\'') => out.extend_from_slice(b"&#39;"),
            Some(b'&') => out.extend_from_slice(b"&amp;"),
            Some(b'<') => out.extend_from_slice(b"&lt;"),
            Some(b'>') => out.extend_from_slice(b"&gt;"),
            Some(0) => out.extend_from_slice("\u{fffd}".as_bytes()),
            byte => out.extend(byte),
        }
        1
    })
}

fn js(text: &[u8]) -> Result<Vec<u8>, FuncError> {
    bounded(text, |rest, out| {
        let (rune, width) = decode(rest);
        match rune {
            Some(rune @ ('\\' | '\'' | '"')) => out.extend_from_slice(&[b'\\', rune as u8]),
            Some(rune @ ('<' | '>' | '&' | '=' | '\0'..='\u{1f}')) => {
                out.extend_from_slice(format!("\\u{:04X}", u32::from(rune)).as_bytes());
            }
            Some(rune) if !rune.is_ascii() && !is_print(rune) => {
                out.extend_from_slice(format!("\\u{:04X}", u32::from(rune)).as_bytes());
            }
            _ => out.extend_from_slice(rest.get(..width).unwrap_or_default()),
        }
        width
    })
}

fn urlquery(text: &[u8]) -> Result<Vec<u8>, FuncError> {
    bounded(text, |rest, out| {
        match rest.first() {
            Some(byte @ (b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~')) => {
                out.push(*byte);
            }
            Some(b' ') => out.push(b'+'),
            Some(&byte) => out.extend_from_slice(&[b'%', hex(byte >> 4), hex(byte & 15)]),
            None => {}
        }
        1
    })
}

fn hex(digit: u8) -> u8 {
    b"0123456789ABCDEF".get(usize::from(digit)).copied().unwrap_or(b'0')
}
