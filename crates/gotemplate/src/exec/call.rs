//! Calls: counting arguments, converting each to its parameter's type, and what is done with the result.

use super::{Executed, Limit, Machine, Operand};
use crate::func::{Call, FuncError, Param, Render};
use crate::node::{At, Expr, ExprKind, Name};
use crate::number::Number;
use crate::text::quoted;
use crate::value::{IntKind, UintKind, Value};

impl<'t, C> Machine<'t, '_, C> {
    /// Calls the function `name`. `args[0]` is its own node; `node` is what an error from inside it points to.
    pub(super) fn function(
        &mut self,
        dot: &Operand,
        expr: &'t Expr,
        node: At<'t>,
        name: &'t Name,
        args: &'t [Expr],
        last: Option<Operand>,
    ) -> Executed<Operand> {
        self.at = Some(At::Expr(expr));
        let Name { text: name, id } = name;
        let Some(&func) = self.funcs.get(*id).copied().flatten() else {
            return self.fail(format!("{} is not a defined function", quoted(name.as_bytes())));
        };
        let mut given = 0;
        let result = match func.call {
            Call::And => return self.short_circuit(dot, name, false, args, last),
            Call::Or => return self.short_circuit(dot, name, true, args, last),
            Call::Invoke => {
                let callee = match (args.get(1), &last) {
                    (Some(arg), _) => {
                        String::from_utf8_lossy(&At::Expr(arg).reprint(self.template.source())).into_owned()
                    }
                    (None, Some(last)) => match &last.value {
                        Value::Str(text) => String::from_utf8_lossy(text).into_owned(),
                        value => format!("<{} Value>", value.type_name()),
                    },
                    (None, None) => String::new(),
                };
                let base = self.arguments(dot, name, func.params, func.variadic, args, last)?;
                let callee = not_callable(&callee, self.arguments.get(base).unwrap_or(&Value::Nil));
                self.arguments.truncate(base);
                Err(callee)
            }
            Call::Pure(call) => {
                let base = self.arguments(dot, name, func.params, func.variadic, args, last)?;
                let arguments = self.arguments.get(base..).unwrap_or_default();
                given = self.given_away(arguments);
                let result = call(arguments);
                self.arguments.truncate(base);
                result
            }
            Call::With(call) => {
                let base = self.arguments(dot, name, func.params, func.variadic, args, last)?;
                let result = call(self.context, self.arguments.get(base..).unwrap_or_default());
                self.arguments.truncate(base);
                result
            }
            Call::Render(call) => {
                let base = self.arguments(dot, name, func.params, func.variadic, args, last)?;
                let render = call(self.context, self.arguments.get(base..).unwrap_or_default());
                self.arguments.truncate(base);
                match render {
                    Ok(render) => self.render(render),
                    Err(error) => Err(error),
                }
            }
        };
        match result {
            Ok(Value::Str(text)) if text.len() > self.meter.limits().output => {
                let limit = self.meter.limits().output;
                self.exceeded = Some(Limit::Output);
                self.call_failed(node, name, &format!("text exceeds {limit} bytes").into())
            }
            Ok(value) => {
                self.made(&value)?;
                self.meter.release(given);
                Ok(Operand::of_type(value, func.returns_any))
            }
            Err(error) => self.call_failed(node, name, &error),
        }
    }

    /// What only these arguments hold. A function without a context can keep it in its result alone, where it is
    /// counted again; or in a map that it was given.
    fn given_away(&self, arguments: &[Value]) -> usize {
        if arguments.iter().any(|argument| matches!(argument, Value::Map(_))) {
            return 0;
        }
        let enough = self.meter.limits().memory;
        arguments.iter().map(|argument| argument.weight(false, enough)).sum()
    }

    pub(super) fn call_failed<T>(&mut self, node: At<'t>, name: &str, error: &FuncError) -> Executed<T> {
        self.at = Some(node);
        self.fail(format!("error calling {name}: {error}"))
    }

    /// Renders a defined template into a string, with variables and an error position of its own.
    fn render(&mut self, render: Render) -> Result<Value, FuncError> {
        let definitions = &self.template.tree.definitions;
        let Some((name, &list)) = definitions.get_key_value(&render.template) else {
            let (name, own) = (quoted(&render.template), quoted(self.template.name.as_bytes()));
            return Err(format!("template: no template {name} associated with template {own}").into());
        };
        let saved = (self.at, self.running, self.base, self.vars.len(), self.depth, self.native);
        self.running = name;
        self.base = self.vars.len();
        self.depth = 0;
        // Its own run loop, statement and call frames on the native stack.
        self.native += 4;
        let dot = Operand::from(render.data).unwrapped();
        let mut out = Vec::new();
        let result =
            self.declare(self.dollar.clone(), dot.clone()).and_then(|()| self.run(list, dot, &mut out));
        let vars;
        (self.at, self.running, self.base, vars, self.depth, self.native) = saved;
        self.forget(vars);
        // It counts again as the call's result.
        self.meter.release(out.len());
        match result {
            Ok(()) => Ok(Value::from(out)),
            Err(error) => Err(error.to_string().into()),
        }
    }

    /// `and` and `or`: the deciding argument itself, and none behind it evaluated.
    fn short_circuit(
        &mut self,
        dot: &Operand,
        name: &str,
        decides: bool,
        args: &'t [Expr],
        last: Option<Operand>,
    ) -> Executed<Operand> {
        let args = args.get(1..).unwrap_or_default();
        if args.is_empty() && last.is_none() {
            return self.fail(format!("wrong number of args for {name}: want at least 1 got 0"));
        }
        let mut value = Value::Nil;
        for arg in args {
            value = self.argument(dot, Param::Reflect, arg)?;
            if value.truth() == decides {
                return Ok(value.into());
            }
        }
        Ok(last.unwrap_or_else(|| value.into()))
    }

    /// Puts all arguments, converted, on top of the machine's; gives where they begin. `args[0]` is the callee; a
    /// piped value comes last.
    pub(super) fn arguments(
        &mut self,
        dot: &Operand,
        name: &str,
        params: &'static [Param],
        variadic: Option<Param>,
        args: &'t [Expr],
        last: Option<Operand>,
    ) -> Executed<usize> {
        let args = args.get(1..).unwrap_or_default();
        let count = args.len() + usize::from(last.is_some());
        match variadic {
            // Go counts a piped value for the check but not in the message.
            Some(_) if count < params.len() => {
                let (want, got) = (params.len(), args.len());
                return self.fail(format!("wrong number of args for {name}: want at least {want} got {got}"));
            }
            None if count != params.len() => {
                let want = params.len();
                return self.fail(format!("wrong number of args for {name}: want {want} got {count}"));
            }
            _ => {}
        }
        let param = |at: usize| params.get(at).copied().or(variadic).unwrap_or(Param::Any);
        let base = self.arguments.len();
        for (at, arg) in args.iter().enumerate() {
            let value = self.argument(dot, param(at), arg)?;
            self.arguments.push(value);
        }
        if let Some(last) = last {
            let value = self.converted(last, param(args.len()))?;
            self.arguments.push(value);
        }
        let texts = self.arguments.get(base..).unwrap_or_default().iter().filter_map(Value::as_str);
        let handled = self.meter.handle(texts.map(<[u8]>::len).sum());
        self.within(handled)?;
        Ok(base)
    }

    fn argument(&mut self, dot: &Operand, param: Param, arg: &'t Expr) -> Executed<Value> {
        self.at = Some(At::Expr(arg));
        self.step()?;
        match &arg.kind {
            ExprKind::Dot => self.converted(dot.clone(), param),
            ExprKind::Nil => match param.zero() {
                Some(zero) => Ok(zero),
                None => self.fail(format!("cannot assign nil to {param}")),
            },
            ExprKind::Field(_) | ExprKind::Variable(_) | ExprKind::Chain(..) => {
                let value = self.chain_of(dot, arg, std::slice::from_ref(arg), None)?;
                self.converted(value, param)
            }
            ExprKind::Pipe(pipe) => {
                let value = self.pipeline(dot, pipe)?;
                self.converted(value, param)
            }
            ExprKind::Identifier(name) => {
                let value = self.function(dot, arg, At::Expr(arg), name, std::slice::from_ref(arg), None)?;
                self.converted(value, param)
            }
            ExprKind::Bool(_) | ExprKind::Number(_) | ExprKind::Str { .. } => self.literal(param, arg),
        }
    }

    /// A literal takes the type asked for, or is refused.
    fn literal(&mut self, param: Param, arg: &'t Expr) -> Executed<Value> {
        let number = |read: fn(&Number) -> Option<Value>| match &arg.kind {
            ExprKind::Number(number) => read(number),
            _ => None,
        };
        let (value, wanted) = match param {
            Param::Any | Param::Reflect => {
                return match &arg.kind {
                    ExprKind::Number(number) => Ok(self.ideal(number)?.value),
                    ExprKind::Bool(value) => Ok(Value::Bool(*value)),
                    ExprKind::Str { value, .. } => Ok(Value::Str(value.clone())),
                    _ => Ok(Value::Nil),
                };
            }
            Param::Str => match &arg.kind {
                ExprKind::Str { value, .. } => (Some(Value::Str(value.clone())), "string"),
                _ => (None, "string"),
            },
            Param::Bool => match &arg.kind {
                ExprKind::Bool(value) => (Some(Value::Bool(*value)), "bool"),
                _ => (None, "bool"),
            },
            Param::Int => (number(|number| Some(Value::Int(IntKind::Int, number.int?))), "integer"),
            Param::Int64 | Param::NamedInt(_) => {
                (number(|number| Some(Value::Int(IntKind::Int64, number.int?))), "integer")
            }
            // Go cuts a literal down to the parameter's width.
            Param::Uint32 => (
                number(|number| Some(Value::Uint(UintKind::Uint32, number.uint? & u64::from(u32::MAX)))),
                "unsigned integer",
            ),
            Param::Uint64 => {
                (number(|number| Some(Value::Uint(UintKind::Uint64, number.uint?))), "unsigned integer")
            }
            Param::Float => (number(|number| Some(Value::Float(number.float?))), "float"),
            Param::Strings | Param::Anys | Param::StringMap | Param::Named(_) => {
                let shown = self.written(arg);
                return self.fail(format!("can't handle {shown} for arg of type {param}"));
            }
        };
        match value {
            Some(value) => Ok(value),
            None => {
                let shown = self.written(arg);
                self.fail(format!("expected {wanted}; found {shown}"))
            }
        }
    }

    fn written(&self, expr: &'t Expr) -> String {
        String::from_utf8_lossy(&At::Expr(expr).reprint(self.template.source())).into_owned()
    }

    /// A value for a parameter: assignable as it is, or after its interface is taken off.
    fn converted(&mut self, operand: Operand, param: Param) -> Executed<Value> {
        if matches!(operand.value, Value::Nil) {
            return match param.zero() {
                Some(zero) => Ok(zero),
                None => self.fail(format!("invalid value; expected {param}")),
            };
        }
        if matches!(
            (param, &operand.value),
            (Param::Any | Param::Reflect, _) | (Param::Str, Value::Str(_)) | (Param::Bool, Value::Bool(_))
        ) {
            return Ok(operand.value);
        }
        let Some(want) = param.to_type() else { return Ok(operand.value) };
        if operand.value.type_of().as_ref() == Some(&want) {
            return Ok(operand.value);
        }
        // A nil interface has no type of its own to name; anything else is named by what is inside.
        let have = if operand.value.is_nil() { operand.type_name() } else { operand.value.type_name() };
        self.fail(format!("wrong type for value; expected {want}; got {have}"))
    }
}

fn not_callable(callee: &str, value: &Value) -> FuncError {
    if value.is_nil() {
        return "call of nil".into();
    }
    format!("non-function {callee} of type {}", value.type_name()).into()
}
