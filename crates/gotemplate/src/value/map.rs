//! Maps and their keys.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::cycles::suspect;
use super::list::drop_all;
use super::{IntKind, List, Type, UintKind, Value};

/// A map key: a string or another scalar. Ordered as Go's printer sorts map keys.
#[derive(Clone, Debug)]
pub enum Key {
    /// A nil interface.
    Nil,
    /// A string.
    Str(Arc<[u8]>),
    /// A signed integer.
    Int(IntKind, i64),
    /// An unsigned integer.
    Uint(UintKind, u64),
    /// A float; NaN sorts first.
    Float(f64),
    /// A bool.
    Bool(bool),
}

impl Key {
    /// A string key.
    pub fn str(text: impl AsRef<[u8]>) -> Self {
        Self::Str(text.as_ref().into())
    }

    /// The key of a scalar value; `None` for anything a Go map could not be keyed by here.
    pub fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Nil | Value::NilInterface => Self::Nil,
            Value::Str(text) => Self::Str(text.clone()),
            Value::Int(kind, value) => Self::Int(*kind, *value),
            Value::Uint(kind, value) => Self::Uint(*kind, *value),
            Value::Float(value) => Self::Float(*value),
            Value::Bool(value) => Self::Bool(*value),
            _ => return None,
        })
    }

    /// The key as a value.
    pub fn value(&self) -> Value {
        match self {
            Self::Nil => Value::NilInterface,
            Self::Str(text) => Value::Str(text.clone()),
            Self::Int(kind, value) => Value::Int(*kind, *value),
            Self::Uint(kind, value) => Value::Uint(*kind, *value),
            Self::Float(value) => Value::Float(*value),
            Self::Bool(value) => Value::Bool(*value),
        }
    }

    /// Types are grouped in the order observed: nil, strings, integers, floats, bools.
    fn group(&self) -> (u8, u8) {
        match self {
            Self::Nil => (0, 0),
            Self::Str(_) => (1, 0),
            Self::Int(kind, _) => (2, *kind as u8),
            Self::Uint(kind, _) => (3, *kind as u8),
            Self::Float(_) => (4, 0),
            Self::Bool(_) => (5, 0),
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => a.cmp(b),
            (Self::Int(p, a), Self::Int(q, b)) => (p, a).cmp(&(q, b)),
            (Self::Uint(p, a), Self::Uint(q, b)) => (p, a).cmp(&(q, b)),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => {
                a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
            }
            _ => self.group().cmp(&other.group()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

/// A map with the types of its keys and values. Clones share their entries.
#[derive(Clone)]
pub struct Map {
    pub(super) types: Arc<(Type, Type)>,
    pub(super) entries: Option<Arc<Entries>>,
}

/// What all clones of a map share. The table inside is replaced by a copy when it is changed while someone
/// walks it.
pub(super) struct Entries(RwLock<Arc<Table>>);

impl Entries {
    /// Lets go of everything.
    pub(super) fn clear(&self) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let all = std::mem::take(&mut *table);
        // Dropping may come back to this map.
        drop(table);
        drop(all);
    }
}

/// The entries at one time; dropping them never recurses.
#[derive(Clone, Default)]
pub(super) struct Table(BTreeMap<Key, Value>);

/// The entries of a map as they were at one moment. Taking it copies nothing.
#[derive(Clone)]
pub struct Snapshot(Arc<Table>);

impl Snapshot {
    /// The entries, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.0.0.iter()
    }

    /// All entries, or those behind `key`.
    pub(crate) fn after(&self, key: Option<&Key>) -> impl Iterator<Item = (&Key, &Value)> {
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.0.0.range((from, Bound::Unbounded))
    }
}

impl Map {
    /// A map of these entries; a later key wins.
    pub fn new(key: Type, value: Type, entries: impl IntoIterator<Item = (Key, Value)>) -> Self {
        let table = Table(entries.into_iter().collect());
        let entries = Entries(RwLock::new(Arc::new(table)));
        Self { types: Arc::new((key, value)), entries: Some(Arc::new(entries)) }
    }

    /// A nil map.
    pub fn nil(key: Type, value: Type) -> Self {
        Self { types: Arc::new((key, value)), entries: None }
    }

    /// The type of the keys.
    pub fn key(&self) -> &Type {
        &self.types.0
    }

    /// The type of the values.
    pub fn value(&self) -> &Type {
        &self.types.1
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.read().map_or(0, |table| table.0.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is a nil map, not only an empty one.
    pub fn is_nil(&self) -> bool {
        self.entries.is_none()
    }

    /// The value of a key.
    pub fn get(&self, key: &Key) -> Option<Value> {
        self.read()?.0.get(key).cloned()
    }

    /// The value of a string key.
    pub fn get_str(&self, key: &str) -> Option<Value> {
        self.get(&Key::str(key))
    }

    /// All entries as they are now, sorted by key.
    pub fn entries(&self) -> Vec<(Key, Value)> {
        self.snapshot().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The entries as they are now, without copying them: what happens to the map later does not show.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.read().map(|table| Arc::clone(&table)).unwrap_or_default())
    }

    /// Whether both are one map, so that a change of one is seen in the other.
    pub fn is_same(&self, other: &Self) -> bool {
        matches!((&self.entries, &other.entries), (Some(a), Some(b)) if Arc::ptr_eq(a, b))
    }

    /// What tells this map from all others while it lives; the same for every holder, and 0 for a nil map.
    pub fn address(&self) -> usize {
        self.entries.as_ref().map_or(0, |entries| Arc::as_ptr(entries).addr())
    }

    /// Sets a key, seen by every holder of this map. False for a nil map, where Go would panic.
    pub fn insert(&self, key: Key, value: Value) -> bool {
        if let Some(entries) = &self.entries {
            suspect(entries, &value);
        }
        self.write().map(|mut table| Arc::make_mut(&mut table).0.insert(key, value)).is_some()
    }

    /// Removes a key, seen by every holder of this map.
    pub fn remove(&self, key: &Key) -> Option<Value> {
        Arc::make_mut(&mut *self.write()?).0.remove(key)
    }

    /// What a missing key yields: the zero of the value type.
    pub(crate) fn zero(&self) -> Value {
        match self.value() {
            Type::Bool => Value::Bool(false),
            Type::Int(kind) => Value::Int(*kind, 0),
            Type::Uint(kind) => Value::Uint(*kind, 0),
            Type::Float => Value::Float(0.0),
            Type::Complex => Value::Complex(0.0, 0.0),
            Type::Str => Value::from(""),
            Type::Number => Value::number(""),
            Type::List(element) => Value::List(List { element: element.clone(), items: None }),
            Type::Map(types) => Value::Map(Map { types: types.clone(), entries: None }),
            Type::Any | Type::Chan | Type::Named(_) => Value::NilInterface,
        }
    }

    /// The values, if nobody else holds the entries.
    pub(super) fn into_values(self) -> impl Iterator<Item = Value> {
        let entries = self.entries.and_then(Arc::into_inner);
        let table = entries.and_then(|entries| {
            Arc::into_inner(entries.0.into_inner().unwrap_or_else(PoisonError::into_inner))
        });
        table.map(|mut table| std::mem::take(&mut table.0)).unwrap_or_default().into_values()
    }

    // A panic while the lock was held cannot leave a map half changed; the poison says nothing.
    fn read(&self) -> Option<RwLockReadGuard<'_, Arc<Table>>> {
        Some(self.entries.as_ref()?.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self) -> Option<RwLockWriteGuard<'_, Arc<Table>>> {
        Some(self.entries.as_ref()?.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        drop_all(std::mem::take(&mut self.0).into_values().collect());
    }
}
