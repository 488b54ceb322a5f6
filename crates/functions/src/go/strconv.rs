//! `strconv` in the forms that functions call: decimal integers of 64 bits with Go's error texts, and booleans.

use gotemplate::Value;
pub(crate) use gotemplate::quoted as quote;
use gotemplate::strconv;
pub(crate) use gotemplate::strconv::{Fault, float};

/// `strconv.ParseInt(text, 10, 64)`.
///
/// # Errors
/// Go's text.
pub(crate) fn parse_int(text: &[u8]) -> Result<i64, String> {
    int(text, 10).map_err(|fault| fault.told("ParseInt", text))
}

/// `strconv.ParseUint(text, 10, 64)`.
///
/// # Errors
/// Go's text.
pub(crate) fn parse_uint(text: &[u8]) -> Result<u64, String> {
    uint(text, 10).map_err(|fault| fault.told("ParseUint", text))
}

/// `strconv.ParseFloat(text, 64)`.
///
/// # Errors
/// Go's text.
pub(crate) fn parse_float(text: &[u8]) -> Result<f64, String> {
    float(text).map_err(|fault| fault.told("ParseFloat", text))
}

/// `strconv.ParseBool(text)`.
///
/// # Errors
/// Go's text.
pub(crate) fn parse_bool(text: &[u8]) -> Result<bool, String> {
    match text {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Ok(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Ok(false),
        _ => Err(Fault::Syntax.told("ParseBool", text)),
    }
}

/// A signed integer of 64 bits.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn int(text: &[u8], base: u32) -> Result<i64, Fault> {
    strconv::int(text, base, 64)
}

/// An unsigned integer of 64 bits.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn uint(text: &[u8], base: u32) -> Result<u64, Fault> {
    strconv::uint(text, base, 64)
}

/// What `ParseInt(text, 10, 64)` returns beside its error, which the caller does not look at: the nearest number
/// there is, and 0 for what is none.
pub(crate) fn nearest_int(text: &[u8]) -> i64 {
    int(text, 10).unwrap_or_else(|fault| match fault {
        Fault::Range if text.starts_with(b"-") => i64::MIN,
        Fault::Range => i64::MAX,
        Fault::Syntax => 0,
    })
}

/// A float as `strconv.FormatFloat(value, 'g', -1, 64)` writes it.
pub(crate) fn format_float(value: f64) -> String {
    String::from_utf8_lossy(&gotemplate::sprint(&[Value::Float(value)]).unwrap_or_default()).into_owned()
}
