//! The JSON object that nearly every endpoint answers with.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::SecretString;

/// An answer of the API: data, a lease, a token, or a wrapping token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Secret {
    /// Id of the request in the server's audit log.
    #[serde(deserialize_with = "or_default")]
    pub request_id: String,
    /// Empty when nothing was leased.
    #[serde(deserialize_with = "or_default")]
    pub lease_id: String,
    /// Seconds; 0 when nothing was leased.
    #[serde(deserialize_with = "or_default")]
    pub lease_duration: i64,
    /// Whether the lease can be renewed.
    #[serde(deserialize_with = "or_default")]
    pub renewable: bool,
    /// The data; numbers keep the text the server sent.
    pub data: Option<Map<String, Value>>,
    /// Warnings of the server.
    #[serde(deserialize_with = "or_default")]
    pub warnings: Vec<String>,
    /// A token, after a login or a renewal.
    #[serde(deserialize_with = "object")]
    pub auth: Option<Auth>,
    /// A wrapping token, when wrapping was asked for.
    #[serde(deserialize_with = "object")]
    pub wrap_info: Option<WrapInfo>,
}

impl Secret {
    /// Reads an answer's body; `None` for `null`.
    ///
    /// # Errors
    /// Anything but an object of the right types. The error's text may quote the body: log its position alone.
    pub fn parse(body: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        // serde would read an array's elements as the fields, one after the other.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(serde::de::Error::custom("an array where an object is wanted"));
        }
        let secret: Option<Self> = match serde_json::from_slice(body) {
            Ok(secret) => secret,
            // A key that is there twice is a fault to serde; for Go, and for the official clients with it, the last one
            // counts, as it does in a map.
            Err(why) => match serde_json::from_slice::<Value>(body).and_then(serde_json::from_value) {
                Ok(secret) => secret,
                Err(_) => return Err(why),
            },
        };
        Ok(match secret {
            // Some endpoints (sys/seal-status) answer without the envelope; Go's client takes all of it for data.
            Some(secret) if secret.is_blank() => {
                let all: Map<String, Value> = serde_json::from_slice(body)?;
                let only_errors = all.keys().all(|key| key == "errors");
                Some(Self { data: (!only_errors).then_some(all), ..secret })
            }
            secret => secret,
        })
    }

    /// Whether nothing of the envelope was there.
    fn is_blank(&self) -> bool {
        let Self { request_id, lease_id, lease_duration, renewable, data, warnings, auth, wrap_info } = self;
        request_id.is_empty()
            && lease_id.is_empty()
            && *lease_duration == 0
            && !renewable
            && data.is_none()
            && warnings.is_empty()
            && auth.is_none()
            && wrap_info.is_none()
    }
}

/// The `auth` object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Auth {
    /// The token.
    #[serde(deserialize_with = "or_default_secret")]
    pub client_token: SecretString,
    /// Its accessor; empty for batch tokens.
    #[serde(deserialize_with = "or_default_secret")]
    pub accessor: SecretString,
    /// Its policies.
    #[serde(deserialize_with = "or_default")]
    pub policies: Vec<String>,
    /// What the auth method says of the identity.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Map<String, Value>,
    /// Seconds; 0 for a token that does not expire.
    #[serde(deserialize_with = "or_default")]
    pub lease_duration: i64,
    /// Whether it can be renewed.
    #[serde(deserialize_with = "or_default")]
    pub renewable: bool,
    /// Whether it lives without its parent.
    #[serde(deserialize_with = "or_default")]
    pub orphan: bool,
    /// How many requests it is good for; 0 is any number.
    #[serde(deserialize_with = "or_default")]
    pub num_uses: i64,
}

/// The `wrap_info` object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct WrapInfo {
    /// The wrapping token.
    #[serde(deserialize_with = "or_default_secret")]
    pub token: SecretString,
    /// Its accessor.
    #[serde(deserialize_with = "or_default_secret")]
    pub accessor: SecretString,
    /// Seconds it lives.
    #[serde(deserialize_with = "or_default")]
    pub ttl: i64,
    /// RFC 3339, as the server sent it.
    #[serde(deserialize_with = "or_default")]
    pub creation_time: String,
    /// Path of the request whose answer is wrapped.
    #[serde(deserialize_with = "or_default")]
    pub creation_path: String,
    /// Accessor of the token inside, if a token is inside.
    #[serde(deserialize_with = "or_default_secret")]
    pub wrapped_accessor: SecretString,
}

impl WrapInfo {
    /// As the agents write it into sinks: one line of JSON with these names in this order, and a newline.
    pub fn to_line(&self) -> SecretString {
        let text = |text: &str| Value::from(text).to_string();
        let line = format!(
            "{{\"token\":{},\"accessor\":{},\"ttl\":{},\"creation_time\":{},\"creation_path\":{},\"wrapped_accessor\":{}}}\n",
            text(self.token.expose()),
            text(self.accessor.expose()),
            self.ttl,
            text(&self.creation_time),
            text(&self.creation_path),
            text(self.wrapped_accessor.expose()),
        );
        SecretString::new(line)
    }
}

impl Default for SecretString {
    fn default() -> Self {
        Self::new("")
    }
}

/// `{"errors": […]}`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ServerErrors {
    /// What the server said, a line each.
    #[serde(default)]
    pub errors: Vec<String>,
}

impl ServerErrors {
    /// From an error answer's body; empty when it is no such object.
    pub fn parse(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

/// The server writes `null` where Go has an empty slice or map.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// `null` or an object: serde would take an array's elements for the fields, and its first for a token.
fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.map(|Object(inner)| inner))
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

fn or_default_secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    or_default(deserializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_send() {
        let text = br#"{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"data":null,
            "wrap_info":null,"warnings":null,"auth":{"client_token":"s.t","accessor":"a","policies":["default"],
            "metadata":null,"lease_duration":3600,"renewable":true,"orphan":true,"num_uses":0}}"#;
        let secret = Secret::parse(text).unwrap().unwrap();
        let auth = secret.auth.unwrap();
        assert_eq!((auth.client_token.expose(), auth.lease_duration), ("s.t", 3600));
        assert!(secret.data.is_none());
        assert!(!format!("{auth:?}").contains("s.t"));
    }

    #[test]
    fn a_wrapping_is_written_as_upstream_writes_it() {
        let text =
            br#"{"wrap_info":{"creation_path":"sys/wrapping/wrap","token":"s.w","accessor":"a","ttl":300,
            "creation_time":"2026-11-21T22:05:02.065337705Z","unknown":1}}"#;
        let wrap_info = Secret::parse(text).unwrap().unwrap().wrap_info.unwrap();
        let want = "{\"token\":\"s.w\",\"accessor\":\"a\",\"ttl\":300,\"creation_time\":\"2026-11-21T22:05:02.065337705Z\",\"creation_path\":\"sys/wrapping/wrap\",\"wrapped_accessor\":\"\"}\n";
        assert_eq!(wrap_info.to_line().expose(), want);
    }

    #[test]
    fn s32_numbers_keep_their_text() {
        let secret =
            Secret::parse(br#"{"data":{"n":1000000,"f":1.50,"long":18446744073709551617,"e":1e+400}}"#)
                .unwrap();
        let data = secret.unwrap().data.unwrap();
        let texts = ["n", "f", "long", "e"].map(|name| data[name].to_string());
        assert_eq!(texts, ["1000000", "1.50", "18446744073709551617", "1e+400"]);
        // Nor is one that has no room made another one.
        for number in ["9223372036854775808", "1.5", "1e3", "-9223372036854775809"] {
            let text = format!("{{\"lease_duration\":{number}}}");
            assert!(Secret::parse(text.as_bytes()).is_err(), "{number}");
        }
    }

    #[test]
    fn s32_wrong_types_are_an_error_not_a_token() {
        const VALUES: [&str; 8] = ["5", "-1", "1.5", "\"x\"", "true", "[]", "[5]", "{\"a\":[]}"];
        let text = |field| (field, "\"x\"");
        let number = |field| (field, "5 -1");
        let flag = |field| (field, "true");
        let (list, object) = (|field| (field, "[]"), |field| (field, "{\"a\":[]}"));
        let envelope = [
            text("request_id"),
            text("lease_id"),
            number("lease_duration"),
            flag("renewable"),
            object("data"),
            list("warnings"),
            object("auth"),
            object("wrap_info"),
        ];
        let auth = [
            text("client_token"),
            text("accessor"),
            list("policies"),
            object("metadata"),
            number("lease_duration"),
            flag("renewable"),
            flag("orphan"),
            number("num_uses"),
        ];
        let wrap_info = [
            text("token"),
            text("accessor"),
            number("ttl"),
            text("creation_time"),
            text("creation_path"),
            text("wrapped_accessor"),
        ];
        for (around, fields) in [("", &envelope[..]), ("auth", &auth), ("wrap_info", &wrap_info)] {
            for ((field, right), value) in fields.iter().flat_map(|field| VALUES.map(|value| (field, value)))
            {
                let inner = format!("{{\"{field}\":{value}}}");
                let text = if around.is_empty() { inner } else { format!("{{\"{around}\":{inner}}}") };
                let read = Secret::parse(text.as_bytes());
                assert_eq!(read.is_ok(), right.split(' ').any(|right| right == value), "{text}");
            }
        }
        for text in ["{\"auth\":[\"s.token\"]}", "[]", " [1]", "5", "", "<html>", "{\"wrap_info\":[[]]}"] {
            assert!(Secret::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Secret::parse(b"null").unwrap().is_none());
    }

    /// Wherever it is: in the envelope, in a part of it, in the data.
    #[test]
    fn s32_of_a_key_that_is_there_twice_the_last_one_counts() {
        let text =
            br#"{"lease_duration":1,"auth":{"client_token":"s.first","lease_duration":5},"lease_duration":2,
            "data":{"a":1,"a":{"b":1,"b":2}},"auth":{"client_token":"s.x","client_token":"s.last"}}"#;
        let secret = Secret::parse(text).unwrap().unwrap();
        let auth = secret.auth.unwrap();
        assert_eq!((secret.lease_duration, auth.client_token.expose()), (2, "s.last"));
        assert_eq!(Value::from(secret.data.unwrap()).to_string(), r#"{"a":{"b":2}}"#);
        // A wrong one before it, as with Go, is wrong.
        assert!(Secret::parse(br#"{"auth":{"client_token":5,"client_token":{}}}"#).is_err());
    }

    /// At most 128 deep in what is read; what nobody reads is passed over without going down.
    #[test]
    fn s32_nesting_has_an_end() {
        let nested = |before: &str, open: &str, close: &str, depth: usize| {
            format!("{before}{}{}}}", open.repeat(depth), close.repeat(depth))
        };
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let filling = if open == "[" { "" } else { "0" };
            let data = |depth: usize| {
                format!("{{\"data\":{{\"a\":{}{filling}{}}}}}", open.repeat(depth), close.repeat(depth))
            };
            assert!(Secret::parse(data(125).as_bytes()).unwrap().unwrap().data.is_some());
            for depth in [126, 128, 100_000] {
                assert!(Secret::parse(data(depth).as_bytes()).is_err(), "{depth}");
            }
        }
        assert!(Secret::parse(nested("{\"other\":", "[", "]", 100_000).as_bytes()).is_err());
        let beside =
            format!("{{\"lease_id\":\"l\",\"other\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let read = Secret::parse(beside.as_bytes());
        assert!(read.is_err() || read.unwrap().unwrap().lease_id == "l");
        assert!(ServerErrors::parse(nested("{\"errors\":", "[", "]", 100_000).as_bytes()).errors.is_empty());
    }
}
