//! Arithmetic with addresses: `math "network" "+5"`.

use gotemplate::{FuncError, quoted, strconv};

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
    let named = quoted(operation);
    let unreadable =
        |why: String| format!("unable to convert {} to int for operation {named}: {why}", quoted(value));
    match operation.to_lowercase().as_str() {
        kind @ ("address" | "network") => {
            let signed = value.trim_start_matches([' ', '\t', '\n', '\u{c}', '\r']);
            if !signed.starts_with(['+', '-']) {
                return Err(format!("sign (+/-) is required for operation {named}"));
            }
            let width = if address.kind() == Type::V4 { 33 } else { 64 };
            let by = strconv::int(value.as_bytes(), 10, width)
                .map_err(|fault| unreadable(fault.told("ParseInt", value.as_bytes())))?;
            let bits = if kind == "address" {
                address.bits.wrapping_add_signed(i128::from(by)) & address.full()
            } else {
                within_network(&address, by)
            };
            Ok(address.moved(bits, address.mask))
        }
        "mask" => {
            let prefix = strconv::uint(value.as_bytes(), 10, 32)
                .map_err(|fault| unreadable(fault.told("ParseUint", value.as_bytes())))?;
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
