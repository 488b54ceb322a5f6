//! Values: what a template can hold, with the Go types that can be observed.
//!
//! Cloning is cheap (reference counts); a map is shared and can be changed in place, as Go's maps are, because
//! functions like `set` are seen by every holder.

mod chan;
mod cycles;
mod kind;
mod list;
mod map;
mod weight;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub use chan::Chan;
pub use cycles::without_cycles;
pub use kind::{IntKind, Type, UintKind};
pub use list::List;
pub use map::{Key, Map, Snapshot};

use crate::object::{NilType, Object, Shape};

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
