//! TOML as BurntSushi/toml 1.5 writes it. Nothing recurses: what is still to be written waits on a stack.

use std::sync::Arc;

use gotemplate::{List, Map, Type, Value};

use super::Fault;
use super::walk::{Special, Trail, key_text, special};
use crate::MAX_RESULT;
use crate::arguments::{Elements, bounded};
use crate::go::layout::RFC3339_NANO;
use crate::go::strconv::{float, int, quote};
use crate::go::strings::trim_space;

/// A value as a TOML document, trimmed: maps as tables, anything else as a bare value.
///
/// # Errors
/// The library's words for what has no TOML form, or that the text would be too large.
pub(crate) fn write(value: &Value) -> Result<Vec<u8>, Fault> {
    if let Value::Complex(..) | Value::Chan(_) = value {
        return Err(format!("unsupported type for key '': {}", go_kind(value)).into());
    }
    let mut writer = Writer::default();
    let kind = kind(value, &mut writer.seen)?;
    writer.encode(None, value, kind)?;
    while let Some(task) = writer.tasks.pop() {
        writer.step(task)?;
        bounded(writer.out.len())?;
    }
    Ok(trim_space(&writer.out).to_vec())
}

/// What the writer distinguishes.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Table,
    ArrayOfTables,
    Plain,
}

/// Where the table at hand stands: `a.b`, quoted where needed.
#[derive(Default)]
struct Path {
    whole: Vec<u8>,
    /// How long `whole` was before each of its keys.
    lengths: Vec<usize>,
}

impl Path {
    fn push(&mut self, key: &[u8]) {
        self.lengths.push(self.whole.len());
        if self.lengths.len() > 1 {
            self.whole.push(b'.');
        }
        self.whole.extend_from_slice(&quoted_key(key));
    }

    fn pop(&mut self) {
        self.whole.truncate(self.lengths.pop().unwrap_or_default());
    }

    fn depth(&self) -> usize {
        self.lengths.len()
    }
}

enum Task {
    /// A value of the table at hand.
    Encode(Arc<[u8]>, Value, Option<Kind>),
    /// A value behind `=` or in an array.
    Element(Value),
    /// A table of the array of tables at hand.
    TableOfArray(Value),
    Text(&'static str),
    Key(Arc<[u8]>),
    /// A line break, but not at the very beginning.
    Newline,
    /// A container is done.
    Leave,
    /// So is what stands under the last key.
    Up,
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    /// Whether anything was written, were it empty.
    begun: bool,
    tasks: Vec<Task>,
    path: Path,
    trail: Trail,
    /// Elements of lists that were looked at to tell tables from values.
    seen: Elements,
}

impl Writer {
    fn step(&mut self, task: Task) -> Result<(), Fault> {
        match task {
            Task::Encode(key, value, kind) => self.encode(Some(&key), &value, kind)?,
            Task::Element(value) => self.element(&value)?,
            Task::TableOfArray(value) => {
                self.newline();
                self.header("[[", "]]")?;
                self.table(&value)?;
            }
            Task::Text(text) => self.text(text.as_bytes()),
            Task::Key(key) => {
                self.text(&quoted_key(&key));
                self.text(b" = ");
            }
            Task::Newline => self.newline(),
            Task::Leave => self.trail.leave(),
            Task::Up => self.path.pop(),
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

    /// Spaces for what stands so deep.
    fn indent(&mut self, depth: usize) {
        self.out.resize(self.out.len() + 2 * depth.saturating_sub(1), b' ');
    }

    /// The path of the table at hand in brackets.
    fn header(&mut self, open: &str, close: &str) -> Result<(), Fault> {
        bounded(self.out.len() + self.path.whole.len())?;
        self.indent(self.path.depth());
        self.out.extend_from_slice(open.as_bytes());
        self.out.extend_from_slice(&self.path.whole);
        self.text(close.as_bytes());
        self.newline();
        Ok(())
    }

    /// Puts tasks on the stack so that they are done in this order.
    fn schedule(&mut self, tasks: Vec<Task>) {
        self.tasks.extend(tasks.into_iter().rev());
    }

    /// A value of the table at hand, or the document.
    fn encode(&mut self, key: Option<&[u8]>, value: &Value, kind: Option<Kind>) -> Result<(), Fault> {
        match (kind, value, key) {
            (Some(Kind::ArrayOfTables), _, None) => {
                return Err("toml: top-level values must be Go maps or structs".to_owned().into());
            }
            (Some(Kind::ArrayOfTables), Value::List(list), Some(key)) => {
                self.trail.count(list.len())?;
                self.path.push(key);
                let tables = list.items().iter().cloned().map(Task::TableOfArray);
                let tasks = tables.chain([Task::Up]).collect();
                self.schedule(tasks);
            }
            (Some(Kind::Table), ..) => {
                let Some(key) = key else { return self.table(value) };
                if self.path.depth() == 0 {
                    self.newline();
                }
                self.path.push(key);
                self.header("[", "]")?;
                self.tasks.push(Task::Up);
                self.table(value)?;
            }
            (None, ..) if !matches!(value, Value::List(_)) => {}
            (_, _, None) => self.tasks.push(Task::Element(value.clone())),
            (_, _, Some(key)) => {
                self.indent(self.path.depth() + 1);
                self.text(&quoted_key(key));
                self.text(b" = ");
                self.schedule(vec![Task::Element(value.clone()), Task::Newline]);
            }
        }
        Ok(())
    }

    /// The fields of a table under its header: simple values first, then tables.
    fn table(&mut self, value: &Value) -> Result<(), Fault> {
        self.enter(value)?;
        let (direct, tables) = fields(value, &mut self.seen)?;
        let all = direct.into_iter().chain(tables);
        let tasks = all.map(|field| Task::Encode(field.name, field.value, field.kind));
        let tasks = tasks.chain([Task::Leave]).collect();
        self.schedule(tasks);
        Ok(())
    }

    fn inline_table(&mut self, value: &Value) -> Result<(), Fault> {
        self.enter(value)?;
        let (direct, tables) = fields(value, &mut self.seen)?;
        let is_map = matches!(value, Value::Map(_));
        let mut tasks = vec![Task::Text("{")];
        for (group, follows) in [(&direct, is_map && tables.any()), (&tables, false)] {
            for field in &group.fields {
                tasks.push(Task::Key(field.name.clone()));
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

    fn array(&mut self, list: &List) -> Result<(), Fault> {
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

    fn element(&mut self, value: &Value) -> Result<(), Fault> {
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
                Some(Special::Time(time)) => time.format(RFC3339_NANO),
                Some(Special::Text(text)) => quoted(&text),
                None => return self.inline_table(value),
            },
            Value::Complex(..) | Value::Chan(_) => {
                return Err(format!("unexpected type: {}", value.type_name()).into());
            }
            Value::Nil | Value::NilInterface | Value::NilPointer(_) => Vec::new(),
        };
        self.text(&text);
        Ok(())
    }

    fn enter(&mut self, value: &Value) -> Result<(), Fault> {
        self.trail.enter(value, |_| "toml: the value contains itself".to_owned())
    }
}

// === Fields ===

type Named = (Arc<[u8]>, Value);

struct Field {
    name: Arc<[u8]>,
    value: Value,
    kind: Option<Kind>,
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
fn fields(value: &Value, seen: &mut Elements) -> Result<(Group, Group), Fault> {
    let (mut direct, mut tables) = (Group::default(), Group::default());
    let (entries, is_map) = match value {
        Value::Map(map) => (map_entries(map)?, true),
        Value::Object(object) => {
            let fields = object.fields().into_iter();
            (fields.map(|(name, value)| (name.as_bytes().into(), value)).collect(), false)
        }
        _ => (Vec::new(), true),
    };
    for (place, (name, value)) in entries.into_iter().enumerate() {
        let kind = kind(&value, seen)?;
        let group = match kind {
            Some(Kind::Table | Kind::ArrayOfTables) => &mut tables,
            _ => &mut direct,
        };
        let nth = if is_map { group.counted } else { place };
        group.counted += 1;
        if !is_nil(&value) {
            group.fields.push(Field { name, value, kind, nth });
        }
    }
    Ok((direct, tables))
}

fn map_entries(map: &Map) -> Result<Vec<Named>, Fault> {
    if !matches!(map.key(), Type::Str | Type::Number) {
        return Err("toml: cannot encode a map with non-string key type".to_owned().into());
    }
    Ok(map.snapshot().iter().filter_map(|(key, value)| Some((key_text(key)?, value.clone()))).collect())
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
fn kind(value: &Value, seen: &mut Elements) -> Result<Option<Kind>, Fault> {
    if is_nil(value) {
        return Ok(None);
    }
    Ok(Some(match value {
        Value::Map(_) => Kind::Table,
        Value::Object(object) if special(object.as_ref()).is_none() => Kind::Table,
        Value::List(list) if is_array_of_tables(list, seen)? => Kind::ArrayOfTables,
        Value::Complex(..) | Value::Chan(_) => {
            return Err(format!("unsupported type: {}", go_kind(value)).into());
        }
        _ => Kind::Plain,
    }))
}

/// Whether all elements are tables. Refuses nil elements, also those of arrays inside.
fn is_array_of_tables(list: &List, seen: &mut Elements) -> Result<bool, Fault> {
    let mut tables = !list.is_empty();
    let mut open = vec![list.items().iter()];
    while let Some(items) = open.last_mut() {
        let Some(item) = items.next() else {
            open.pop();
            continue;
        };
        // They may be the same few again and again.
        seen.add(1)?;
        if is_nil(item) {
            return Err("toml: cannot encode array with nil element".to_owned().into());
        }
        if let Value::List(inner) = item {
            tables = false;
            open.push(inner.items().iter());
        } else if kind(item, seen)? != Some(Kind::Table) && open.len() == 1 {
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
        if out.len() > MAX_RESULT {
            // Too much already; the rest is not worth the memory.
            break;
        }
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
