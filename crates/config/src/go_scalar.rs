//! Go's readings of numbers and booleans in text (`strconv`), with its words when they fail.

/// `strconv.ParseInt(text, 0, 64)`: decimal, `0x1f`, `0o17`, `0b1`, and a leading zero for octal.
pub(crate) fn parse_integer(text: &str) -> Result<i64, String> {
    let failed = |why: &str| format!("strconv.ParseInt: parsing {text:?}: {why}");
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Err(failed("invalid syntax"));
    }
    let number = i128::from_str_radix(digits, base).map_err(|_| failed("value out of range"))?;
    i64::try_from(if negative { -number } else { number }).map_err(|_| failed("value out of range"))
}

/// `strconv.ParseUint(text, 8, 32)`: file modes in strings.
pub(crate) fn parse_octal(text: &str) -> Result<u32, String> {
    if text.is_empty() || !text.chars().all(|c| c.is_digit(8)) {
        return Err(format!("strconv.ParseUint: parsing {text:?}: invalid syntax"));
    }
    u32::from_str_radix(text, 8)
        .map_err(|_| format!("strconv.ParseUint: parsing {text:?}: value out of range"))
}

/// `strconv.ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        for (text, number) in [
            ("0", 0),
            ("-5", -5),
            ("0640", 416),
            ("0x10", 16),
            ("0o17", 15),
            ("0b11", 3),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse_integer(text), Ok(number), "{text}");
        }
        for text in ["", "08", "1k", "1.5", "0x", "- 5", "+-5", "é"] {
            assert!(parse_integer(text).unwrap_err().ends_with("invalid syntax"), "{text}");
        }
        assert!(parse_integer("9223372036854775808").unwrap_err().ends_with("value out of range"));
    }

    #[test]
    fn modes() {
        assert_eq!(parse_octal("0640"), Ok(0o640));
        assert_eq!(parse_octal("640"), Ok(0o640));
        for text in ["", "u=rw", "0999", "0o640", "-1", "+640"] {
            assert!(parse_octal(text).is_err(), "{text}");
        }
    }
}
