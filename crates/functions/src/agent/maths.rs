//! Arithmetic over Go's kinds of numbers. The second argument is the first operand, so that `10 | subtract 3` is 7.

use gotemplate::{Func, FuncError, Param, Value, sprintf};

use crate::arguments::any;
use crate::{Entry, entry};

const A: Param = Param::Any;

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("add", &[A, A], |arguments| {
            calculate("add", arguments, i64::wrapping_add, u64::wrapping_add, |a, b| a + b)
        })
        .any(),
        "add b a",
        "a + b. Integers give an `int64`, which wraps around; two unsigned ones a `uint64`, any float a `float64`.",
        "{{ 3 | add 4 }}",
        "7",
    ),
    entry(
        Func::pure("divide", &[A, A], |arguments| {
            not_by_zero(arguments)?;
            calculate("divide", arguments, i64::wrapping_div, u64::wrapping_div, |a, b| a / b)
        })
        .any(),
        "divide b a",
        "a / b, without the rest if both are integers.",
        "{{ 9 | divide 2 }} {{ 9.0 | divide 2 }}",
        "4 4.5",
    ),
    entry(
        Func::pure("maximum", &[A, A], |arguments| {
            choose("maximum", arguments, |a, b| a > b, |a, b| a > b, |a, b| a > b)
        })
        .any(),
        "maximum b a",
        "The larger of the two.",
        "{{ maximum 2 3 }}",
        "3",
    ),
    entry(
        Func::pure("minimum", &[A, A], |arguments| {
            choose("minimum", arguments, |a, b| a < b, |a, b| a < b, |a, b| a < b)
        })
        .any(),
        "minimum b a",
        "The smaller of the two.",
        "{{ minimum 2 3 }}",
        "2",
    ),
    entry(
        Func::pure("modulo", &[A, A], modulo).any(),
        "modulo b a",
        "What is left of a divided by b, with the sign of a. No floats.",
        "{{ 10 | modulo 4 }}",
        "2",
    ),
    entry(
        Func::pure("multiply", &[A, A], |arguments| {
            calculate("multiply", arguments, i64::wrapping_mul, u64::wrapping_mul, |a, b| a * b)
        })
        .any(),
        "multiply b a",
        "a × b.",
        "{{ 2 | multiply 3 }}",
        "6",
    ),
    entry(
        Func::pure("subtract", &[A, A], |arguments| {
            calculate("subtract", arguments, i64::wrapping_sub, u64::wrapping_sub, |a, b| a - b)
        })
        .any(),
        "subtract b a",
        "a - b: the first argument is what is taken away.",
        "{{ 10 | subtract 3 }}",
        "7",
    ),
];

#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Uint(u64),
    Float(f64),
}

impl Number {
    fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Int(_, value) => Self::Int(*value),
            Value::Uint(_, value) => Self::Uint(*value),
            Value::Float(value) => Self::Float(*value),
            _ => return None,
        })
    }

    fn value(self) -> Value {
        match self {
            Self::Int(value) => Value::int64(value),
            Self::Uint(value) => Value::Uint(gotemplate::UintKind::Uint64, value),
            Self::Float(value) => Value::Float(value),
        }
    }
}

/// Two operands brought to one kind.
enum Pair {
    Ints(i64, i64),
    Uints(u64, u64),
    Floats(f64, f64),
}

/// The first operand is the last argument.
fn operands(name: &str, arguments: &[Value]) -> Result<(Number, Number), FuncError> {
    let number = |value| Number::of(value).ok_or_else(|| unknown(name, value));
    let a = number(any(arguments, 1))?;
    Ok((a, number(any(arguments, 0))?))
}

fn unknown(name: &str, value: &Value) -> FuncError {
    // What `%q` of a `reflect.Value` shows, as the agents print it.
    let shown = if value.is_nil() {
        b"<invalid reflect.Value>".to_vec()
    } else {
        sprintf(b"%q", std::slice::from_ref(value)).unwrap_or_default()
    };
    FuncError::new(format!(
        "{name}: unknown type for {} ({})",
        String::from_utf8_lossy(&shown),
        value.type_name()
    ))
}

/// An unsigned integer beside a signed one is taken for a signed one, as large as it may be.
fn pair(a: Number, b: Number) -> Pair {
    use Number::{Float, Int, Uint};
    match (a, b) {
        (Int(a), Int(b)) => Pair::Ints(a, b),
        (Int(a), Uint(b)) => Pair::Ints(a, b as i64),
        (Uint(a), Int(b)) => Pair::Ints(a as i64, b),
        (Uint(a), Uint(b)) => Pair::Uints(a, b),
        (Float(a), Float(b)) => Pair::Floats(a, b),
        (Float(a), Int(b)) => Pair::Floats(a, b as f64),
        (Float(a), Uint(b)) => Pair::Floats(a, b as f64),
        (Int(a), Float(b)) => Pair::Floats(a as f64, b),
        (Uint(a), Float(b)) => Pair::Floats(a as f64, b),
    }
}

fn calculate(
    name: &str,
    arguments: &[Value],
    ints: fn(i64, i64) -> i64,
    uints: fn(u64, u64) -> u64,
    floats: fn(f64, f64) -> f64,
) -> Result<Value, FuncError> {
    let (a, b) = operands(name, arguments)?;
    Ok(match pair(a, b) {
        Pair::Ints(a, b) => Number::Int(ints(a, b)),
        Pair::Uints(a, b) => Number::Uint(uints(a, b)),
        Pair::Floats(a, b) => Number::Float(floats(a, b)),
    }
    .value())
}

/// The operand that wins keeps its own kind.
fn choose(
    name: &str,
    arguments: &[Value],
    ints: fn(i64, i64) -> bool,
    uints: fn(u64, u64) -> bool,
    floats: fn(f64, f64) -> bool,
) -> Result<Value, FuncError> {
    let (a, b) = operands(name, arguments)?;
    let first = match pair(a, b) {
        Pair::Ints(a, b) => ints(a, b),
        Pair::Uints(a, b) => uints(a, b),
        Pair::Floats(a, b) => floats(a, b),
    };
    Ok(if first { a } else { b }.value())
}

fn modulo(arguments: &[Value]) -> Result<Value, FuncError> {
    for nth in [1, 0] {
        let value = any(arguments, nth);
        if !matches!(value, Value::Int(..) | Value::Uint(..)) {
            return Err(unknown("modulo", value));
        }
    }
    not_by_zero(arguments)?;
    calculate("modulo", arguments, i64::wrapping_rem, u64::wrapping_rem, |a, _| a)
}

/// Refuses what would divide an integer by the integer 0.
fn not_by_zero(arguments: &[Value]) -> Result<(), FuncError> {
    let integer = matches!(any(arguments, 1), Value::Int(..) | Value::Uint(..));
    let zero = matches!(any(arguments, 0), Value::Int(_, 0) | Value::Uint(_, 0));
    if integer && zero { Err("runtime error: integer divide by zero".into()) } else { Ok(()) }
}
