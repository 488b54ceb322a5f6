//! The parser: tokens into a [`Tree`], with Go's look-ahead, Go's messages and Go's idea of the current line.
//!
//! Statements are kept on a stack of open constructs instead of recursing; expressions recurse through
//! parentheses, at most [`MAX_PAREN_DEPTH`] deep.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{ParseError, position};
use crate::lex::{Keyword, Kind, Lexer, Token};
use crate::node::{Command, Control, Expr, ExprKind, ListId, Node, Pipe, Source, Tree};
use crate::number::Number;
use crate::text::{decode, quoted, truncate_runes, unquote};

/// How deep parentheses may nest. Go allows 10000; a lower bound lets parsing and execution recurse on a thread
/// of two MiB, and no template written by hand comes near it.
pub const MAX_PAREN_DEPTH: usize = 100;

type Parsed<T> = Result<T, Box<ParseError>>;

/// Parses `text`; `knows` says which names are functions.
pub(crate) fn parse(
    name: &str,
    text: &[u8],
    left: &[u8],
    right: &[u8],
    knows: &dyn Fn(&str) -> bool,
) -> Parsed<(Tree, ListId)> {
    let parser = Parser {
        name,
        text,
        left,
        right,
        knows,
        lexer: Lexer::new(text, left, right),
        tree: Tree::default(),
        unit: Unit::new(),
        paren_depth: 0,
        open: Vec::new(),
        blank: HashSet::new(),
    };
    parser.run()
}

/// What Go keeps per tree: a `define` or `block` body starts with a fresh one.
struct Unit {
    buffer: [Token; 3],
    peeked: usize,
    /// The line of the action being parsed, 0 for none.
    action_line: usize,
    vars: Names,
    range_depth: usize,
}

impl Unit {
    fn new() -> Self {
        let mut vars = Names::default();
        vars.push("$".into());
        Self { buffer: [Token::NONE; 3], peeked: 0, action_line: 0, vars, range_depth: 0 }
    }
}

/// The variables in scope, found in no time however many there are.
#[derive(Default)]
struct Names {
    stack: Vec<Arc<str>>,
    known: HashMap<Arc<str>, usize>,
}

impl Names {
    fn push(&mut self, name: Arc<str>) {
        *self.known.entry(name.clone()).or_default() += 1;
        self.stack.push(name);
    }

    fn truncate(&mut self, len: usize) {
        while self.stack.len() > len
            && let Some(name) = self.stack.pop()
            && let Some(count) = self.known.get_mut(&name)
        {
            *count -= 1;
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.known.get(name).is_some_and(|&count| count > 0)
    }

    fn len(&self) -> usize {
        self.stack.len()
    }
}

/// A construct whose `end` has not come yet; `nodes` is its current list.
struct Open {
    what: What,
    nodes: Vec<Node>,
}

enum What {
    Root,
    Control {
        control: Control,
        pipe: Pipe,
        vars: usize,
        /// The first list, once `else` was seen.
        list: Option<ListId>,
        /// Begun by `else if` or `else with`: the `end` closes the construct around it too.
        chained: bool,
    },
    Define {
        name: Vec<u8>,
        outer: Unit,
    },
    Block {
        pos: usize,
        name: Vec<u8>,
        pipe: Pipe,
        outer: Unit,
    },
}

struct Parser<'t> {
    name: &'t str,
    text: &'t [u8],
    left: &'t [u8],
    right: &'t [u8],
    knows: &'t dyn Fn(&str) -> bool,
    lexer: Lexer<'t>,
    tree: Tree,
    unit: Unit,
    paren_depth: usize,
    open: Vec<Open>,
    /// The lists of defined templates that hold white space at most.
    blank: HashSet<usize>,
}

impl Parser<'_> {
    fn run(mut self) -> Parsed<(Tree, ListId)> {
        self.open.push(Open { what: What::Root, nodes: Vec::new() });
        loop {
            let root = matches!(self.open.last(), Some(Open { what: What::Root, .. }));
            let token = self.peek_non_space();
            if token.kind == Kind::Eof {
                if !root {
                    return self.fail("unexpected EOF");
                }
                break;
            }
            if root && token.kind == Kind::LeftDelim {
                self.next();
                if self.next_non_space().kind == Kind::Keyword(Keyword::Define) {
                    self.define()?;
                    continue;
                }
                self.backup2(token);
            }
            self.text_or_action()?;
        }
        let nodes = self.open.pop().map(|open| open.nodes).unwrap_or_default();
        let name = self.name.as_bytes().to_vec();
        let own = self.add(name.clone(), nodes)?;
        // A `define` of the text's own name is what runs when the text itself is blank.
        let root = self.tree.definitions.get(&name).copied().unwrap_or(own);
        Ok((self.tree, root))
    }

    // === Statements ===

    fn text_or_action(&mut self) -> Parsed<()> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => self.append(Node::Text(token.start..token.end)),
            Kind::LeftDelim => {
                self.unit.action_line = token.line;
                self.action()?;
            }
            _ => return self.unexpected(token, "input"),
        }
        Ok(())
    }

    fn action(&mut self) -> Parsed<()> {
        let token = self.next_non_space();
        let Kind::Keyword(keyword) = token.kind else {
            self.backup();
            return self.simple_action();
        };
        match keyword {
            Keyword::Block => return self.block(),
            Keyword::Break => return self.leave(token, "break"),
            Keyword::Continue => return self.leave(token, "continue"),
            Keyword::Else => return self.else_control(),
            Keyword::End => {
                self.expect(Kind::RightDelim, "end")?;
                return self.end();
            }
            Keyword::If => return self.control(Control::If, false),
            Keyword::Range => return self.control(Control::Range, false),
            Keyword::With => return self.control(Control::With, false),
            Keyword::Template => return self.template(),
            Keyword::Define | Keyword::Nil => self.backup(),
        }
        self.simple_action()
    }

    fn simple_action(&mut self) -> Parsed<()> {
        self.peek();
        let pipe = self.pipeline("command", Kind::RightDelim)?;
        self.append(Node::Action(pipe));
        self.unit.action_line = 0;
        Ok(())
    }

    fn leave(&mut self, keyword: Token, word: &str) -> Parsed<()> {
        let token = self.next_non_space();
        if token.kind != Kind::RightDelim {
            return self.unexpected(token, &format!("{{{{{word}}}}}"));
        }
        if self.unit.range_depth == 0 {
            return self.fail(format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        self.append(if word == "break" { Node::Break(keyword.start) } else { Node::Continue(keyword.start) });
        self.unit.action_line = 0;
        Ok(())
    }

    fn control(&mut self, control: Control, chained: bool) -> Parsed<()> {
        let vars = self.unit.vars.len();
        let pipe = self.pipeline(control.name(), Kind::RightDelim)?;
        if control == Control::Range {
            self.unit.range_depth += 1;
        }
        self.open.push(Open {
            what: What::Control { control, pipe, vars, list: None, chained },
            nodes: Vec::new(),
        });
        Ok(())
    }

    fn else_control(&mut self) -> Parsed<()> {
        let peeked = self.peek_non_space().kind;
        if !matches!(peeked, Kind::Keyword(Keyword::If | Keyword::With)) {
            self.expect(Kind::RightDelim, "else")?;
        }
        self.unit.action_line = 0;
        let Some(top) = self.open.last_mut() else { return self.fail_at("unexpected ", "else", "") };
        let (control, list) = match &mut top.what {
            What::Root => return self.fail_at("unexpected ", "else", ""),
            What::Define { .. } => return self.fail_at("unexpected ", "else", " in define clause"),
            What::Block { .. } => return self.fail_in_block(),
            What::Control { control, list, .. } => (*control, list),
        };
        if list.is_some() {
            return self.fail_at("expected end; found ", "else", "");
        }
        let id = ListId(self.tree.lists.len());
        *list = Some(id);
        self.tree.lists.push(std::mem::take(&mut top.nodes));
        if control == Control::Range {
            self.unit.range_depth -= 1;
        }
        let chains = matches!(
            (control, peeked),
            (Control::If, Kind::Keyword(Keyword::If)) | (Control::With, Kind::Keyword(Keyword::With))
        );
        if chains {
            self.next_non_space();
            return self.control(control, true);
        }
        Ok(())
    }

    /// Closes the innermost construct, and those that `else if` chained to it.
    fn end(&mut self) -> Parsed<()> {
        loop {
            self.unit.action_line = 0;
            let Some(open) = self.open.pop() else { return self.fail_at("unexpected ", "end", "") };
            match open.what {
                What::Root => return self.fail_at("unexpected ", "end", ""),
                What::Define { name, outer } => {
                    self.add(name, open.nodes)?;
                    self.unit = outer;
                    return Ok(());
                }
                What::Block { pos, name, pipe, outer } => {
                    self.add(name.clone(), open.nodes)?;
                    self.unit = outer;
                    self.unit.action_line = 0;
                    self.append(Node::Template { pos, name, pipe: Some(pipe) });
                    return Ok(());
                }
                What::Control { control, pipe, vars, list, chained } => {
                    let id = self.store(open.nodes);
                    if control == Control::Range && list.is_none() {
                        self.unit.range_depth -= 1;
                    }
                    let (list, else_list) = match list {
                        Some(list) => (list, Some(id)),
                        None => (id, None),
                    };
                    self.unit.vars.truncate(vars);
                    self.append(Node::Control { control, pipe, list, else_list });
                    if !chained {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn define(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let outer = std::mem::replace(&mut self.unit, Unit::new());
        let token = self.next_non_space();
        if !matches!(token.kind, Kind::Str | Kind::RawString) {
            return self.unexpected(token, CONTEXT);
        }
        let name = self.unquote(token)?;
        self.expect(Kind::RightDelim, CONTEXT)?;
        self.open.push(Open { what: What::Define { name, outer }, nodes: Vec::new() });
        Ok(())
    }

    fn block(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        let outer = std::mem::replace(&mut self.unit, Unit::new());
        self.open.push(Open { what: What::Block { pos: token.start, name, pipe, outer }, nodes: Vec::new() });
        Ok(())
    }

    fn template(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(token, CONTEXT)?;
        let mut pipe = None;
        if self.next_non_space().kind != Kind::RightDelim {
            self.backup();
            pipe = Some(self.pipeline(CONTEXT, Kind::RightDelim)?);
        }
        self.append(Node::Template { pos: token.start, name, pipe });
        self.unit.action_line = 0;
        Ok(())
    }

    fn template_name(&mut self, token: Token, context: &str) -> Parsed<Vec<u8>> {
        match token.kind {
            Kind::Str | Kind::RawString => self.unquote(token),
            _ => self.unexpected(token, context),
        }
    }

    /// Adds a defined template: a blank body never replaces and never conflicts.
    fn add(&mut self, name: Vec<u8>, nodes: Vec<Node>) -> Parsed<ListId> {
        let blank = self.is_blank(&nodes);
        let id = self.store(nodes);
        if blank {
            self.blank.insert(id.0);
        }
        match self.tree.definitions.get(&name) {
            Some(old) if !self.blank.contains(&old.0) => {
                if !blank {
                    let message = format!("template: multiple definition of template {}", quoted(&name));
                    return self.fail(message);
                }
            }
            _ => {
                self.tree.definitions.insert(name, id);
            }
        }
        Ok(id)
    }

    fn is_blank(&self, nodes: &[Node]) -> bool {
        nodes.iter().all(|node| match node {
            Node::Text(range) => {
                let mut text = &self.text[range.clone()];
                while let (Some(rune), width) = decode(text) {
                    if !rune.is_whitespace() {
                        return false;
                    }
                    text = &text[width..];
                }
                text.is_empty()
            }
            _ => false,
        })
    }

    fn store(&mut self, nodes: Vec<Node>) -> ListId {
        self.tree.lists.push(nodes);
        ListId(self.tree.lists.len() - 1)
    }

    fn append(&mut self, node: Node) {
        if let Some(open) = self.open.last_mut() {
            open.nodes.push(node);
        }
    }

    // === Expressions ===

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
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
                ExprKind::Identifier(name.into())
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

    fn number(&mut self, number: Result<Number, String>) -> Parsed<Number> {
        number.or_else(|message| self.fail(message))
    }

    fn unquote(&mut self, token: Token) -> Parsed<Vec<u8>> {
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

    // === Tokens ===

    fn next(&mut self) -> Token {
        if self.unit.peeked > 0 {
            self.unit.peeked -= 1;
        } else {
            self.unit.buffer[0] = self.lexer.next_token();
        }
        self.unit.buffer[self.unit.peeked]
    }

    fn peek(&mut self) -> Token {
        let token = self.next();
        self.backup();
        token
    }

    fn next_non_space(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_non_space(&mut self) -> Token {
        let token = self.next_non_space();
        self.backup();
        token
    }

    fn backup(&mut self) {
        self.unit.peeked += 1;
    }

    fn backup2(&mut self, before: Token) {
        self.unit.buffer[1] = before;
        self.unit.peeked = 2;
    }

    fn backup3(&mut self, first: Token, second: Token) {
        self.unit.buffer[1] = second;
        self.unit.buffer[2] = first;
        self.unit.peeked = 3;
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(token, context) }
    }

    // === Errors ===

    fn unexpected<T>(&mut self, token: Token, context: &str) -> Parsed<T> {
        let message = if token.kind == Kind::Error {
            let mut message = self.lexer.error_message().to_owned();
            let line = self.unit.action_line;
            if line != 0 && line != token.line {
                if !message.ends_with(" action") {
                    message.push_str(" in action");
                }
                message.push_str(&format!(" started at {}:{line}", self.name));
            }
            message
        } else {
            format!("unexpected {} in {context}", self.shown(token))
        };
        let mut error = self.error(message);
        error.span = token.start..token.end;
        error.column = position(self.text, token.start).1;
        Err(error)
    }

    fn shown(&self, token: Token) -> String {
        let text = self.lexer.slice(token);
        match token.kind {
            Kind::Eof => "EOF".into(),
            // Go counts the dot among the keywords.
            Kind::Keyword(_) | Kind::Dot => format!("<{}>", String::from_utf8_lossy(text)),
            _ if text.len() > 10 => format!("{}...", quoted(truncate_runes(text, 10))),
            _ => quoted(text),
        }
    }

    fn fail<T>(&mut self, message: impl Into<String>) -> Parsed<T> {
        Err(self.error(message.into()))
    }

    /// Go reports this one from the tree around the block, whose current line is that of the block clause.
    fn fail_in_block<T>(&mut self) -> Parsed<T> {
        if let Some(Open { what: What::Block { outer, .. }, .. }) = self.open.pop() {
            self.unit = outer;
        }
        self.fail_at("unexpected ", "else", " in block clause")
    }

    /// Names a statement with the template's own delimiters.
    fn fail_at<T>(&mut self, before: &str, word: &str, after: &str) -> Parsed<T> {
        let (left, right) = (String::from_utf8_lossy(self.left), String::from_utf8_lossy(self.right));
        self.fail(format!("{before}{left}{word}{right}{after}"))
    }

    /// An error at the token read last, which may be a look-ahead: that is the line Go shows.
    fn error(&self, message: String) -> Box<ParseError> {
        let token = self.unit.buffer[0];
        Box::new(ParseError {
            name: self.name.into(),
            line: token.line,
            column: position(self.text, token.start).1,
            span: token.start..token.end,
            message,
            undefined_function: None,
        })
    }
}
