//! JSON read twice: into one spelling for keys, and as the server reads request bodies.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A body that is one JSON object, in the one spelling that all its spellings share: keys sorted at every
/// level, no white space, numbers as they were written; put behind what is in `out`. `false` when it is no object, or
/// holds a key twice (the server takes the last; a proxy that guesses is a hole): what was put there has no meaning.
pub(crate) fn write_canonical(body: &[u8], out: &mut Vec<u8>) -> bool {
    if !body.trim_ascii_start().starts_with(b"{") {
        return false;
    }
    serde_json::from_slice(body).is_ok_and(|value: Canonical<'_>| value.write(out))
}

/// A text field of a request's body, found as the servers find it: the first JSON value of the body, whatever comes
/// behind it; or a form, where the body is said to be one. The name as it is written here wins over other cases of it
/// (OpenBao 2.7 looks for no other), and the last of several equal ones over those before.
pub(crate) fn string_field(body: &[u8], name: &str, is_form: bool) -> Option<String> {
    if is_form && !body.trim_ascii_start().starts_with(b"{") {
        return form_field(body, name);
    }
    let wanted = Wanted(name);
    let found = serde_json::Deserializer::from_slice(body).deserialize_map(wanted);
    // Go reads bytes that are no UTF-8 as U+FFFD.
    found
        .or_else(|_| {
            serde_json::Deserializer::from_str(&String::from_utf8_lossy(body)).deserialize_map(wanted)
        })
        .ok()?
}

/// Go compares so: beside the two cases, two letters of other alphabets count.
fn folds_to(key: &str, name: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}

fn form_field(body: &[u8], name: &str) -> Option<String> {
    let pairs = || std::str::from_utf8(body).into_iter().flat_map(|text| text.trim().split('&'));
    let last = |is_it: &dyn Fn(&str) -> bool| {
        pairs().filter_map(|pair| pair.split_once('=')).filter(|(key, _)| is_it(key)).last()
    };
    let found = last(&|key| key == name).or_else(|| last(&|key| folds_to(key, name)))?.1;
    Some(percent_decoded(&found.replace('+', " ")).into_owned())
}

/// `%41` is `A`. What is no escape, or none of UTF-8, stays as it is.
pub(crate) fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let digit = |at: usize| char::from(*behind.get(at)?).to_digit(16);
        match (first, digit(0).zip(digit(1))) {
            (b'%', Some((high, low))) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).map_or(text.into(), Cow::Owned)
}

/// Looks for one field of an object and passes over all else, however deep.
#[derive(Clone, Copy)]
struct Wanted<'n>(&'n str);

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut exact) = (None, false);
        while let Some(Key(key)) = map.next_key()? {
            if key == self.0 || (!exact && folds_to(&key, self.0)) {
                exact = key == self.0;
                found = map.next_value::<Text>()?.0;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A text, or something else.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextReader)
    }
}

struct TextReader;

impl<'de> Visitor<'de> for TextReader {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(Some(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
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

    fn canonical_object(body: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        write_canonical(body, &mut out).then_some(out)
    }

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
        let deep = format!(r#"{{"a":{}{},"token":"s.t"}}"#, "[".repeat(10_000), "]".repeat(10_000));
        let deep_value = format!(r#"{{"token":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        for (body, want) in [
            (r#"{"Token":"first","token":"second"}"#, Some("second")),
            (r#"{"token":"first","TOKEN":"second"}"#, Some("first")),
            (r#"{"TOKEN":"first","Token":"second"}"#, Some("second")),
            (r#"{"token":"first","token":"second"}"#, Some("second")),
            ("{\"to\u{212a}en\":\"s.t\"}", Some("s.t")),
            (r#"{"\u0074oken":"s.t"} and more"#, Some("s.t")),
            (r#"{"token":5}"#, None),
            (r#"{"token":"s.t","token":{"a":1}}"#, None),
            (r#"{"token":"s.t","#, None),
            ("[]", None),
            ("", None),
            ("token=s.t", None),
            (&deep, Some("s.t")),
            (&deep_value, None),
        ] {
            let shown = &body[..body.len().min(40)];
            assert_eq!(string_field(body.as_bytes(), "token", false).as_deref(), want, "{shown}");
        }
        let torn = b"{\"a\":\"\xff\",\"token\":\"s.t\"}";
        assert_eq!(string_field(torn, "token", false).as_deref(), Some("s.t"));
        for (body, want) in [
            ("token=s.t", Some("s.t")),
            ("a=b&token=s%2Et&c", Some("s.t")),
            ("token=a&Token=b", Some("a")),
            ("TOKEN=a&Token=b", Some("b")),
            (r#" {"token":"s.t"}"#, Some("s.t")),
            ("tokens=a", None),
        ] {
            assert_eq!(string_field(body.as_bytes(), "token", true).as_deref(), want, "{body}");
        }
    }

    #[test]
    fn a_body_of_ten_thousand_levels_is_compared_as_it_is() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(canonical_object(deep.as_bytes()), None);
    }
}
