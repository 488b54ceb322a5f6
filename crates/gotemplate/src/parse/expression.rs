//! Pipelines, commands and operands.

use std::sync::Arc;

use super::{MAX_PAREN_DEPTH, Parsed, Parser};
use crate::error::position;
use crate::lex::{Keyword, Kind, Token};
use crate::node::{Command, Expr, ExprKind, Name, Pipe, Source};
use crate::number::Number;
use crate::text::{quoted, unquote};

impl Parser<'_> {
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let pos = self.peek_non_space().start;
        let mut pipe = Pipe { pos, assign: false, decl: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Keyword(Keyword::Nil)
                | Kind::RawString
                | Kind::Str
                | Kind::Variable
                | Kind::LeftParen => {
                    self.backup();
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(token, context),
            }
        }
        self.check(&pipe, context)?;
        Ok(pipe)
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        loop {
            let variable = self.peek_non_space();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            self.next();
            // Space is a token, so `$x foo` needs three tokens of look-ahead.
            let after = self.peek();
            let next = self.peek_non_space();
            let comma = next.kind == Kind::Char && self.lexer.slice(next) == b",";
            if matches!(next.kind, Kind::Assign | Kind::Declare) || comma {
                self.next_non_space();
                let name = self.name_of(variable);
                pipe.decl.push(name.clone());
                self.unit.vars.push(name);
                if !comma {
                    pipe.assign = next.kind == Kind::Assign;
                    return Ok(());
                }
                if context != "range" || pipe.decl.len() >= 2 {
                    return self.fail(format!("too many declarations in {context}"));
                }
                match self.peek_non_space().kind {
                    Kind::Variable | Kind::RightDelim | Kind::RightParen => continue,
                    _ => return self.fail("range can only initialize variables"),
                }
            }
            if after.kind == Kind::Space {
                self.backup3(variable, after);
            } else {
                self.backup2(variable);
            }
            return Ok(());
        }
    }

    fn check(&mut self, pipe: &Pipe, context: &str) -> Parsed<()> {
        if pipe.commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (at, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = command.args.first().map(|arg| &arg.kind);
            let literal = matches!(
                first,
                Some(
                    ExprKind::Bool(_)
                        | ExprKind::Dot
                        | ExprKind::Nil
                        | ExprKind::Number(_)
                        | ExprKind::Str { .. }
                )
            );
            if literal {
                return self.fail(format!("non executable command in pipeline stage {}", at + 1));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<Command> {
        let mut command = Command { pos: self.peek_non_space().start, args: Vec::new() };
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                command.args.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.backup(),
                Kind::Pipe => {}
                _ => return self.unexpected(token, "operand"),
            }
            break;
        }
        if command.args.is_empty() {
            return self.fail("empty command");
        }
        Ok(command)
    }

    fn operand(&mut self) -> Parsed<Option<Expr>> {
        let Some(term) = self.term()? else { return Ok(None) };
        let pos = self.peek().start;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            let token = self.next();
            fields.push(self.field_name(token));
        }
        if fields.is_empty() {
            return Ok(Some(term));
        }
        let kind = match term.kind {
            ExprKind::Field(mut names) => {
                names.append(&mut fields);
                ExprKind::Field(names)
            }
            ExprKind::Variable(mut names) => {
                names.append(&mut fields);
                ExprKind::Variable(names)
            }
            ExprKind::Bool(_)
            | ExprKind::Str { .. }
            | ExprKind::Number(_)
            | ExprKind::Nil
            | ExprKind::Dot => {
                let written = crate::node::At::Expr(&term).reprint(Source {
                    text: self.text,
                    left: self.left,
                    right: self.right,
                });
                return self.fail(format!("unexpected . after term {}", quoted(&written)));
            }
            ExprKind::Identifier(_) | ExprKind::Chain(..) | ExprKind::Pipe(_) => {
                ExprKind::Chain(Box::new(term), fields)
            }
        };
        Ok(Some(Expr { pos, kind }))
    }

    fn term(&mut self) -> Parsed<Option<Expr>> {
        let token = self.next_non_space();
        let literal = self.lexer.slice(token);
        let kind = match token.kind {
            Kind::Identifier => {
                let name = String::from_utf8_lossy(literal);
                if !(self.knows)(&name) {
                    let mut error = self.error(format!("function {} not defined", quoted(literal)));
                    error.span = token.start..token.end;
                    error.column = position(self.text, token.start).1;
                    error.undefined_function = Some(name.into_owned());
                    return Err(error);
                }
                ExprKind::Identifier(self.function(&name))
            }
            Kind::Dot => ExprKind::Dot,
            Kind::Keyword(Keyword::Nil) => ExprKind::Nil,
            Kind::Variable => {
                let name = self.name_of(token);
                if !self.unit.vars.contains(&name) {
                    return self.fail(format!("undefined variable {}", quoted(literal)));
                }
                ExprKind::Variable(vec![name])
            }
            Kind::Field => ExprKind::Field(vec![self.field_name(token)]),
            Kind::Bool => ExprKind::Bool(literal == b"true"),
            Kind::CharConstant => ExprKind::Number(self.number(Number::character(literal))?),
            Kind::Complex => ExprKind::Number(self.number(Number::pair(literal))?),
            Kind::Number => ExprKind::Number(self.number(Number::plain(literal))?),
            Kind::LeftParen => {
                if self.paren_depth >= MAX_PAREN_DEPTH {
                    return self.fail("max expression depth exceeded");
                }
                self.paren_depth += 1;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.paren_depth -= 1;
                return Ok(Some(Expr { pos: pipe.pos, kind: ExprKind::Pipe(Box::new(pipe)) }));
            }
            Kind::Str | Kind::RawString => {
                ExprKind::Str { literal: literal.to_vec(), value: self.unquote(token)?.into() }
            }
            _ => {
                self.backup();
                return Ok(None);
            }
        };
        Ok(Some(Expr { pos: token.start, kind }))
    }

    fn number(&mut self, number: Result<Number, String>) -> Parsed<Box<Number>> {
        number.map(Box::new).or_else(|message| self.fail(message))
    }

    /// The name, the same for every call of a function.
    fn function(&mut self, name: &str) -> Name {
        if let Some((text, &id)) = self.functions.get_key_value(name) {
            return Name { text: text.clone(), id };
        }
        let (text, id): (Arc<str>, _) = (name.into(), self.tree.functions.len());
        self.tree.functions.push(text.clone());
        self.functions.insert(text.clone(), id);
        Name { text, id }
    }

    pub(super) fn unquote(&mut self, token: Token) -> Parsed<Vec<u8>> {
        match unquote(self.lexer.slice(token)) {
            Some(value) => Ok(value),
            None => self.fail("invalid syntax"),
        }
    }

    fn name_of(&self, token: Token) -> Arc<str> {
        String::from_utf8_lossy(self.lexer.slice(token)).into()
    }

    fn field_name(&self, token: Token) -> Arc<str> {
        String::from_utf8_lossy(&self.lexer.slice(token)[1..]).into()
    }
}
