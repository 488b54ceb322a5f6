//! How many bytes a value alone keeps alive.

use std::mem::size_of;
use std::sync::Arc;

use super::{Key, Value};

/// A reference count and an allocator's share.
const BLOCK: usize = 32;
/// An entry of a map and its share of the tree.
const ENTRY: usize = size_of::<(Key, Value)>() * 3 / 2;

impl Value {
    /// The bytes that exist only because of this value: what others hold too does not count. Stops counting above
    /// `enough`. With `maps` false, maps and what is in them count nothing.
    #[inline]
    pub(crate) fn weight(&self, maps: bool, enough: usize) -> usize {
        match self {
            Self::Str(text) => alone(text, text.len()),
            Self::Number(text) => alone(text, text.len()),
            Self::List(list) if list.items.as_ref().is_some_and(is_alone) => {
                Scale { maps, enough, total: 0, pending: Vec::new() }.weigh(self)
            }
            Self::Map(map) if maps && map.entries.as_ref().is_some_and(is_alone) => {
                Scale { maps, enough, total: 0, pending: Vec::new() }.weigh(self)
            }
            _ => 0,
        }
    }
}

fn is_alone<T: ?Sized>(shared: &Arc<T>) -> bool {
    Arc::strong_count(shared) == 1
}

fn alone<T: ?Sized>(shared: &Arc<T>, bytes: usize) -> usize {
    if is_alone(shared) { BLOCK + bytes } else { 0 }
}

/// Has a stack of its own, as values nest deeper than threads recurse.
struct Scale {
    maps: bool,
    enough: usize,
    total: usize,
    /// Counted themselves, but not yet what is in them.
    pending: Vec<Value>,
}

impl Scale {
    fn weigh(mut self, value: &Value) -> usize {
        self.put(value);
        while let Some(value) = self.pending.pop() {
            match &value {
                Value::List(list) => list.items().iter().for_each(|item| self.put(item)),
                Value::Map(map) => {
                    let entries = map.snapshot();
                    for (key, item) in entries.iter() {
                        if let Key::Str(text) = key {
                            self.total += alone(text, text.len());
                        }
                        self.put(item);
                    }
                }
                _ => {}
            }
            if self.total > self.enough {
                break;
            }
        }
        self.total
    }

    fn put(&mut self, value: &Value) {
        let own = match value {
            Value::Str(text) => alone(text, text.len()),
            Value::Number(text) => alone(text, text.len()),
            Value::List(list) => {
                list.items.as_ref().map_or(0, |items| alone(items, list.len() * size_of::<Value>()))
            }
            Value::Map(map) if self.maps => {
                map.entries.as_ref().map_or(0, |entries| alone(entries, map.len() * ENTRY))
            }
            _ => 0,
        };
        self.total += own;
        if own > 0 && matches!(value, Value::List(_) | Value::Map(_)) {
            self.pending.push(value.clone());
        }
    }
}
