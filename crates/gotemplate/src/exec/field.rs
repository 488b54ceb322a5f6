//! Fields and methods: `.a.b`, `$x.a`, `(pipe).a`.

use std::sync::Arc;

use super::{Executed, Machine, MissingKey, Operand};
use crate::func::FuncError;
use crate::node::{At, Expr, ExprKind};
use crate::strconv::{Fault, float, int};
use crate::text::quoted;
use crate::value::{Key, Type, Value};

impl<'t, C> Machine<'t, '_, C> {
    /// A field, variable or chain node, with the arguments its last field may take if it is a method.
    pub(super) fn chain_of(
        &mut self,
        dot: &Operand,
        expr: &'t Expr,
        args: &'t [Expr],
        last: Option<Operand>,
    ) -> Executed<Operand> {
        self.at = Some(At::Expr(expr));
        let (receiver, fields) = match &expr.kind {
            ExprKind::Field(fields) => return self.fields(dot, dot, expr, fields, args, last),
            ExprKind::Variable(names) => {
                let (name, fields) =
                    names.split_first().map_or(("$", &[][..]), |(name, fields)| (name, fields));
                let value = self.variable(name)?;
                if fields.is_empty() {
                    self.not_a_function(args, last.is_some())?;
                    return Ok(value);
                }
                (value, fields)
            }
            ExprKind::Chain(first, fields) => {
                self.at = Some(At::Expr(first));
                let value = match &first.kind {
                    ExprKind::Pipe(pipe) => self.pipeline(dot, pipe)?,
                    ExprKind::Identifier(name) => self.function(
                        dot,
                        first,
                        At::Expr(first),
                        name,
                        std::slice::from_ref(&**first),
                        None,
                    )?,
                    ExprKind::Nil => {
                        let shown = String::from_utf8_lossy(&At::Expr(expr).reprint(self.template.source()))
                            .into_owned();
                        return self.fail(format!("indirection through explicit nil in {shown}"));
                    }
                    _ => return self.fail("no fields to evaluate"),
                };
                (value, fields.as_slice())
            }
            _ => return self.fail("no fields to evaluate"),
        };
        self.fields(dot, &receiver, expr, fields, args, last)
    }

    fn fields(
        &mut self,
        dot: &Operand,
        receiver: &Operand,
        expr: &'t Expr,
        fields: &'t [Arc<str>],
        args: &'t [Expr],
        last: Option<Operand>,
    ) -> Executed<Operand> {
        let Some((end, inner)) = fields.split_last() else { return Ok(receiver.clone()) };
        let mut found = None;
        for name in inner {
            found = Some(self.field(dot, found.as_ref().unwrap_or(receiver), expr, name, &[], None)?);
        }
        self.field(dot, found.as_ref().unwrap_or(receiver), expr, end, args, last)
    }

    fn field(
        &mut self,
        dot: &Operand,
        receiver: &Operand,
        expr: &'t Expr,
        name: &'t Arc<str>,
        args: &'t [Expr],
        last: Option<Operand>,
    ) -> Executed<Operand> {
        let has_args = args.len() > 1 || last.is_some();
        match &receiver.value {
            Value::Nil => {
                if self.missing_key == MissingKey::Error {
                    return self.fail(format!("nil data; no entry for key {}", quoted(name.as_bytes())));
                }
                return Ok(Value::Nil.into());
            }
            Value::NilInterface => return self.fail(format!("nil pointer evaluating interface {{}}.{name}")),
            Value::NilPointer(nil) if nil.fields.contains(&&**name) => {
                return self.fail(format!("nil pointer evaluating {}.{name}", receiver.type_name()));
            }
            Value::Number(number) => {
                if let Some(result) = number_method(number, name) {
                    let base = self.arguments(dot, name, &[], None, args, last)?;
                    self.arguments.truncate(base);
                    return match result {
                        Ok(value) => Ok(value.into()),
                        Err(error) => self.call_failed(At::Expr(expr), name, &error),
                    };
                }
            }
            Value::Object(object) => {
                if let Some(method) = object.method(name) {
                    let base = self.arguments(dot, name, method.params, method.variadic, args, last)?;
                    if let Some(reason) = method.unfit {
                        return self.fail(reason);
                    }
                    let result = object.call(name, self.arguments.get(base..).unwrap_or_default());
                    self.arguments.truncate(base);
                    return match result {
                        Ok(value) => {
                            self.made(&value)?;
                            Ok(Operand::of_type(value, method.returns_any))
                        }
                        Err(error) => self.call_failed(At::Expr(expr), name, &error),
                    };
                }
                if let Some(value) = object.field(name) {
                    if has_args {
                        return self.fail(format!("{name} has arguments but cannot be invoked as function"));
                    }
                    self.made(&value)?;
                    return Ok(value.into());
                }
            }
            Value::Map(map) if matches!(map.key(), Type::Str | Type::Any) => {
                if has_args {
                    return self.fail(format!("{name} is not a method but has arguments"));
                }
                let any = *map.value() == Type::Any;
                if let Some(value) = map.get(&Key::Str(name.clone().into())) {
                    return Ok(Operand::of_type(value, any));
                }
                return match self.missing_key {
                    MissingKey::Default => Ok(Value::Nil.into()),
                    MissingKey::Zero => Ok(Operand::of_type(map.zero(), any)),
                    MissingKey::Error => {
                        self.fail(format!("map has no entry for key {}", quoted(name.as_bytes())))
                    }
                };
            }
            _ => {}
        }
        self.fail(format!("can't evaluate field {name} in type {}", receiver.type_name()))
    }
}

/// The methods of `json.Number`.
fn number_method(text: &str, name: &str) -> Option<Result<Value, FuncError>> {
    let told = |function| move |fault: Fault| FuncError::new(fault.told(function, text.as_bytes()));
    Some(match name {
        "String" => Ok(Value::from(text)),
        "Int64" => int(text.as_bytes(), 10, 64).map(Value::int64).map_err(told("ParseInt")),
        "Float64" => float(text.as_bytes()).map(Value::Float).map_err(told("ParseFloat")),
        _ => return None,
    })
}
