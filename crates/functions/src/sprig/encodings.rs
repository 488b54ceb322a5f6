//! Base64 and base32. What cannot be decoded gives the text of the error, not an error.

use gotemplate::{Func, FuncError, Param, Value};

use crate::arguments::{bounded, bytes};
use crate::go::base64;
use crate::{Entry, entry};

const TEXT: &[Param] = &[Param::Str];

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_b64enc", TEXT, |arguments| {
            bounded(bytes(arguments, 0).len().div_ceil(3) * 4)?;
            Ok(Value::from(base64::STANDARD.encode(bytes(arguments, 0))))
        }),
        "sprig_b64enc text",
        "The text in base64, with padding.",
        r#"{{ sprig_b64enc "hello" }}"#,
        "aGVsbG8=",
    ),
    entry(
        Func::pure("sprig_b64dec", TEXT, |arguments| {
            decoded(arguments, "base64", |text| base64::STANDARD.decode(text))
        }),
        "sprig_b64dec text",
        "The bytes that base64 stands for; the message of the error, if it is none.",
        r#"{{ sprig_b64dec "aGVsbG8=" }}"#,
        "hello",
    ),
    entry(
        Func::pure("sprig_b32enc", TEXT, |arguments| {
            bounded(bytes(arguments, 0).len().div_ceil(5) * 8)?;
            Ok(Value::from(encode_base32(bytes(arguments, 0))))
        }),
        "sprig_b32enc text",
        "The text in base32, with padding.",
        r#"{{ sprig_b32enc "hello" }}"#,
        "NBSWY3DP",
    ),
    entry(
        Func::pure("sprig_b32dec", TEXT, |arguments| decoded(arguments, "base32", decode_base32)),
        "sprig_b32dec text",
        "The bytes that base32 stands for; the message of the error, if it is none.",
        r#"{{ sprig_b32dec "NBSWY3DP" }}"#,
        "hello",
    ),
];

/// Decoded bytes, or the place of the first fault.
type Decoded = Result<Vec<u8>, usize>;

fn decoded(arguments: &[Value], name: &str, decode: fn(&[u8]) -> Decoded) -> Result<Value, FuncError> {
    Ok(match decode(bytes(arguments, 0)) {
        Ok(plain) => Value::from(plain),
        Err(at) => Value::from(format!("illegal {name} data at input byte {at}")),
    })
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn encode_base32(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len().div_ceil(5) * 8);
    for chunk in plain.chunks(5) {
        let bits =
            chunk.iter().chain([0; 4].iter()).take(5).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        let digits = (chunk.len() * 8).div_ceil(5);
        for nth in 0..8 {
            let digit = BASE32.get((bits >> (35 - 5 * nth) & 31) as usize).filter(|_| nth < digits);
            out.push(digit.copied().unwrap_or(b'='));
        }
    }
    out
}

/// Line ends may stand anywhere and do not count for the place of a fault.
fn decode_base32(text: &[u8]) -> Decoded {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    let mut out = Vec::with_capacity(text.len() / 8 * 5);
    for (nth, group) in text.chunks(8).enumerate() {
        let start = nth * 8;
        let (mut bits, mut count) = (0u64, 0);
        for (at, &byte) in group.iter().enumerate() {
            // Padding may begin in the last group only; what stands behind eight characters then is ignored.
            let behind = text.len() - start - at - 1;
            if byte == b'=' && at >= 2 && behind < 8 {
                if behind + at < 7 {
                    return Err(text.len());
                }
                let padding = group.get(at + 1..).unwrap_or_default();
                if let Some(wrong) = padding.iter().position(|byte| *byte != b'=') {
                    return Err(start + at + wrong);
                }
                if matches!(at, 3 | 6) {
                    return Err(start + at);
                }
                break;
            }
            let digit = BASE32.iter().position(|digit| *digit == byte).ok_or(start + at)?;
            bits = bits << 5 | digit as u64;
            count += 1;
        }
        let padded = count < group.len();
        if !padded && count < 8 {
            return Err(start);
        }
        let plain = (bits << (5 * (8 - count))).to_be_bytes();
        out.extend(plain.into_iter().skip(3).take(count * 5 / 8));
        if padded {
            break;
        }
    }
    Ok(out)
}
