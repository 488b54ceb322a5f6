//! A request, an answer, and the seam between them.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::{Body, Namespace, SendError, Token, Upload, headers};

/// A boxed future that borrows for `'a`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A request to the server.
#[derive(Clone, Default)]
pub struct Request {
    /// GET, PUT, LIST, …
    pub method: Method,
    /// Path and query as they go on the wire, from `/v1/…` on.
    pub target: String,
    /// All headers but `Host` and the body's framing.
    pub headers: HeaderMap,
    /// The whole body, or its beginning when there is an `upload`.
    pub body: Bytes,
    /// The rest of a body that is too long to be kept. Such a request is sent once.
    pub upload: Option<Upload>,
    /// Asks the server to speak WebSocket on this connection from now on.
    pub upgrade: bool,
    /// How the client spelled its head, hashed: for a cache that tells spellings apart. `None` for requests of our own.
    pub spelling: Option<Box<[u8; 16]>>,
    /// What the request counts against, for as long as it is under way: also when whoever asked has left.
    pub guard: Option<Arc<dyn Any + Send + Sync>>,
}

/// The methods that change nothing at the server.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "LIST" | "SCAN" | "OPTIONS")
}

/// A path without what may be a secret in it: old forms name a token behind `auth/token/<verb>/`, and wherever else
/// something looks like a token, the path ends before its segment.
pub fn shown_path(path: &str) -> &str {
    const TOKENS: &str = "auth/token/";
    let path = match shown(path) {
        before if before.len() < path.len() => before.rfind('/').map_or("", |slash| &before[..slash]),
        whole => whole,
    };
    let at = path.match_indices(TOKENS).find(|(at, _)| *at == 0 || path[..*at].ends_with('/'));
    let Some(verb) = at.map(|(at, _)| at + TOKENS.len()) else { return path };
    path[verb..].find('/').map_or(path, |end| &path[..verb + end])
}

/// What somebody sent where no secret belongs, up to what looks like a token: logs and errors tell no more of it.
pub fn shown(text: &str) -> &str {
    let token = text.match_indices('.').find_map(|(dot, _)| {
        let rest = text[dot + 1..].bytes().take_while(|byte| is_of_token(*byte)).count();
        (rest >= TOKEN_LENGTH).then(|| kind_before(&text[..dot])).flatten()
    });
    token.map_or(text, |at| &text[..at])
}

/// As the servers make tokens: what kind it is, a dot, and at least so many letters and digits.
/// <https://developer.hashicorp.com/vault/docs/concepts/tokens#token-prefixes>
const TOKEN_LENGTH: usize = 24;

fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Where the kind of a token begins that ends the text. A single letter is one where a word begins.
fn kind_before(text: &str) -> Option<usize> {
    let new = ["hvs", "hvb", "hvr"].iter().find(|kind| text.ends_with(**kind));
    let old = || {
        let before = text.strip_suffix(['s', 'b', 'r'])?;
        (!before.ends_with(|letter: char| letter.is_alphanumeric())).then_some(before.len())
    };
    new.map(|kind| text.len() - kind.len()).or_else(old)
}

/// Neither body nor header values: both hold secrets. Nor what a path may hold.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        let method = shown(self.method.as_str());
        write!(f, "{method} {} {names:?}, {} bytes", self.shown_path(), self.body.len())
    }
}

impl Request {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The path as it may be told; see [`shown_path`].
    pub fn shown_path(&self) -> &str {
        shown_path(self.path())
    }

    /// The token it travels with, as the servers read it: `X-Vault-Token`, or else the first `Authorization: Bearer`.
    pub fn token_sent(&self) -> Option<&str> {
        let named = self.headers.get(headers::TOKEN).and_then(|token| token.to_str().ok());
        if let Some(token) = named.filter(|token| !token.is_empty()) {
            return Some(token);
        }
        self.headers.get_all(http::header::AUTHORIZATION).iter().find_map(|value| {
            let (scheme, token) = value.to_str().ok()?.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case("bearer ").then(|| token.trim())
        })
    }

    /// Whether it only reads: it may be repeated, and shared by those who ask the same.
    pub fn is_safe(&self) -> bool {
        is_safe(&self.method)
    }

    /// A request of our own, marked with `X-Vault-Request: true` as the official clients mark theirs.
    pub fn new(method: Method, path: &str) -> Self {
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(headers::REQUEST, HeaderValue::from_static("true"));
        Self { method, target: format!("/v1/{}", path.trim_start_matches('/')), headers, ..Self::default() }
    }

    /// Adds the token.
    #[must_use]
    pub fn token(mut self, token: &Token) -> Self {
        // A `Token` fits into a header: its constructor saw to that.
        if let Ok(mut value) = HeaderValue::from_str(token.expose()) {
            value.set_sensitive(true);
            self.headers.insert(headers::TOKEN, value);
        }
        self
    }

    /// Adds the namespace, if there is one.
    #[must_use]
    pub fn namespace(mut self, namespace: Option<&Namespace>) -> Self {
        if let Some(value) = namespace.and_then(|n| HeaderValue::from_str(n.as_str()).ok()) {
            self.headers.insert(headers::NAMESPACE, value);
        }
        self
    }

    /// Adds a JSON body.
    #[must_use]
    pub fn json(mut self, body: &serde_json::Value) -> Self {
        self.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = body.to_string().into();
        self
    }

    /// Adds a header; one that HTTP cannot carry is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// The server's answer.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, as they came.
    pub headers: HeaderMap,
    /// Its body, whole or still arriving.
    pub body: Body,
}

/// One door to a server. [`crate::Client`] is the real one; tests bring their own.
pub trait Upstream: Send + Sync {
    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// When no answer came. An answer with an error status is an answer.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>>;

    /// The same for a request that is lent, by somebody who may have to send it once more. Who can do without a copy
    /// of it does.
    ///
    /// # Errors
    /// As [`Upstream::send`].
    fn lend<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, SendError>> {
        self.send(request.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_path_is_not_told() {
        for (path, shown) in [
            ("/v1/auth/token/revoke/s.canary", "/v1/auth/token/revoke"),
            ("/v1/ns1/auth/token/lookup-accessor/a/b", "/v1/ns1/auth/token/lookup-accessor"),
            ("auth/token/renew/s.canary", "auth/token/renew"),
            ("/v1/auth/token/lookup-self", "/v1/auth/token/lookup-self"),
            ("/v1/secret/data/app", "/v1/secret/data/app"),
            ("/v1/s.CanaryCanaryCanaryCanary/x", "/v1"),
            ("/v1/secret/data/hvs.CAESICanary-Canary_CanaryCanary", "/v1/secret/data"),
            ("/v1/secret/data/s.short", "/v1/secret/data/s.short"),
            (
                "/v1/secret/data/certs.example.internal.somewhere.org",
                "/v1/secret/data/certs.example.internal.somewhere.org",
            ),
            ("/v1/xauth/token/a/b", "/v1/xauth/token/a/b"),
            ("/v1/secret/data/a-hvs.CAESICanary-Canary_CanaryCanary", "/v1/secret/data"),
            ("/v1/secret/data/ahvb.CAESICanary-Canary_CanaryCanary/b", "/v1/secret/data"),
            ("/v1/secret/data/a=s.CanaryCanaryCanaryCanary;b/c", "/v1/secret/data"),
            ("/v1/secret/data/xs.CanaryCanaryCanaryCanary", "/v1/secret/data/xs.CanaryCanaryCanaryCanary"),
            ("hvs.CAESICanary-Canary_CanaryCanary", ""),
        ] {
            assert_eq!(shown_path(path), shown);
        }
        assert_eq!(shown("team/hvs.CAESICanary-Canary_CanaryCanary/x"), "team/");
        assert_eq!(shown("team/a.b"), "team/a.b");
        let request = Request::new(Method::PUT, "auth/token/revoke/s.canary?a=s.canary");
        assert!(!format!("{request:?}").contains("canary"));
    }

    #[test]
    fn the_token_is_the_one_the_servers_take() {
        let request = |pairs: &[(&'static str, &'static str)]| {
            let mut request = Request::new(Method::GET, "a");
            for (name, value) in pairs {
                request.headers.append(*name, HeaderValue::from_static(value));
            }
            request
        };
        for (pairs, token) in [
            (&[("x-vault-token", "s.a"), ("authorization", "Bearer s.b")][..], Some("s.a")),
            (&[("x-vault-token", ""), ("authorization", "Bearer s.b")], Some("s.b")),
            (&[("authorization", "Basic x"), ("authorization", "bearer  s.b ")], Some("s.b")),
            (&[("authorization", "Basic x")], None),
            (&[], None),
        ] {
            assert_eq!(request(pairs).token_sent(), token, "{pairs:?}");
        }
    }
}
