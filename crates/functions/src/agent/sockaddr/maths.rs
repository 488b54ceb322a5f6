//! Arithmetic with addresses: `math "network" "+5"`.

use gotemplate::{FuncError, Value, sprintf};

use super::address::{Address, Type};
use super::interfaces::IfAddr;

pub(super) fn each(operation: &str, value: &str, addresses: Vec<IfAddr>) -> Result<Vec<IfAddr>, FuncError> {
    addresses
        .into_iter()
        .map(|one| match apply(operation, value, one.address) {
            Ok(address) => Ok(IfAddr { address, interface: one.interface }),
            Err(why) => Err(FuncError::new(format!("unable to perform an IPMath operation on {one}: {why}"))),
        })
        .collect()
}

fn apply(operation: &str, value: &str, address: Address) -> Result<Address, String> {
    let named = quoted(b"%q", operation);
    let unreadable =
        |why| format!("unable to convert {} to int for operation {named}: {why}", quoted(b"%q", value));
    match operation.to_lowercase().as_str() {
        kind @ ("address" | "network") => {
            let signed = value.trim_start_matches([' ', '\t', '\n', '\u{c}', '\r']);
            if !signed.starts_with(['+', '-']) {
                return Err(format!("sign (+/-) is required for operation {named}"));
            }
            let width = if address.kind() == Type::V4 { 33 } else { 64 };
            let by = parse_int(value, width).map_err(unreadable)?;
            let bits = if kind == "address" {
                address.bits.wrapping_add_signed(i128::from(by)) & address.full()
            } else {
                within_network(&address, by)
            };
            Ok(address.moved(bits, address.mask))
        }
        "mask" => {
            let prefix = parse_uint(value, 32).map_err(unreadable)?;
            let Some(prefix) = u8::try_from(prefix).ok().filter(|&p| u32::from(p) <= address.width()) else {
                // Upstream's own numbers.
                let (family, most) = match address.kind() {
                    Type::V4 => ("ipv4", 32),
                    Type::V6 => ("ipv6", 64),
                };
                return Err(format!(
                    "parameter for operation {named} on {family} addresses must be between 0 and {most}"
                ));
            };
            let mask = address.prefix_mask(prefix);
            Ok(address.moved(address.bits & mask, mask.min(address.mask)))
        }
        _ => Err(format!("unsupported math operation: {named}")),
    }
}

/// Counted from the beginning of the network, or back from its end.
fn within_network(address: &Address, by: i64) -> u128 {
    let host = address.full() & !address.mask;
    if address.kind() == Type::V4 {
        let step = i128::from(by) + if by < 0 { 1 + host as i128 } else { 0 };
        return (address.network() + (step as u128 & host)) & address.full();
    }
    if by > 0 {
        return address.network() + (u128::from(by.unsigned_abs()) & host);
    }
    if by < 0 {
        return address.last() - ((u128::from(by.unsigned_abs()) - 1) & host);
    }
    // Upstream subtracts a negative number here, gets one of 17 bytes, and keeps the first 16.
    let (sum, carry) = address.last().overflowing_add(address.mask.wrapping_add(1));
    let carry = carry || address.mask == u128::MAX;
    if carry { sum >> 8 | 1 << 120 } else { sum }
}

/// A text as `%q` or `%+q` shows it.
pub(super) fn quoted(verb: &[u8], text: &str) -> String {
    let shown = sprintf(verb, &[Value::from(text)]).unwrap_or_default();
    String::from_utf8_lossy(&shown).into_owned()
}

/// `strconv.ParseInt` in base 10.
fn parse_int(text: &str, width: u32) -> Result<i64, String> {
    let refuse = |why: &str| format!("strconv.ParseInt: parsing {}: {why}", quoted(b"%q", text));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = magnitude(digits).ok_or_else(|| refuse("invalid syntax"))?;
    let most = (1i128 << (width - 1)) - i128::from(!negative);
    let magnitude =
        magnitude.filter(|&m| i128::from(m) <= most).ok_or_else(|| refuse("value out of range"))?;
    let value = i128::from(magnitude) * if negative { -1 } else { 1 };
    i64::try_from(value).map_err(|_| refuse("value out of range"))
}

/// `strconv.ParseUint` in base 10.
pub(super) fn parse_uint(text: &str, width: u32) -> Result<u64, String> {
    let refuse = |why: &str| format!("strconv.ParseUint: parsing {}: {why}", quoted(b"%q", text));
    let magnitude = magnitude(text).ok_or_else(|| refuse("invalid syntax"))?;
    magnitude.filter(|&m| m <= u64::MAX >> (64 - width)).ok_or_else(|| refuse("value out of range"))
}

/// Digits; the inner none stands for a number too large.
fn magnitude(digits: &str) -> Option<Option<u64>> {
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| digits.parse().ok())
}
