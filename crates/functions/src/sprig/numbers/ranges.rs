//! Runs of integers, and one by chance.

use gotemplate::{Func, FuncError, List, Param, Type, Value};

use super::super::chance::Chance;
use crate::arguments::{append, bounded_elements, int};
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_until", &[Param::Int], until),
        "sprig_until end",
        "The integers from 0 up (or down) to, not including, the end.",
        "{{ sprig_until 5 }}",
        "[0 1 2 3 4]",
    ),
    entry(
        Func::pure("sprig_untilStep", &[Param::Int, Param::Int, Param::Int], until_step),
        "sprig_untilStep start end step",
        "The integers from the start up (or down) to, not including, the end.",
        "{{ sprig_untilStep 3 6 2 }}",
        "[3 5]",
    ),
    entry(
        Func::pure("sprig_seq", &[], seq).variadic(Param::Int),
        "sprig_seq [start] [step] end",
        "The integers up (or down) to, including, the end, as a text with spaces, like the shell's seq.",
        "{{ sprig_seq 0 2 6 }}",
        "0 2 4 6",
    ),
    entry(
        Func::pure("sprig_randInt", &[Param::Int, Param::Int], rand_int),
        "sprig_randInt min end",
        "A random integer of at least the first and less than the second number.",
        "{{ sprig_randInt 7 8 }}",
        "7",
    ),
];

/// The integers from `start` to before `end`, none if `step` leads away from it.
fn run(start: i64, end: i64, step: i64) -> impl ExactSizeIterator<Item = i64> {
    let count = if start == end || step == 0 || (start < end) != (step > 0) {
        0
    } else {
        start.abs_diff(end).div_ceil(step.unsigned_abs())
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    (0..count).map(move |nth| start.wrapping_add((nth as i64).wrapping_mul(step)))
}

fn list(numbers: impl ExactSizeIterator<Item = i64>) -> Result<Value, FuncError> {
    bounded_elements(numbers.len())?;
    let items = numbers.map(Value::int).collect();
    Ok(Value::List(List::new(Type::Int(gotemplate::IntKind::Int), items)))
}

fn until(arguments: &[Value]) -> Result<Value, FuncError> {
    let end = int(arguments, 0);
    list(run(0, end, if end < 0 { -1 } else { 1 }))
}

fn until_step(arguments: &[Value]) -> Result<Value, FuncError> {
    list(run(int(arguments, 0), int(arguments, 1), int(arguments, 2)))
}

fn seq(arguments: &[Value]) -> Result<Value, FuncError> {
    let towards = |start: i64, end: i64| if end < start { -1 } else { 1 };
    let (start, step, end) = match arguments.len() {
        1 => {
            let end = int(arguments, 0);
            (1, towards(1, end), end)
        }
        2 => {
            let (start, end) = (int(arguments, 0), int(arguments, 1));
            (start, towards(start, end), end)
        }
        3 => (int(arguments, 0), int(arguments, 1), int(arguments, 2)),
        _ => return Ok(Value::from("")),
    };
    if end < start && step > 0 {
        return Ok(Value::from(""));
    }
    let mut out = Vec::new();
    for number in run(start, end.wrapping_add(towards(start, end)), step) {
        let space = if out.is_empty() { "" } else { " " };
        append(&mut out, format!("{space}{number}").as_bytes())?;
    }
    Ok(Value::from(out))
}

fn rand_int(arguments: &[Value]) -> Result<Value, FuncError> {
    let (min, end) = (int(arguments, 0), int(arguments, 1));
    match end.wrapping_sub(min) {
        count @ 1.. => {
            let offset = Chance::new().below(count as u64)?;
            Ok(Value::int(min.wrapping_add(offset as i64)))
        }
        _ => Err("invalid argument to Intn".into()),
    }
}
