//! Floats as text, as `strconv.FormatFloat` writes them. Always with a sign in front.

/// Formats with verb `b e E f g G x X`; `None` asks for the shortest digits that read back the same.
pub(crate) fn format(value: f64, verb: u8, precision: Option<usize>) -> String {
    let sign = if value.is_sign_negative() && !value.is_nan() { '-' } else { '+' };
    let magnitude = value.abs();
    let body = if value.is_nan() {
        return "+NaN".into();
    } else if value.is_infinite() {
        "Inf".into()
    } else {
        match verb {
            b'e' => scientific(magnitude, precision, 'e'),
            b'E' => scientific(magnitude, precision, 'E'),
            b'f' => match precision {
                Some(precision) => {
                    let (exact, zeros) = exact_digits(precision);
                    format!("{magnitude:.exact$}{}", "0".repeat(zeros))
                }
                None => format!("{magnitude}"),
            },
            b'G' => general(magnitude, precision, 'E'),
            b'x' => hexadecimal(magnitude, precision),
            b'X' => hexadecimal(magnitude, precision).to_ascii_uppercase(),
            b'b' => binary(magnitude),
            _ => general(magnitude, precision, 'e'),
        }
    };
    format!("{sign}{body}")
}

/// No float has more than 1074 digits behind the point, and the standard library panics at a precision beyond
/// 65535.
const MAX_DIGITS: usize = 1100;

/// How many digits to compute and how many zeros follow them.
fn exact_digits(precision: usize) -> (usize, usize) {
    let exact = precision.min(MAX_DIGITS);
    (exact, precision - exact)
}

/// Mantissa digits (with a point) and exponent.
fn split(value: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        Some(precision) => format!("{value:.*e}", exact_digits(precision).0),
        None => format!("{value:e}"),
    };
    let zeros = "0".repeat(precision.map_or(0, |precision| exact_digits(precision).1));
    match text.split_once('e') {
        Some((mantissa, exponent)) => (format!("{mantissa}{zeros}"), exponent.parse().unwrap_or(0)),
        None => (text, 0),
    }
}

fn scientific(value: f64, precision: Option<usize>, letter: char) -> String {
    let (mantissa, exponent) = split(value, precision);
    with_exponent(&mantissa, exponent, letter)
}

fn with_exponent(mantissa: &str, exponent: i32, letter: char) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}{letter}{sign}{:02}", exponent.unsigned_abs())
}

/// The exponent form when the exponent is below -4 or not below the precision (6 when shortest).
fn general(value: f64, precision: Option<usize>, letter: char) -> String {
    // Digits beyond the last one a float has are cut off again below.
    let precision = precision.map(|precision| precision.clamp(1, MAX_DIGITS));
    let (mantissa, exponent) = split(value, precision.map(|precision| precision - 1));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let trimmed = digits.trim_end_matches('0');
    let digits = if trimmed.is_empty() { "0" } else { trimmed };
    let threshold = match precision {
        None => 6,
        // Go: as many as there are digits, if these reach to the decimal point.
        Some(precision) => {
            let (precision, count) = (clamp(precision), clamp(digits.len()));
            if precision > count && count > exponent { count } else { precision }
        }
    };
    let threshold = if precision.is_some() && threshold <= exponent { threshold.max(0) } else { threshold };
    if exponent < -4 || exponent >= threshold {
        let (head, tail) = digits.split_at(1);
        let point = if tail.is_empty() { "" } else { "." };
        return with_exponent(&format!("{head}{point}{tail}"), exponent, letter);
    }
    plain(digits, exponent)
}

/// Digits placed around the decimal point.
fn plain(digits: &str, exponent: i32) -> String {
    if exponent < 0 {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return format!("0.{zeros}{digits}");
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{digits}{}", "0".repeat(whole - digits.len()));
    }
    let (whole, fraction) = digits.split_at(whole);
    format!("{whole}.{fraction}")
}

fn clamp(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// The 53 bits and the power of two, as `%b` shows them.
fn parts(value: f64) -> (u64, i64) {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64;
    let mantissa = bits & ((1 << 52) - 1);
    if exponent == 0 { (mantissa, -1074) } else { (mantissa | 1 << 52, exponent - 1075) }
}

fn binary(value: f64) -> String {
    let (mantissa, exponent) = parts(value);
    format!("{mantissa}p{exponent:+}")
}

fn hexadecimal(value: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = parts(value);
    if mantissa == 0 {
        let fraction = "0".repeat(precision.unwrap_or(0));
        let point = if fraction.is_empty() { "" } else { "." };
        return format!("0x0{point}{fraction}p+00");
    }
    // One bit before the point, sixty behind it.
    let shift = mantissa.leading_zeros() - 3;
    mantissa <<= shift;
    exponent += 60 - i64::from(shift);
    if let Some(precision) = precision.filter(|&precision| precision < 15) {
        let drop = 60 - precision * 4;
        let half = 1u64 << (drop - 1);
        let rest = mantissa & ((1 << drop) - 1);
        mantissa >>= drop;
        if rest > half || rest == half && mantissa & 1 == 1 {
            mantissa += 1;
        }
        mantissa <<= drop;
        if mantissa >> 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    match precision {
        None => fraction.truncate(fraction.trim_end_matches('0').len()),
        Some(precision) if precision < fraction.len() => fraction.truncate(precision),
        Some(precision) => fraction.push_str(&"0".repeat(precision - fraction.len())),
    }
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x1{point}{fraction}p{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn shortest_and_the_threshold() {
        for (value, text) in [
            (999_999.0, "+999999"),
            (1_000_000.0, "+1e+06"),
            (1_234_567.5, "+1.2345675e+06"),
            (0.0001, "+0.0001"),
            (0.00001, "+1e-05"),
            (-0.0, "-0"),
            (1e100, "+1e+100"),
            (3.0, "+3"),
            (100_000.5, "+100000.5"),
        ] {
            assert_eq!(format(value, b'g', None), text);
        }
    }

    #[test]
    fn precision() {
        assert_eq!(format(1234.5678, b'g', Some(3)), "+1.23e+03");
        assert_eq!(format(100.0, b'g', Some(3)), "+100");
        assert_eq!(format(0.5, b'f', Some(0)), "+0");
        assert_eq!(format(2.5, b'e', Some(0)), "+2e+00");
        assert_eq!(format(1.0, b'x', None), "+0x1p+00");
        assert_eq!(format(1.5, b'X', Some(3)), "+0X1.800P+00");
        assert_eq!(format(1.0, b'b', None), "+4503599627370496p-52");
    }
}
