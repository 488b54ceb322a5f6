//! Numbers and booleans read as Go's `strconv` reads them, with its error texts.

use gotemplate::Value;

/// Why a number or bool was not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// It is no number at all.
    Syntax,
    /// It is one that the type cannot hold.
    Range,
}

/// `strconv.ParseInt(text, 10, 64)`.
///
/// # Errors
/// Go's text.
pub(crate) fn parse_int(text: &[u8]) -> Result<i64, String> {
    int(text, 10).map_err(|fault| told("ParseInt", text, fault))
}

/// `strconv.ParseUint(text, 10, 64)`.
///
/// # Errors
/// Go's text.
pub(crate) fn parse_uint(text: &[u8]) -> Result<u64, String> {
    uint(text, 10).map_err(|fault| told("ParseUint", text, fault))
}

/// `strconv.ParseFloat(text, 64)`.
///
/// # Errors
/// Go's text.
pub(crate) fn parse_float(text: &[u8]) -> Result<f64, String> {
    float(text).map_err(|fault| told("ParseFloat", text, fault))
}

/// `strconv.ParseBool(text)`.
///
/// # Errors
/// Go's text.
pub(crate) fn parse_bool(text: &[u8]) -> Result<bool, String> {
    match text {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Ok(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Ok(false),
        _ => Err(told("ParseBool", text, Fault::Syntax)),
    }
}

/// A signed integer; base 0 takes the base from a prefix and allows underscores.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn int(text: &[u8], base: u32) -> Result<i64, Fault> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let size = uint(digits, base)?;
    let value = if negative { 0i64.checked_sub_unsigned(size) } else { i64::try_from(size).ok() };
    value.ok_or(Fault::Range)
}

/// An unsigned integer; base 0 takes the base from a prefix and allows underscores.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn uint(text: &[u8], base: u32) -> Result<u64, Fault> {
    let (radix, digits) = match (base, text) {
        (0, [b'0', b'x' | b'X', rest @ ..]) if !rest.is_empty() => (16, rest),
        (0, [b'0', b'o' | b'O', rest @ ..]) if !rest.is_empty() => (8, rest),
        (0, [b'0', b'b' | b'B', rest @ ..]) if !rest.is_empty() => (2, rest),
        (0, [b'0', rest @ ..]) if !rest.is_empty() => (8, rest),
        (0, _) => (10, text),
        _ => (base, text),
    };
    if digits.is_empty() || base == 0 && !underscores_ok(text) {
        return Err(Fault::Syntax);
    }
    let mut value = 0u64;
    for &byte in digits.iter().filter(|&&byte| base != 0 || byte != b'_') {
        let digit = char::from(byte).to_digit(radix).ok_or(Fault::Syntax)?;
        // Go stops at the first digit too many: what follows may be anything.
        value = value
            .checked_mul(u64::from(radix))
            .and_then(|value| value.checked_add(u64::from(digit)))
            .ok_or(Fault::Range)?;
    }
    Ok(value)
}

/// A float: decimal, hexadecimal, infinite or not a number.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn float(text: &[u8]) -> Result<f64, Fault> {
    let (negative, body) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
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
    let split = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match split.and_then(|at| text.split_at_checked(at)) {
        Some((mantissa, exponent)) => (mantissa, exponent.get(1..)),
        None => (text, None),
    };
    let points = mantissa.iter().filter(|&&byte| byte == b'.').count();
    let digits = mantissa.iter().filter(|byte| byte.is_ascii_digit()).count();
    let exponent_ok = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent);
        !exponent.is_empty() && exponent.iter().all(u8::is_ascii_digit)
    });
    digits > 0 && points <= 1 && points + digits == mantissa.len() && exponent_ok
}

/// What follows `0x`: hexadecimal digits with a point, and a power of two that must be there.
fn hexadecimal(text: &[u8]) -> Result<f64, Fault> {
    let split = text.iter().position(|byte| matches!(byte, b'p' | b'P')).ok_or(Fault::Syntax)?;
    let (mantissa, exponent) = text.split_at_checked(split).ok_or(Fault::Syntax)?;
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
    let (negative, exponent) = match exponent {
        [_, b'-', rest @ ..] => (true, rest),
        [_, b'+', rest @ ..] | [_, rest @ ..] => (false, rest),
        [] => return Err(Fault::Syntax),
    };
    if digits == 0 || exponent.is_empty() || !exponent.iter().all(u8::is_ascii_digit) {
        return Err(Fault::Syntax);
    }
    let exponent = exponent.iter().fold(0i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(100_000));
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
    let text = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let (mut last, body, hex) = match text {
        [b'0', prefix @ (b'x' | b'X' | b'o' | b'O' | b'b' | b'B'), rest @ ..] => {
            (b'0', rest, matches!(prefix, b'x' | b'X'))
        }
        _ => (b'^', text, false),
    };
    for &byte in body {
        if byte.is_ascii_digit() || hex && byte.is_ascii_hexdigit() {
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
    last != b'_'
}

/// A float as `strconv.FormatFloat(value, 'g', -1, 64)` writes it.
pub(crate) fn format_float(value: f64) -> String {
    String::from_utf8_lossy(&gotemplate::sprint(&[Value::Float(value)]).unwrap_or_default()).into_owned()
}

/// `strconv.Quote`.
pub(crate) fn quote(text: &[u8]) -> String {
    let quoted = gotemplate::sprintf(b"%q", &[Value::from(text)]).unwrap_or_default();
    String::from_utf8_lossy(&quoted).into_owned()
}

fn told(function: &str, text: &[u8], fault: Fault) -> String {
    let why = match fault {
        Fault::Syntax => "invalid syntax",
        Fault::Range => "value out of range",
    };
    format!("strconv.{function}: parsing {}: {why}", quote(text))
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
            ("0", Ok(0)),
            ("08", Err(Fault::Syntax)),
            ("1__0", Err(Fault::Syntax)),
            ("0x", Err(Fault::Syntax)),
            ("", Err(Fault::Syntax)),
            ("9223372036854775808", Err(Fault::Range)),
        ] {
            assert_eq!(int(text.as_bytes(), 0), value, "{text}");
        }
        assert_eq!(int(b"1_000", 10), Err(Fault::Syntax));
        assert_eq!(uint(b"ff", 16), Ok(255));
        assert_eq!(uint(b"+1", 0), Err(Fault::Syntax));
    }

    #[test]
    fn hexadecimal_floats_round_to_even() {
        for (text, value) in [
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x1.fffffffffffff7ffffffffffffp0", 1.999_999_999_999_999_8),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080000000000001p0", 1.000_000_000_000_000_2),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x.8p1", 1.0),
            ("0x123456789abcdef0123p-8", 2.098_829_547_942_064_5e19),
            ("0x1p-1022", f64::MIN_POSITIVE),
            ("0x1.8p1", 3.0),
        ] {
            assert_eq!(float(text.as_bytes()).unwrap(), value, "{text}");
        }
        assert_eq!(float(b"0x1p1024"), Err(Fault::Range));
        assert_eq!(float(b"0x1.fffffffffffff8p1023"), Err(Fault::Range));
    }
}
