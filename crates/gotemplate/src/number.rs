//! Number literals: one text that may be an integer, an unsigned, a float and a complex at once.

use crate::text::{Unit, quoted, unquote_one};

/// A number of a template, in every reading Go's parser allows for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Number {
    /// As written, for messages and for the choice between int and float.
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) uint: Option<u64>,
    pub(crate) float: Option<f64>,
    pub(crate) complex: Option<(f64, f64)>,
}

/// Go's type for a number used where no type is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ideal {
    Complex(f64, f64),
    Float(f64),
    Int(i64),
    /// Only an unsigned 64-bit integer could hold it.
    Overflow,
    None,
}

impl Number {
    pub(crate) fn ideal(&self) -> Ideal {
        if let Some((re, im)) = self.complex {
            return Ideal::Complex(re, im);
        }
        let rune = self.text.starts_with('\'');
        if let Some(float) = self.float
            && !is_hex_int(&self.text)
            && !rune
            && self.text.contains(['.', 'e', 'E', 'p', 'P'])
        {
            return Ideal::Float(float);
        }
        match (self.int, self.uint) {
            (Some(int), _) => Ideal::Int(int),
            (None, Some(_)) => Ideal::Overflow,
            (None, None) => Ideal::None,
        }
    }

    /// A character constant, quotes included.
    pub(crate) fn character(literal: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(literal).into_owned();
        let (unit, width) = unquote_one(&literal[1..], b'\'').ok_or("invalid syntax")?;
        if &literal[1 + width..] != b"'" {
            return Err(format!("malformed character constant: {text}"));
        }
        let code = match unit {
            Unit::Byte(byte) if literal[1] == b'\\' => u32::from(byte),
            // A byte that is not UTF-8 reads as U+FFFD.
            Unit::Byte(_) => 0xfffd,
            Unit::Rune(rune) => u32::from(rune),
        };
        Ok(Self {
            text,
            int: Some(i64::from(code)),
            uint: Some(u64::from(code)),
            float: Some(f64::from(code)),
            complex: None,
        })
    }

    /// A pair like `1+2i`.
    pub(crate) fn pair(literal: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(literal).into_owned();
        let body = text.strip_suffix('i').unwrap_or(&text);
        // The sign between the parts: the last one that does not belong to an exponent.
        let split = body
            .bytes()
            .enumerate()
            .filter(|&(at, byte)| {
                at > 0
                    && matches!(byte, b'+' | b'-')
                    && !matches!(body.as_bytes()[at - 1], b'e' | b'E' | b'p' | b'P')
            })
            .map(|(at, _)| at)
            .next_back()
            .ok_or("syntax error scanning complex number")?;
        let part = |text: &str| {
            parse_float(text).ok_or_else(|| String::from("syntax error scanning complex number"))
        };
        let (re, im) = (part(&body[..split])?, part(&body[split..])?);
        Ok(Self::default().with_text(text).with_complex(re, im))
    }

    /// Any other number.
    pub(crate) fn plain(literal: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(literal).into_owned();
        if let Some(body) = text.strip_suffix('i')
            && let Some(im) = parse_float(body)
        {
            return Ok(Self::default().with_text(text).with_complex(0.0, im));
        }
        let mut number = Self { uint: parse_uint(&text), int: parse_int(&text), ..Self::default() };
        if number.int == Some(0) {
            number.uint = Some(0);
        }
        if let Some(int) = number.int {
            number.float = Some(int as f64);
        } else if let Some(uint) = number.uint {
            number.float = Some(uint as f64);
        } else if let Some(float) = parse_float(&text) {
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", quoted(literal)));
            }
            number.float = Some(float);
            number.int = whole_int(float);
            number.uint = whole_uint(float);
        } else {
            return Err(format!("illegal number syntax: {}", quoted(literal)));
        }
        Ok(number.with_text(text))
    }

    fn with_text(mut self, text: String) -> Self {
        self.text = text;
        self
    }

    fn with_complex(mut self, re: f64, im: f64) -> Self {
        self.complex = Some((re, im));
        if im == 0.0 {
            self.float = Some(re);
            self.int = whole_int(re);
            self.uint = whole_uint(re);
        }
        self
    }
}

fn is_hex_int(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 2 && bytes[0] == b'0' && matches!(bytes[1], b'x' | b'X') && !text.contains(['p', 'P'])
}

fn whole_int(float: f64) -> Option<i64> {
    // 2^63 itself does not fit; the conversion below would saturate and compare equal.
    ((-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float) && float.trunc() == float)
        .then_some(float as i64)
}

fn whole_uint(float: f64) -> Option<u64> {
    ((0.0..18_446_744_073_709_551_616.0).contains(&float) && float.trunc() == float).then_some(float as u64)
}

fn parse_int(text: &str) -> Option<i64> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = parse_uint(body)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// `strconv.ParseUint` with base 0: prefixes and underscores allowed, a sign not.
fn parse_uint(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let (base, body) = match bytes {
        [b'0', b'x' | b'X', _, ..] => (16, &text[2..]),
        [b'0', b'o' | b'O', _, ..] => (8, &text[2..]),
        [b'0', b'b' | b'B', _, ..] => (2, &text[2..]),
        [b'0', _, ..] => (8, &text[1..]),
        _ => (10, text),
    };
    if body.is_empty() || !underscores_ok(text) {
        return None;
    }
    let mut value: u64 = 0;
    for byte in body.bytes().filter(|&byte| byte != b'_') {
        let digit = char::from(byte).to_digit(base)?;
        value = value.checked_mul(u64::from(base))?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// Underscores must stand between digits, or between a base prefix and a digit.
fn underscores_ok(text: &str) -> bool {
    if !text.contains('_') {
        return true;
    }
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let bytes = text.as_bytes();
    let (mut last, body, hex) = match bytes {
        [b'0', prefix, rest @ ..] if b"xXoObB".contains(prefix) => {
            (b'0', rest, matches!(prefix, b'x' | b'X'))
        }
        _ => (b'^', bytes, false),
    };
    let based = body.len() != bytes.len();
    for &byte in body {
        let digit = byte.is_ascii_digit() || hex && byte.is_ascii_hexdigit();
        if digit {
            last = b'0';
        } else if byte == b'_' {
            if last != b'0' {
                return false;
            }
            last = b'_';
        } else {
            if last == b'_' {
                return false;
            }
            last = b'!';
        }
    }
    // Go allows `_` in a decimal only when a base was not guessed from a leading zero alone.
    last != b'_' && (based || !text.starts_with('_'))
}

/// `strconv.ParseFloat`: decimal or hexadecimal, with underscores between digits. Out of range is no number.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let value = if body.starts_with("0x") || body.starts_with("0X") {
        if !underscores_ok(body) {
            return None;
        }
        parse_hex_float(&body.replace('_', "")[2..])?
    } else {
        // Letters would let `inf` and `nan` through, which no literal can be.
        let decimal = |byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-' | b'_');
        if !body.bytes().all(decimal) || !underscores_ok(body) {
            return None;
        }
        body.replace('_', "").parse::<f64>().ok()?
    };
    if value.is_infinite() {
        return None;
    }
    Some(if negative { -value } else { value })
}

/// `1.8p3` behind the prefix. The exponent is mandatory.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    if exponent.strip_prefix(['+', '-']).unwrap_or(exponent).is_empty() {
        return None;
    }
    let digits_only = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if !digits_only.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let exponent: i64 = exponent.strip_prefix('+').unwrap_or(exponent).parse().unwrap_or(1 << 40);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // Sixty bits are kept exactly; what is cut off only leaves a sticky bit for the rounding.
    let (mut bits, mut shift, mut sticky): (u64, i64, bool) = (0, 0, false);
    for (at, byte) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let digit = char::from(byte).to_digit(16)?;
        let in_fraction = at >= whole.len();
        if bits >> 60 == 0 {
            bits = bits << 4 | u64::from(digit);
            if in_fraction {
                shift -= 4;
            }
        } else {
            sticky |= digit != 0;
            if !in_fraction {
                shift += 4;
            }
        }
    }
    if bits == 0 {
        return Some(0.0);
    }
    if sticky {
        bits |= 1;
    }
    Some(scale(bits, exponent.saturating_add(shift)))
}

/// `bits * 2^exponent`, rounded once, to even.
fn scale(bits: u64, exponent: i64) -> f64 {
    let top = 63 - i64::from(bits.leading_zeros());
    let value_exponent = exponent.saturating_add(top);
    if value_exponent > 1023 {
        return f64::INFINITY;
    }
    // Bits of precision left: 53, fewer for a subnormal.
    let keep = if value_exponent >= -1022 { 53 } else { 53 - (-1022 - value_exponent) };
    if keep < 0 {
        return 0.0;
    }
    let drop = top + 1 - keep;
    let (mut mantissa, mut exponent) = (bits, exponent);
    if drop > 0 {
        let wide = u128::from(bits);
        let half = 1u128 << (drop - 1);
        let rest = wide & ((1u128 << drop) - 1);
        let mut kept = wide >> drop;
        if rest > half || rest == half && kept & 1 == 1 {
            kept += 1;
        }
        mantissa = kept as u64;
        exponent += drop;
    }
    // Exact from here on: the mantissa fits, and each factor is a power of two.
    let mut value = mantissa as f64;
    while exponent > 0 {
        let step = exponent.min(1000);
        value *= 2f64.powi(step as i32);
        exponent -= step;
    }
    while exponent < 0 {
        let step = (-exponent).min(1000);
        value /= 2f64.powi(step as i32);
        exponent += step;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_many_readings() {
        let number = Number::plain(b"1e3").unwrap();
        assert_eq!((number.int, number.uint, number.float), (Some(1000), Some(1000), Some(1000.0)));
        assert_eq!(number.ideal(), Ideal::Float(1000.0));
        assert_eq!(Number::plain(b"0x_1F").unwrap().ideal(), Ideal::Int(31));
        assert_eq!(Number::plain(b"017").unwrap().ideal(), Ideal::Int(15));
        assert_eq!(Number::plain(b"0x1p-2").unwrap().ideal(), Ideal::Float(0.25));
        assert_eq!(Number::plain(b"-9223372036854775808").unwrap().ideal(), Ideal::Int(i64::MIN));
        assert_eq!(Number::plain(b"18446744073709551615").unwrap().ideal(), Ideal::Overflow);
        assert_eq!(Number::pair(b"1e1-2i").unwrap().ideal(), Ideal::Complex(10.0, -2.0));
        assert_eq!(Number::character(b"'a'").unwrap().ideal(), Ideal::Int(97));
    }

    #[test]
    fn refusals_are_worded_as_go_words_them() {
        let why = |text: &[u8]| Number::plain(text).unwrap_err();
        assert_eq!(why(b"1__0"), r#"illegal number syntax: "1__0""#);
        assert_eq!(why(b"99999999999999999999"), r#"integer overflow: "99999999999999999999""#);
        assert_eq!(why(b"08"), r#"integer overflow: "08""#);
        assert_eq!(Number::character(b"'ab'").unwrap_err(), "malformed character constant: 'ab'");
    }

    #[test]
    fn hexadecimal_floats_round_once() {
        assert_eq!(parse_float("0x1.fffffffffffff8p0"), Some(2.0));
        assert_eq!(parse_float("0x1p-1074"), Some(f64::from_bits(1)));
        assert_eq!(parse_float("0x1p-1076"), Some(0.0));
        assert_eq!(parse_float("0x1p1024"), None);
    }
}
