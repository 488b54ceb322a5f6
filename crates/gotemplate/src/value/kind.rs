//! The Go types that can be observed.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

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
