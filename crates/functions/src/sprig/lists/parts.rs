//! Parts of lists.

use gotemplate::{Func, FuncError, List, Param, Type, Value};

use super::super::convert::int as to_int;
use super::{LIST, elements};
use crate::arguments::{any, bounded_elements, int};
use crate::{Entry, entry};

const CHUNK: &[Param] = &[Param::Int, Param::Any];

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_first", LIST, first).any(),
        "sprig_first list",
        "The first element; nothing for an empty list.",
        "{{ sprig_first (sprig_list 1 2 3) }}",
        "1",
    ),
    entry(
        Func::pure("sprig_mustFirst", LIST, first).any(),
        "sprig_mustFirst list",
        "The same as sprig_first.",
        "{{ sprig_mustFirst (sprig_list 1 2 3) }}",
        "1",
    ),
    entry(
        Func::pure("sprig_last", LIST, last).any(),
        "sprig_last list",
        "The last element; nothing for an empty list.",
        "{{ sprig_last (sprig_list 1 2 3) }}",
        "3",
    ),
    entry(
        Func::pure("sprig_mustLast", LIST, last).any(),
        "sprig_mustLast list",
        "The same as sprig_last.",
        "{{ sprig_mustLast (sprig_list 1 2 3) }}",
        "3",
    ),
    entry(
        Func::pure("sprig_rest", LIST, rest),
        "sprig_rest list",
        "All but the first element.",
        "{{ sprig_rest (sprig_list 1 2 3) }}",
        "[2 3]",
    ),
    entry(
        Func::pure("sprig_mustRest", LIST, rest),
        "sprig_mustRest list",
        "The same as sprig_rest.",
        "{{ sprig_mustRest (sprig_list 1 2 3) }}",
        "[2 3]",
    ),
    entry(
        Func::pure("sprig_initial", LIST, initial),
        "sprig_initial list",
        "All but the last element.",
        "{{ sprig_initial (sprig_list 1 2 3) }}",
        "[1 2]",
    ),
    entry(
        Func::pure("sprig_mustInitial", LIST, initial),
        "sprig_mustInitial list",
        "The same as sprig_initial.",
        "{{ sprig_mustInitial (sprig_list 1 2 3) }}",
        "[1 2]",
    ),
    entry(
        Func::pure("sprig_slice", LIST, slice).variadic(Param::Any).any(),
        "sprig_slice list [from] [to]",
        "The elements from one position up to, not including, another; nothing for an empty list.",
        "{{ sprig_slice (sprig_list 1 2 3 4) 1 3 }}",
        "[2 3]",
    ),
    entry(
        Func::pure("sprig_mustSlice", LIST, slice).variadic(Param::Any).any(),
        "sprig_mustSlice list [from] [to]",
        "The same as sprig_slice.",
        "{{ sprig_mustSlice (sprig_list 1 2 3 4) 2 }}",
        "[3 4]",
    ),
    entry(
        Func::pure("sprig_chunk", CHUNK, chunk),
        "sprig_chunk size list",
        "A list of lists of at most so many elements.",
        "{{ sprig_chunk 2 (sprig_list 1 2 3) }}",
        "[[1 2] [3]]",
    ),
    entry(
        Func::pure("sprig_mustChunk", CHUNK, chunk),
        "sprig_mustChunk size list",
        "The same as sprig_chunk.",
        "{{ sprig_mustChunk 2 (sprig_list 1 2 3) }}",
        "[[1 2] [3]]",
    ),
];

fn first(arguments: &[Value]) -> Result<Value, FuncError> {
    let items = elements(any(arguments, 0), "Cannot find first on type")?;
    Ok(items.first().cloned().unwrap_or(Value::Nil))
}

fn last(arguments: &[Value]) -> Result<Value, FuncError> {
    let items = elements(any(arguments, 0), "Cannot find last on type")?;
    Ok(items.last().cloned().unwrap_or(Value::Nil))
}

/// A list of what is left; a nil one if there was nothing to take from.
fn remaining(items: Option<&[Value]>) -> Value {
    items.map_or(Value::List(List::nil(Type::Any)), |items| Value::list(items.to_vec()))
}

fn rest(arguments: &[Value]) -> Result<Value, FuncError> {
    let items = elements(any(arguments, 0), "Cannot find rest on type")?;
    Ok(remaining(items.split_first().map(|(_, rest)| rest)))
}

fn initial(arguments: &[Value]) -> Result<Value, FuncError> {
    let items = elements(any(arguments, 0), "Cannot find initial on type")?;
    Ok(remaining(items.split_last().map(|(_, initial)| initial)))
}

fn slice(arguments: &[Value]) -> Result<Value, FuncError> {
    let list = any(arguments, 0);
    let items = elements(list, "list should be type of slice or array but")?;
    if items.is_empty() {
        return Ok(Value::Nil);
    }
    let from = arguments.get(1).map_or(0, to_int);
    let to = arguments.get(2).map_or(items.len() as i64, to_int);
    let part = usize::try_from(from)
        .ok()
        .zip(usize::try_from(to).ok())
        .and_then(|(from, to)| items.get(from..to))
        .ok_or("reflect.Value.Slice: slice index out of bounds")?;
    let element = match list {
        Value::List(list) => list.element().clone(),
        _ => Type::Any,
    };
    Ok(Value::List(List::new(element, part.to_vec())))
}

fn chunk(arguments: &[Value]) -> Result<Value, FuncError> {
    let (size, items) = (int(arguments, 0), elements(any(arguments, 1), "Cannot chunk type")?);
    let length = items.len() as i64;
    let unmakeable = || FuncError::new("runtime error: makeslice: len out of range");
    // Go reckons in floats; a size below one gives a count of chunks that is odd but may be zero.
    let count = match size {
        0 => return Err(unmakeable()),
        size => floor_div(length - 1, size).saturating_add(1),
    };
    let chunks = match usize::try_from(count) {
        Ok(0) => Vec::new(),
        Ok(_) => {
            let size = usize::try_from(size).map_err(|_| unmakeable())?;
            bounded_elements(items.len())?;
            items.chunks(size).map(|chunk| Value::list(chunk.to_vec())).collect()
        }
        Err(_) => return Err(unmakeable()),
    };
    Ok(Value::List(List::new(Type::List(Type::Any.into()), chunks)))
}

/// The quotient rounded down; the divisor is not zero.
fn floor_div(value: i64, divisor: i64) -> i64 {
    let quotient = value.wrapping_div(divisor);
    let inexact = value.wrapping_rem(divisor) != 0;
    if inexact && (value < 0) != (divisor < 0) { quotient - 1 } else { quotient }
}
