//! Our own token does not leave: whoever asks with it learns what it may do, not what it is.

use bytes::Bytes;
use serde_json::Value;
use vault::{Accessor, Token};

/// Whether an answer to a request that travelled with our token must be read before it is handed on.
pub(crate) fn must_look(path: &str) -> bool {
    path.contains("/auth/token/")
}

/// Whether a request for a wrapped answer would carry our token out in the wrapping.
pub(crate) fn reveals_if_wrapped(path: &str) -> bool {
    ["/auth/token/lookup", "/auth/token/renew"].iter().any(|part| path.contains(part))
}

/// The body without our token and its accessor: `data.id` and `data.accessor` of a look-up are removed, every
/// other string that holds one of them is emptied. Returns `None` when neither is in it.
///
/// # Errors
/// One of them is in a body that is no JSON: it must not be handed on.
pub(crate) fn redact(body: &[u8], token: &Token, accessor: Option<&Accessor>) -> Result<Option<Bytes>, ()> {
    let secrets: Vec<&str> = std::iter::once(token.expose()).chain(accessor.map(Accessor::expose)).collect();
    let plainly = secrets.iter().any(|secret| contains(body, secret.as_bytes()));
    // An escaped letter would hide it from a search of the bytes.
    if !plainly && !contains(body, b"\\u00") {
        return Ok(None);
    }
    let mut value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(_) if plainly => return Err(()),
        Err(_) => return Ok(None),
    };
    let holds = |text: &str| secrets.iter().any(|secret| text.contains(secret));
    if let Some(data) = value.get_mut("data").and_then(Value::as_object_mut) {
        let ours = data.get("id").and_then(Value::as_str).is_some_and(&holds);
        if ours {
            data.shift_remove("id");
            data.shift_remove("accessor");
        }
    }
    empty(&mut value, &holds);
    Ok(Some(value.to_string().into()))
}

fn empty(value: &mut Value, holds: &impl Fn(&str) -> bool) {
    match value {
        Value::String(text) if holds(text) => text.clear(),
        Value::Array(values) => values.iter_mut().for_each(|value| empty(value, holds)),
        Value::Object(fields) => {
            fields.retain(|key, _| !holds(key));
            fields.values_mut().for_each(|value| empty(value, holds));
        }
        _ => {}
    }
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(body: &str) -> Result<Option<String>, ()> {
        let (token, accessor) = (Token::new("s.canary").unwrap(), Accessor::new("acc-canary").unwrap());
        let clean = redact(body.as_bytes(), &token, Some(&accessor))?;
        Ok(clean.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
    }

    #[test]
    fn lookups_lose_id_and_accessor_renewals_their_values() {
        let lookup = r#"{"data":{"accessor":"acc-canary","id":"s.canary","ttl":5}}"#;
        assert_eq!(redacted(lookup).unwrap().unwrap(), r#"{"data":{"ttl":5}}"#);
        let renew = r#"{"auth":{"client_token":"s.canary","accessor":"acc-canary","renewable":true}}"#;
        assert_eq!(
            redacted(renew).unwrap().unwrap(),
            r#"{"auth":{"client_token":"","accessor":"","renewable":true}}"#
        );
    }

    #[test]
    fn no_form_of_it_gets_out() {
        for body in
            [r#"{"errors":["bad token s.canary!"]}"#, r#"{"a":[{"b":"\u0073.canary"}]}"#, r#"{"s.canary":1}"#]
        {
            let clean = redacted(body).unwrap().unwrap();
            assert!(!clean.contains("canary"), "{clean}");
        }
        assert_eq!(redacted("s.canary in plain text"), Err(()));
        assert_eq!(redacted(r#"{"data":{"id":"s.other"}}"#), Ok(None));
    }
}
