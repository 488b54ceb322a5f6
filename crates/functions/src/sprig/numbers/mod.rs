//! Numbers. Integers wrap around, and what is no number counts as 0.

mod decimal;
mod floats;
mod ranges;

use gotemplate::{Func, FuncError, Param, Value, sprint};

use super::convert::{float, int as to_int};
use crate::arguments::{any, bytes};
use crate::go::strconv;
use crate::{Entry, entry};

pub(crate) use decimal::ENTRIES as DECIMALS;
pub(crate) use floats::ENTRIES as FLOATS;
pub(crate) use ranges::ENTRIES as RANGES;

const ONE: &[Param] = &[Param::Any];
const TWO: &[Param] = &[Param::Any, Param::Any];

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_atoi", &[Param::Str], atoi),
        "sprig_atoi text",
        "The decimal number of a text; 0 if it is none.",
        r#"{{ sprig_atoi "42" }}"#,
        "42",
    ),
    entry(
        Func::pure("sprig_int", ONE, |arguments| Ok(Value::int(to_int(any(arguments, 0))))),
        "sprig_int value",
        "An integer; a text may have a base prefix, so \"010\" is 8 and \"08\" is no number, which is 0.",
        r#"{{ sprig_int "42" }} {{ sprig_int 1.9 }} {{ sprig_int "010" }}"#,
        "42 1 8",
    ),
    entry(
        Func::pure("sprig_int64", ONE, |arguments| Ok(Value::int64(to_int(any(arguments, 0))))),
        "sprig_int64 value",
        "As sprig_int, of the type int64.",
        r#"{{ sprig_int64 "42" }}"#,
        "42",
    ),
    entry(
        Func::pure("sprig_float64", ONE, |arguments| Ok(Value::from(float(any(arguments, 0))))),
        "sprig_float64 value",
        "A floating-point number; 0 if the value is none.",
        r#"{{ sprig_float64 "1.50" }}"#,
        "1.5",
    ),
    entry(
        Func::pure("sprig_toDecimal", ONE, to_decimal),
        "sprig_toDecimal value",
        "The number that octal digits stand for, as in file modes.",
        r#"{{ sprig_toDecimal "755" }}"#,
        "493",
    ),
    entry(
        Func::pure("sprig_add", &[], |arguments| fold(arguments, 0, i64::wrapping_add)).variadic(Param::Any),
        "sprig_add [number ...]",
        "The sum of integers; a float counts without its fraction.",
        r#"{{ sprig_add 1 2 "3" }}"#,
        "6",
    ),
    entry(
        Func::pure("sprig_add1", ONE, |arguments| fold(arguments, 1, i64::wrapping_add)),
        "sprig_add1 number",
        "One more.",
        "{{ sprig_add1 41 }}",
        "42",
    ),
    entry(
        Func::pure("sprig_sub", TWO, |arguments| with(arguments, i64::wrapping_sub)),
        "sprig_sub number number",
        "The difference of two integers.",
        "{{ sprig_sub 5 3 }}",
        "2",
    ),
    entry(
        Func::pure("sprig_mul", ONE, |arguments| fold(arguments, 1, i64::wrapping_mul)).variadic(Param::Any),
        "sprig_mul number [number ...]",
        "The product of integers.",
        "{{ sprig_mul 2 3 4 }}",
        "24",
    ),
    entry(
        Func::pure("sprig_div", TWO, |arguments| divided(arguments, i64::wrapping_div)),
        "sprig_div number number",
        "The quotient of two integers without its fraction.",
        "{{ sprig_div 10 3 }}",
        "3",
    ),
    entry(
        Func::pure("sprig_mod", TWO, |arguments| divided(arguments, i64::wrapping_rem)),
        "sprig_mod number number",
        "The remainder of a division, with the sign of the first number.",
        "{{ sprig_mod 10 3 }}",
        "1",
    ),
    entry(
        Func::pure("sprig_max", ONE, |arguments| most(arguments, i64::max)).variadic(Param::Any),
        "sprig_max number [number ...]",
        "The largest of integers.",
        "{{ sprig_max 1 5 3 }}",
        "5",
    ),
    entry(
        Func::pure("sprig_biggest", ONE, |arguments| most(arguments, i64::max)).variadic(Param::Any),
        "sprig_biggest number [number ...]",
        "The same as sprig_max.",
        "{{ sprig_biggest 1 5 3 }}",
        "5",
    ),
    entry(
        Func::pure("sprig_min", ONE, |arguments| most(arguments, i64::min)).variadic(Param::Any),
        "sprig_min number [number ...]",
        "The smallest of integers.",
        "{{ sprig_min 1 5 3 }}",
        "1",
    ),
];

fn atoi(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::int(strconv::nearest_int(bytes(arguments, 0))))
}

fn to_decimal(arguments: &[Value]) -> Result<Value, FuncError> {
    let text = sprint(arguments.get(..1).unwrap_or_default())?;
    Ok(Value::int64(strconv::int(&text, 8).unwrap_or(0)))
}

fn fold(arguments: &[Value], start: i64, combine: fn(i64, i64) -> i64) -> Result<Value, FuncError> {
    Ok(Value::int64(arguments.iter().map(to_int).fold(start, combine)))
}

fn most(arguments: &[Value], choose: fn(i64, i64) -> i64) -> Result<Value, FuncError> {
    Ok(Value::int64(arguments.iter().map(to_int).reduce(choose).unwrap_or(0)))
}

fn with(arguments: &[Value], combine: fn(i64, i64) -> i64) -> Result<Value, FuncError> {
    Ok(Value::int64(combine(to_int(any(arguments, 0)), to_int(any(arguments, 1)))))
}

fn divided(arguments: &[Value], divide: fn(i64, i64) -> i64) -> Result<Value, FuncError> {
    match to_int(any(arguments, 1)) {
        0 => Err("runtime error: integer divide by zero".into()),
        _ => with(arguments, divide),
    }
}
