//! From events to nodes, and from nodes to values. Aliases are values anew each time, within the library's bounds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use gotemplate::{Key, Map, Type, Value};

use super::events::{Event, Parser, Scalar};
use super::resolve::{Tag, is_binary, is_merge, resolve};
use crate::arguments::Elements;
use crate::formats::Fault;
use crate::go::base64::STANDARD;

/// The first document of a text: maps are `map[interface {}]interface {}`; a nil interface if there is none.
///
/// # Errors
/// The library's words, or that there are too many nodes.
pub(crate) fn parse(text: &[u8]) -> Result<Value, Fault> {
    let document = compose(text)?;
    match document.root {
        Some(root) => Decoder { nodes: &document.nodes, decoded: 1, ..Decoder::default() }.run(root),
        None => Ok(Value::NilInterface),
    }
}

fn told(text: impl std::fmt::Display) -> String {
    format!("yaml: {text}")
}

// === Nodes ===

type Id = usize;

enum Node {
    Scalar(Scalar),
    Sequence(Vec<Id>),
    /// Keys and values in turn.
    Mapping(Vec<Id>),
    Alias {
        name: Vec<u8>,
        target: Id,
    },
}

struct Document {
    nodes: Vec<Node>,
    root: Option<Id>,
}

fn compose(text: &[u8]) -> Result<Document, Fault> {
    let mut parser = Parser::new(text)?;
    let (mut nodes, mut open, mut root) = (Vec::new(), Vec::<Id>::new(), None);
    let mut anchors: HashMap<Vec<u8>, Id> = HashMap::new();
    let mut elements = Elements::default();
    loop {
        let event = parser.next()?;
        let (node, anchor, opens) = match event {
            Event::StreamStart | Event::DocumentStart => continue,
            Event::StreamEnd | Event::DocumentEnd => return Ok(Document { nodes, root }),
            Event::SequenceEnd | Event::MappingEnd => {
                open.pop();
                continue;
            }
            Event::SequenceStart { anchor } => (Node::Sequence(Vec::new()), anchor, true),
            Event::MappingStart { anchor } => (Node::Mapping(Vec::new()), anchor, true),
            Event::Scalar(mut scalar) => {
                let anchor = scalar.anchor.take();
                (Node::Scalar(scalar), anchor, false)
            }
            Event::Alias(name) => {
                let Some(&target) = anchors.get(&name) else {
                    let name = String::from_utf8_lossy(&name);
                    return Err(told(format_args!("unknown anchor '{name}' referenced")).into());
                };
                (Node::Alias { name, target }, None, false)
            }
        };
        let id = nodes.len();
        elements.add(weight(&node))?;
        nodes.push(node);
        if let Some(name) = anchor {
            anchors.insert(name, id);
        }
        match open.last().and_then(|&parent| nodes.get_mut(parent)) {
            Some(Node::Sequence(children) | Node::Mapping(children)) => children.push(id),
            _ => root = root.or(Some(id)),
        }
        if opens {
            open.push(id);
        }
    }
}

/// What a node counts.
fn weight(node: &Node) -> usize {
    if let Node::Mapping(_) = node { Elements::MAP } else { 1 }
}

// === Values ===

/// A node that is half decoded.
enum Frame {
    Sequence {
        node: Id,
        next: usize,
        items: Vec<Value>,
    },
    Mapping {
        node: Id,
        next: usize,
        map: Map,
        key: Option<Key>,
    },
    Alias {
        node: Id,
    },
    /// Maps to be merged into one, last first.
    Merge {
        nodes: Vec<Id>,
        map: Map,
    },
}

/// What is to be done next.
enum Step {
    Decode(Id),
    /// A mapping whose entries go into this map.
    Merge(Id, Map),
    Done(Value),
}

#[derive(Default)]
struct Decoder<'a> {
    nodes: &'a [Node],
    frames: Vec<Frame>,
    /// Aliases that the value at hand comes through.
    open_aliases: Vec<bool>,
    alias_depth: usize,
    decoded: usize,
    through_aliases: usize,
    elements: Elements,
    /// Scalars that were reached through an alias: however often, they are one text.
    known: HashMap<Id, Value>,
}

impl Decoder<'_> {
    fn run(mut self, root: Id) -> Result<Value, Fault> {
        self.open_aliases = vec![false; self.nodes.len()];
        let mut step = Step::Decode(root);
        loop {
            step = match step {
                Step::Decode(node) => self.enter(node, None)?,
                Step::Merge(node, map) => self.enter(node, Some(map))?,
                Step::Done(value) => match self.frames.pop() {
                    None => return Ok(value),
                    Some(frame) => self.take(frame, value)?,
                },
            };
        }
    }

    /// The library's protection against texts that are short and expand to much.
    fn count(&mut self) -> Result<(), String> {
        self.decoded += 1;
        if self.alias_depth > 0 {
            self.through_aliases += 1;
        }
        const LOW: f64 = 400_000.0;
        const HIGH: f64 = 4_000_000.0;
        let (all, aliased) = (self.decoded as f64, self.through_aliases as f64);
        let allowed = match all {
            ..=LOW => 0.99,
            HIGH.. => 0.10,
            _ => 0.99 - 0.89 * ((all - LOW) / (HIGH - LOW)),
        };
        if self.through_aliases > 100 && self.decoded > 1000 && aliased / all > allowed {
            return Err(told("document contains excessive aliasing"));
        }
        Ok(())
    }

    fn enter(&mut self, node: Id, into: Option<Map>) -> Result<Step, Fault> {
        self.count()?;
        let nodes = self.nodes;
        self.elements.add(nodes.get(node).map_or(1, weight))?;
        match nodes.get(node) {
            None => Ok(Step::Done(Value::NilInterface)),
            Some(Node::Scalar(scalar)) if self.alias_depth > 0 => {
                let value = match self.known.entry(node) {
                    Entry::Occupied(known) => known.get().clone(),
                    Entry::Vacant(unknown) => unknown.insert(value_of(scalar)?).clone(),
                };
                Ok(Step::Done(value))
            }
            Some(Node::Scalar(scalar)) => Ok(Step::Done(value_of(scalar)?)),
            Some(Node::Alias { name, target }) => {
                if let Some(open) = self.open_aliases.get_mut(node) {
                    if *open {
                        let name = String::from_utf8_lossy(name);
                        return Err(told(format_args!("anchor '{name}' value contains itself")).into());
                    }
                    *open = true;
                }
                self.alias_depth += 1;
                self.frames.push(Frame::Alias { node });
                Ok(match into {
                    Some(map) => Step::Merge(*target, map),
                    None => Step::Decode(*target),
                })
            }
            Some(Node::Sequence(children)) => {
                let items = Vec::with_capacity(children.len());
                self.take(Frame::Sequence { node, next: 0, items }, Value::Nil)
            }
            Some(Node::Mapping(_)) => {
                let map = into.unwrap_or_else(|| Map::new(Type::Any, Type::Any, []));
                self.take(Frame::Mapping { node, next: 0, map, key: None }, Value::Nil)
            }
        }
    }

    /// Goes on in a container with the value of its last child; what comes before the first is ignored.
    fn take(&mut self, frame: Frame, value: Value) -> Result<Step, Fault> {
        match frame {
            Frame::Alias { node } => {
                self.alias_depth -= 1;
                if let Some(open) = self.open_aliases.get_mut(node) {
                    *open = false;
                }
                Ok(Step::Done(value))
            }
            Frame::Sequence { node, next, mut items } => {
                if next > 0 {
                    items.push(value);
                }
                match self.child(node, next) {
                    None => Ok(Step::Done(Value::list(items))),
                    Some(child) => {
                        self.frames.push(Frame::Sequence { node, next: next + 1, items });
                        Ok(Step::Decode(child))
                    }
                }
            }
            Frame::Mapping { node, next, map, key } => self.mapping(node, next, map, key, value),
            Frame::Merge { mut nodes, map } => match nodes.pop() {
                None => Ok(Step::Done(Value::Nil)),
                Some(node) => {
                    self.frames.push(Frame::Merge { nodes, map: map.clone() });
                    Ok(Step::Merge(node, map))
                }
            },
        }
    }

    fn mapping(
        &mut self,
        node: Id,
        next: usize,
        map: Map,
        key: Option<Key>,
        value: Value,
    ) -> Result<Step, Fault> {
        let Some(child) = self.child(node, next) else {
            if let Some(key) = key {
                map.insert(key, value);
            }
            return Ok(Step::Done(Value::Map(map)));
        };
        if next % 2 == 1 {
            // The value at hand is a key.
            let key = Key::of(&value).ok_or_else(|| {
                let shown = gotemplate::sprintf(b"%#v", &[value]).unwrap_or_default();
                told(format_args!("invalid map key: {}", String::from_utf8_lossy(&shown)))
            })?;
            self.frames.push(Frame::Mapping { node, next: next + 1, map, key: Some(key) });
            return Ok(Step::Decode(child));
        }
        if let Some(key) = key {
            map.insert(key, value);
        }
        if self.is_merge(child) {
            let merged = self.child(node, next + 1).unwrap_or(child);
            let nodes = self.mergeable(merged)?;
            self.frames.push(Frame::Mapping { node, next: next + 2, map: map.clone(), key: None });
            return self.take(Frame::Merge { nodes, map }, Value::Nil);
        }
        self.frames.push(Frame::Mapping { node, next: next + 1, map, key: None });
        Ok(Step::Decode(child))
    }

    fn child(&self, node: Id, nth: usize) -> Option<Id> {
        match self.nodes.get(node) {
            Some(Node::Sequence(children) | Node::Mapping(children)) => children.get(nth).copied(),
            _ => None,
        }
    }

    fn is_merge(&self, node: Id) -> bool {
        matches!(self.nodes.get(node), Some(Node::Scalar(scalar))
            if scalar.value == b"<<" && (scalar.implicit || is_merge(&scalar.tag)))
    }

    /// What stands behind `<<`: the maps to merge, the one that wins first.
    fn mergeable(&self, node: Id) -> Result<Vec<Id>, String> {
        let all = match self.nodes.get(node) {
            Some(Node::Sequence(children)) => children.clone(),
            _ => vec![node],
        };
        let is_map = |node: &Id| match self.nodes.get(*node) {
            Some(Node::Mapping(_)) => true,
            Some(Node::Alias { target, .. }) => matches!(self.nodes.get(*target), Some(Node::Mapping(_))),
            _ => false,
        };
        if all.iter().all(is_map) {
            return Ok(all);
        }
        Err(told("map merge requires map or sequence of maps as the value"))
    }
}

fn value_of(scalar: &Scalar) -> Result<Value, String> {
    let Scalar { tag, value, implicit, .. } = scalar;
    if tag.is_empty() && !implicit {
        return Ok(Value::from(value.as_slice()));
    }
    if is_binary(tag) {
        let decoded = STANDARD.decode(value).map(Value::from);
        return decoded.map_err(|_| told("!!binary value contains invalid base64 data"));
    }
    let known = Tag::of(tag);
    if known.is_none() && !tag.is_empty() {
        return Ok(Value::from(value.as_slice()));
    }
    match resolve(known, value).map_err(told)? {
        // A date stays the text that it is.
        (Tag::Timestamp, _) => Ok(Value::from(value.as_slice())),
        (_, value) => Ok(value),
    }
}
