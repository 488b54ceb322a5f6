//! Number literals: one text that may be an integer, an unsigned, a float and a complex at once.

use crate::strconv::{float, int, uint};
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
            float(text.as_bytes()).map_err(|_| String::from("syntax error scanning complex number"))
        };
        let (re, im) = (part(&body[..split])?, part(&body[split..])?);
        Ok(Self::default().with_text(text).with_complex(re, im))
    }

    /// Any other number.
    pub(crate) fn plain(literal: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(literal).into_owned();
        if let Some(body) = text.strip_suffix('i')
            && let Ok(im) = float(body.as_bytes())
        {
            return Ok(Self::default().with_text(text).with_complex(0.0, im));
        }
        let (signed, unsigned) = (int(literal, 0, 64), uint(literal, 0, 64));
        let mut number = Self { uint: unsigned.ok(), int: signed.ok(), ..Self::default() };
        if number.int == Some(0) {
            number.uint = Some(0);
        }
        if let Some(int) = number.int {
            number.float = Some(int as f64);
        } else if let Some(uint) = number.uint {
            number.float = Some(uint as f64);
        } else if let Ok(float) = float(literal) {
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
}
