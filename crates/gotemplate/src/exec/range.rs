//! What a `range` goes through.

use super::{Executed, Frame, Machine, Operand};
use crate::node::{ListId, Pipe};
use crate::value::{Chan, IntKind, Key, List, Snapshot, Type, UintKind, Value};

pub(super) struct Iteration<'t> {
    pub(super) items: Items,
    pub(super) pipe: &'t Pipe,
    pub(super) body: ListId,
    /// Run with the dot of outside when nothing was iterated over.
    pub(super) otherwise: Option<(ListId, Operand)>,
    /// The variables before the pipeline, and with those it declared.
    pub(super) marks: (usize, usize),
}

pub(super) enum Items {
    None,
    List(List, usize),
    Map(Entries),
    Int(IntKind, i64, i64),
    Uint(UintKind, u64, u64),
    Chan(Chan, i64),
}

/// The entries of a map as they were at the start. They are read a few at a time: a template may go through a
/// big map many times at once, and a search for every single one would be slow.
pub(super) struct Entries {
    all: Snapshot,
    /// The next ones, backwards.
    ahead: Vec<(Key, Value)>,
    last: Option<Key>,
    /// Whether keys and values are interfaces.
    any: (bool, bool),
}

impl Entries {
    const AT_ONCE: usize = 16;

    fn next(&mut self) -> Option<(Key, Value)> {
        if self.ahead.is_empty() {
            let more = self.all.after(self.last.as_ref()).take(Self::AT_ONCE);
            self.ahead.extend(more.map(|(key, value)| (key.clone(), value.clone())));
            self.last = self.ahead.last().map(|(key, _)| key.clone());
            self.ahead.reverse();
        }
        self.ahead.pop()
    }
}

impl Items {
    pub(super) fn next(&mut self) -> Option<(Operand, Operand)> {
        Some(match self {
            Self::None => return None,
            Self::List(list, at) => {
                let item = list.items().get(*at)?.clone();
                *at += 1;
                let any = *list.element() == Type::Any;
                (Value::int(*at as i64 - 1).into(), Operand::of_type(item, any))
            }
            Self::Map(entries) => {
                let (key, value) = entries.next()?;
                (Operand::of_type(key.value(), entries.any.0), Operand::of_type(value, entries.any.1))
            }
            Self::Int(kind, at, end) => {
                if *at >= *end {
                    return None;
                }
                *at += 1;
                let item = Operand::from(Value::Int(*kind, *at - 1));
                (item.clone(), item)
            }
            Self::Uint(kind, at, end) => {
                if *at >= *end {
                    return None;
                }
                *at += 1;
                let item = Operand::from(Value::Uint(*kind, *at - 1));
                (item.clone(), item)
            }
            Self::Chan(chan, at) => {
                let item = chan.receive()?;
                *at += 1;
                (Value::int(*at - 1).into(), Value::int64(item).into())
            }
        })
    }
}

impl<'t, C> Machine<'t, '_, C> {
    pub(super) fn items(&mut self, value: Value, pipe: &Pipe) -> Executed<Items> {
        Ok(match value {
            Value::Nil | Value::NilInterface => Items::None,
            Value::List(list) => Items::List(list, 0),
            Value::Map(map) => {
                let any = (*map.key() == Type::Any, *map.value() == Type::Any);
                Items::Map(Entries { all: map.snapshot(), ahead: Vec::new(), last: None, any })
            }
            Value::Int(..) | Value::Uint(..) if pipe.decl.len() > 1 => {
                let shown = self.shown(&value);
                return self.fail(format!("can't use {shown} to iterate over more than one variable"));
            }
            Value::Int(kind, end) => Items::Int(kind, 0, end),
            Value::Uint(kind, end) => Items::Uint(kind, 0, end),
            Value::Chan(chan) => Items::Chan(chan, 0),
            other => {
                let mut shown = self.shown(&other);
                // A pointer was followed before.
                if other.as_pointer().is_some() && shown.starts_with('&') {
                    shown.remove(0);
                }
                return self.fail(format!("range can't iterate over {shown}"));
            }
        })
    }

    /// One step of a range: its variables are set, the frame of its body returned.
    pub(super) fn iterate(&mut self, iteration: &mut Iteration<'t>) -> Executed<Option<Frame<'t>>> {
        self.forget(iteration.marks.1);
        let Some((index, item)) = iteration.items.next() else { return Ok(None) };
        self.step()?;
        iteration.otherwise = None;
        let pipe = iteration.pipe;
        match (pipe.decl.as_slice(), pipe.assign) {
            ([], _) => {}
            ([name], true) => self.set(name, item.clone())?,
            ([first, second, ..], true) => {
                self.set(first, index)?;
                self.set(second, item.clone())?;
            }
            ([_], false) => self.set_top(1, item.clone()),
            (_, false) => {
                self.set_top(1, item.clone());
                self.set_top(2, index);
            }
        }
        Ok(Some(self.list(iteration.body, item)))
    }
}
