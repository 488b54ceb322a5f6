//! Values by their kinds, lists and maps with what is in them.

use super::{MAX_DEPTH, Printer};
use crate::object::Shape;
use crate::value::{Type, UintKind, Value};

impl Printer {
    pub(super) fn arg(&mut self, value: &Value, verb: char) {
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
                if self.flags.sharp_v
                    && verb == 'v'
                    && let Some(text) = object.go_text()
                {
                    return self.text(&text);
                }
                if let Some(Value::Int(_, int)) = object.underlying() {
                    return self.integer(value, int.unsigned_abs(), int as u64, int < 0, true, verb);
                }
                if object.shape() == Shape::Pointer {
                    if depth > 0 {
                        // Go prints the address here, which is never the same twice.
                        return match self.flags.sharp_v {
                            true => self.push(&format!("({})(0x0)", object.type_name())),
                            false => self.push("0x0"),
                        };
                    }
                    self.push("&");
                }
                if self.flags.sharp_v {
                    let name = object.type_name();
                    self.push(name.strip_prefix('*').unwrap_or(&name));
                }
                self.push("{");
                for (at, (name, field)) in object.all_fields().iter().enumerate() {
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

    pub(super) fn bad_verb(&mut self, value: &Value, verb: char) {
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
}

fn byte_of(value: &Value) -> u8 {
    match value {
        Value::Uint(_, value) => *value as u8,
        _ => 0,
    }
}
