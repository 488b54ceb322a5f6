//! TOML as BurntSushi/toml 1.5 writes it. Nothing recurses: what is still to be written waits on a stack.

use std::rc::Rc;

use gotemplate::{List, Map, Type, Value};

use super::text::trimmed;
use super::walk::{Special, Trail, key_text, special};
use crate::arguments::bounded;
use crate::go::strconv::{float, int, quote};

/// A value as a TOML document, trimmed: maps as tables, anything else as a bare value.
///
/// # Errors
/// The library's words for what has no TOML form, or that the text would be too large.
pub(crate) fn write(value: &Value) -> Result<Vec<u8>, String> {
    let mut writer = Writer::default();
    writer.tasks.push(Task::Encode(Path::default(), value.clone()));
    while let Some(task) = writer.tasks.pop() {
        writer.step(task)?;
        bounded(writer.out.len()).map_err(|why| why.to_string())?;
    }
    Ok(trimmed(&writer.out).to_vec())
}

/// What the writer distinguishes.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Table,
    ArrayOfTables,
    Plain,
}

/// Where a value stands: `a.b`, quoted where needed.
#[derive(Clone, Default)]
struct Path {
    whole: Rc<Vec<u8>>,
    last: Rc<Vec<u8>>,
    depth: usize,
}

impl Path {
    fn join(&self, key: &[u8]) -> Self {
        let last = quoted_key(key);
        let mut whole = self.whole.to_vec();
        if self.depth > 0 {
            whole.push(b'.');
        }
        whole.extend_from_slice(&last);
        Self { whole: Rc::new(whole), last: Rc::new(last), depth: self.depth + 1 }
    }

    fn indent(&self) -> Vec<u8> {
        b"  ".repeat(self.depth.saturating_sub(1))
    }
}

enum Task {
    /// A value of a table, or the document.
    Encode(Path, Value),
    /// A value behind `=` or in an array.
    Element(Value),
    /// A table of an array of tables.
    TableOfArray(Path, Value),
    Text(&'static str),
    Bytes(Vec<u8>),
    /// A line break, but not at the very beginning.
    Newline,
    /// A container is done.
    Leave,
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    /// Whether anything was written, were it empty.
    begun: bool,
    tasks: Vec<Task>,
    trail: Trail,
}

impl Writer {
    fn step(&mut self, task: Task) -> Result<(), String> {
        match task {
            Task::Encode(path, value) => self.encode(path, &value)?,
            Task::Element(value) => self.element(&value)?,
            Task::TableOfArray(path, value) => {
                self.newline();
                self.text(&[path.indent().as_slice(), b"[[", &path.whole, b"]]"].concat());
                self.newline();
                self.table(&path, &value)?;
            }
            Task::Text(text) => self.text(text.as_bytes()),
            Task::Bytes(text) => self.text(&text),
            Task::Newline => self.newline(),
            Task::Leave => self.trail.leave(),
        }
        Ok(())
    }

    fn text(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
        self.begun = true;
    }

    fn newline(&mut self) {
        if self.begun {
            self.text(b"\n");
        }
    }

    /// Puts tasks on the stack so that they are done in this order.
    fn schedule(&mut self, tasks: Vec<Task>) {
        self.tasks.extend(tasks.into_iter().rev());
    }

    fn encode(&mut self, path: Path, value: &Value) -> Result<(), String> {
        match value {
            Value::Complex(..) | Value::Chan(_) => {
                let path = String::from_utf8_lossy(&path.whole);
                return Err(format!("unsupported type for key '{path}': {}", go_kind(value)));
            }
            Value::List(list) if kind(value)? == Some(Kind::ArrayOfTables) => {
                if path.depth == 0 {
                    return Err("toml: top-level values must be Go maps or structs".to_owned());
                }
                let tables = list.items().iter().cloned();
                let tasks = tables.map(|table| Task::TableOfArray(path.clone(), table)).collect();
                self.schedule(tasks);
            }
            _ if is_nil(value) && !matches!(value, Value::List(_)) => {}
            _ if kind(value)? == Some(Kind::Table) => {
                if path.depth == 1 {
                    self.newline();
                }
                if path.depth > 0 {
                    self.text(&[path.indent().as_slice(), b"[", &path.whole, b"]"].concat());
                    self.newline();
                }
                self.table(&path, value)?;
            }
            _ if path.depth == 0 => self.tasks.push(Task::Element(value.clone())),
            _ => {
                self.text(&[path.indent().as_slice(), &path.last, b" = "].concat());
                self.schedule(vec![Task::Element(value.clone()), Task::Newline]);
            }
        }
        Ok(())
    }

    /// The fields of a table under its header: simple values first, then tables.
    fn table(&mut self, path: &Path, value: &Value) -> Result<(), String> {
        self.enter(value)?;
        let (direct, tables) = fields(value)?;
        let all = direct.into_iter().chain(tables);
        let mut tasks: Vec<Task> =
            all.map(|field| Task::Encode(path.join(&field.name), field.value)).collect();
        tasks.push(Task::Leave);
        self.schedule(tasks);
        Ok(())
    }

    fn inline_table(&mut self, value: &Value) -> Result<(), String> {
        self.enter(value)?;
        let (direct, tables) = fields(value)?;
        let is_map = matches!(value, Value::Map(_));
        let mut tasks = vec![Task::Text("{")];
        for (group, follows) in [(&direct, is_map && tables.any()), (&tables, false)] {
            for field in &group.fields {
                tasks.push(Task::Bytes([quoted_key(&field.name).as_slice(), b" = "].concat()));
                tasks.push(Task::Element(field.value.clone()));
                // The library counts the fields it skips as nil, so a comma may have nothing behind it.
                if follows || field.nth + 1 != group.counted {
                    tasks.push(Task::Text(", "));
                }
            }
        }
        tasks.extend([Task::Text("}"), Task::Leave]);
        self.schedule(tasks);
        Ok(())
    }

    fn array(&mut self, list: &List) -> Result<(), String> {
        self.enter(&Value::List(list.clone()))?;
        let mut tasks = vec![Task::Text("[")];
        for (nth, item) in list.items().iter().enumerate() {
            if nth > 0 {
                tasks.push(Task::Text(", "));
            }
            tasks.push(Task::Element(item.clone()));
        }
        tasks.extend([Task::Text("]"), Task::Leave]);
        self.schedule(tasks);
        Ok(())
    }

    fn element(&mut self, value: &Value) -> Result<(), String> {
        let text = match value {
            Value::Str(text) => quoted(text),
            Value::Bool(value) => value.to_string().into_bytes(),
            Value::Int(_, value) => value.to_string().into_bytes(),
            Value::Uint(_, value) => value.to_string().into_bytes(),
            Value::Float(value) => float_text(*value).into_bytes(),
            Value::Number(text) => number_text(text)?.into_bytes(),
            Value::List(list) => return self.array(list),
            Value::Map(_) => return self.inline_table(value),
            Value::Object(object) => match special(object.as_ref()) {
                Some(Special::Time(text)) => text.into_bytes(),
                Some(Special::Text(text)) => quoted(&text),
                None => return self.inline_table(value),
            },
            Value::Complex(..) | Value::Chan(_) => {
                return Err(format!("unexpected type: {}", value.type_name()));
            }
            Value::Nil | Value::NilInterface | Value::NilPointer(_) => Vec::new(),
        };
        self.text(&text);
        Ok(())
    }

    fn enter(&mut self, value: &Value) -> Result<(), String> {
        self.trail.enter(value).map_err(|_| "toml: the value contains itself".to_owned())
    }
}

// === Fields ===

struct Field {
    name: Vec<u8>,
    value: Value,
    /// Its place among those that the library counts for its commas.
    nth: usize,
}

/// Fields of one sort, without those that are nil.
#[derive(Default)]
struct Group {
    fields: Vec<Field>,
    /// How many there are with the nil ones.
    counted: usize,
}

impl Group {
    fn any(&self) -> bool {
        self.counted > 0
    }
}

impl IntoIterator for Group {
    type Item = Field;
    type IntoIter = std::vec::IntoIter<Field>;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.into_iter()
    }
}

/// The fields of a map or struct: simple values, then tables.
fn fields(value: &Value) -> Result<(Group, Group), String> {
    let (mut direct, mut tables) = (Group::default(), Group::default());
    let (entries, is_map) = match value {
        Value::Map(map) => (map_entries(map)?, true),
        Value::Object(object) => {
            let fields = object.fields().into_iter();
            (fields.map(|(name, value)| (name.as_bytes().to_vec(), value)).collect(), false)
        }
        _ => (Vec::new(), true),
    };
    for (place, (name, value)) in entries.into_iter().enumerate() {
        let group = match kind(&value)? {
            Some(Kind::Table | Kind::ArrayOfTables) => &mut tables,
            _ => &mut direct,
        };
        let nth = if is_map { group.counted } else { place };
        group.counted += 1;
        if !is_nil(&value) {
            group.fields.push(Field { name, value, nth });
        }
    }
    Ok((direct, tables))
}

fn map_entries(map: &Map) -> Result<Vec<(Vec<u8>, Value)>, String> {
    if !matches!(map.key(), Type::Str | Type::Number) {
        return Err("toml: cannot encode a map with non-string key type".to_owned());
    }
    Ok(map.entries().into_iter().filter_map(|(key, value)| Some((key_text(&key)?, value))).collect())
}

fn is_nil(value: &Value) -> bool {
    match value {
        Value::Nil | Value::NilInterface | Value::NilPointer(_) => true,
        Value::List(list) => list.is_nil(),
        Value::Map(map) => map.is_nil(),
        _ => false,
    }
}

/// How a value is laid out; `None` for nil.
fn kind(value: &Value) -> Result<Option<Kind>, String> {
    if is_nil(value) {
        return Ok(None);
    }
    Ok(Some(match value {
        Value::Map(_) => Kind::Table,
        Value::Object(object) if special(object.as_ref()).is_none() => Kind::Table,
        Value::List(list) if is_array_of_tables(list)? => Kind::ArrayOfTables,
        Value::Complex(..) | Value::Chan(_) => return Err(format!("unsupported type: {}", go_kind(value))),
        _ => Kind::Plain,
    }))
}

/// Whether all elements are tables. Refuses nil elements, also those of arrays inside.
fn is_array_of_tables(list: &List) -> Result<bool, String> {
    let mut tables = !list.is_empty();
    let mut open = vec![list.items().iter()];
    while let Some(items) = open.last_mut() {
        let Some(item) = items.next() else {
            open.pop();
            continue;
        };
        if is_nil(item) {
            return Err("toml: cannot encode array with nil element".to_owned());
        }
        if let Value::List(inner) = item {
            tables = false;
            open.push(inner.items().iter());
        } else if kind(item)? != Some(Kind::Table) && open.len() == 1 {
            tables = false;
        }
    }
    Ok(tables)
}

/// `reflect.Kind`'s name of what has no TOML form.
fn go_kind(value: &Value) -> String {
    match value {
        Value::Chan(_) => "chan".to_owned(),
        other => other.type_name(),
    }
}

// === Texts ===

fn quoted_key(key: &[u8]) -> Vec<u8> {
    let bare = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !key.is_empty() && key.iter().all(bare) { key.to_vec() } else { quoted(key) }
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..0x20 | 0x7f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
    out
}

fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    let text = value.to_string();
    if value.is_infinite() || text.contains('.') { text } else { format!("{text}.0") }
}

fn number_text(literal: &str) -> Result<String, String> {
    if literal.is_empty() {
        return Ok("0".to_owned());
    }
    match (int(literal.as_bytes(), 10), float(literal.as_bytes())) {
        (Ok(number), _) => Ok(number.to_string()),
        (_, Ok(number)) => Ok(float_text(number)),
        _ => Err(format!("unable to convert {} to int64 or float64", quote(literal.as_bytes()))),
    }
}
