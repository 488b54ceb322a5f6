//! Under which key an answer is remembered: by what a request means, not by how it is spelled.
//!
//! Two requests share a key when the server cannot answer them differently: same token, namespace, method
//! class, path, query, body and semantic headers. Headers that only describe the client or the connection
//! (User-Agent, tracing, Accept-Encoding, …) do not count; an unknown `X-Vault-*` or `X-Bao-*` header does, and so does
//! whatever may say who asks (`X-Vault-Token`, `Authorization`) or change the form of the answer (`Accept`, `Range`,
//! conditions).

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use http::{HeaderMap, HeaderName, Method};
use vault::{Namespace, Request, headers};
use zeroize::Zeroize as _;

use crate::json::canonical_object;

/// A request's meaning, hashed with a secret of this process, so that a dump of keys tells nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Key([u8; 16]);

impl Key {
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Makes keys: the tag of AES-256-GCM-SIV over no text, with the parts as associated data. It is a keyed
/// function of the parts that may be used with one nonce for ever, and several times as fast as an HMAC where
/// the processor has no instructions for SHA-256.
pub(crate) struct Keys(LessSafeKey);

/// Of HTTP's headers, those that say who asks or what the answer is to be like.
const MEANINGFUL: &[&str] = &[
    "accept",
    "authorization",
    "cookie",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
];

/// Of the API's own headers, those that do not change an answer.
const WITHOUT_MEANING: &[&str] = &[
    "x-vault-request",
    "x-vault-index",
    "x-vault-forward",
    "x-vault-inconsistent",
    "x-vault-no-request-forwarding",
    "x-vault-raw-error",
];

/// Requests with one of these are neither remembered nor shared: their answers are for one reader, once.
const NEVER: &[&str] = &["x-vault-mfa", "x-vault-wrap-ttl", "x-vault-wrap-format", "x-vault-policy-override"];

/// Whether a request may be remembered or shared at all.
pub(crate) fn may_be_cached(request: &Request) -> bool {
    !request
        .headers
        .keys()
        .any(|name| NEVER.contains(&name.as_str()) || name.as_str().starts_with("x-vault-inline-auth"))
}

impl Keys {
    /// With a fresh secret.
    pub(crate) fn new() -> Self {
        let mut secret = [0; 32];
        if aws_lc_rs::rand::fill(&mut secret).is_err() {
            // The system's randomness does not fail once it has started; without it nothing here could run.
            fastrand::fill(&mut secret);
        }
        Self::with_secret(&secret)
    }

    /// With a secret that outlives the process, so that what it remembered is found again.
    pub(crate) fn with_secret(secret: &[u8; 32]) -> Self {
        match UnboundKey::new(&AES_256_GCM_SIV, secret) {
            Ok(key) => Self(LessSafeKey::new(key)),
            Err(_) => unreachable!("32 bytes are the length of this algorithm's keys"),
        }
    }

    /// The key of a request.
    pub(crate) fn key(&self, request: &Request) -> Key {
        let mut hash = Parts(Vec::with_capacity(512));
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let list = request.method == Method::GET && query == "list=true";
        hash.part(match request.method.as_str() {
            "PUT" | "POST" => b"WRITE",
            _ if list => b"LIST",
            other => other.as_bytes(),
        });
        let full_path = full_path(path, &request.headers);
        hash.part(full_path.as_deref().unwrap_or(path).as_bytes());
        let mut pairs: Vec<&str> =
            if list { Vec::new() } else { query.split('&').filter(|p| !p.is_empty()).collect() };
        // Stable: the order of one name's values has a meaning.
        pairs.sort_by_key(|pair| pair.split('=').next().unwrap_or_default());
        hash.count(pairs.len());
        for pair in pairs {
            hash.part(pair.as_bytes());
        }
        match canonical_object(&request.body) {
            Some(canonical) => {
                hash.part(b"json");
                hash.part(&canonical);
            }
            None => {
                hash.part(b"raw");
                hash.part(&request.body);
            }
        }
        semantic_headers(&request.headers, full_path.is_some(), &mut hash);
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(&hash.0), &mut []);
        let mut key = [0; 16];
        match tag {
            Ok(tag) => key.copy_from_slice(tag.as_ref()),
            // Only a text of 64 GiB could fail here, and there is none: no key is shared then.
            Err(_) => fastrand::fill(&mut key),
        }
        Key(key)
    }
}

/// Namespace and path in one: a namespace in the header and the same in the path are the same place. `None` when the
/// header says none, or not clearly.
fn full_path(path: &str, headers: &HeaderMap) -> Option<String> {
    let mut given = headers.get_all(headers::NAMESPACE).iter();
    let namespace = given.next().filter(|_| given.next().is_none())?;
    let namespace = Namespace::new(namespace.to_str().ok()?)?;
    Some(format!("/v1/{}{}", namespace.as_str(), path.strip_prefix("/v1/")?))
}

/// `placed` says that the namespace is in the path already.
fn semantic_headers(headers: &HeaderMap, placed: bool, hash: &mut Parts) {
    let counts = |name: &&HeaderName| has_meaning(name) && !(placed && *name == headers::NAMESPACE);
    let mut names: Vec<&HeaderName> = headers.keys().filter(counts).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    hash.count(names.len());
    for name in names {
        hash.part(name.as_str().as_bytes());
        let values = headers.get_all(name);
        hash.count(values.iter().count());
        for value in values {
            hash.part(value.as_bytes());
        }
    }
}

fn has_meaning(name: &HeaderName) -> bool {
    let name = name.as_str();
    MEANINGFUL.contains(&name)
        || (name.starts_with("x-vault-") || name.starts_with("x-bao-")) && !WITHOUT_MEANING.contains(&name)
}

/// Parts with their lengths, never a plain concatenation; gathered first, because hashing many small pieces
/// costs more than the hash.
struct Parts(Vec<u8>);

impl Parts {
    fn count(&mut self, count: usize) {
        self.0.extend_from_slice(&(count as u64).to_le_bytes());
    }

    fn part(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }
}

impl Drop for Parts {
    /// The token and the body's secrets are in it.
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};
    use vault::Token;

    use super::*;

    fn login(body: &str, extra: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::new(Method::POST, "auth/approle/login");
        request.body = body.to_owned().into();
        for (name, value) in extra {
            request.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn what_describes_the_client_does_not_count() {
        let keys = Keys::new();
        let plain = keys.key(&login(r#"{"role_id":"r","secret_id":"s"}"#, &[]));
        let same = [
            login(
                r#"{"role_id":"r","secret_id":"s"}"#,
                &[("user-agent", "curl"), ("traceparent", "00-a-b-01")],
            ),
            login(
                "{ \"secret_id\": \"s\",\n\"role_id\": \"r\" }",
                &[("accept-encoding", "gzip"), ("x-request-id", "1")],
            ),
            login(
                r#"{"role_id":"r","secret_id":"s"}"#,
                &[("content-type", "application/x-www-form-urlencoded")],
            ),
            Request { method: Method::PUT, ..login(r#"{"role_id":"r","secret_id":"s"}"#, &[]) },
        ];
        for request in same {
            assert_eq!(keys.key(&request), plain, "{request:?}");
        }
    }

    #[test]
    fn what_changes_the_answer_counts() {
        let keys = Keys::new();
        let base = Request::new(Method::GET, "secret/data/app?version=1");
        // Which of two namespaces counts is the server's affair.
        let mut twice = base.clone().namespace(Namespace::new("ns1").as_ref());
        twice.headers.append(headers::NAMESPACE, HeaderValue::from_static("ns2"));
        let differing = [
            Request::new(Method::GET, "secret/data/app?version=2"),
            Request::new(Method::GET, "secret/data/app"),
            Request::new(Method::GET, "secret/data/app/?version=1"),
            Request::new(Method::HEAD, "secret/data/app?version=1"),
            base.clone().token(&Token::new("a").unwrap()),
            base.clone().token(&Token::new("b").unwrap()),
            base.clone().header(header::AUTHORIZATION, "Bearer a"),
            base.clone().header(header::AUTHORIZATION, "Bearer b"),
            base.clone().token(&Token::new("a").unwrap()).header(header::AUTHORIZATION, "Bearer b"),
            base.clone().header(header::ACCEPT, "application/pkix-cert"),
            base.clone().header(header::IF_NONE_MATCH, "\"1\""),
            base.clone().header(header::IF_MODIFIED_SINCE, "Sat, 21 Nov 2026 00:00:00 GMT"),
            base.clone().header(header::RANGE, "bytes=0-1"),
            twice,
            base.clone().namespace(Namespace::new("ns1").as_ref()),
            base.clone().header(HeaderName::from_static("x-vault-unknown"), "1"),
            Request { body: "x".into(), ..base.clone() },
        ];
        let mut seen = vec![keys.key(&base)];
        for request in differing {
            let key = keys.key(&request);
            assert!(!seen.contains(&key), "{request:?}");
            seen.push(key);
        }
    }

    #[test]
    fn spellings_of_one_request_are_one() {
        let keys = Keys::new();
        let pairs = [
            (Request::new(Method::GET, "a?b=1&a=2"), Request::new(Method::GET, "a?a=2&b=1")),
            (
                Request::new(Method::GET, "a?list=true"),
                Request { method: Method::from_bytes(b"LIST").unwrap(), ..Request::new(Method::GET, "a") },
            ),
            (
                Request::new(Method::GET, "a").namespace(Namespace::new("n/m").as_ref()),
                Request::new(Method::GET, "n/m/a"),
            ),
        ];
        for (one, other) in pairs {
            assert_eq!(keys.key(&one), keys.key(&other), "{one:?} {other:?}");
        }
        assert_ne!(
            keys.key(&Request::new(Method::GET, "a?b=1&b=2")),
            keys.key(&Request::new(Method::GET, "a?b=2&b=1"))
        );
    }

    #[test]
    fn answers_for_one_reader_are_never_shared() {
        assert!(may_be_cached(&login("{}", &[("x-vault-namespace", "a")])));
        for name in ["x-vault-wrap-ttl", "x-vault-mfa", "x-vault-policy-override", "x-vault-inline-auth-path"]
        {
            assert!(!may_be_cached(&login("{}", &[(name, "1")])), "{name}");
        }
    }

    #[test]
    fn another_process_has_other_keys() {
        let request = login("{}", &[]);
        assert_ne!(Keys::new().key(&request), Keys::new().key(&request));
    }
}
