//! Execution: walks the statements with a stack of its own, evaluates expressions by recursion.
//!
//! The machine remembers the node it reached last and never steps back from it, as Go's does: error messages
//! name that node, so the order in which nodes are visited is part of the contract.

mod call;
mod expression;
mod field;
mod limits;
mod operand;
mod range;
mod variables;

use std::fmt;
use std::sync::Arc;

use crate::error::{ExecError, position};
use crate::format::sprint;
use crate::func::{Func, Funcs};
use crate::node::{At, Control, ListId, Node};
use crate::text::quoted;
use crate::value::Value;
use crate::{Template, text};

use limits::Meter;
pub use limits::{Limit, Limits};
use operand::Operand;
use range::Iteration;

/// What a field of a map yields when the key is missing. `index` always yields the zero value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// No value.
    #[default]
    Default,
    /// The zero of the map's value type.
    Zero,
    /// An error.
    Error,
}

/// How a template is run.
#[derive(Clone, Copy, Default)]
pub struct ExecOptions<'a> {
    /// The rule for missing map keys.
    pub missing_key: MissingKey,
    /// The bounds.
    pub limits: Limits,
    /// Asked every few thousand steps; true ends the execution. This crate has no clock: a caller that allows so
    /// many seconds, or wants to cancel, says so here.
    pub stop: Option<&'a dyn Fn() -> bool>,
}

impl fmt::Debug for ExecOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecOptions")
            .field("missing_key", &self.missing_key)
            .field("limits", &self.limits)
            .field("stop", &self.stop.is_some())
            .finish()
    }
}

/// How deep expressions and templates rendered by functions may recurse together, so that two MiB of stack are
/// enough. Parentheses alone cannot reach it.
const MAX_NATIVE_DEPTH: usize = 150;
/// What a variable takes.
const VARIABLE: usize = size_of::<(Arc<str>, Operand)>();
/// Variables that are compared in the time of a step.
const VARIABLES_PER_STEP: u64 = 16;

type Executed<T> = Result<T, Box<ExecError>>;

pub(crate) fn execute<C>(
    template: &Template,
    funcs: &Funcs<C>,
    context: &mut C,
    data: Value,
    options: &ExecOptions<'_>,
    out: &mut Vec<u8>,
) -> Executed<()> {
    let dollar: Arc<str> = "$".into();
    let mut machine = Machine {
        template,
        funcs: template.tree.functions.iter().map(|name| funcs.get(name)).collect(),
        context,
        missing_key: options.missing_key,
        meter: Meter::new(options.limits, options.stop),
        exceeded: None,
        at: None,
        running: template.name.as_bytes(),
        vars: vec![(dollar.clone(), Operand::from(data.clone()))],
        dollar,
        base: 0,
        arguments: Vec::new(),
        depth: 0,
        native: 0,
    };
    machine.run(template.root, data.into(), out)
}

/// What is going on, innermost last.
enum Frame<'t> {
    List {
        nodes: &'t [Node],
        next: usize,
        dot: Operand,
    },
    /// Variables above the mark end here.
    Scope(usize),
    /// The same behind the `else` of a range, where `break` still means that range.
    RangeElse(usize),
    Range(Box<Iteration<'t>>),
    /// The caller of a template.
    Return {
        at: Option<At<'t>>,
        running: &'t [u8],
        base: usize,
        vars: usize,
    },
}

struct Machine<'t, 'c, C> {
    template: &'t Template,
    /// The functions of [`Tree::functions`](crate::node::Tree::functions).
    funcs: Vec<Option<&'c Func<C>>>,
    context: &'c mut C,
    missing_key: MissingKey,
    meter: Meter<'c>,
    /// The bound that ended the execution, also when a template rendered by a function ran into it.
    exceeded: Option<Limit>,
    /// The node reached last.
    at: Option<At<'t>>,
    /// The name of the defined template that runs.
    running: &'t [u8],
    vars: Vec<(Arc<str>, Operand)>,
    /// The name of the first variable.
    dollar: Arc<str>,
    /// Variables below belong to callers.
    base: usize,
    /// Arguments of the calls under way, the innermost call's last: no call needs a list of its own.
    arguments: Vec<Value>,
    depth: usize,
    native: usize,
}

impl<'t, C> Machine<'t, '_, C> {
    // === Statements ===

    /// Runs a list to its end.
    fn run(&mut self, list: ListId, dot: Operand, out: &mut Vec<u8>) -> Executed<()> {
        let mut frames = vec![self.list(list, dot)];
        while let Some(frame) = frames.last_mut() {
            match frame {
                Frame::List { nodes, next, dot } => match nodes.get(*next) {
                    Some(node) => {
                        *next += 1;
                        self.at = Some(At::Node(node));
                        self.step()?;
                        match node {
                            Node::Text(range) => {
                                let text = self.template.text.get(range.clone()).unwrap_or_default();
                                self.write(out, text)?;
                            }
                            Node::Action(pipe) => {
                                let value = self.pipeline(dot, pipe)?;
                                if pipe.decl.is_empty() {
                                    self.print(node, &value.value, out)?;
                                    self.drop_value(&value.value);
                                }
                            }
                            _ => {
                                let dot = dot.clone();
                                self.control(node, dot, &mut frames)?;
                            }
                        }
                    }
                    None => drop(frames.pop()),
                },
                Frame::Scope(mark) | Frame::RangeElse(mark) => {
                    let mark = *mark;
                    frames.pop();
                    self.forget(mark);
                }
                Frame::Range(iteration) => match self.iterate(iteration)? {
                    Some(body) => frames.push(body),
                    None => {
                        let mark = iteration.marks.0;
                        let otherwise = iteration.otherwise.take();
                        frames.pop();
                        frames.push(Frame::RangeElse(mark));
                        frames.extend(otherwise.map(|(list, dot)| self.list(list, dot)));
                    }
                },
                Frame::Return { at, running, base, vars } => {
                    (self.at, self.running, self.base) = (*at, running, *base);
                    let mark = *vars;
                    self.depth -= 1;
                    frames.pop();
                    self.forget(mark);
                }
            }
        }
        Ok(())
    }

    fn list(&self, list: ListId, dot: Operand) -> Frame<'t> {
        Frame::List { nodes: self.template.tree.list(list), next: 0, dot }
    }

    /// A statement that changes what is run next.
    fn control(&mut self, node: &'t Node, dot: Operand, frames: &mut Vec<Frame<'t>>) -> Executed<()> {
        match node {
            Node::Text(_) | Node::Action(_) => {}
            Node::Control { control: Control::Range, pipe, list, else_list } => {
                let mark = self.vars.len();
                let value = self.pipeline(&dot, pipe)?;
                let items = self.items(value.value, pipe)?;
                frames.push(Frame::Range(Box::new(Iteration {
                    items,
                    pipe,
                    body: *list,
                    otherwise: else_list.map(|list| (list, dot)),
                    marks: (mark, self.vars.len()),
                })));
            }
            Node::Control { control, pipe, list, else_list } => {
                frames.push(Frame::Scope(self.vars.len()));
                let value = self.pipeline(&dot, pipe)?;
                if value.value.truth() {
                    let dot = if *control == Control::With { value } else { dot };
                    frames.push(self.list(*list, dot));
                } else if let Some(list) = else_list {
                    frames.push(self.list(*list, dot));
                }
            }
            Node::Template { name, pipe, .. } => {
                let Some((name, &list)) = self.template.tree.definitions.get_key_value(name) else {
                    return self.fail(format!("template {} not defined", quoted(name)));
                };
                if self.depth >= self.meter.limits().depth {
                    return self.refuse(Limit::Depth);
                }
                let dot = match pipe {
                    Some(pipe) => self.pipeline(&dot, pipe)?,
                    None => Value::Nil.into(),
                };
                frames.push(self.enter(name, dot.clone())?);
                frames.push(self.list(list, dot));
            }
            Node::Break(_) => {
                while let Some(frame) = frames.pop() {
                    let mark = match frame {
                        Frame::Range(iteration) => iteration.marks.0,
                        Frame::RangeElse(mark) => mark,
                        _ => continue,
                    };
                    self.forget(mark);
                    break;
                }
            }
            Node::Continue(_) => {
                while frames.last().is_some_and(|frame| !matches!(frame, Frame::Range(_))) {
                    frames.pop();
                }
            }
        }
        Ok(())
    }

    /// Starts a template with variables of its own; the frame leads back.
    fn enter(&mut self, name: &'t [u8], dot: Operand) -> Executed<Frame<'t>> {
        let back =
            Frame::Return { at: self.at, running: self.running, base: self.base, vars: self.vars.len() };
        self.running = name;
        self.base = self.vars.len();
        self.depth += 1;
        self.declare(self.dollar.clone(), dot)?;
        Ok(back)
    }

    fn print(&mut self, node: &'t Node, value: &Value, out: &mut Vec<u8>) -> Executed<()> {
        self.at = Some(At::Node(node));
        match value {
            Value::Nil | Value::NilInterface => self.write(out, b"<no value>"),
            Value::Str(text) => self.write(out, text),
            Value::Number(text) => self.write(out, text.as_bytes()),
            Value::Int(_, int) => self.write(out, int.to_string().as_bytes()),
            Value::Chan(_) => {
                let node =
                    String::from_utf8_lossy(&At::Node(node).reprint(self.template.source())).into_owned();
                self.fail(format!("can't print {node} of type {}", value.type_name()))
            }
            _ => {
                // A pointer is followed here, so a struct loses the `&` that `print` shows.
                let pointer = value.as_pointer().is_some_and(|object| object.text().is_none());
                match sprint(std::slice::from_ref(value)) {
                    Ok(text) => self
                        .write(out, if pointer { text.strip_prefix(b"&").unwrap_or(&text) } else { &text }),
                    Err(why) => self.fail(why),
                }
            }
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, text: &[u8]) -> Executed<()> {
        if out.len().saturating_add(text.len()) > self.meter.limits().output {
            return self.refuse(Limit::Output);
        }
        let held = self.meter.hold(text.len());
        self.within(held)?;
        out.extend_from_slice(text);
        Ok(())
    }

    // === Errors and limits ===

    fn step(&mut self) -> Executed<()> {
        let stepped = self.meter.step();
        self.within(stepped)
    }

    /// Counts what a call made.
    fn made(&mut self, value: &Value) -> Executed<()> {
        let weight = value.weight(true, self.meter.room());
        if weight == 0 {
            return Ok(());
        }
        let held = self.meter.hold(weight).and_then(|()| self.meter.handle(weight));
        self.within(held)
    }

    /// What nobody holds but the machine, which lets go of it. Maps go on counting: functions change them in
    /// place, so what they hold now says nothing on what was counted.
    fn drop_value(&mut self, value: &Value) {
        let weight = value.weight(false, self.meter.limits().memory);
        self.meter.release(weight);
    }

    fn within(&mut self, outcome: Result<(), Limit>) -> Executed<()> {
        match outcome {
            Ok(()) => Ok(()),
            Err(limit) => self.refuse(limit),
        }
    }

    fn refuse<T>(&mut self, limit: Limit) -> Executed<T> {
        self.exceeded = Some(limit);
        self.fail(self.meter.message(limit))
    }

    fn shown(&self, value: &Value) -> String {
        let text = sprint(std::slice::from_ref(value)).unwrap_or_else(|why| why.into());
        String::from_utf8_lossy(&text).into_owned()
    }

    fn fail<T>(&mut self, message: impl Into<String>) -> Executed<T> {
        let text = &self.template.text;
        let offset = self.at.map_or(0, At::pos);
        let context = self.at.map(|at| at.reprint(self.template.source())).unwrap_or_default();
        let (line, column) = position(text, offset);
        let rest = text.get(offset..).unwrap_or_default();
        // A chain's position lies inside its text; then the word found there has to do.
        let length = if rest.starts_with(&context) { context.len() } else { word(rest) };
        Err(Box::new(ExecError {
            name: self.template.name.clone(),
            template: String::from_utf8_lossy(self.running).into_owned(),
            line,
            column,
            span: offset..offset + length,
            context: String::from_utf8_lossy(&context).into_owned(),
            message: message.into(),
            limit: self.exceeded,
        }))
    }
}

/// Bytes up to a space or bracket.
fn word(text: &[u8]) -> usize {
    text.iter()
        .position(|&byte| text::is_space(byte) || matches!(byte, b'(' | b')' | b'{' | b'}' | b'|'))
        .unwrap_or(text.len())
}
