//! Base64 in both alphabets.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use gotemplate::{Func, FuncError, Param, Value};

use crate::arguments::bytes;
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("base64Decode", &[Param::Str], base64_decode),
        "base64Decode text",
        "The bytes that the text stands for, in the standard alphabet with padding.",
        r#"{{ base64Decode "YWJj" }}"#,
        "abc",
    ),
    entry(
        Func::pure("base64Encode", &[Param::Str], base64_encode),
        "base64Encode text",
        "The text in the standard alphabet, with padding.",
        r#"{{ base64Encode "abc" }}"#,
        "YWJj",
    ),
];

fn base64_encode(arguments: Vec<Value>) -> Result<Value, FuncError> {
    Ok(Value::from(BASE64_STANDARD.encode(bytes(&arguments, 0))))
}

fn base64_decode(arguments: Vec<Value>) -> Result<Value, FuncError> {
    let text: Vec<u8> =
        bytes(&arguments, 0).iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    BASE64_STANDARD.decode(&text).map(Value::from).map_err(|why| {
        let at = match why {
            base64::DecodeError::InvalidByte(at, _) => at,
            _ => text.len() / 4 * 4,
        };
        FuncError::new(format!("base64Decode: illegal base64 data at input byte {at}"))
    })
}
