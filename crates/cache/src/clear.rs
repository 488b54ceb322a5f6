//! The cache-clear request: which entries a person wants forgotten.

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use vault::Namespace;

use crate::json::string_field;
use crate::observe::{Area, full_path};
use crate::store::{Id, Place, Store};

/// What to forget.
#[derive(Clone, Eq, PartialEq)]
pub enum Clear {
    /// Everything.
    All,
    /// Answers whose path begins so, in a namespace as the requests named it (`root/` for none).
    RequestPath {
        /// Path prefix, `/v1/…`.
        path: String,
        /// Namespace header of the requests.
        namespace: String,
    },
    /// Everything of a mount: `database`, `auth/approle`.
    Mount {
        /// Its path, without `/v1/`.
        mount: String,
        /// Its namespace.
        namespace: String,
    },
    /// A token with all below it.
    Token(String),
    /// The same, by accessor.
    TokenAccessor(String),
    /// One lease.
    Lease(String),
}

/// Its kind alone: what it names may be a token.
impl std::fmt::Debug for Clear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "All",
            Self::Mount { .. } => "Mount",
            Self::RequestPath { .. } => "RequestPath",
            Self::Token(_) => "Token",
            Self::TokenAccessor(_) => "TokenAccessor",
            Self::Lease(_) => "Lease",
        })
    }
}

/// Why a request is refused; the texts are upstream's.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum ClearError {
    /// The body is no JSON object of the right shape.
    #[error("failed to parse JSON input: {0}")]
    Json(String),
    /// `type` is missing.
    #[error("failed to parse clear input: no type provided")]
    NoType,
    /// `type` is unknown.
    #[error("failed to clear cache: invalid type provided")]
    UnknownType,
    /// `value` is missing. Upstream answers 500 here, the others 400.
    #[error("failed to clear cache: {0} not provided")]
    NoValue(&'static str),
    /// One of our own fields is none of what it may be.
    #[error("failed to parse clear input: {0}")]
    Unclear(&'static str),
}

/// A request to forget, with what is ours in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClearRequest {
    /// What to forget.
    pub what: Clear,
    /// Of that, only what was given out longer ago.
    pub older_than: Option<Duration>,
    /// Revoke it at the server as well.
    pub revoke: bool,
    /// Forget nothing, only count.
    pub dry_run: bool,
    /// The answer says how many there were.
    pub verbose: bool,
}

impl From<Clear> for ClearRequest {
    /// Nothing but that.
    fn from(what: Clear) -> Self {
        Self { what, older_than: None, revoke: false, dry_run: false, verbose: false }
    }
}

/// What was forgotten, or would have been.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cleared {
    /// Answers that are handed out no more.
    pub answers: usize,
    /// Tokens that are renewed no more.
    pub tokens: usize,
    /// Leases that are renewed no more.
    pub leases: usize,
    /// Tokens and leases that are being revoked; what hangs below a token goes with it.
    pub revoking: usize,
}

impl ClearRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// [`ClearError`].
    pub fn parse(body: &[u8]) -> Result<Self, ClearError> {
        let body = body.trim_ascii();
        let json = |why: String| Err(ClearError::Json(why));
        if body.is_empty() {
            return json("empty JSON provided".to_owned());
        }
        // Only the first value of the body counts.
        let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
        let fields = match values.next() {
            Some(Ok(Value::Object(fields))) => fields,
            Some(Ok(Value::Null)) => return Err(ClearError::NoType),
            Some(Err(error)) if error.is_eof() => return json("unexpected EOF".to_owned()),
            Some(Err(error)) => {
                return json(format!("invalid JSON at line {} column {}", error.line(), error.column()));
            }
            Some(Ok(other)) => {
                let kind = kind(&other);
                return json(format!(
                    "json: cannot unmarshal {kind} into Go value of type cache.cacheClearRequest"
                ));
            }
            None => return json("empty JSON provided".to_owned()),
        };
        let texts = ["type", "value", "namespace"];
        let wrong = fields.iter().find_map(|(key, value)| {
            let name = texts.iter().find(|name| key.eq_ignore_ascii_case(name))?;
            (!value.is_string() && !value.is_null()).then(|| (name, kind(value)))
        });
        if let Some((name, kind)) = wrong {
            return json(format!(
                "json: cannot unmarshal {kind} into Go struct field cacheClearRequest.{name} of type string"
            ));
        }
        let field = |name| string_field(body, name, false).unwrap_or_default();
        let ours = |name: &str| {
            fields.iter().rfind(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        let what = Clear::named(&field("type"), field("value"), field("namespace"))?;
        Ok(Self {
            what,
            older_than: ours("older_than").map_or(Ok(None), age)?,
            revoke: flag(ours("revoke"), "revoke must be true or false")?,
            dry_run: flag(ours("dry_run"), "dry_run must be true or false")?,
            verbose: flag(ours("verbose"), "verbose must be true or false")?,
        })
    }
}

impl Clear {
    /// Reads a request's body, of which only what upstream knows counts.
    ///
    /// # Errors
    /// [`ClearError`].
    pub fn parse(body: &[u8]) -> Result<Self, ClearError> {
        ClearRequest::parse(body).map(|request| request.what)
    }

    fn named(kind: &str, value: String, namespace: String) -> Result<Self, ClearError> {
        let namespace = if namespace.is_empty() { "root/".to_owned() } else { namespace };
        let wanted = |what| if value.is_empty() { Err(ClearError::NoValue(what)) } else { Ok(value.clone()) };
        match kind {
            "" => Err(ClearError::NoType),
            "all" => Ok(Self::All),
            "lease" => wanted("lease").map(Self::Lease),
            "mount" if value.trim_matches('/').is_empty() => Err(ClearError::NoValue("mount")),
            "mount" => Ok(Self::Mount { mount: value, namespace }),
            "request_path" => Ok(Self::RequestPath { path: wanted("request path")?, namespace }),
            "token" => wanted("token").map(Self::Token),
            "token_accessor" => wanted("token accessor").map(Self::TokenAccessor),
            _ => Err(ClearError::UnknownType),
        }
    }

    /// The entries that it names. Our own tokens are none, only what hangs below them.
    pub(crate) fn find(&self, store: &Store) -> Vec<Id> {
        let found = match self {
            Self::All => return store.find(|_, _| true),
            Self::RequestPath { path, namespace } => {
                let namespace = Namespace::new(namespace);
                let within = |place: &Place| {
                    let theirs = place.namespace.as_deref().and_then(Namespace::new);
                    if theirs == namespace && place.path.starts_with(path) {
                        return true;
                    }
                    // The namespace may stand in the path as well.
                    let (Some(namespace), Some(rest)) = (&namespace, path.strip_prefix("/v1/")) else {
                        return false;
                    };
                    full_path(place)
                        .trim_end_matches('/')
                        .starts_with(&format!("{}{rest}", namespace.as_str()))
                };
                return store.find(|_, place| within(place));
            }
            Self::Mount { mount, namespace } => {
                let namespace = Namespace::new(namespace);
                let area = Area {
                    namespace: namespace.as_ref().map_or("", Namespace::as_str).to_owned(),
                    prefix: format!("{}/", mount.trim_matches('/')),
                };
                return store.find(|subject, place| area.holds(subject, place));
            }
            Self::Token(token) => store.managed(token),
            Self::TokenAccessor(accessor) => store.accessor(accessor),
            Self::Lease(lease) => store.lease(lease),
        };
        found.into_iter().collect()
    }
}

/// Reads a request's `older_than`: seconds, or a duration such as `90s`, `5m`, `1h30m`. An empty one is refused: a script
/// whose variable is not set must not clear all.
fn age(value: &Value) -> Result<Option<Duration>, ClearError> {
    let refused = || ClearError::Unclear("older_than must be seconds, or a duration like \"5m\"");
    match value {
        Value::Null => Ok(None),
        Value::Number(seconds) => seconds.as_u64().map(Duration::from_secs).map(Some).ok_or_else(refused),
        Value::String(text) => duration(text).map(Some).ok_or_else(refused),
        _ => Err(refused()),
    }
}

fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    if text.is_empty() {
        return None;
    }
    let (mut total, mut rest) = (0u64, text);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, unit) = rest.split_at(digits);
        let seconds = match unit.chars().next()? {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(seconds)?)?;
        rest = &unit[1..];
    }
    Some(Duration::from_secs(total))
}

fn flag(value: Option<&Value>, wrong: &'static str) -> Result<bool, ClearError> {
    match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(ClearError::Unclear(wrong)),
    }
}

/// As Go names what JSON holds.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_with_upstreams_words() {
        for (body, text) in [
            ("", "failed to parse JSON input: empty JSON provided"),
            ("{", "failed to parse JSON input: unexpected EOF"),
            (
                "[]",
                "failed to parse JSON input: json: cannot unmarshal array into Go value of type cache.cacheClearRequest",
            ),
            (
                r#"{"type":"token","value":5}"#,
                "failed to parse JSON input: json: cannot unmarshal number into Go struct field cacheClearRequest.value of type string",
            ),
            (
                r#"{"type":"all","older_than":"soon"}"#,
                "failed to parse clear input: older_than must be seconds, or a duration like \"5m\"",
            ),
            (r#"{"type":"all","revoke":1}"#, "failed to parse clear input: revoke must be true or false"),
            ("{}", "failed to parse clear input: no type provided"),
            ("null", "failed to parse clear input: no type provided"),
            (r#"{"type":"x"}"#, "failed to clear cache: invalid type provided"),
            (r#"{"type":"token"}"#, "failed to clear cache: token not provided"),
            (r#"{"type":"request_path"}"#, "failed to clear cache: request path not provided"),
        ] {
            assert_eq!(Clear::parse(body.as_bytes()).unwrap_err().to_string(), text, "{body}");
        }
    }

    /// One error each, which names the field.
    #[test]
    fn odd_arguments_are_refused_by_name() {
        let older = "older_than must be seconds, or a duration like \"5m\"";
        for (field, value) in [
            (older, r#""older_than":"""#),
            (older, r#""older_than":-1"#),
            (older, r#""older_than":"-5m""#),
            (older, r#""older_than":1.5"#),
            (older, r#""older_than":1e300"#),
            (older, r#""older_than":18446744073709551616"#),
            (older, r#""older_than":"99999999999999999999h""#),
            (older, r#""older_than":"1h30""#),
            (older, r#""older_than":true"#),
            (older, r#""older_than":[5]"#),
            ("revoke must be true or false", r#""revoke":"true""#),
            ("dry_run must be true or false", r#""dry_run":"yes""#),
            ("verbose must be true or false", r#""verbose":{}"#),
        ] {
            let body = format!(r#"{{"type":"all",{value}}}"#);
            let said = ClearRequest::parse(body.as_bytes()).unwrap_err().to_string();
            assert_eq!(said, format!("failed to parse clear input: {field}"), "{value}");
        }
        for value in ["", "/", "//"] {
            let body = format!(r#"{{"type":"mount","value":"{value}"}}"#);
            assert_eq!(ClearRequest::parse(body.as_bytes()).unwrap_err(), ClearError::NoValue("mount"));
        }
        let typed = r#"{"type":"mount","value":"a","namespace":["n"]}"#;
        let said = ClearRequest::parse(typed.as_bytes()).unwrap_err().to_string();
        assert!(said.contains("field cacheClearRequest.namespace of type string"), "{said}");
        // The longest time there is can be said: nothing is that old.
        let longest = ClearRequest::parse(br#"{"type":"all","older_than":18446744073709551615}"#).unwrap();
        assert_eq!(longest.older_than, Some(Duration::from_secs(u64::MAX)));
        let huge = format!(r#"{{"type":"lease","value":"{}"}}"#, "x".repeat(60_000));
        assert!(ClearRequest::parse(huge.as_bytes()).is_ok());
    }

    #[test]
    fn reads_what_it_should() {
        let path = |namespace: &str| Clear::RequestPath { path: "/v1/a".into(), namespace: namespace.into() };
        assert_eq!(Clear::parse(br#"{"type":"request_path","value":"/v1/a"} junk"#), Ok(path("root/")));
        assert_eq!(
            Clear::parse(br#"{"Type":"request_path","value":"/v1/a","namespace":"n"}"#),
            Ok(path("n"))
        );
        assert_eq!(Clear::parse(br#"{"type":"all","more":1}"#), Ok(Clear::All));
    }
    #[test]
    fn reads_what_is_ours() {
        let body = br#"{"type":"mount","value":"database/","older_than":"1h30m","revoke":true,"dry_run":true,"verbose":true}"#;
        let want = ClearRequest {
            what: Clear::Mount { mount: "database/".into(), namespace: "root/".into() },
            older_than: Some(Duration::from_secs(5400)),
            revoke: true,
            dry_run: true,
            verbose: true,
        };
        assert_eq!(ClearRequest::parse(body), Ok(want));
        for (text, seconds) in
            [("90", Some(90)), ("5m", Some(300)), ("5", Some(5)), ("m", None), ("5d", None)]
        {
            assert_eq!(duration(text), seconds.map(Duration::from_secs), "{text}");
        }
        assert_eq!(duration("99999999999999999999h"), None);
        assert_eq!(duration("9999999999999999999h"), None);
    }
}
