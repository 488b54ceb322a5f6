//! Objects: Go structs and pointers that come from outside this crate, seen through a small trait.

use std::borrow::Cow;

use crate::func::{FuncError, Param};
use crate::value::Value;

/// Whether a Go value of this type is a pointer to a struct or the struct itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `*T`: `print` shows `&{…}`, comparison is by identity.
    Pointer,
    /// `T`: `print` shows `{…}`.
    Struct,
}

/// A method's parameters; its arguments are converted as a function's are.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// The fixed parameters.
    pub params: &'static [Param],
    /// The type of the `...` parameter, if there is one.
    pub variadic: Option<Param>,
    /// Whether Go declares the result as `interface {}`: a further field on a nil result is then an error.
    pub returns_any: bool,
    /// Why Go refuses to call it from a template, once its arguments are evaluated: two results, say.
    pub unfit: Option<&'static str>,
}

impl Method {
    /// A method of these parameters with a concrete result.
    pub const fn new(params: &'static [Param]) -> Self {
        Self { params, variadic: None, returns_any: false, unfit: None }
    }

    /// The same with an `interface {}` result.
    pub const fn any(mut self) -> Self {
        self.returns_any = true;
        self
    }

    /// A method that exists but cannot be called from a template.
    pub const fn unfit(params: &'static [Param], reason: &'static str) -> Self {
        Self { unfit: Some(reason), ..Self::new(params) }
    }
}

/// A Go struct with fields and methods. Names are matched exactly.
pub trait Object: Send + Sync {
    /// What `%T` shows, `*dependency.Secret` for a pointer.
    fn type_name(&self) -> Cow<'static, str>;

    /// Pointer or struct.
    fn shape(&self) -> Shape {
        Shape::Pointer
    }

    /// The exported fields in their order.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// One field.
    fn field(&self, name: &str) -> Option<Value> {
        self.fields().into_iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// The method of this name, looked up before the fields.
    fn method(&self, name: &str) -> Option<Method> {
        let _ = name;
        None
    }

    /// Calls a method that [`method`](Self::method) knows, with arguments of its parameters' types.
    ///
    /// # Errors
    /// What Go's method would return; it is shown as `error calling NAME: TEXT`.
    fn call(&self, name: &str, args: &[Value]) -> Result<Value, FuncError> {
        let _ = args;
        Err(FuncError::new(format!("no method {name}")))
    }

    /// The fields as printing with `%+v`, `%#v` or `%d` shows them: private ones too.
    fn all_fields(&self) -> Vec<(&'static str, Value)> {
        self.fields()
    }

    /// The text of a `GoString` method, which `%#v` shows.
    fn go_text(&self) -> Option<Vec<u8>> {
        None
    }

    /// The text of a `String` or `Error` method, used for printing.
    fn text(&self) -> Option<Vec<u8>> {
        None
    }

    /// The plain integer of a named one such as `time.Duration`: what comparison, truth and verbs like `%d` see.
    fn underlying(&self) -> Option<Value> {
        None
    }

    /// Go's `==` between two structs of the same type; pointers are compared by identity instead.
    fn equals(&self, other: &dyn Object) -> bool {
        let _ = other;
        false
    }

    /// The value for whoever knows the concrete type, to downcast it.
    fn as_any(&self) -> Option<&dyn std::any::Any> {
        None
    }
}

/// The type of a nil pointer: its name and the fields it would have.
#[derive(Debug)]
pub struct NilType {
    /// `*dependency.Secret`
    pub name: &'static str,
    /// A field named here fails with `nil pointer evaluating …`, another with `can't evaluate field …`.
    pub fields: &'static [&'static str],
}
