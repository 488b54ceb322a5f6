//! `Sprintf`'s directives: flags, widths, precisions, argument indexes.

use super::{Flags, MAX_WIDTH, Printer};
use crate::text::decode;
use crate::value::Value;

impl Printer {
    pub(super) fn format(&mut self, format: &[u8], args: &[Value]) {
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
