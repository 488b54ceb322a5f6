//! Integers and floats.

use super::Printer;
use crate::float;
use crate::text::{Quoting, is_print, quote_rune};
use crate::value::Value;

impl Printer {
    pub(super) fn integer(
        &mut self,
        value: &Value,
        magnitude: u64,
        raw: u64,
        negative: bool,
        signed: bool,
        verb: char,
    ) {
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

    pub(super) fn float_verb(&mut self, value: &Value, float: f64, verb: char) {
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
}

fn rune_of(raw: u64) -> char {
    u32::try_from(raw).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
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
