//! `secret`, `file`, `env`, `timestamp`: where values come from.

use std::path::PathBuf;

use gotemplate::{Func, FuncError, Param, Value};
use jiff::Timestamp;

use ::functions::go::layout;

use super::text;
use crate::dependency::Dependency;
use crate::evaluate::{Evaluation, Known};
use crate::secret::SecretObject;

pub(super) fn functions() -> Vec<Func<Evaluation>> {
    vec![
        Func::with("secret", &[], |evaluation: &mut Evaluation, arguments| {
            let arguments: Vec<String> = arguments.iter().map(|argument| text(Some(argument))).collect();
            let Some(dependency) = Dependency::secret(&arguments)? else { return Ok(Value::Nil) };
            Ok(match evaluation.need(dependency) {
                Some(Known::Secret(Some(secret))) => SecretObject::value(&secret),
                _ => Value::Nil,
            })
        })
        .variadic(Param::Str)
        .any(),
        Func::with("file", &[Param::Str], |evaluation: &mut Evaluation, arguments| {
            let path = text(arguments.first());
            if path.is_empty() {
                return Ok(Value::from(""));
            }
            let path = PathBuf::from(path);
            evaluation.check_sandbox(&path)?;
            Ok(match evaluation.need(Dependency::File { path }) {
                Some(Known::File(bytes)) => Value::bytes(bytes.as_slice()),
                _ => Value::from(""),
            })
        }),
        Func::with("env", &[Param::Str], |evaluation: &mut Evaluation, arguments| {
            Ok(Value::from(evaluation.environment(&text(arguments.first()))))
        }),
        Func::pure("timestamp", &[], |arguments| {
            let now = Timestamp::now();
            let layout = match arguments.as_slice() {
                [] => "2006-01-02T15:04:05Z".to_owned(),
                [layout] => text(Some(layout)),
                more => {
                    let text = format!(
                        "timestamp: wrong number of arguments, expected 0 or 1, but got {}",
                        more.len()
                    );
                    return Err(FuncError::new(text));
                }
            };
            Ok(Value::from(match layout.as_str() {
                "unix" => now.as_second().to_string().into_bytes(),
                text => layout::format(&now.into(), text.as_bytes()),
            }))
        })
        .variadic(Param::Str),
    ]
}
