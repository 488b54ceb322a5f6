//! Headers of the API and of HTTP, and what they say.

use http::{HeaderMap, HeaderName, header};

/// The client token.
pub const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
/// The namespace a request is for.
pub const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Marks requests of well-meaning clients; see `require_request_header`.
pub const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
/// Where to log in before the request itself, without a token of its own.
pub const INLINE_AUTH_PATH: HeaderName = HeaderName::from_static("x-vault-inline-auth-path");
/// How new the state was that an answer was given from, and how new it has to be for a request.
pub const INDEX: HeaderName = HeaderName::from_static("x-vault-index");
/// What a server is to do that is not as new.
pub const INCONSISTENT: HeaderName = HeaderName::from_static("x-vault-inconsistent");
/// Which node is to answer.
pub const FORWARD: HeaderName = HeaderName::from_static("x-vault-forward");
/// Asks for a wrapped answer, with its TTL.
pub const WRAP_TTL: HeaderName = HeaderName::from_static("x-vault-wrap-ttl");

/// Whether a header of this name (in lower case) is about one connection: it goes no further in either direction.
/// `proxy-authenticate` and `proxy-authorization` are of a proxy before us.
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade")
        || name.starts_with("proxy-")
}

/// Whether a body is said to be JSON: `application/json` in any case and with any parameters.
pub fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    })
}

/// Whether a body is compressed or encoded otherwise, so that its text cannot be read as it is.
pub fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).any(|coding| {
        let coding = coding.trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn json_is_a_media_type_with_or_without_parameters() {
        for (kind, json) in [
            ("application/json", true),
            ("Application/JSON ; charset=utf-8", true),
            ("application/json;", true),
            ("application/jsonp", false),
            ("text/plain; application/json", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_json(&headers), json, "{kind}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn what_is_encoded_cannot_be_read() {
        for (codings, encoded) in [
            (&["gzip"][..], true),
            (&["identity"], false),
            (&["Identity, br"], true),
            (&["", "zstd"], true),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for coding in codings {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
            }
            assert_eq!(is_encoded(&headers), encoded, "{codings:?}");
        }
    }
}
