//! `executeTemplate`: what a `define` holds, as text.

use ::functions::{Entry, entry};
use gotemplate::{Call, Func, FuncError, Param, Render, Value};

use crate::evaluate::Evaluation;

pub(super) const ENTRIES: &[Entry<Evaluation>] = &[entry(
    Func::new("executeTemplate", &[Param::Str], Call::Render(execute)).variadic(Param::Any),
    "executeTemplate name [data]",
    "What a defined template renders to, as text for further functions.",
    r#"{{ define "greet" }}hello {{ . }}{{ end }}{{ executeTemplate "greet" "ann" | toUpper }}"#,
    "HELLO ANN",
)];

fn execute(_: &mut Evaluation, arguments: &[Value]) -> Result<Render, FuncError> {
    if arguments.len() > 2 {
        let count = arguments.len();
        let text = format!("executeTemplate: wrong number of arguments, expected 1 or 2, but got {count}");
        return Err(FuncError::new(text));
    }
    let template = arguments.first().and_then(Value::as_str).unwrap_or_default().to_vec();
    Ok(Render { template, data: arguments.get(1).cloned().unwrap_or(Value::Nil) })
}
