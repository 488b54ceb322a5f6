//! What every writer must know of a value that is no plain data, and how far it goes.

use std::collections::HashSet;
use std::sync::Arc;

use gotemplate::{Key, Map, Object, Value};

use super::Fault;
use crate::arguments::{Elements, bounded};
use crate::go::time::Time;

/// The containers on the way to the value at hand, and what was in them so far.
#[derive(Default)]
pub(crate) struct Trail {
    depth: usize,
    /// From [`LOOK_FROM`] on; none for what is no map.
    maps: Vec<Option<Map>>,
    addresses: HashSet<usize>,
    /// The type of the container at [`LOOK_FROM`].
    noticed_as: String,
    elements: Elements,
    /// The length of all keys.
    keys: usize,
}

/// From this depth on Go looks for cycles; what is less deep is only deep.
const LOOK_FROM: usize = 1000;

impl Trail {
    /// Goes into a container. `cycle` words the error of a map that contains itself, from the name of the type at
    /// which that is noticed.
    ///
    /// # Errors
    /// A cycle, or too many elements: a writer keeps all that is still to be written of the containers that it is
    /// inside of, and a short text can stand for many, since lists may be the same ones again and again.
    pub(crate) fn enter(&mut self, value: &Value, cycle: impl FnOnce(&str) -> String) -> Result<(), Fault> {
        match value {
            Value::List(list) => self.elements.add(list.len())?,
            Value::Map(map) => {
                self.elements.add(map.len())?;
                let length = |key: &Key| if let Key::Str(text) = key { text.len() } else { 0 };
                self.keys += map.snapshot().iter().map(|(key, _)| length(key)).sum::<usize>();
                bounded(self.keys)?;
            }
            _ => {}
        }
        if self.depth >= LOOK_FROM {
            if self.depth == LOOK_FROM {
                self.noticed_as = value.type_name();
            }
            let map = if let Value::Map(map) = value { Some(map.clone()) } else { None };
            if map.as_ref().is_some_and(|map| !self.addresses.insert(map.address())) {
                return Err(Fault::Said(cycle(&self.noticed_as)));
            }
            self.maps.push(map);
        }
        self.depth += 1;
        Ok(())
    }

    /// Counts elements of a container that is not gone into.
    ///
    /// # Errors
    /// Too many of them.
    pub(crate) fn count(&mut self, elements: usize) -> Result<(), Fault> {
        Ok(self.elements.add(elements)?)
    }

    /// Leaves the innermost container.
    pub(crate) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth >= LOOK_FROM
            && let Some(map) = self.maps.pop().flatten()
        {
            self.addresses.remove(&map.address());
        }
    }
}

/// Go types that write themselves.
pub(crate) enum Special<'v> {
    /// A `time.Time`.
    Time(&'v Time),
    /// Whatever has a `MarshalText`.
    Text(Vec<u8>),
}

/// How an object writes itself, if its type does.
pub(crate) fn special(object: &dyn Object) -> Option<Special<'_>> {
    if let Some(time) = object.as_any().and_then(|object| object.downcast_ref()) {
        return Some(Special::Time(time));
    }
    let has_text = matches!(object.type_name().as_ref(), "*semver.Version" | "semver.Version");
    has_text.then(|| Special::Text(object.text().unwrap_or_default()))
}

/// A key as the bytes of its text; `None` for one that has none in a text format.
pub(crate) fn key_text(key: &Key) -> Option<Arc<[u8]>> {
    match key {
        Key::Str(text) => Some(Arc::clone(text)),
        Key::Int(_, number) => Some(number.to_string().as_bytes().into()),
        Key::Uint(_, number) => Some(number.to_string().as_bytes().into()),
        _ => None,
    }
}
