//! Base64 in both alphabets.

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use gotemplate::{Func, FuncError, Param, Value};

use crate::arguments::{bounded, bytes};
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("base64Decode", &[Param::Str], |arguments| decode("base64Decode", b"+/", &arguments)),
        "base64Decode text",
        "The bytes that the text stands for, in the standard alphabet with padding; line breaks do not matter.",
        r#"{{ base64Decode "YWJj" }}"#,
        "abc",
    ),
    entry(
        Func::pure("base64Encode", &[Param::Str], |arguments| encode(&BASE64_STANDARD, &arguments)),
        "base64Encode text",
        "The text in the standard alphabet, with padding.",
        r#"{{ base64Encode "abc" }}"#,
        "YWJj",
    ),
    entry(
        Func::pure("base64URLDecode", &[Param::Str], |arguments| {
            decode("base64URLDecode", b"-_", &arguments)
        }),
        "base64URLDecode text",
        "The bytes that the text stands for, in the alphabet for URLs but with padding.",
        r#"{{ base64URLDecode "Pz8_" }}"#,
        "???",
    ),
    entry(
        Func::pure("base64URLEncode", &[Param::Str], |arguments| encode(&BASE64_URL_SAFE, &arguments)),
        "base64URLEncode text",
        "The text in the alphabet for URLs, with padding.",
        r#"{{ base64URLEncode "???" }}"#,
        "Pz8_",
    ),
];

fn encode(engine: &impl base64::Engine, arguments: &[Value]) -> Result<Value, FuncError> {
    let text = bytes(arguments, 0);
    bounded(text.len() / 3 * 4)?;
    Ok(Value::from(engine.encode(text)))
}

fn decode(name: &str, specials: &[u8; 2], arguments: &[Value]) -> Result<Value, FuncError> {
    decoded(bytes(arguments, 0), specials)
        .map(Value::from)
        .map_err(|at| FuncError::new(format!("{name}: illegal base64 data at input byte {at}")))
}

/// Decodes as Go does, which skips line breaks everywhere, does not mind bits left over, and has its own idea of
/// the place that an error is reported for. The error is that place.
fn decoded(text: &[u8], specials: &[u8; 2]) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut at = 0;
    loop {
        let (mut group, mut count) = (0u32, 0);
        while count < 4 {
            let Some(&byte) = text.get(at) else {
                return if count == 0 { Ok(out) } else { Err(at - count) };
            };
            at += 1;
            if let Some(bits) = value(byte, specials) {
                group = group << 6 | bits;
                count += 1;
            } else if byte == b'=' {
                let [_, first, second, _] = (group << (6 * (4 - count))).to_be_bytes();
                let end = padding(text, at, count)?;
                out.push(first);
                out.extend((count == 3).then_some(second));
                return if end < text.len() { Err(end) } else { Ok(out) };
            } else if !is_line_break(byte) {
                return Err(at - 1);
            }
        }
        let [_, triple @ ..] = group.to_be_bytes();
        out.extend_from_slice(&triple);
    }
}

/// Reads what has to stand behind the first `=`, which comes after `count` characters of a group; the end.
fn padding(text: &[u8], at: usize, count: usize) -> Result<usize, usize> {
    let skip = |mut at: usize| {
        while text.get(at).copied().is_some_and(is_line_break) {
            at += 1;
        }
        at
    };
    match count {
        2 => {
            let second = skip(at);
            match text.get(second) {
                None => Err(text.len()),
                Some(b'=') => Ok(skip(second + 1)),
                Some(_) => Err(second - 1),
            }
        }
        3 => Ok(skip(at)),
        _ => Err(at - 1),
    }
}

fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn value(byte: u8, specials: &[u8; 2]) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        _ if byte == specials[0] => 62,
        _ if byte == specials[1] => 63,
        _ => return None,
    })
}
