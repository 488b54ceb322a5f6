//! Numbers read as Go's `strconv` reads them, with its words when they are none.

use crate::text::quoted;

/// Why a text is no number of its kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// It is no number at all.
    Syntax,
    /// It is one that the type cannot hold.
    Range,
}

impl Fault {
    /// What Go's `function` says of it: `strconv.ParseInt: parsing "x": invalid syntax`.
    pub fn told(self, function: &str, text: &[u8]) -> String {
        let why = match self {
            Self::Syntax => "invalid syntax",
            Self::Range => "value out of range",
        };
        format!("strconv.{function}: parsing {}: {why}", quoted(text))
    }
}

/// Whether there is a minus in front, and what is behind the sign.
fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// `ParseInt`: a signed integer of so many bits, up to 64, in a base from 2 to 36. Base 0 takes the base from a
/// prefix and allows underscores.
///
/// # Errors
/// What is wrong with it.
pub fn int(text: &[u8], base: u32, bits: u32) -> Result<i64, Fault> {
    let (negative, digits) = signed(text);
    let size = uint(digits, base, 64)?;
    let value = if negative { 0i64.checked_sub_unsigned(size) } else { i64::try_from(size).ok() };
    let unused = 64u32.saturating_sub(bits).min(63);
    value.filter(|value| value << unused >> unused == *value).ok_or(Fault::Range)
}

/// `ParseUint`: an unsigned integer, without a sign; else as [`int`].
///
/// # Errors
/// What is wrong with it.
pub fn uint(text: &[u8], base: u32, bits: u32) -> Result<u64, Fault> {
    let (radix, digits) = match (base, text) {
        (0, [b'0', b'x' | b'X', _, ..]) => (16, text.get(2..)),
        (0, [b'0', b'o' | b'O', _, ..]) => (8, text.get(2..)),
        (0, [b'0', b'b' | b'B', _, ..]) => (2, text.get(2..)),
        (0, [b'0', _, ..]) => (8, text.get(1..)),
        (0, _) => (10, Some(text)),
        _ => (base, Some(text)),
    };
    let digits = digits.filter(|digits| !digits.is_empty()).ok_or(Fault::Syntax)?;
    let most = u64::MAX >> 64u32.saturating_sub(bits).min(63);
    let mut value = 0u64;
    for &byte in digits.iter().filter(|&&byte| base != 0 || byte != b'_') {
        let digit = char::from(byte).to_digit(radix).ok_or(Fault::Syntax)?;
        // Go stops at the first digit too many: what follows may be anything.
        value = value
            .checked_mul(u64::from(radix))
            .and_then(|value| value.checked_add(u64::from(digit)))
            .filter(|value| *value <= most)
            .ok_or(Fault::Range)?;
    }
    if base == 0 && !underscores_ok(text) { Err(Fault::Syntax) } else { Ok(value) }
}

/// `ParseFloat` of 64 bits: decimal or hexadecimal, with underscores between digits, infinite or not a number.
///
/// # Errors
/// What is wrong with it.
pub fn float(text: &[u8]) -> Result<f64, Fault> {
    let (negative, body) = signed(text);
    let sign = if negative { -1.0 } else { 1.0 };
    match body.to_ascii_lowercase().as_slice() {
        b"inf" | b"infinity" => return Ok(sign * f64::INFINITY),
        b"nan" if body.len() == text.len() => return Ok(f64::NAN),
        _ => {}
    }
    if !underscores_ok(body) {
        return Err(Fault::Syntax);
    }
    let digits: Vec<u8> = body.iter().copied().filter(|&byte| byte != b'_').collect();
    let size = match digits.as_slice() {
        [b'0', b'x' | b'X', rest @ ..] => hexadecimal(rest)?,
        digits if is_decimal(digits) => {
            std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(Fault::Syntax)?
        }
        _ => return Err(Fault::Syntax),
    };
    if size.is_infinite() { Err(Fault::Range) } else { Ok(sign * size) }
}

/// `1`, `1.`, `.5`, `1.5e-3`: what Rust's parser takes too, without its words for infinity.
fn is_decimal(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |byte| matches!(byte, b'e' | b'E'));
    let mantissa = parts.next().unwrap_or_default();
    let points = mantissa.iter().filter(|&&byte| byte == b'.').count();
    let digits = mantissa.iter().filter(|byte| byte.is_ascii_digit()).count();
    let exponent_ok = parts.next().is_none_or(|exponent| is_number(signed(exponent).1));
    digits > 0 && points <= 1 && points + digits == mantissa.len() && exponent_ok
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// What follows `0x`: hexadecimal digits with a point, and a power of two that must be there.
fn hexadecimal(text: &[u8]) -> Result<f64, Fault> {
    let mut parts = text.splitn(2, |byte| matches!(byte, b'p' | b'P'));
    let mantissa = parts.next().unwrap_or_default();
    let (negative, exponent) = signed(parts.next().ok_or(Fault::Syntax)?);
    let (mut bits, mut power, mut digits, mut point, mut sticky) = (0u64, 0i64, 0usize, false, false);
    for &byte in mantissa {
        if byte == b'.' && !point {
            point = true;
            continue;
        }
        let digit = char::from(byte).to_digit(16).ok_or(Fault::Syntax)?;
        digits += 1;
        if bits >> 60 == 0 {
            bits = bits << 4 | u64::from(digit);
            power -= if point { 4 } else { 0 };
        } else {
            // Digits that no longer fit decide only whether it is exactly a half.
            sticky |= digit != 0;
            power += if point { 0 } else { 4 };
        }
    }
    if digits == 0 || !is_number(exponent) {
        return Err(Fault::Syntax);
    }
    // No text is long enough to come back from there.
    let exponent = exponent.iter().fold(0i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(1 << 50));
    Ok(scaled(bits, power + if negative { -exponent } else { exponent }, sticky))
}

/// `bits * 2^power`, rounded to even; `sticky` says that `bits` is a little too small.
fn scaled(bits: u64, power: i64, sticky: bool) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    let shift = bits.leading_zeros();
    let (bits, power) = (bits << shift, power - i64::from(shift));
    // The value is bits * 2^power with bit 63 set; a normal float keeps 53 bits, a tiny one fewer.
    let drop = (-1074 - power).max(11);
    if drop > 64 {
        return 0.0;
    }
    let wide = u128::from(bits) << 1 | u128::from(sticky);
    let (kept, rest) = (wide >> (drop + 1), wide & ((1 << (drop + 1)) - 1));
    let half = 1u128 << drop;
    let up = rest > half || rest == half && kept & 1 == 1;
    // Both factors are exact, so this rounds no more; too large becomes infinite.
    let mut value = (kept + u128::from(up)) as f64;
    let mut power = power + drop;
    while power > 0 && value.is_finite() {
        let step = power.min(1000);
        value *= 2f64.powi(step as i32);
        power -= step;
    }
    if power < 0 {
        // Whole multiples of 2^-1074 here: two steps, as 2^1074 alone is no float.
        let first = power.max(-1000);
        value *= 2f64.powi(first as i32);
        value *= 2f64.powi((power - first) as i32);
    }
    value
}

/// Underscores must stand between digits, or between a base prefix and a digit.
fn underscores_ok(text: &[u8]) -> bool {
    if !text.contains(&b'_') {
        return true;
    }
    let (mut last, body, hex) = match text {
        [b'0', prefix @ (b'x' | b'X' | b'o' | b'O' | b'b' | b'B'), rest @ ..] => {
            (b'0', rest, matches!(prefix, b'x' | b'X'))
        }
        _ => (b'^', text, false),
    };
    for &byte in body {
        let kind = match byte {
            _ if byte.is_ascii_digit() || hex && byte.is_ascii_hexdigit() => b'0',
            b'_' if last == b'0' => b'_',
            _ if byte == b'_' || last == b'_' => return false,
            _ => b'!',
        };
        last = kind;
    }
    last != b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_any_base() {
        for (text, value) in [
            ("0x1F", Ok(31)),
            ("-0b11", Ok(-3)),
            ("+0o17", Ok(15)),
            ("017", Ok(15)),
            ("1_000", Ok(1000)),
            ("0x_1", Ok(1)),
            ("0_7", Ok(7)),
            ("0", Ok(0)),
            ("08", Err(Fault::Syntax)),
            ("1__0", Err(Fault::Syntax)),
            ("1_", Err(Fault::Syntax)),
            ("0x", Err(Fault::Syntax)),
            ("", Err(Fault::Syntax)),
            ("9223372036854775808", Err(Fault::Range)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("99999999999999999999x", Err(Fault::Range)),
            ("18446744073709551615x", Err(Fault::Syntax)),
        ] {
            assert_eq!(int(text.as_bytes(), 0, 64), value, "{text}");
        }
        assert_eq!(int(b"1_000", 10, 64), Err(Fault::Syntax));
        assert_eq!(uint(b"ff", 16, 64), Ok(255));
        assert_eq!(uint(b"+1", 0, 64), Err(Fault::Syntax));
    }

    #[test]
    fn integers_of_fewer_bits() {
        assert_eq!((int(b"127", 10, 8), int(b"-128", 10, 8)), (Ok(127), Ok(-128)));
        assert_eq!((int(b"128", 10, 8), int(b"-129", 10, 8)), (Err(Fault::Range), Err(Fault::Range)));
        assert_eq!(int(b"4294967295", 10, 33), Ok(4_294_967_295));
        assert_eq!(
            (uint(b"4294967295", 10, 32), uint(b"4294967296", 10, 32)),
            (Ok(u32::MAX.into()), Err(Fault::Range))
        );
        assert_eq!(
            Fault::Range.told("ParseUint", b"4\"2"),
            r#"strconv.ParseUint: parsing "4\"2": value out of range"#
        );
    }

    #[test]
    fn hexadecimal_floats_round_to_even() {
        for (text, value) in [
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1p-1076", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x1.fffffffffffff7ffffffffffffp0", 1.999_999_999_999_999_8),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080000000000001p0", 1.000_000_000_000_000_2),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x.8p1", 1.0),
            ("0x123456789abcdef0123p-8", 2.098_829_547_942_064_5e19),
            ("0x1p-1022", f64::MIN_POSITIVE),
            ("0x1_0p-4", 1.0),
            ("0x1.8p1", 3.0),
        ] {
            assert_eq!(float(text.as_bytes()), Ok(value), "{text}");
        }
        for text in ["0x1p1024", "0x1.fffffffffffff8p1023", "0x1p99999999999999999999", "1e400"] {
            assert_eq!(float(text.as_bytes()), Err(Fault::Range), "{text}");
        }
        for text in ["0x1", "0x.p1", "0xp1", "0x1p", "0x1p+", "0x1.1.1p1", "1e", ".", "+nan", "infin"] {
            assert_eq!(float(text.as_bytes()), Err(Fault::Syntax), "{text}");
        }
    }
}
