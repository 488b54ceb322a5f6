//! The tree of a parsed template, and how a node is printed again for error messages.
//!
//! Statement lists live in one table and refer to each other by number, so that neither building, walking nor
//! dropping a deeply nested template recurses. Expressions are ordinary trees: the parser bounds their depth.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::number::Number;
use crate::text::quoted;

/// A statement list in [`Tree::lists`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListId(pub(crate) usize);

/// A whole parsed text: its lists, and the root list of every defined template.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) lists: Vec<Vec<Node>>,
    pub(crate) definitions: BTreeMap<Vec<u8>, ListId>,
    /// Every function that is called, so that each is looked up once.
    pub(crate) functions: Vec<Arc<str>>,
}

impl Tree {
    pub(crate) fn list(&self, id: ListId) -> &[Node] {
        self.lists.get(id.0).map_or(&[], Vec::as_slice)
    }
}

/// Which of the three statements with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    If,
    With,
    Range,
}

impl Control {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::With => "with",
            Self::Range => "range",
        }
    }
}

/// A statement. `pos` is the byte of the template to which an error message points.
#[derive(Debug)]
pub(crate) enum Node {
    Text(Range<usize>),
    Action(Pipe),
    Control { control: Control, pipe: Pipe, list: ListId, else_list: Option<ListId> },
    Template { pos: usize, name: Vec<u8>, pipe: Option<Pipe> },
    Break(usize),
    Continue(usize),
}

/// Commands joined by `|`, and the variables that take the result.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) pos: usize,
    pub(crate) assign: bool,
    pub(crate) decl: Vec<Arc<str>>,
    pub(crate) commands: Vec<Command>,
}

/// An operand and its arguments.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) pos: usize,
    pub(crate) args: Vec<Expr>,
}

/// A function, and where it stands in [`Tree::functions`].
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) text: Arc<str>,
    pub(crate) id: usize,
}

/// An operand.
#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) pos: usize,
    pub(crate) kind: ExprKind,
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    Bool(bool),
    Dot,
    Nil,
    Number(Box<Number>),
    Str {
        literal: Vec<u8>,
        value: Arc<[u8]>,
    },
    Identifier(Name),
    Field(Vec<Arc<str>>),
    /// The name with its `$`, then fields.
    Variable(Vec<Arc<str>>),
    Chain(Box<Expr>, Vec<Arc<str>>),
    Pipe(Box<Pipe>),
}

/// The written template: its bytes and its delimiters, which a reprinted statement carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'t> {
    pub(crate) text: &'t [u8],
    pub(crate) left: &'t [u8],
    pub(crate) right: &'t [u8],
}

/// The node at which execution stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At<'t> {
    Node(&'t Node),
    Pipe(&'t Pipe),
    Command(&'t Command),
    Expr(&'t Expr),
}

impl At<'_> {
    pub(crate) fn pos(self) -> usize {
        match self {
            Self::Node(Node::Text(range)) => range.start,
            Self::Node(Node::Action(pipe) | Node::Control { pipe, .. }) => pipe.pos,
            Self::Node(Node::Template { pos, .. } | Node::Break(pos) | Node::Continue(pos)) => *pos,
            Self::Pipe(pipe) => pipe.pos,
            Self::Command(command) => command.pos,
            Self::Expr(expr) => expr.pos,
        }
    }

    /// The node as Go prints it: canonical spacing, literals as written.
    pub(crate) fn reprint(self, source: Source<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Node(node) => reprint_node(&mut out, node, source),
            Self::Pipe(pipe) => reprint_pipe(&mut out, pipe),
            Self::Command(command) => reprint_command(&mut out, command),
            Self::Expr(expr) => reprint_expr(&mut out, expr),
        }
        out
    }
}

fn reprint_node(out: &mut Vec<u8>, node: &Node, source: Source<'_>) {
    match node {
        Node::Text(range) => out.extend_from_slice(&source.text[range.clone()]),
        Node::Action(pipe) => {
            out.extend_from_slice(source.left);
            reprint_pipe(out, pipe);
            out.extend_from_slice(source.right);
        }
        // Go prints the body too. Only this crate's own limits can point here, and their reader wants the head.
        Node::Control { control, pipe, .. } => {
            out.extend_from_slice(source.left);
            out.extend_from_slice(control.name().as_bytes());
            out.push(b' ');
            reprint_pipe(out, pipe);
            out.extend_from_slice(source.right);
        }
        Node::Template { name, pipe, .. } => {
            out.extend_from_slice(source.left);
            out.extend_from_slice(b"template ");
            out.extend_from_slice(quoted(name).as_bytes());
            if let Some(pipe) = pipe {
                out.push(b' ');
                reprint_pipe(out, pipe);
            }
            out.extend_from_slice(source.right);
        }
        Node::Break(_) => out.extend_from_slice(&[source.left, b"break", source.right].concat()),
        Node::Continue(_) => out.extend_from_slice(&[source.left, b"continue", source.right].concat()),
    }
}

fn reprint_pipe(out: &mut Vec<u8>, pipe: &Pipe) {
    for (at, name) in pipe.decl.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(name.as_bytes());
    }
    if !pipe.decl.is_empty() {
        out.extend_from_slice(if pipe.assign { b" = " } else { b" := " });
    }
    for (at, command) in pipe.commands.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b" | ");
        }
        reprint_command(out, command);
    }
}

fn reprint_command(out: &mut Vec<u8>, command: &Command) {
    for (at, arg) in command.args.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        reprint_operand(out, arg);
    }
}

/// Inside a command a pipeline stands in parentheses; as a node of its own it does not.
fn reprint_operand(out: &mut Vec<u8>, expr: &Expr) {
    if let ExprKind::Pipe(pipe) = &expr.kind {
        out.push(b'(');
        reprint_pipe(out, pipe);
        out.push(b')');
    } else {
        reprint_expr(out, expr);
    }
}

fn reprint_expr(out: &mut Vec<u8>, expr: &Expr) {
    match &expr.kind {
        ExprKind::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        ExprKind::Dot => out.push(b'.'),
        ExprKind::Nil => out.extend_from_slice(b"nil"),
        ExprKind::Number(number) => out.extend_from_slice(number.text.as_bytes()),
        ExprKind::Str { literal, .. } => out.extend_from_slice(literal),
        ExprKind::Identifier(name) => out.extend_from_slice(name.text.as_bytes()),
        ExprKind::Field(names) => reprint_fields(out, names),
        ExprKind::Variable(names) => {
            if let Some((name, fields)) = names.split_first() {
                out.extend_from_slice(name.as_bytes());
                reprint_fields(out, fields);
            }
        }
        ExprKind::Chain(first, fields) => {
            reprint_operand(out, first);
            reprint_fields(out, fields);
        }
        ExprKind::Pipe(pipe) => reprint_pipe(out, pipe),
    }
}

fn reprint_fields(out: &mut Vec<u8>, names: &[Arc<str>]) {
    for name in names {
        out.push(b'.');
        out.extend_from_slice(name.as_bytes());
    }
}
