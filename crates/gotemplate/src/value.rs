//! Values: what a template can hold, with the Go types that can be observed.
//!
//! Cloning is cheap (reference counts); a map is shared and can be changed in place, as Go's maps are, because
//! functions like `set` are seen by every holder.

mod weight;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::object::{NilType, Object, Shape};

/// Width of a signed integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntKind {
    /// `int`, 64 bits wide here.
    Int,
    /// `int8`
    Int8,
    /// `int16`
    Int16,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
}

/// Width of an unsigned integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UintKind {
    /// `uint`, 64 bits wide here.
    Uint,
    /// `uint8`, also the type of a string's element.
    Uint8,
    /// `uint16`
    Uint16,
    /// `uint32`
    Uint32,
    /// `uint64`
    Uint64,
}

/// A Go type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `interface {}`
    Any,
    /// `bool`
    Bool,
    /// `int` and its kin.
    Int(IntKind),
    /// `uint` and its kin.
    Uint(UintKind),
    /// `float64`
    Float,
    /// `complex128`
    Complex,
    /// `string`
    Str,
    /// `json.Number`
    Number,
    /// `[]T`
    List(Arc<Type>),
    /// `map[K]V`
    Map(Arc<(Type, Type)>),
    /// `<-chan int64`
    Chan,
    /// Any other type, by its Go name.
    Named(Cow<'static, str>),
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Any => "interface {}",
            Self::Bool => "bool",
            Self::Int(IntKind::Int) => "int",
            Self::Int(IntKind::Int8) => "int8",
            Self::Int(IntKind::Int16) => "int16",
            Self::Int(IntKind::Int32) => "int32",
            Self::Int(IntKind::Int64) => "int64",
            Self::Uint(UintKind::Uint) => "uint",
            Self::Uint(UintKind::Uint8) => "uint8",
            Self::Uint(UintKind::Uint16) => "uint16",
            Self::Uint(UintKind::Uint32) => "uint32",
            Self::Uint(UintKind::Uint64) => "uint64",
            Self::Float => "float64",
            Self::Complex => "complex128",
            Self::Str => "string",
            Self::Number => "json.Number",
            Self::Chan => "<-chan int64",
            Self::Named(name) => name,
            Self::List(element) => return write!(f, "[]{element}"),
            Self::Map(types) => return write!(f, "map[{}]{}", types.0, types.1),
        };
        f.write_str(name)
    }
}

/// A value. `Nil` and [`NilInterface`](Self::NilInterface) differ only in how they were reached.
#[derive(Clone)]
pub enum Value {
    /// Go's invalid value: prints `<no value>`, as an argument `<nil>`.
    Nil,
    /// A nil held by an `interface {}`: a missing key, a JSON null. One more field on it is an error.
    NilInterface,
    /// A nil pointer of a known type.
    NilPointer(&'static NilType),
    /// `bool`
    Bool(bool),
    /// A signed integer.
    Int(IntKind, i64),
    /// An unsigned integer.
    Uint(UintKind, u64),
    /// `float64`
    Float(f64),
    /// `complex128`
    Complex(f64, f64),
    /// `string`: bytes, usually UTF-8.
    Str(Arc<[u8]>),
    /// `json.Number`: a string kind holding the literal as it was sent.
    Number(Arc<str>),
    /// A slice.
    List(List),
    /// A map.
    Map(Map),
    /// A channel of `int64`, as `loop` returns it.
    Chan(Chan),
    /// A struct or pointer to one, known by its [`Object`] implementation.
    Object(Arc<dyn Object>),
}

impl Value {
    /// A Go `int`.
    pub fn int(value: i64) -> Self {
        Self::Int(IntKind::Int, value)
    }

    /// A Go `int64`.
    pub fn int64(value: i64) -> Self {
        Self::Int(IntKind::Int64, value)
    }

    /// A Go `string` of any bytes.
    pub fn bytes(value: impl Into<Arc<[u8]>>) -> Self {
        Self::Str(value.into())
    }

    /// A `json.Number` holding `literal`.
    pub fn number(literal: impl Into<Arc<str>>) -> Self {
        Self::Number(literal.into())
    }

    /// A `[]string`.
    pub fn strings<I: IntoIterator>(items: I) -> Self
    where
        I::Item: Into<Value>,
    {
        Self::List(List::new(Type::Str, items.into_iter().map(Into::into).collect()))
    }

    /// A `[]interface {}`.
    pub fn list(items: Vec<Value>) -> Self {
        Self::List(List::new(Type::Any, items))
    }

    /// A `map[string]interface {}`.
    pub fn map<K: AsRef<[u8]>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Map(Map::new(Type::Str, Type::Any, entries.into_iter().map(|(k, v)| (Key::str(k.as_ref()), v))))
    }

    /// An [`Object`].
    pub fn object(object: impl Object + 'static) -> Self {
        Self::Object(Arc::new(object))
    }

    /// The type, `None` for a nil.
    pub fn type_of(&self) -> Option<Type> {
        Some(match self {
            Self::Nil | Self::NilInterface => return None,
            Self::NilPointer(nil) => Type::Named(Cow::Borrowed(nil.name)),
            Self::Bool(_) => Type::Bool,
            Self::Int(kind, _) => Type::Int(*kind),
            Self::Uint(kind, _) => Type::Uint(*kind),
            Self::Float(_) => Type::Float,
            Self::Complex(..) => Type::Complex,
            Self::Str(_) => Type::Str,
            Self::Number(_) => Type::Number,
            Self::List(list) => Type::List(list.element.clone()),
            Self::Map(map) => Type::Map(map.types.clone()),
            Self::Chan(_) => Type::Chan,
            Self::Object(object) => Type::Named(object.type_name()),
        })
    }

    /// What `printf "%T"` shows.
    pub fn type_name(&self) -> String {
        self.type_of().map_or_else(|| "<nil>".into(), |kind| kind.to_string())
    }

    /// Whether `if` takes it for true: not zero, not empty, not nil.
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil | Self::NilInterface | Self::NilPointer(_) => false,
            Self::Bool(value) => *value,
            Self::Int(_, value) => *value != 0,
            Self::Uint(_, value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Complex(re, im) => *re != 0.0 || *im != 0.0,
            Self::Str(text) => !text.is_empty(),
            // A string kind: even "0" is true.
            Self::Number(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Chan(_) => true,
            Self::Object(object) => object.underlying().is_none_or(|number| number.truth()),
        }
    }

    /// The integer of a named one such as `time.Duration`, or the value itself.
    pub fn plain(&self) -> Cow<'_, Self> {
        match self {
            Self::Object(object) => object.underlying().map_or(Cow::Borrowed(self), Cow::Owned),
            _ => Cow::Borrowed(self),
        }
    }

    /// No value, in either spelling.
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil | Self::NilInterface)
    }

    /// The bytes, if this is a `string` (not a `json.Number`).
    pub fn as_str(&self) -> Option<&[u8]> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if this is a signed one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(_, value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn is_string_kind(&self) -> bool {
        matches!(self, Self::Str(_) | Self::Number(_))
    }

    /// The address and whether it is reached through a pointer, for comparing objects.
    pub(crate) fn as_pointer(&self) -> Option<&Arc<dyn Object>> {
        match self {
            Self::Object(object) if object.shape() == Shape::Pointer => Some(object),
            _ => None,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = crate::format::sprintf(b"%#v", std::slice::from_ref(self)).unwrap_or_default();
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Str(value.as_bytes().into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Str(value.into_bytes().into())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Str(value.into())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Str(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

// === Lists ===

/// A slice with the type of its elements. A nil slice is empty but known as nil (JSON writes it `null`).
#[derive(Clone)]
pub struct List {
    element: Arc<Type>,
    items: Option<Arc<Items>>,
}

/// The elements; dropping them never recurses, however deep lists are nested.
struct Items(Vec<Value>);

impl List {
    /// A list of elements of one type.
    pub fn new(element: Type, items: Vec<Value>) -> Self {
        Self { element: Arc::new(element), items: Some(Arc::new(Items(items))) }
    }

    /// A nil list.
    pub fn nil(element: Type) -> Self {
        Self { element: Arc::new(element), items: None }
    }

    /// The type of the elements.
    pub fn element(&self) -> &Type {
        &self.element
    }

    /// The elements.
    pub fn items(&self) -> &[Value] {
        self.items.as_ref().map_or(&[], |items| &items.0)
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.items().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is a nil list, not only an empty one.
    pub fn is_nil(&self) -> bool {
        self.items.is_none()
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        drop_all(std::mem::take(&mut self.0));
    }
}

/// Drops values with a stack of its own: a template can nest lists deeper than a thread's stack.
fn drop_all(mut pending: Vec<Value>) {
    while let Some(value) = pending.pop() {
        match value {
            Value::List(List { items: Some(items), .. }) => {
                if let Some(mut items) = Arc::into_inner(items) {
                    pending.append(&mut items.0);
                }
            }
            Value::Map(Map { entries: Some(entries), .. }) => {
                if let Some(entries) = Arc::into_inner(entries)
                    && let Some(mut table) =
                        Arc::into_inner(entries.0.into_inner().unwrap_or_else(PoisonError::into_inner))
                {
                    pending.extend(std::mem::take(&mut table.0).into_values());
                }
            }
            _ => {}
        }
    }
}

// === Maps ===

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
    types: Arc<(Type, Type)>,
    entries: Option<Arc<Entries>>,
}

/// What all clones of a map share. The table inside is replaced by a copy when it is changed while someone
/// walks it.
struct Entries(RwLock<Arc<Table>>);

/// The entries at one time; dropping them never recurses.
#[derive(Clone, Default)]
struct Table(BTreeMap<Key, Value>);

/// The entries of a map as they were at one moment. Taking it copies nothing.
#[derive(Clone)]
pub struct Snapshot(Arc<Table>);

impl Snapshot {
    /// The entries, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.0.0.iter()
    }

    /// The first entry, or the one behind `key`.
    pub(crate) fn after(&self, key: Option<&Key>) -> Option<(&Key, &Value)> {
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.0.0.range((from, Bound::Unbounded)).next()
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

    /// Sets a key, seen by every holder of this map. False for a nil map, where Go would panic.
    pub fn insert(&self, key: Key, value: Value) -> bool {
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

// === Channels ===

/// A channel that yields a range of `int64` once; a second `range` over it finds it drained.
#[derive(Clone)]
pub struct Chan(Arc<Mutex<Range<i64>>>);

impl Chan {
    /// Yields `range`.
    pub fn new(range: Range<i64>) -> Self {
        Self(Arc::new(Mutex::new(range)))
    }

    pub(crate) fn receive(&self) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_nesting_drops_without_recursion() {
        let mut value = Value::Nil;
        for _ in 0..200_000 {
            value = Value::list(vec![Value::map([("x", value)])]);
        }
        drop(value);
    }

    #[test]
    fn types_are_named_as_go_names_them() {
        assert_eq!(Value::strings(["a"]).type_name(), "[]string");
        assert_eq!(Value::map([("a", Value::Nil)]).type_name(), "map[string]interface {}");
        assert_eq!(Value::Chan(Chan::new(0..1)).type_name(), "<-chan int64");
        assert_eq!(Value::NilInterface.type_name(), "<nil>");
    }

    #[test]
    fn a_map_is_shared_by_its_clones() {
        let Value::Map(map) = Value::map([("a", Value::int(1))]) else { unreachable!() };
        map.clone().insert(Key::str("b"), Value::int(2));
        assert_eq!(map.len(), 2);
    }
}
