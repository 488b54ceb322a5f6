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
//! # Values
//!
//! A [`Value`] is what Go would hold, with the types that a template can tell apart: an `int` is no `int64`, a
//! `[]string` no `[]interface {}`, a `json.Number` is a string that prints as a number. Strings are bytes.
//! Clones are cheap. Lists never change; a map is shared by its clones and can be changed in place, as Go's maps
//! are.
//!
//! ```
//! use gotemplate::{Key, Map, Type, Value, sprint, sprintf};
//!
//! let ports = Value::list(vec![Value::int(80), Value::from("http"), Value::Nil]);
//! assert_eq!(ports.type_name(), "[]interface {}");
//! assert_eq!(sprint(&[ports.clone()]).unwrap(), b"[80 http <nil>]");
//! assert_eq!(sprintf(b"%d|%5.1f|%q", &[ports, Value::from(2.25), Value::from("a")]).unwrap(),
//!     b"[80 %!d(string=http) <nil>]|  2.2|\"a\"");
//!
//! // map[int]string
//! let names = Map::new(Type::Int(gotemplate::IntKind::Int), Type::Str, []);
//! names.clone().insert(Key::of(&Value::int(80)).unwrap(), Value::from("http"));
//! assert_eq!(sprint(&[Value::Map(names)]).unwrap(), b"map[80:http]");
//! ```
//!
//! # Functions
//!
//! A [`Func`] states Go's types of its parameters; the engine counts and converts the arguments, with Go's words
//! where they do not fit, before the function sees them. [`Func::pure`] needs its arguments only, [`Func::with`]
//! also gets the caller's context, and a [`Call::Render`] has a defined template rendered into a string.
//!
//! ```
//! use gotemplate::{ExecOptions, Func, FuncError, Funcs, Options, Param, Template, Value};
//!
//! let mut funcs: Funcs<()> = Funcs::builtins();
//! funcs.insert(Func::pure("repeat", &[Param::Int, Param::Str], |args| {
//!     let count = args[0].as_int().and_then(|count| usize::try_from(count).ok());
//!     let count = count.filter(|&count| count <= 1000).ok_or_else(|| FuncError::new("count out of range"))?;
//!     Ok(Value::from(args[1].as_str().unwrap_or_default().repeat(count)))
//! }));
//! let render = |text: &str| {
//!     let template = Template::parse(text.as_bytes(), &Options::default(), |name| funcs.contains(name))
//!         .map_err(|error| error.to_string())?;
//!     let mut out = Vec::new();
//!     template
//!         .execute(&funcs, &mut (), Value::Nil, &ExecOptions::default(), &mut out)
//!         .map_err(|error| error.to_string())?;
//!     Ok::<_, String>(String::from_utf8_lossy(&out).into_owned())
//! };
//! assert_eq!(render(r#"{{ "ab" | repeat 3 }}"#).unwrap(), "ababab");
//! assert_eq!(
//!     render(r#"{{ repeat "3" "ab" }}"#).unwrap_err(),
//!     r#"template: :1:10: executing "" at <"3">: expected integer; found "3""#
//! );
//! assert_eq!(
//!     render(r#"{{ repeat 5000 "ab" }}"#).unwrap_err(),
//!     r#"template: :1:3: executing "" at <repeat 5000 "ab">: error calling repeat: count out of range"#
//! );
//! ```
//!
//! # Objects
//!
//! A Go struct with fields and methods is anything that implements [`Object`].
//!
//! ```
//! use std::borrow::Cow;
//! use gotemplate::{ExecOptions, FuncError, Funcs, Method, Object, Options, Param, Template, Value};
//!
//! struct Server { name: String }
//!
//! impl Object for Server {
//!     fn type_name(&self) -> Cow<'static, str> {
//!         "*main.Server".into()
//!     }
//!     fn fields(&self) -> Vec<(&'static str, Value)> {
//!         vec![("Name", Value::from(self.name.clone()))]
//!     }
//!     fn method(&self, name: &str) -> Option<Method> {
//!         (name == "Address").then_some(Method::new(&[Param::Int]))
//!     }
//!     fn call(&self, _: &str, args: &[Value]) -> Result<Value, FuncError> {
//!         Ok(Value::from(format!("{}:{}", self.name, args[0].as_int().unwrap_or_default())))
//!     }
//! }
//!
//! let funcs: Funcs<()> = Funcs::builtins();
//! let text = b"{{ .Name }} at {{ .Address 80 }}, {{ . }}";
//! let template = Template::parse(text, &Options::default(), |name| funcs.contains(name)).unwrap();
//! let (server, mut out) = (Value::object(Server { name: "web".into() }), Vec::new());
//! template.execute(&funcs, &mut (), server, &ExecOptions::default(), &mut out).unwrap();
//! assert_eq!(out, b"web at web:80, {web}");
//! ```
//!
//! # Errors
//!
//! [`ParseError`] and [`ExecError`] display as Go's do, and know the place as a line, a column and a range of
//! bytes, so that a caller can show it. A function that is not known comes with its name, for which
//! [`Funcs::nearest`] may know a better one.
//!
//! ```
//! use gotemplate::{Funcs, Options, Template};
//!
//! let funcs: Funcs<()> = Funcs::builtins();
//! let text = "a\n  {{ prinft \"x\" }}";
//! let error = Template::parse(text.as_bytes(), &Options::default(), |name| funcs.contains(name)).unwrap_err();
//! assert_eq!(error.to_string(), r#"template: :2: function "prinft" not defined"#);
//! assert_eq!((error.line, error.column, &text[error.span.clone()]), (2, 5, "prinft"));
//! assert_eq!(funcs.nearest(&error.undefined_function.unwrap()), Some("printf"));
//! ```
//!
//! # Limits
//!
//! Go lets a template take all time and memory. Here [`Limits`] bound both, [`ExecOptions::stop`] lets the caller
//! end an execution, and the error tells [which bound](ExecError::limit) it was.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use gotemplate::{ExecOptions, Funcs, Limit, Limits, Options, Template, Value};
//!
//! let funcs: Funcs<()> = Funcs::builtins();
//! let text = b"{{ range 1000000000 }}{{ end }}";
//! let template = Template::parse(text, &Options::default(), |name| funcs.contains(name)).unwrap();
//! let run = |options| template.execute(&funcs, &mut (), Value::Nil, &options, &mut Vec::new()).unwrap_err();
//!
//! let error = run(ExecOptions { limits: Limits { steps: 1000, ..Limits::default() }, ..ExecOptions::default() });
//! assert_eq!(error.limit, Some(Limit::Steps));
//!
//! let start = Instant::now();
//! let late = || start.elapsed() > Duration::from_millis(1);
//! let error = run(ExecOptions { stop: Some(&late), ..ExecOptions::default() });
//! assert_eq!(error.limit, Some(Limit::Stopped));
//! ```
//!
//! # Where it differs from Go
//!
//! On purpose: parentheses nest [`MAX_PAREN_DEPTH`] deep instead of 10000, values print 200 deep, a pointer inside
//! another value prints as `0x0` and not as an address, and what [`Limits`] forbids is an error.

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
pub mod strconv;
mod text;
mod value;

use std::fmt;

pub use error::{ExecError, ParseError};
pub use exec::{ExecOptions, Limit, Limits, MissingKey};
pub use format::{sprint, sprintf, sprintln};
pub use func::{Call, Func, FuncError, Funcs, Param, Render};
pub use object::{Method, NilType, Object, Shape};
pub use parse::MAX_PAREN_DEPTH;
pub use text::quoted;
pub use value::{Chan, IntKind, Key, List, Map, Snapshot, Type, UintKind, Value, without_cycles};

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

    /// What was parsed.
    pub fn text(&self) -> &[u8] {
        &self.text
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
