//! Base64 in both alphabets.

use gotemplate::{Func, FuncError, Param, Value};

use crate::arguments::{bounded, bytes};
use crate::go::base64::{self, Encoding};
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("base64Decode", &[Param::Str], |arguments| {
            decode("base64Decode", &base64::STANDARD, arguments)
        }),
        "base64Decode text",
        "The bytes that the text stands for, in the standard alphabet with padding; line breaks do not matter.",
        r#"{{ base64Decode "YWJj" }}"#,
        "abc",
    ),
    entry(
        Func::pure("base64Encode", &[Param::Str], |arguments| encode(&base64::STANDARD, arguments)),
        "base64Encode text",
        "The text in the standard alphabet, with padding.",
        r#"{{ base64Encode "abc" }}"#,
        "YWJj",
    ),
    entry(
        Func::pure("base64URLDecode", &[Param::Str], |arguments| {
            decode("base64URLDecode", &base64::URL, arguments)
        }),
        "base64URLDecode text",
        "The bytes that the text stands for, in the alphabet for URLs but with padding.",
        r#"{{ base64URLDecode "Pz8_" }}"#,
        "???",
    ),
    entry(
        Func::pure("base64URLEncode", &[Param::Str], |arguments| encode(&base64::URL, arguments)),
        "base64URLEncode text",
        "The text in the alphabet for URLs, with padding.",
        r#"{{ base64URLEncode "???" }}"#,
        "Pz8_",
    ),
];

fn encode(encoding: &Encoding, arguments: &[Value]) -> Result<Value, FuncError> {
    let text = bytes(arguments, 0);
    bounded(text.len().div_ceil(3) * 4)?;
    Ok(Value::from(encoding.encode(text)))
}

fn decode(name: &str, encoding: &Encoding, arguments: &[Value]) -> Result<Value, FuncError> {
    let decoded = encoding.decode(bytes(arguments, 0)).map(Value::from);
    decoded.map_err(|at| FuncError::new(format!("{name}: illegal base64 data at input byte {at}")))
}
