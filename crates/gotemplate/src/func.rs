//! Functions: the tables from which a template calls, and how a function states its parameters.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::value::{IntKind, List, Map, Type, UintKind, Value};

/// The Go type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// `interface {}`
    Any,
    /// `reflect.Value`: takes everything, a nil too.
    Reflect,
    /// `string`
    Str,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `int64`
    Int64,
    /// `uint32`
    Uint32,
    /// `uint64`
    Uint64,
    /// `float64`
    Float,
    /// `[]string`
    Strings,
    /// `[]interface {}`
    Anys,
    /// `map[string]interface {}`
    StringMap,
    /// A type known by its name only; nil is accepted if it is a pointer.
    Named(&'static str),
    /// A named integer such as `time.Duration`: a literal is an `int64`, anything else is an object of the name.
    NamedInt(&'static str),
}

impl Param {
    /// The type; `None` for `reflect.Value`, which takes all.
    pub(crate) fn to_type(self) -> Option<Type> {
        Some(match self {
            Self::Reflect => return None,
            Self::Any => Type::Any,
            Self::Str => Type::Str,
            Self::Bool => Type::Bool,
            Self::Int => Type::Int(IntKind::Int),
            Self::Int64 => Type::Int(IntKind::Int64),
            Self::Uint32 => Type::Uint(UintKind::Uint32),
            Self::Uint64 => Type::Uint(UintKind::Uint64),
            Self::Float => Type::Float,
            Self::Strings => Type::List(Type::Str.into()),
            Self::Anys => Type::List(Type::Any.into()),
            Self::StringMap => Type::Map((Type::Str, Type::Any).into()),
            Self::Named(name) | Self::NamedInt(name) => Type::Named(Cow::Borrowed(name)),
        })
    }

    /// What nil becomes; `None` where Go's type has no nil.
    pub(crate) fn zero(self) -> Option<Value> {
        match self {
            Self::Any | Self::Reflect => Some(Value::Nil),
            Self::Strings => Some(Value::List(List::nil(Type::Str))),
            Self::Anys => Some(Value::List(List::nil(Type::Any))),
            Self::StringMap => Some(Value::Map(Map::nil(Type::Str, Type::Any))),
            Self::Named(name) if name.starts_with('*') => Some(Value::Nil),
            Self::Str
            | Self::Bool
            | Self::Int
            | Self::Int64
            | Self::Uint32
            | Self::Uint64
            | Self::Float
            | Self::Named(_)
            | Self::NamedInt(_) => None,
        }
    }
}

impl fmt::Display for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_type() {
            Some(kind) => kind.fmt(f),
            None => f.write_str("reflect.Value"),
        }
    }
}

/// Why a function failed; shown as `error calling NAME: TEXT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuncError(String);

impl FuncError {
    /// An error of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for FuncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FuncError {}

impl From<&str> for FuncError {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for FuncError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// A defined template to be rendered into a string, as a function asks for it.
#[derive(Clone, Debug)]
pub struct Render {
    /// The name after `define`.
    pub template: Vec<u8>,
    /// The template's dot and `$`.
    pub data: Value,
}

/// What a function does when called. The arguments have the types of the parameters.
#[derive(Debug)]
pub enum Call<C> {
    /// Needs its arguments only.
    Pure(fn(&[Value]) -> Result<Value, FuncError>),
    /// Also reads or changes the caller's context.
    With(fn(&mut C, &[Value]) -> Result<Value, FuncError>),
    /// Says which template to render; the text it renders to is the result.
    Render(fn(&mut C, &[Value]) -> Result<Render, FuncError>),
    /// The builtin `and`: stops at the first false argument.
    And,
    /// The builtin `or`: stops at the first true argument.
    Or,
    /// The builtin `call`: no value here is a function, so it says what its argument is instead.
    Invoke,
}

// Derived, it would ask for `C: Clone`.
impl<C> Clone for Call<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Call<C> {}

/// A function: its name, its parameters, what it does. `C` is the caller's context.
#[derive(Debug)]
pub struct Func<C> {
    /// The name templates use.
    pub name: &'static str,
    /// The fixed parameters.
    pub params: &'static [Param],
    /// The type of the `...` parameter, if there is one.
    pub variadic: Option<Param>,
    /// Whether Go declares the result as `interface {}`.
    pub returns_any: bool,
    /// What it does.
    pub call: Call<C>,
}

impl<C> Clone for Func<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Func<C> {}

impl<C> Func<C> {
    /// A function that needs its arguments only.
    pub const fn pure(
        name: &'static str,
        params: &'static [Param],
        call: fn(&[Value]) -> Result<Value, FuncError>,
    ) -> Self {
        Self::new(name, params, Call::Pure(call))
    }

    /// A function that uses the caller's context.
    pub const fn with(
        name: &'static str,
        params: &'static [Param],
        call: fn(&mut C, &[Value]) -> Result<Value, FuncError>,
    ) -> Self {
        Self::new(name, params, Call::With(call))
    }

    /// A function of any kind.
    pub const fn new(name: &'static str, params: &'static [Param], call: Call<C>) -> Self {
        Self { name, params, variadic: None, returns_any: false, call }
    }

    /// The same with a `...` parameter behind the fixed ones.
    #[must_use]
    pub const fn variadic(mut self, param: Param) -> Self {
        self.variadic = Some(param);
        self
    }

    /// The same with an `interface {}` result, which matters for nil and for messages about its type.
    #[must_use]
    pub const fn any(mut self) -> Self {
        self.returns_any = true;
        self
    }
}

impl Func<()> {
    /// The same function for callers with any context, unless it reads its own.
    pub fn lift<C>(self) -> Option<Func<C>> {
        let Self { name, params, variadic, returns_any, call } = self;
        let call = match call {
            Call::Pure(call) => Call::Pure(call),
            Call::And => Call::And,
            Call::Or => Call::Or,
            Call::Invoke => Call::Invoke,
            Call::With(_) | Call::Render(_) => return None,
        };
        Some(Func { name, params, variadic, returns_any, call })
    }
}

/// Functions by name.
#[derive(Clone, Debug)]
pub struct Funcs<C> {
    table: BTreeMap<&'static str, Func<C>>,
}

impl<C> Funcs<C> {
    /// No functions at all.
    pub const fn empty() -> Self {
        Self { table: BTreeMap::new() }
    }

    /// Go's own: `and call eq ge gt html index js le len lt ne not or print printf println slice urlquery`.
    pub fn builtins() -> Self {
        let mut funcs = Self::empty();
        funcs.extend(crate::builtins::table());
        funcs
    }

    /// Adds a function; one of the same name is replaced.
    pub fn insert(&mut self, func: Func<C>) {
        self.table.insert(func.name, func);
    }

    /// The function of a name.
    pub fn get(&self, name: &str) -> Option<&Func<C>> {
        self.table.get(name)
    }

    /// Whether a name is known: what [`Template::parse`](crate::Template::parse) asks.
    pub fn contains(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// The function that somebody who wrote `name` probably meant: the same letters in another case, the name behind
    /// a missing prefix (`b64enc` for `sprig_b64enc`), or one few letters off. For
    /// [`ParseError::undefined_function`](crate::ParseError::undefined_function).
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        crate::nearest::nearest(name, self.table.keys().copied())
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.table.keys().copied()
    }
}

impl<C> Extend<Func<C>> for Funcs<C> {
    fn extend<I: IntoIterator<Item = Func<C>>>(&mut self, funcs: I) {
        for func in funcs {
            self.insert(func);
        }
    }
}
