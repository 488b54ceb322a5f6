//! What both syntaxes are read into.

use crate::Span;

/// Which spelling a value came from. The decoder of a configuration needs it in one place: JSON has no
/// labels, so an object whose values are all objects may be a label level.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Syntax {
    /// HCL1 proper.
    Hcl,
    /// The JSON twin.
    Json,
}

/// `{ … }`, or a whole file. Items keep their order, and repeated keys all stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The items, in order.
    pub items: Vec<Item>,
    /// Which syntax it was written in.
    pub syntax: Syntax,
    /// From brace to brace; the whole text for a file.
    pub span: Span,
}

/// `key = value`, `key { … }`, or `key "label" { … }`; in JSON `"key": value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The key and, in HCL, the labels behind it. Never empty.
    pub keys: Vec<Key>,
    /// What is assigned or what the block holds.
    pub value: Value,
}

impl Item {
    /// The key proper.
    pub fn key(&self) -> &Key {
        &self.keys[0]
    }

    /// What stands between the key and the block.
    pub fn labels(&self) -> &[Key] {
        &self.keys[1..]
    }
}

/// A key or a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Without quotes, escapes resolved.
    pub text: String,
    /// Where it stands, quotes included.
    pub span: Span,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of values.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A quoted string or a heredoc.
    String(StringText),
    /// A number as it was written: `0640`, `0x1f`, `-1`, `1.5e3`. What it means depends on where it stands.
    Number(String),
    /// `true` or `false`.
    Bool(bool),
    /// JSON's `null`, and HCL's `key =` at the very end of a file. Reads as an empty string or zero.
    Null,
    /// `[ … ]`.
    List(Vec<Value>),
    /// `{ … }`.
    Object(Object),
}

impl Kind {
    /// The field's word for this kind, for messages: `string`, `number`, `bool`, `null`, `list`, `object`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Number(_) => "number",
            Self::Bool(_) => "bool",
            Self::Null => "null",
            Self::List(_) => "list",
            Self::Object(_) => "object",
        }
    }
}

/// A string's content. Bytes, not text: `"\xff"` is legal HCL1 and means that byte.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StringText(pub Vec<u8>);

impl StringText {
    /// The content as text, unless an escape made it something else.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}
