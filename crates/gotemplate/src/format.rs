//! Go's `fmt`: `Sprint`, `Sprintln`, `Sprintf` and the printing of values by `%v` and its kin.
//!
//! A wrong verb is no error but a marker in the output, such as `%!d(string=x)`.

use crate::float;
use crate::object::Shape;
use crate::text::{Quoting, decode, is_print, quote, quote_rune, rune_count, truncate_runes};
use crate::value::{Type, UintKind, Value};

/// How deep lists and maps may nest in what is printed; beyond it printing fails instead of exhausting the stack.
const MAX_DEPTH: usize = 200;
/// The longest text one call makes. A template that doubles a string in a loop would take all memory.
pub(crate) const MAX_LENGTH: usize = 16 << 20;
/// What is said when it gets longer.
pub(crate) const TOO_LONG: &str = "text exceeds 16777216 bytes";
/// Go refuses a width or precision above this.
const MAX_WIDTH: i64 = 1_000_000;

/// `fmt.Sprint`: a space between two operands when neither is a string.
///
/// # Errors
/// When values nest too deeply or the text gets too long to be meant.
pub fn sprint(args: &[Value]) -> Result<Vec<u8>, &'static str> {
    let mut printer = Printer::default();
    let mut previous_string = false;
    for (at, arg) in args.iter().enumerate() {
        let string = arg.is_string_kind();
        if at > 0 && !string && !previous_string {
            printer.put(b" ");
        }
        printer.arg(arg, 'v');
        previous_string = string;
    }
    printer.finish()
}

/// `fmt.Sprintln`: spaces between operands always, a newline at the end.
///
/// # Errors
/// As [`sprint`].
pub fn sprintln(args: &[Value]) -> Result<Vec<u8>, &'static str> {
    let mut printer = Printer::default();
    for (at, arg) in args.iter().enumerate() {
        if at > 0 {
            printer.put(b" ");
        }
        printer.arg(arg, 'v');
    }
    printer.put(b"\n");
    printer.finish()
}

/// `fmt.Sprintf`.
///
/// # Errors
/// As [`sprint`].
pub fn sprintf(format: &[u8], args: &[Value]) -> Result<Vec<u8>, &'static str> {
    let mut printer = Printer::default();
    printer.format(format, args);
    printer.finish()
}

#[derive(Clone, Copy, Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%+v` and `%#v` change the whole tree, not its leaves.
    plus_v: bool,
    sharp_v: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

#[derive(Default)]
struct Printer {
    out: Vec<u8>,
    flags: Flags,
    /// Inside a bad-verb marker, where no method is called.
    erroring: bool,
    reordered: bool,
    good_index: bool,
    /// No `]` comes any more; looking for it at every `[` would take quadratic time.
    no_bracket: bool,
    failure: Option<&'static str>,
}

impl Printer {
    fn finish(self) -> Result<Vec<u8>, &'static str> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.out),
        }
    }

    // === Directives ===

    fn format(&mut self, format: &[u8], args: &[Value]) {
        let (mut at, mut index) = (0, 0);
        self.reordered = false;
        while at < format.len() && self.failure.is_none() {
            self.good_index = true;
            let percent = format[at..].iter().position(|&byte| byte == b'%').map_or(format.len(), |p| at + p);
            self.put(&format[at..percent]);
            at = percent + 1;
            if percent == format.len() {
                break;
            }
            self.directive(format, args, &mut at, &mut index);
        }
        if !self.reordered && index < args.len() {
            self.flags = Flags::default();
            self.push("%!(EXTRA ");
            for (at, arg) in args[index..].iter().enumerate() {
                if self.failure.is_some() {
                    return;
                }
                if at > 0 {
                    self.push(", ");
                }
                if arg.is_nil() {
                    self.push("<nil>");
                } else {
                    self.push(&arg.type_name());
                    self.push("=");
                    self.arg(arg, 'v');
                }
            }
            self.push(")");
        }
    }

    fn directive(&mut self, format: &[u8], args: &[Value], at: &mut usize, index: &mut usize) {
        self.flags = Flags::default();
        while let Some(&byte) = format.get(*at) {
            match byte {
                b'#' => self.flags.sharp = true,
                b'0' => self.flags.zero = true,
                b'+' => self.flags.plus = true,
                b'-' => self.flags.minus = true,
                b' ' => self.flags.space = true,
                _ => break,
            }
            *at += 1;
        }
        let mut indexed = self.argument_index(format, args, at, index);
        if format.get(*at) == Some(&b'*') {
            *at += 1;
            let width = star(args, index);
            if width.is_none() {
                self.push("%!(BADWIDTH)");
            }
            if width.is_some_and(|width| width < 0) {
                self.flags.minus = true;
                self.flags.zero = false;
            }
            self.flags.width = width.map(|width| width.unsigned_abs() as usize);
            indexed = false;
        } else {
            self.flags.width = number(format, at, format.len());
            if indexed && self.flags.width.is_some() {
                self.good_index = false;
            }
        }
        if format.get(*at) == Some(&b'.') {
            *at += 1;
            if indexed {
                self.good_index = false;
            }
            indexed = self.argument_index(format, args, at, index);
            if format.get(*at) == Some(&b'*') {
                *at += 1;
                self.flags.precision =
                    star(args, index).and_then(|precision| usize::try_from(precision).ok());
                if self.flags.precision.is_none() {
                    self.push("%!(BADPREC)");
                }
                indexed = false;
            } else {
                self.flags.precision = Some(number(format, at, format.len()).unwrap_or(0));
            }
        }
        if !indexed {
            self.argument_index(format, args, at, index);
        }
        if *at >= format.len() {
            self.push("%!(NOVERB)");
            return;
        }
        let (verb, width) = decode(&format[*at..]);
        let verb = verb.unwrap_or(char::REPLACEMENT_CHARACTER);
        *at += width;
        if verb == '%' {
            self.put(b"%");
        } else if !self.good_index {
            self.push(&format!("%!{verb}(BADINDEX)"));
        } else if let Some(arg) = args.get(*index) {
            if verb == 'v' {
                self.flags.sharp_v = std::mem::take(&mut self.flags.sharp);
                self.flags.plus_v = std::mem::take(&mut self.flags.plus);
            }
            self.arg(arg, verb);
            *index += 1;
        } else {
            self.push(&format!("%!{verb}(MISSING)"));
        }
    }

    /// Reads `[n]`; says whether there was one.
    fn argument_index(&mut self, format: &[u8], args: &[Value], at: &mut usize, index: &mut usize) -> bool {
        if format.get(*at) != Some(&b'[') {
            return false;
        }
        self.reordered = true;
        let rest = &format[*at..];
        let close = if rest.len() < 3 || self.no_bracket {
            None
        } else {
            let close = rest.iter().position(|&byte| byte == b']');
            self.no_bracket = close.is_none();
            close
        };
        let Some(close) = close else {
            self.good_index = false;
            *at += 1;
            return false;
        };
        let mut digits = 1;
        let parsed = number(rest, &mut digits, close).filter(|_| digits == close);
        *at += close + 1;
        let Some(parsed) = parsed else {
            self.good_index = false;
            return false;
        };
        match parsed.checked_sub(1).filter(|&parsed| parsed < args.len()) {
            Some(parsed) => *index = parsed,
            None => self.good_index = false,
        }
        true
    }

    // === Values ===

    fn arg(&mut self, value: &Value, verb: char) {
        match verb {
            'T' | 'v' if value.is_nil() => self.pad(b"<nil>"),
            'T' => {
                let name = value.type_name();
                self.text(name.as_bytes());
            }
            // Known for errors only; Go refuses it before it looks inside.
            'w' if matches!(value, Value::List(_) | Value::Map(_) | Value::Object(_)) => {
                self.bad_verb(value, verb);
            }
            _ => self.value(value, verb, 0),
        }
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        if depth > MAX_DEPTH {
            self.failure = Some("value is nested too deeply to print");
        }
        if self.failure.is_some() {
            return;
        }
        match value {
            Value::Nil | Value::NilInterface if depth > 0 && self.flags.sharp_v => {
                self.push("interface {}(nil)");
            }
            Value::Nil | Value::NilInterface if depth > 0 => self.push("<nil>"),
            Value::Nil | Value::NilInterface => self.bad_verb(value, verb),
            Value::NilPointer(nil) if verb == 'v' && self.flags.sharp_v => {
                self.push(&format!("({})(nil)", nil.name));
            }
            Value::NilPointer(_) if verb == 'v' => self.pad(b"<nil>"),
            Value::NilPointer(_) if verb == 'p' => self.pad(b"0x0"),
            Value::NilPointer(_) | Value::Chan(_) => self.bad_verb(value, verb),
            Value::Bool(flag) => match verb {
                't' | 'v' => self.pad(if *flag { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb),
            },
            Value::Int(_, int) => {
                self.integer(value, int.unsigned_abs(), *int as u64, *int < 0, true, verb);
            }
            Value::Uint(_, uint) => self.integer(value, *uint, *uint, false, false, verb),
            Value::Float(float) => self.float_verb(value, *float, verb),
            Value::Complex(re, im) => {
                if !matches!(verb, 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E') {
                    return self.bad_verb(value, verb);
                }
                let plus = self.flags.plus;
                self.push("(");
                self.float_verb(value, *re, verb);
                self.flags.plus = true;
                self.float_verb(value, *im, verb);
                self.push("i)");
                self.flags.plus = plus;
            }
            Value::Str(text) => self.string(value, text, verb),
            Value::Number(text) => self.string(value, text.as_bytes(), verb),
            Value::List(list) => {
                let bytes = *list.element() == Type::Uint(UintKind::Uint8);
                if bytes && matches!(verb, 's' | 'q' | 'x' | 'X') {
                    let bytes: Vec<u8> = list.items().iter().map(byte_of).collect();
                    return self.string(value, &bytes, verb);
                }
                if self.flags.sharp_v {
                    self.push(&value.type_name());
                    if list.is_nil() {
                        return self.push("(nil)");
                    }
                }
                self.push(if self.flags.sharp_v { "{" } else { "[" });
                for (at, item) in list.items().iter().enumerate() {
                    if at > 0 {
                        self.separator();
                    }
                    self.value(item, verb, depth + 1);
                    if self.failure.is_some() {
                        return;
                    }
                }
                self.push(if self.flags.sharp_v { "}" } else { "]" });
            }
            Value::Map(map) => {
                if self.flags.sharp_v {
                    self.push(&value.type_name());
                    if map.is_nil() {
                        return self.push("(nil)");
                    }
                }
                self.push(if self.flags.sharp_v { "{" } else { "map[" });
                for (at, (key, item)) in map.snapshot().iter().enumerate() {
                    if at > 0 {
                        self.separator();
                    }
                    self.value(&key.value(), verb, depth + 1);
                    self.push(":");
                    self.value(item, verb, depth + 1);
                    if self.failure.is_some() {
                        return;
                    }
                }
                self.push(if self.flags.sharp_v { "}" } else { "]" });
            }
            Value::Object(object) => {
                if !self.erroring
                    && !self.flags.sharp_v
                    && matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
                    && let Some(text) = object.text()
                {
                    return self.string(value, &text, verb);
                }
                if let Some(Value::Int(_, int)) = object.underlying() {
                    return self.integer(value, int.unsigned_abs(), int as u64, int < 0, true, verb);
                }
                if object.shape() == Shape::Pointer {
                    if depth > 0 {
                        // Go prints the address here, which is never the same twice.
                        return self.push("0x0");
                    }
                    self.push("&");
                }
                if self.flags.sharp_v {
                    let name = object.type_name();
                    self.push(name.strip_prefix('*').unwrap_or(&name));
                }
                self.push("{");
                for (at, (name, field)) in object.fields().iter().enumerate() {
                    if at > 0 {
                        self.separator();
                    }
                    if self.flags.plus_v || self.flags.sharp_v {
                        self.push(name);
                        self.push(":");
                    }
                    self.value(field, verb, depth + 1);
                }
                self.push("}");
            }
        }
    }

    fn separator(&mut self) {
        self.push(if self.flags.sharp_v { ", " } else { " " });
    }

    fn bad_verb(&mut self, value: &Value, verb: char) {
        self.erroring = true;
        self.push(&format!("%!{verb}("));
        if value.is_nil() {
            self.push("<nil>");
        } else {
            self.push(&value.type_name());
            self.push("=");
            if let Value::Chan(_) = value {
                self.push("0x0");
            } else {
                self.value(value, 'v', 0);
            }
        }
        self.push(")");
        self.erroring = false;
    }

    // === Integers ===

    fn integer(&mut self, value: &Value, magnitude: u64, raw: u64, negative: bool, signed: bool, verb: char) {
        match verb {
            'v' if self.flags.sharp_v && !signed => {
                let sharp = std::mem::replace(&mut self.flags.sharp, true);
                self.digits(magnitude, 16, negative, verb);
                self.flags.sharp = sharp;
            }
            'v' | 'd' => self.digits(magnitude, 10, negative, verb),
            'b' => self.digits(magnitude, 2, negative, verb),
            'o' | 'O' => self.digits(magnitude, 8, negative, verb),
            'x' | 'X' => self.digits(magnitude, 16, negative, verb),
            'c' => {
                let text = rune_of(raw).to_string();
                self.pad(text.as_bytes());
            }
            'q' => {
                let quoting = if self.flags.plus { Quoting::Ascii } else { Quoting::Unicode };
                let text = quote_rune(rune_of(raw), quoting);
                self.pad(text.as_bytes());
            }
            'U' => self.unicode(raw),
            _ => self.bad_verb(value, verb),
        }
    }

    fn digits(&mut self, magnitude: u64, base: u32, negative: bool, verb: char) {
        let signed = negative || self.flags.plus || self.flags.space;
        let mut least = self.flags.precision.unwrap_or(0);
        if self.flags.precision == Some(0) && magnitude == 0 {
            return self.padding(self.flags.width.unwrap_or(0), b' ');
        }
        if self.flags.precision.is_none()
            && self.flags.zero
            && !self.flags.minus
            && let Some(width) = self.flags.width
        {
            least = width.saturating_sub(usize::from(signed));
        }
        let body = match base {
            2 => format!("{magnitude:b}"),
            8 => format!("{magnitude:o}"),
            16 if verb == 'X' => format!("{magnitude:X}"),
            16 => format!("{magnitude:x}"),
            _ => magnitude.to_string(),
        };
        let zeros = "0".repeat(least.saturating_sub(body.len()));
        let body = format!("{zeros}{body}");
        let prefix = match base {
            _ if verb == 'O' && self.flags.sharp && !body.starts_with('0') => "0o0",
            _ if verb == 'O' => "0o",
            _ if !self.flags.sharp => "",
            2 => "0b",
            8 if !body.starts_with('0') => "0",
            16 if verb == 'X' => "0X",
            16 => "0x",
            _ => "",
        };
        let sign = match (negative, self.flags.plus, self.flags.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        self.pad_unzeroed(format!("{sign}{prefix}{body}").as_bytes());
    }

    fn unicode(&mut self, raw: u64) {
        let least = self.flags.precision.unwrap_or(4).max(4);
        let digits = format!("{raw:X}");
        let zeros = "0".repeat(least.saturating_sub(digits.len()));
        let mut text = format!("U+{zeros}{digits}");
        if self.flags.sharp
            && let Some(rune) = u32::try_from(raw).ok().and_then(char::from_u32)
            && is_print(rune)
        {
            text.push_str(&format!(" '{rune}'"));
        }
        self.pad_unzeroed(text.as_bytes());
    }

    // === Floats ===

    fn float_verb(&mut self, value: &Value, float: f64, verb: char) {
        match verb {
            'v' | 'g' => self.float(float, b'g', None, verb),
            'b' | 'G' | 'x' | 'X' => self.float(float, verb as u8, None, verb),
            'f' | 'e' | 'E' => self.float(float, verb as u8, Some(6), verb),
            'F' => self.float(float, b'f', Some(6), verb),
            _ => self.bad_verb(value, verb),
        }
    }

    fn float(&mut self, value: f64, form: u8, precision: Option<usize>, verb: char) {
        let precision = self.flags.precision.or(precision);
        let mut text = float::format(value, form, precision);
        if self.flags.space && text.starts_with('+') && !self.flags.plus {
            text.replace_range(..1, " ");
        }
        if !value.is_finite() {
            // Neither looks like a number, so neither is padded with zeros.
            if value.is_nan() && !self.flags.space && !self.flags.plus
                || value.is_infinite() && text.starts_with('+') && !self.flags.plus
            {
                text.remove(0);
                if value.is_infinite() {
                    text.insert(0, '+');
                }
            }
            return self.pad_unzeroed(text.as_bytes());
        }
        if self.flags.sharp && verb != 'b' {
            text = with_point(&text, form, precision);
        }
        if !self.flags.plus && text.starts_with('+') {
            return self.pad(&text.as_bytes()[1..]);
        }
        let width = self.flags.width.unwrap_or(0);
        if self.flags.zero && !self.flags.minus && width > text.len() {
            // The sign stands before the zeros.
            self.push(&text[..1]);
            self.padding(width - text.len(), b'0');
            return self.push(&text[1..]);
        }
        self.pad(text.as_bytes());
    }

    // === Strings ===

    fn string(&mut self, value: &Value, text: &[u8], verb: char) {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(text),
            'v' | 's' => self.text(text),
            'q' => self.quoted(text),
            'x' | 'X' => self.hex(text, verb == 'X'),
            _ => self.bad_verb(value, verb),
        }
    }

    fn text(&mut self, text: &[u8]) {
        let text = self.flags.precision.map_or(text, |limit| truncate_runes(text, limit));
        self.pad(text);
    }

    fn quoted(&mut self, text: &[u8]) {
        let text = self.flags.precision.map_or(text, |limit| truncate_runes(text, limit));
        let quoted = if self.flags.sharp && can_backquote(text) {
            [b"`", text, b"`"].concat()
        } else {
            quote(text, if self.flags.plus { Quoting::Ascii } else { Quoting::Unicode })
        };
        self.pad(&quoted);
    }

    fn hex(&mut self, text: &[u8], upper: bool) {
        let length = self.flags.precision.map_or(text.len(), |limit| limit.min(text.len()));
        let prefix = match (self.flags.sharp, upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        let mut out = String::new();
        for (at, byte) in text[..length].iter().enumerate() {
            if at > 0 && self.flags.space {
                out.push(' ');
            }
            if at == 0 || self.flags.space {
                out.push_str(prefix);
            }
            out.push_str(&if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        }
        self.pad(out.as_bytes());
    }

    // === Padding ===

    /// Everything printed comes through here or through `padding`, so the text never gets longer than allowed.
    fn put(&mut self, text: &[u8]) {
        if self.has_room(text.len()) {
            self.out.extend_from_slice(text);
        }
    }

    fn push(&mut self, text: &str) {
        self.put(text.as_bytes());
    }

    fn padding(&mut self, count: usize, byte: u8) {
        if self.has_room(count) {
            self.out.resize(self.out.len() + count, byte);
        }
    }

    fn has_room(&mut self, count: usize) -> bool {
        if self.out.len().saturating_add(count) > MAX_LENGTH {
            self.failure = Some(TOO_LONG);
        }
        self.failure.is_none()
    }

    fn pad(&mut self, text: &[u8]) {
        // Zeros are for the left only.
        let byte = if self.flags.zero && !self.flags.minus { b'0' } else { b' ' };
        self.pad_with(text, byte);
    }

    fn pad_unzeroed(&mut self, text: &[u8]) {
        self.pad_with(text, b' ');
    }

    fn pad_with(&mut self, text: &[u8], byte: u8) {
        let count = self.flags.width.map_or(0, |width| width.saturating_sub(rune_count(text)));
        if !self.flags.minus {
            self.padding(count, byte);
        }
        self.put(text);
        if self.flags.minus {
            self.padding(count, byte);
        }
    }
}

fn byte_of(value: &Value) -> u8 {
    match value {
        Value::Uint(_, value) => *value as u8,
        _ => 0,
    }
}

fn rune_of(raw: u64) -> char {
    u32::try_from(raw).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Go's `CanBackquote`: one line, no backquote, no control character but tab, no byte order mark.
fn can_backquote(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    text.chars().all(|rune| match rune {
        '\t' => true,
        '`' | '\u{7f}' | '\u{feff}' => false,
        _ => rune >= ' ',
    })
}

/// The `#` flag: a decimal point always, trailing zeros kept for `%g`.
fn with_point(text: &str, form: u8, precision: Option<usize>) -> String {
    // Not `X`, which is Go's slip.
    let keeps_zeros = matches!(form, b'g' | b'G' | b'x');
    let mut digits = if keeps_zeros { precision.map_or(6, |precision| precision as i64) } else { 0 };
    let hex = matches!(form, b'x' | b'X');
    let exponent = if hex { text.find(['p', 'P']) } else { text.find(['e', 'E']) };
    let (number, tail) = text.split_at(exponent.unwrap_or(text.len()));
    let mut significant = false;
    for byte in number.bytes().skip(1).filter(|&byte| byte != b'.') {
        significant |= byte != b'0';
        if significant {
            digits -= 1;
        }
    }
    let mut out = number.to_owned();
    if !number.contains('.') {
        if number.len() == 2 && number.ends_with('0') {
            digits -= 1;
        }
        out.push('.');
    }
    out.push_str(&"0".repeat(usize::try_from(digits).unwrap_or(0)));
    out + tail
}

/// A `*`: the argument as a width, `None` if it is no fitting integer.
fn star(args: &[Value], index: &mut usize) -> Option<i64> {
    let arg = args.get(*index)?;
    *index += 1;
    let value = match arg {
        Value::Int(_, value) => *value,
        Value::Uint(_, value) => i64::try_from(*value).ok()?,
        _ => return None,
    };
    (-MAX_WIDTH..=MAX_WIDTH).contains(&value).then_some(value)
}

/// Digits up to `end`. A number too large swallows the rest, as in Go.
fn number(format: &[u8], at: &mut usize, end: usize) -> Option<usize> {
    let mut value: Option<i64> = None;
    while *at < end && format[*at].is_ascii_digit() {
        let so_far = value.unwrap_or(0);
        if so_far > MAX_WIDTH {
            *at = end;
            return None;
        }
        value = Some(so_far * 10 + i64::from(format[*at] - b'0'));
        *at += 1;
    }
    value.and_then(|value| usize::try_from(value).ok())
}
