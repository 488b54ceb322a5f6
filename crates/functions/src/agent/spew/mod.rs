//! Values shown with their types, as go-spew does. Maps come in random order there; here they are sorted.

mod format;

use gotemplate::{Func, FuncError, List, Map, Object, Param, Shape, Value, sprintf};

use crate::arguments::{bounded, bytes};
use crate::{Entry, entry, surroundings};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("spew_dump", &[], |arguments| written(dumped(arguments)?)).variadic(Param::Any),
        "spew_dump [values...]",
        "Nothing; what `spew_sdump` gives is printed once the template is complete: by the agent to its standard output.",
        "{{ spew_dump }}",
        "",
    ),
    entry(
        Func::pure("spew_printf", &[Param::Str], |arguments| written(formatted(arguments)?))
            .variadic(Param::Any),
        "spew_printf format [values...]",
        "Nothing; what `spew_sprintf` gives is printed once the template is complete: by the agent to its standard output.",
        r#"{{ spew_printf "" }}"#,
        "",
    ),
    entry(
        Func::pure("spew_sdump", &[], |arguments| dumped(arguments).map(Value::from)).variadic(Param::Any),
        "spew_sdump [values...]",
        "Each value on lines of its own, with types and lengths.",
        r#"{{ spew_sdump 1 | trimSpace }}"#,
        "(int) 1",
    ),
    entry(
        Func::pure("spew_sprintf", &[Param::Str], |arguments| formatted(arguments).map(Value::from))
            .variadic(Param::Any),
        "spew_sprintf format [values...]",
        "Like `printf`, but `%v` looks behind pointers and `%#v` shows types.",
        r#"{{ spew_sprintf "%#v" (split "," "a,b") }}"#,
        "([]string)[a b]",
    ),
];

/// How deep values may be nested in what is shown.
const MAX_DEPTH: usize = 200;

/// Stands for every address. Go shows where a thing is in memory, which is another place each time.
const ADDRESS: &str = "0xc000000000";

fn written(text: Vec<u8>) -> Result<Value, FuncError> {
    surroundings::print(&text)?;
    Ok(Value::from(""))
}

fn formatted(arguments: &[Value]) -> Result<Vec<u8>, FuncError> {
    format::sprintf(bytes(arguments, 0), arguments.get(1..).unwrap_or_default())
}

fn dumped(values: &[Value]) -> Result<Vec<u8>, FuncError> {
    let mut dump = Dump { out: Vec::new(), depth: 0 };
    for value in values {
        dump.value(value, Lead::Pad)?;
        dump.out.push(b'\n');
    }
    Ok(dump.out)
}

/// What a value still needs in front.
#[derive(Clone, Copy, PartialEq)]
enum Lead {
    /// Spaces for the depth, and the type.
    Pad,
    /// The type alone: it stands behind a key.
    Type,
}

struct Dump {
    out: Vec<u8>,
    depth: usize,
}

impl Dump {
    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn pad(&mut self) {
        self.out.resize(self.out.len() + self.depth, b' ');
    }

    fn value(&mut self, value: &Value, lead: Lead) -> Result<(), FuncError> {
        if self.depth > MAX_DEPTH {
            return Err("value is nested too deeply to print".into());
        }
        bounded(self.out.len())?;
        if lead == Lead::Pad {
            self.pad();
        }
        match value {
            Value::Nil | Value::NilInterface => self.push("(interface {}) <nil>"),
            Value::NilPointer(nil) => self.push(&format!("({})(<nil>)", nil.name)),
            Value::Object(object) if object.shape() == Shape::Pointer => {
                self.push(&format!("({})({ADDRESS})(", object.type_name()));
                self.object(&**object)?;
                self.push(")");
            }
            Value::Object(object) => {
                self.push(&format!("({}) ", object.type_name()));
                self.object(&**object)?;
            }
            _ => {
                self.push(&format!("({}) ", value.type_name()));
                self.sized(value)?;
            }
        }
        Ok(())
    }

    fn sized(&mut self, value: &Value) -> Result<(), FuncError> {
        let (length, capacity) = match value {
            Value::Str(text) => (text.len(), 0),
            Value::Number(text) => (text.len(), 0),
            Value::Map(map) => (map.len(), 0),
            // How much room a slice has left is not known here; most have none.
            Value::List(list) => (list.len(), list.len()),
            _ => (0, 0),
        };
        match (length, capacity) {
            (0, _) => {}
            (_, 0) => self.push(&format!("(len={length}) ")),
            _ => self.push(&format!("(len={length} cap={capacity}) ")),
        }
        match value {
            Value::Str(_) => {
                let quoted = shown(b"%q", value)?;
                self.out.extend_from_slice(&quoted);
            }
            Value::List(list) => self.list(list)?,
            Value::Map(map) => self.map(map)?,
            Value::Chan(_) => self.push(ADDRESS),
            _ => {
                let text = shown(b"%v", value)?;
                self.out.extend_from_slice(&text);
            }
        }
        Ok(())
    }

    fn list(&mut self, list: &List) -> Result<(), FuncError> {
        if list.is_nil() {
            self.push("<nil>");
            return Ok(());
        }
        self.block(list.len(), list.items().iter(), |dump, item| dump.value(item, Lead::Pad))
    }

    fn map(&mut self, map: &Map) -> Result<(), FuncError> {
        if map.is_nil() {
            self.push("<nil>");
            return Ok(());
        }
        // Not a copy of them: a map may contain itself.
        let entries = map.snapshot();
        self.block(map.len(), entries.iter(), |dump, (key, value)| {
            dump.value(&key.value(), Lead::Pad)?;
            dump.push(": ");
            dump.value(value, Lead::Type)
        })
    }

    fn object(&mut self, object: &dyn Object) -> Result<(), FuncError> {
        if let Some(text) = object.text() {
            self.out.extend_from_slice(&text);
            return Ok(());
        }
        let fields = object.fields();
        self.block(fields.len(), fields.iter(), |dump, (name, value)| {
            dump.pad();
            dump.push(&format!("{name}: "));
            dump.value(value, Lead::Type)
        })
    }

    fn block<T>(
        &mut self,
        count: usize,
        items: impl Iterator<Item = T>,
        mut each: impl FnMut(&mut Self, T) -> Result<(), FuncError>,
    ) -> Result<(), FuncError> {
        self.push("{\n");
        self.depth += 1;
        for (at, item) in items.enumerate() {
            each(self, item)?;
            self.push(if at + 1 < count { ",\n" } else { "\n" });
        }
        self.depth -= 1;
        self.pad();
        self.push("}");
        Ok(())
    }
}

/// A value without a type, as Go's own `printf` shows it.
fn shown(format: &[u8], value: &Value) -> Result<Vec<u8>, FuncError> {
    sprintf(format, std::slice::from_ref(value)).map_err(FuncError::from)
}
