//! JSON read twice: into one spelling for keys, and as the server reads request bodies.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A body that is one JSON object, in the one spelling that all its spellings share: keys sorted at every
/// level, no white space, numbers as they were written. `None` when it is no object, or holds a key twice
/// (the server takes the last; a proxy that guesses is a hole).
pub(crate) fn canonical_object(body: &[u8]) -> Option<Vec<u8>> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let value: Canonical<'_> = serde_json::from_slice(body).ok()?;
    let mut out = Vec::with_capacity(body.len() * 2);
    value.write(&mut out).then_some(out)
}

/// A field of a JSON object, found as Go finds it: without regard to case, the last of several wins.
pub(crate) fn string_field(body: &[u8], name: &str) -> Option<String> {
    let Canonical::Fields(fields) = serde_json::from_slice(body).ok()? else { return None };
    let mut found = fields.into_iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    match found.next_back()?.1 {
        Canonical::Text(text) => Some(text.into_owned()),
        _ => None,
    }
}

/// JSON in its one spelling. `Fields` keeps the order and the doubles of the text until it is written.
enum Canonical<'a> {
    Null,
    Bool(bool),
    /// The digits as they stood; see `visit_map`.
    Number(String),
    Text(Cow<'a, str>),
    List(Vec<Canonical<'a>>),
    Fields(Vec<(Cow<'a, str>, Canonical<'a>)>),
}

impl Canonical<'_> {
    /// Writes it; false, and the rest is not written, when an object holds a key twice.
    fn write(self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(digits) => out.extend_from_slice(digits.as_bytes()),
            Self::Text(text) => write_text(&text, out),
            Self::List(values) => {
                out.push(b'[');
                for value in values {
                    if !value.write(out) {
                        return false;
                    }
                    out.push(b',');
                }
                out.push(b']');
            }
            Self::Fields(mut fields) => {
                fields.sort_by(|(a, _), (b, _)| a.cmp(b));
                if fields.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                    return false;
                }
                out.push(b'{');
                for (key, value) in fields {
                    write_text(&key, out);
                    out.push(b':');
                    if !value.write(out) {
                        return false;
                    }
                    out.push(b',');
                }
                out.push(b'}');
            }
        }
        true
    }
}

/// The length in front makes quoting needless: no two values can be written alike.
fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

impl<'de> Deserialize<'de> for Canonical<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

/// How `serde_json` hands over a number whose digits it keeps.
const NUMBER: &str = "$serde_json::private::Number";

impl<'de> Visitor<'de> for Reader {
    type Value = Canonical<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Canonical::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Canonical::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Canonical::Number(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Canonical::Number(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Canonical::Number(value.to_string()))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Canonical::Text(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Canonical::Text(value.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Canonical::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, Canonical<'de>)> = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            let value: Canonical<'de> = map.next_value()?;
            match value {
                Canonical::Text(digits) if key == NUMBER && fields.is_empty() => {
                    return Ok(Canonical::Number(digits.into_owned()));
                }
                value => fields.push((key, value)),
            }
        }
        Ok(Canonical::Fields(fields))
    }
}

/// A key that borrows from the text where it can.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyReader;
        impl<'de> Visitor<'de> for KeyReader {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Key(key.into()))
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Key(key.to_owned().into()))
            }
        }
        deserializer.deserialize_str(KeyReader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_white_space_do_not_matter_values_do() {
        let one = canonical_object(br#"{"role_id":"a","n":{"x":1.50,"y":[1,"z"]}}"#).unwrap();
        let same =
            canonical_object(b" {\n\"n\" : { \"y\":[1, \"z\"],\"x\":1.50 }, \"role_id\":\"\\u0061\" }\n")
                .unwrap();
        assert_eq!(one, same);
        for other in [
            r#"{"role_id":"b","n":{"x":1.50,"y":[1,"z"]}}"#,
            r#"{"role_id":"a","n":{"x":1.5,"y":[1,"z"]}}"#,
            r#"{"role_id":"a","n":{"x":1.50,"y":["z",1]}}"#,
            r#"{"role_id":"a","n":{"x":"1.50","y":[1,"z"]}}"#,
        ] {
            assert_ne!(canonical_object(other.as_bytes()).unwrap(), one, "{other}");
        }
    }

    #[test]
    fn what_is_no_single_object_has_no_canonical_form() {
        for text in ["", "[]", "1", "{", r#"{"a":1,"a":2}"#, r#"{"b":{"a":1,"a":2}}"#, r#"{"a":1} {"#, "a=b"]
        {
            assert_eq!(canonical_object(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn fields_are_found_as_the_server_finds_them() {
        let body = br#"{"Lease_ID":"first","lease_id":"second","n":5}"#;
        assert_eq!(string_field(body, "lease_id").as_deref(), Some("second"));
        assert_eq!(string_field(body, "n"), None);
    }
}
