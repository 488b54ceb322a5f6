//! Pipelines and commands.

use super::{Executed, Limit, MAX_NATIVE_DEPTH, Machine, Operand};
use crate::node::{At, Command, Expr, ExprKind, Pipe};
use crate::number::{Ideal, Number};
use crate::value::Value;

impl<'t, C> Machine<'t, '_, C> {
    pub(super) fn pipeline(&mut self, dot: &Operand, pipe: &'t Pipe) -> Executed<Operand> {
        self.at = Some(At::Pipe(pipe));
        if self.native >= MAX_NATIVE_DEPTH {
            self.exceeded = Some(Limit::Depth);
            return self
                .fail(format!("expressions and rendered templates nest deeper than {MAX_NATIVE_DEPTH}"));
        }
        self.native += 1;
        let mut value: Option<Operand> = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?.unwrapped());
        }
        self.native -= 1;
        let value = value.unwrap_or_else(|| Value::Nil.into());
        for name in &pipe.decl {
            if pipe.assign {
                self.set(name, value.clone())?;
            } else {
                self.declare(name.clone(), value.clone())?;
            }
        }
        Ok(value)
    }

    pub(super) fn command(
        &mut self,
        dot: &Operand,
        command: &'t Command,
        last: Option<Operand>,
    ) -> Executed<Operand> {
        self.step()?;
        let Some(first) = command.args.first() else { return self.fail("empty command") };
        let args = command.args.as_slice();
        match &first.kind {
            ExprKind::Field(_) | ExprKind::Chain(..) | ExprKind::Variable(_) => {
                return self.chain_of(dot, first, args, last);
            }
            ExprKind::Identifier(name) => {
                return self.function(dot, first, At::Command(command), name, args, last);
            }
            ExprKind::Pipe(pipe) => {
                self.not_a_function(args, last.is_some())?;
                return self.pipeline(dot, pipe);
            }
            _ => {}
        }
        self.at = Some(At::Expr(first));
        self.not_a_function(args, last.is_some())?;
        match &first.kind {
            ExprKind::Bool(value) => Ok(Value::Bool(*value).into()),
            ExprKind::Dot => Ok(dot.clone()),
            ExprKind::Number(number) => self.ideal(number),
            ExprKind::Str { value, .. } => Ok(Value::Str(value.clone()).into()),
            _ => self.fail("nil is not a command"),
        }
    }

    pub(super) fn not_a_function(&mut self, args: &'t [Expr], piped: bool) -> Executed<()> {
        match args {
            [first] if piped => self.no_arguments(first),
            [first, _, ..] => self.no_arguments(first),
            _ => Ok(()),
        }
    }

    pub(super) fn no_arguments(&mut self, first: &'t Expr) -> Executed<()> {
        let shown = String::from_utf8_lossy(&At::Expr(first).reprint(self.template.source())).into_owned();
        self.fail(format!("can't give argument to non-function {shown}"))
    }

    /// A number where no type is asked for.
    pub(super) fn ideal(&mut self, number: &Number) -> Executed<Operand> {
        match number.ideal() {
            Ideal::Complex(re, im) => Ok(Value::Complex(re, im).into()),
            Ideal::Float(value) => Ok(Value::Float(value).into()),
            Ideal::Int(value) => Ok(Value::int(value).into()),
            Ideal::Overflow => self.fail(format!("{} overflows int", number.text)),
            Ideal::None => Ok(Value::Nil.into()),
        }
    }
}
