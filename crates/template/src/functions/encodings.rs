//! `toJSON`, `base64Encode`, `base64Decode`.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use gotemplate::{Func, FuncError, Param, Value};

use crate::evaluate::Evaluation;
use crate::json;

pub(super) fn functions() -> Vec<Func<Evaluation>> {
    vec![
        Func::pure("toJSON", &[Param::Any], |arguments| {
            let value = arguments.first().unwrap_or(&Value::Nil);
            json::marshal(value).map(Value::from).map_err(|why| FuncError::new(format!("toJSON: {why}")))
        }),
        Func::pure("base64Encode", &[Param::Str], |arguments| {
            Ok(Value::from(BASE64_STANDARD.encode(bytes(&arguments))))
        }),
        Func::pure("base64Decode", &[Param::Str], |arguments| {
            let text: Vec<u8> =
                bytes(&arguments).iter().copied().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
            BASE64_STANDARD.decode(&text).map(Value::from).map_err(|why| {
                let at = match why {
                    base64::DecodeError::InvalidByte(at, _) => at,
                    _ => text.len() / 4 * 4,
                };
                FuncError::new(format!("base64Decode: illegal base64 data at input byte {at}"))
            })
        }),
    ]
}

fn bytes(arguments: &[Value]) -> &[u8] {
    arguments.first().and_then(Value::as_str).unwrap_or_default()
}
