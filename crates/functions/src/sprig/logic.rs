//! Defaults and choices. Empty is what `if` takes for false: zero, nothing, nil, false.

use gotemplate::{Func, FuncError, Param, Value};

use crate::arguments::{any, text};
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_default", &[Param::Any], default).variadic(Param::Any).any(),
        "sprig_default default [value]",
        "The value, or the default if the value is empty.",
        r#"{{ sprig_default "none" "" }}"#,
        "none",
    ),
    entry(
        Func::pure("sprig_empty", &[Param::Any], |arguments| Ok(Value::from(!any(arguments, 0).truth()))),
        "sprig_empty value",
        "Whether the value is empty: zero, nil, false, or without elements.",
        r#"{{ sprig_empty "" }} {{ sprig_empty "0" }}"#,
        "true false",
    ),
    entry(
        Func::pure("sprig_coalesce", &[], coalesce).variadic(Param::Any).any(),
        "sprig_coalesce [value ...]",
        "The first value that is not empty.",
        r#"{{ sprig_coalesce 0 "" "a" "b" }}"#,
        "a",
    ),
    entry(
        Func::pure("sprig_all", &[], |arguments| Ok(Value::from(arguments.iter().all(Value::truth))))
            .variadic(Param::Any),
        "sprig_all [value ...]",
        "Whether no value is empty; true without values.",
        r#"{{ sprig_all 1 "a" true }}"#,
        "true",
    ),
    entry(
        Func::pure("sprig_any", &[], |arguments| Ok(Value::from(arguments.iter().any(Value::truth))))
            .variadic(Param::Any),
        "sprig_any [value ...]",
        "Whether some value is not empty.",
        r#"{{ sprig_any 0 "" 1 }}"#,
        "true",
    ),
    entry(
        Func::pure("sprig_ternary", &[Param::Any, Param::Any, Param::Bool], ternary).any(),
        "sprig_ternary yes no condition",
        "One of two values; the condition must be a bool.",
        r#"{{ true | sprig_ternary "yes" "no" }}"#,
        "yes",
    ),
    entry(
        Func::pure("sprig_fail", &[Param::Str], |arguments| Err(FuncError::new(text(arguments, 0)))),
        "sprig_fail message",
        "Ends the rendering with an error of this text.",
        r#"{{ if false }}{{ sprig_fail "no" }}{{ end }}fine"#,
        "fine",
    ),
    entry(
        Func::pure("sprig_hello", &[], |_| Ok(Value::from("Hello!"))),
        "sprig_hello",
        "A greeting.",
        "{{ sprig_hello }}",
        "Hello!",
    ),
];

fn default(arguments: &[Value]) -> Result<Value, FuncError> {
    let given = arguments.get(1).filter(|value| value.truth());
    Ok(given.unwrap_or_else(|| any(arguments, 0)).clone())
}

fn coalesce(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(arguments.iter().find(|value| value.truth()).cloned().unwrap_or(Value::Nil))
}

fn ternary(arguments: &[Value]) -> Result<Value, FuncError> {
    let nth = if any(arguments, 2).truth() { 0 } else { 1 };
    Ok(any(arguments, nth).clone())
}
