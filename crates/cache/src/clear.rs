//! The cache-clear request: which entries a person wants forgotten.

use thiserror::Error;

use crate::json::string_field;
use crate::store::{Store, Subject};

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
}

impl Clear {
    /// Reads a request's body.
    ///
    /// # Errors
    /// [`ClearError`].
    pub fn parse(body: &[u8]) -> Result<Self, ClearError> {
        let body = body.trim_ascii();
        let json = |why: &str| Err(ClearError::Json(why.to_owned()));
        if body.is_empty() {
            return json("empty JSON provided");
        }
        // Only the first value of the body counts.
        let mut values = serde_json::Deserializer::from_slice(body).into_iter::<serde_json::Value>();
        let fields = match values.next() {
            Some(Ok(serde_json::Value::Object(fields))) => fields,
            Some(Ok(serde_json::Value::Null)) => return Err(ClearError::NoType),
            Some(Err(error)) if error.is_eof() => return json("unexpected EOF"),
            Some(Err(error)) => {
                return json(&format!("invalid JSON at line {} column {}", error.line(), error.column()));
            }
            _ => return json("json: cannot unmarshal array into Go value of type api.cacheClearRequest"),
        };
        let body = serde_json::Value::Object(fields.clone()).to_string();
        for name in ["type", "value", "namespace"] {
            let wrong = fields.iter().find(|(key, value)| {
                key.eq_ignore_ascii_case(name) && !value.is_string() && !value.is_null()
            });
            if wrong.is_some() {
                return json(&format!(
                    "json: cannot unmarshal value into Go struct field cacheClearRequest.{name} of type string"
                ));
            }
        }
        let field = |name| string_field(body.as_bytes(), name).unwrap_or_default();
        let (kind, value) = (field("type"), field("value"));
        let wanted = |what| if value.is_empty() { Err(ClearError::NoValue(what)) } else { Ok(value.clone()) };
        match kind.as_str() {
            "" => Err(ClearError::NoType),
            "all" => Ok(Self::All),
            "request_path" => {
                let namespace = match field("namespace") {
                    namespace if namespace.is_empty() => "root/".to_owned(),
                    namespace => namespace,
                };
                Ok(Self::RequestPath { path: wanted("request path")?, namespace })
            }
            "token" => wanted("token").map(Self::Token),
            "token_accessor" => wanted("token accessor").map(Self::TokenAccessor),
            "lease" => wanted("lease").map(Self::Lease),
            _ => Err(ClearError::UnknownType),
        }
    }

    /// Forgets; returns how many answers went. Our own token stays known in every case.
    pub(crate) fn apply(&self, store: &mut Store) -> usize {
        let found = match self {
            Self::All => return store.clear(),
            Self::RequestPath { path, namespace } => {
                return store.evict_where(|_, place| {
                    place.namespace.as_deref().unwrap_or("root/") == namespace && place.path.starts_with(path)
                });
            }
            Self::Token(token) => store.managed(token),
            Self::TokenAccessor(accessor) => store.accessor(accessor),
            Self::Lease(lease) => store.lease(lease),
        };
        found.map_or(0, |id| store.evict(id))
    }
}

/// Entries whose lease id or request path lies below a mount or prefix.
pub(crate) fn below(subject: &Subject, path: &str, prefix: &str) -> bool {
    // With a slash behind: a prefix may name the very path.
    let path = format!("{}/", path.strip_prefix("/v1/").unwrap_or(path));
    let leased = matches!(subject, Subject::Lease { lease } if lease.as_str().starts_with(prefix));
    // A namespace may stand before the mount.
    leased || path.starts_with(prefix) || path.contains(&format!("/{prefix}"))
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
                "failed to parse JSON input: json: cannot unmarshal array into Go value of type api.cacheClearRequest",
            ),
            ("{}", "failed to parse clear input: no type provided"),
            ("null", "failed to parse clear input: no type provided"),
            (r#"{"type":"x"}"#, "failed to clear cache: invalid type provided"),
            (r#"{"type":"token"}"#, "failed to clear cache: token not provided"),
            (r#"{"type":"request_path"}"#, "failed to clear cache: request path not provided"),
        ] {
            assert_eq!(Clear::parse(body.as_bytes()).unwrap_err().to_string(), text, "{body}");
        }
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
}
