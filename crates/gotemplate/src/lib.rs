//! Go's `text/template` as a pure library: the language, its values, its `printf` and its error texts.
//!
//! Nothing here does I/O, reads a clock or knows what a secret is. A caller brings a table of functions
//! ([`Funcs`]) and a context of any type, which the functions may read and change; strings are bytes. Templates
//! from anywhere are safe to parse and run: there is no input that panics, and [`Limits`] bound time and memory.
//!
//! ```
//! use gotemplate::{ExecOptions, Func, Funcs, Options, Param, Template, Value};
//!
//! struct Greetings { used: u32 }
//!
//! let mut funcs: Funcs<Greetings> = Funcs::builtins();
//! funcs.insert(Func::with("greet", &[Param::Str], |greetings, args| {
//!     greetings.used += 1;
//!     let name = args[0].as_str().unwrap_or_default();
//!     Ok(Value::from([b"hello ", name].concat()))
//! }));
//!
//! let text = b"{{ range .names }}{{ greet . | printf \"%q\" }}\n{{ end }}";
//! let template = Template::parse(text, &Options::default(), |name| funcs.contains(name)).unwrap();
//! let data = Value::map([("names", Value::strings(["ann", "bob"]))]);
//! let mut greetings = Greetings { used: 0 };
//! let mut out = Vec::new();
//! template.execute(&funcs, &mut greetings, data, &ExecOptions::default(), &mut out).unwrap();
//! assert_eq!(out, b"\"hello ann\"\n\"hello bob\"\n");
//! assert_eq!(greetings.used, 2);
//! ```
//!
//! Deliberately different from Go: parentheses nest [`MAX_PAREN_DEPTH`] deep instead of 10000, and what
//! [`Limits`] forbids is an error.

mod builtins;
mod compare;
mod error;
mod exec;
mod float;
mod format;
mod func;
mod lex;
mod nearest;
mod node;
mod number;
mod object;
mod parse;
mod text;
mod value;

use std::fmt;

pub use error::{ExecError, ParseError};
pub use exec::{ExecOptions, Limit, Limits, MissingKey};
pub use format::{sprint, sprintf, sprintln};
pub use func::{Call, Func, FuncError, Funcs, Param, Render};
pub use object::{Method, NilType, Object, Shape};
pub use parse::MAX_PAREN_DEPTH;
pub use value::{Chan, IntKind, Key, List, Map, Snapshot, Type, UintKind, Value};

/// How a template is read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its name in messages; the agents leave it empty.
    pub name: String,
    /// The left delimiter; empty stands for `{{`.
    pub left: Vec<u8>,
    /// The right delimiter; empty stands for `}}`.
    pub right: Vec<u8>,
}

/// A parsed template with everything it defines.
pub struct Template {
    name: String,
    text: Vec<u8>,
    left: Vec<u8>,
    right: Vec<u8>,
    tree: node::Tree,
    root: node::ListId,
}

impl Template {
    /// Parses `text`. `knows` says which names are functions; the table given to
    /// [`execute`](Self::execute) must have them.
    ///
    /// # Errors
    /// The first fault, in Go's words.
    pub fn parse(text: &[u8], options: &Options, knows: impl Fn(&str) -> bool) -> Result<Self, ParseError> {
        let left: &[u8] = if options.left.is_empty() { b"{{" } else { &options.left };
        let right: &[u8] = if options.right.is_empty() { b"}}" } else { &options.right };
        let (tree, root) = parse::parse(&options.name, text, left, right, &knows).map_err(|error| *error)?;
        Ok(Self {
            name: options.name.clone(),
            text: text.to_vec(),
            left: left.to_vec(),
            right: right.to_vec(),
            tree,
            root,
        })
    }

    /// Renders with `data` as dot and `$`, appending to `out`. After an error `out` holds what was written
    /// before it.
    ///
    /// # Errors
    /// The first fault, in Go's words, or a limit.
    pub fn execute<C>(
        &self,
        funcs: &Funcs<C>,
        context: &mut C,
        data: Value,
        options: &ExecOptions<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Box<ExecError>> {
        exec::execute(self, funcs, context, data, options, out)
    }

    fn source(&self) -> node::Source<'_> {
        node::Source { text: &self.text, left: &self.left, right: &self.right }
    }

    /// The names it defines, itself included, sorted.
    pub fn defined(&self) -> impl Iterator<Item = &[u8]> {
        self.tree.definitions.keys().map(Vec::as_slice)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("name", &self.name)
            .field("bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}
