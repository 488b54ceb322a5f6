//! go-spew's `Sprintf`: Go's own, with each value behind a formatter that knows `%v` only.

use gotemplate::{FuncError, Object, Shape, Type, Value};

use super::{ADDRESS, MAX_DEPTH, shown};
use crate::arguments::bounded;

/// The type of the formatter, which is what `%T` sees.
const FORMATTER: &str = "*spew.formatState";
/// Go refuses a width above this.
const MAX_WIDTH: usize = 1_000_000;

/// # Errors
/// When values nest too deeply or the text gets too long.
pub(super) fn sprintf(format: &[u8], values: &[Value]) -> Result<Vec<u8>, FuncError> {
    let mut state = State { out: Vec::new(), values, next: 0, reordered: false, good_index: true };
    let mut rest = format;
    while let Some(percent) = rest.iter().position(|&byte| byte == b'%') {
        let (before, directive) = rest.split_at(percent);
        state.out.extend_from_slice(before);
        rest = state.directive(directive.get(1..).unwrap_or_default())?;
        bounded(state.out.len())?;
    }
    state.out.extend_from_slice(rest);
    state.extra()?;
    Ok(state.out)
}

#[derive(Clone, Copy, Default)]
struct Flags {
    /// `+`: names of fields, and addresses.
    plus: bool,
    /// `#`: types.
    sharp: bool,
}

impl Flags {
    /// Those for an element of a declared type: only what an interface holds is shown with its own.
    fn within(self, declared: &Type) -> Inner {
        Inner { flags: self, typed: self.sharp && *declared == Type::Any }
    }
}

/// The flags, and whether the type of this very value is shown.
#[derive(Clone, Copy)]
struct Inner {
    flags: Flags,
    typed: bool,
}

struct State<'v> {
    out: Vec<u8>,
    values: &'v [Value],
    next: usize,
    reordered: bool,
    good_index: bool,
}

impl State<'_> {
    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Values that no directive took.
    fn extra(&mut self) -> Result<(), FuncError> {
        if self.reordered || self.next >= self.values.len() {
            return Ok(());
        }
        self.push("%!(EXTRA ");
        let values = self.values.get(self.next..).unwrap_or_default();
        for (at, value) in values.iter().enumerate() {
            self.push(if at > 0 { ", " } else { "" });
            self.push(FORMATTER);
            self.push("=");
            self.formatted(value, Flags::default())?;
        }
        self.push(")");
        Ok(())
    }

    /// One directive behind its percent sign; what follows it.
    fn directive<'f>(&mut self, format: &'f [u8]) -> Result<&'f [u8], FuncError> {
        self.good_index = true;
        let length = format.iter().take_while(|byte| b"#0+- ".contains(byte)).count();
        let (flags, mut rest) = format.split_at(length);
        let mut indexed = self.index(&mut rest);
        let (mut width, mut precision) = (None, None);
        if let Some(behind) = rest.strip_prefix(b"*") {
            // A formatter is no integer, whatever is behind it.
            self.star("%!(BADWIDTH)");
            rest = behind;
            indexed = false;
        } else {
            width = number(&mut rest);
            self.good_index &= !(indexed && width.is_some());
        }
        if let Some(behind) = rest.strip_prefix(b".") {
            rest = behind;
            self.good_index &= !indexed;
            indexed = self.index(&mut rest);
            if let Some(behind) = rest.strip_prefix(b"*") {
                self.star("%!(BADPREC)");
                rest = behind;
                indexed = false;
            } else {
                precision = Some(number(&mut rest).unwrap_or(0));
            }
        }
        if !indexed {
            self.index(&mut rest);
        }
        let Some((verb, size)) = crate::go::unicode::first_rune(rest) else {
            self.push("%!(NOVERB)");
            return Ok(rest);
        };
        let rest = rest.get(size..).unwrap_or_default();
        if verb == '%' {
            self.push("%");
            return Ok(rest);
        }
        if !self.good_index {
            self.push(&format!("%!{verb}(BADINDEX)"));
            return Ok(rest);
        }
        let Some(value) = self.values.get(self.next) else {
            self.push(&format!("%!{verb}(MISSING)"));
            return Ok(rest);
        };
        self.next += 1;
        let mut original = String::from("%");
        for flag in "0-+# ".chars().filter(|flag| flags.contains(&(*flag as u8))) {
            original.push(flag);
        }
        if let Some(width) = width {
            original.push_str(&width.to_string());
        }
        if let Some(precision) = precision {
            original.push_str(&format!(".{precision}"));
        }
        match verb {
            'v' => {
                let flags = Flags { plus: flags.contains(&b'+'), sharp: flags.contains(&b'#') };
                self.formatted(value, flags)?;
            }
            'T' => {
                let text = shown(format!("{original}s").as_bytes(), &Value::from(FORMATTER))?;
                self.out.extend_from_slice(&text);
            }
            'p' => self.push(ADDRESS),
            _ => {
                original.push(verb);
                let text = shown(original.as_bytes(), value)?;
                self.out.extend_from_slice(&text);
            }
        }
        Ok(rest)
    }

    fn star(&mut self, complaint: &str) {
        if self.next < self.values.len() {
            self.next += 1;
        }
        self.push(complaint);
    }

    /// Reads `[n]`; whether there was a good one.
    fn index(&mut self, rest: &mut &[u8]) -> bool {
        let Some(body) = rest.strip_prefix(b"[") else { return false };
        self.reordered = true;
        let close = if rest.len() < 3 { None } else { body.iter().position(|&byte| byte == b']') };
        let Some(close) = close else {
            self.good_index = false;
            *rest = body;
            return false;
        };
        let (inner, behind) = body.split_at(close);
        *rest = behind.get(1..).unwrap_or_default();
        let mut digits = inner;
        let parsed = number(&mut digits).filter(|_| digits.is_empty());
        let Some(parsed) = parsed else {
            self.good_index = false;
            return false;
        };
        match parsed.checked_sub(1).filter(|&nth| nth < self.values.len()) {
            Some(nth) => self.next = nth,
            None => self.good_index = false,
        }
        true
    }

    fn formatted(&mut self, value: &Value, flags: Flags) -> Result<(), FuncError> {
        format_value(&mut self.out, value, flags.within(&Type::Any), 0)
    }
}

fn format_value(out: &mut Vec<u8>, value: &Value, inner: Inner, depth: usize) -> Result<(), FuncError> {
    if depth > MAX_DEPTH {
        return Err("value is nested too deeply to print".into());
    }
    bounded(out.len())?;
    let Inner { flags, typed } = inner;
    if typed {
        let name = if value.is_nil() { "interface {}".into() } else { value.type_name() };
        out.extend_from_slice(format!("({name})").as_bytes());
    }
    match value {
        Value::Nil | Value::NilInterface | Value::NilPointer(_) => out.extend_from_slice(b"<nil>"),
        Value::List(list) if list.is_nil() => out.extend_from_slice(b"<nil>"),
        Value::Map(map) if map.is_nil() => out.extend_from_slice(b"<nil>"),
        Value::List(list) => {
            out.push(b'[');
            for (at, item) in list.items().iter().enumerate() {
                if at > 0 {
                    out.push(b' ');
                }
                format_value(out, item, flags.within(list.element()), depth + 1)?;
            }
            out.push(b']');
        }
        Value::Map(map) => {
            out.extend_from_slice(b"map[");
            for (at, (key, item)) in map.snapshot().iter().enumerate() {
                if at > 0 {
                    out.push(b' ');
                }
                format_value(out, &key.value(), flags.within(map.key()), depth + 1)?;
                out.push(b':');
                format_value(out, item, flags.within(map.value()), depth + 1)?;
            }
            out.push(b']');
        }
        Value::Object(object) => {
            if object.shape() == Shape::Pointer {
                let stars: &[u8] = if typed { b"" } else { b"<*>" };
                out.extend_from_slice(stars);
                if flags.plus {
                    out.extend_from_slice(format!("({ADDRESS})").as_bytes());
                }
            }
            format_object(out, &**object, flags, depth)?;
        }
        Value::Chan(_) => out.extend_from_slice(ADDRESS.as_bytes()),
        _ => out.extend_from_slice(&shown(b"%v", value)?),
    }
    Ok(())
}

fn format_object(
    out: &mut Vec<u8>,
    object: &dyn Object,
    flags: Flags,
    depth: usize,
) -> Result<(), FuncError> {
    if let Some(text) = object.text() {
        out.extend_from_slice(&text);
        return Ok(());
    }
    out.push(b'{');
    for (at, (name, value)) in object.fields().iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        if flags.plus {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
        }
        // A field has a type of its own, unless nil shows that it is an interface.
        let declared = if value.is_nil() { Type::Any } else { value.type_of().unwrap_or(Type::Any) };
        format_value(out, value, flags.within(&declared), depth + 1)?;
    }
    out.push(b'}');
    Ok(())
}

/// Digits at the beginning. A number too large swallows the rest, as in Go.
fn number(rest: &mut &[u8]) -> Option<usize> {
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, behind) = rest.split_at_checked(length)?;
    let text = std::str::from_utf8(digits).ok()?;
    if text.is_empty() {
        return None;
    }
    match text.parse().ok().filter(|&value| value <= MAX_WIDTH) {
        Some(value) => {
            *rest = behind;
            Some(value)
        }
        None => {
            *rest = &[];
            None
        }
    }
}
