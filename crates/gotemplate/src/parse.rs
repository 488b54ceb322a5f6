//! The parser: tokens into a [`Tree`], with Go's look-ahead, Go's messages and Go's idea of the current line.
//!
//! Statements are kept on a stack of open constructs instead of recursing; expressions recurse through
//! parentheses, at most [`MAX_PAREN_DEPTH`] deep.

mod expression;
mod names;
mod statement;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{ParseError, position};
use crate::lex::{Keyword, Kind, Lexer, Token};
use crate::node::{Control, ListId, Node, Pipe, Tree};
use crate::text::{quoted, truncate_runes};
use names::Names;

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
        functions: HashMap::new(),
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
    /// Where each called function stands in the tree.
    functions: HashMap<Arc<str>, usize>,
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
