//! The request target in one canonical form. Cache, token choice, redaction, logs and the server all use
//! this value; it cannot be made any other way.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue, Request, Version};
use thiserror::Error;
use vault::headers;

/// A checked path and query. The path is decoded once, cleaned, and encoded again in one way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    /// Path and query as they are sent.
    text: String,
    path_length: usize,
}

/// What a target cannot be.
#[derive(Debug, Error, Eq, PartialEq)]
pub(crate) enum TargetError {
    #[error("the request path holds a bad escape")]
    BadEscape,
    #[error("the request query holds a bad escape")]
    BadQuery,
    #[error("the request query holds a semicolon; write it %3B")]
    Semicolon,
    #[error("the request query holds a control character")]
    QueryControl,
    #[error("the request path holds a control character")]
    Control,
    #[error("the request path holds a dot segment")]
    DotSegment,
    #[error("the namespace is none, or there are two")]
    Namespace,
    #[error("the request target is no path")]
    NotAPath,
    #[error("the request target is too long")]
    TooLong,
    /// `//` in the path: the client is sent to the cleaned path, as upstream does.
    #[error("the request path holds an empty segment")]
    EmptySegment { cleaned: String },
}

impl Target {
    /// Of a request whose guard has let it pass; a target longer than `most` is refused. The namespace in its headers
    /// is brought into its one form there, where all look for it.
    pub(crate) fn of<B>(request: &mut Request<B>, most: usize) -> Result<Self, TargetError> {
        // With an authority and nothing before it the target is `host:port`; a target in absolute form names a
        // scheme of ours, and HTTP/2 always does.
        let uri = request.uri();
        let known = matches!(uri.scheme_str(), None | Some("http" | "https"));
        let authority = uri.authority().map(|authority| authority.as_str());
        let alone = uri.scheme().is_none() && request.version() < Version::HTTP_2;
        if !known || authority.is_some_and(|authority| alone || authority.contains('@')) {
            return Err(TargetError::NotAPath);
        }
        let raw = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = Self::parse(raw, most)?;
        settle_namespace(request.headers_mut())?;
        Ok(target)
    }

    /// From the target as it stood in the request line, authority removed.
    ///
    /// Percent escapes are resolved once, an escaped slash included, as upstream does it; a trailing slash is
    /// dropped, as upstream does it; then every decision is made on the result.
    pub(crate) fn parse(raw: &str, most: usize) -> Result<Self, TargetError> {
        if raw.len() > most {
            return Err(TargetError::TooLong);
        }
        let (path, query) = match raw.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (raw, None),
        };
        if !path.starts_with('/') {
            return Err(TargetError::NotAPath);
        }
        if let Some(query) = query {
            check_query(query)?;
        }
        let mut text = canonical_path(path)?;
        let path_length = text.len();
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            text.push('?');
            push_query(&mut text, query);
        }
        Ok(Self { text, path_length })
    }

    /// The canonical path alone.
    pub(crate) fn path(&self) -> &str {
        &self.text[..self.path_length]
    }

    /// What is behind the `?`.
    pub(crate) fn query(&self) -> Option<&str> {
        self.text.get(self.path_length + 1..)
    }

    /// Path and query, for the server.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// A query goes on as it came, but for letters that are not ASCII: they have no place on the wire.
fn push_query(text: &mut String, query: &str) {
    if query.is_ascii() {
        return text.push_str(query);
    }
    for byte in query.bytes() {
        match byte.is_ascii() {
            true => text.push(char::from(byte)),
            false => drop(write!(text, "%{byte:02X}")),
        }
    }
}

fn canonical_path(path: &str) -> Result<String, TargetError> {
    // Most paths are canonical already and need no work but this look.
    let plain =
        path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'~' | b'.'));
    let decoded;
    let bytes = if plain {
        path.as_bytes()
    } else {
        decoded = decode(path)?;
        &decoded
    };
    if !plain && has_control(bytes) {
        return Err(TargetError::Control);
    }
    let segments = || bytes.split(|b| *b == b'/').skip(1);
    if segments().any(|segment| segment == b"." || segment == b"..") {
        return Err(TargetError::DotSegment);
    }
    let trimmed = match bytes {
        b"/" => bytes,
        _ => bytes.strip_suffix(b"/").unwrap_or(bytes),
    };
    if trimmed.windows(2).any(|pair| pair == b"//") || trimmed.ends_with(b"/") && trimmed.len() > 1 {
        let kept: Vec<&[u8]> = segments().filter(|segment| !segment.is_empty()).collect();
        return Err(TargetError::EmptySegment {
            cleaned: encode(&[b"/", kept.join(&b"/"[..]).as_slice()].concat()),
        });
    }
    Ok(if plain { String::from_utf8_lossy(trimmed).into_owned() } else { encode(trimmed) })
}

/// Control characters of Unicode count, those above ASCII too: terminals obey them. Bytes that are no text are names
/// like any other.
fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().any(u8::is_ascii_control)
        || std::str::from_utf8(bytes).is_ok_and(|text| text.chars().any(char::is_control))
}

/// `/a/b/`, `a/b` and `a/b/` are one namespace, and no header at all is the same as an empty one and as `root`.
fn settle_namespace(headers: &mut HeaderMap) -> Result<(), TargetError> {
    let mut given = headers.get_all(headers::NAMESPACE).iter();
    let Some(namespace) = given.next() else { return Ok(()) };
    if given.next().is_some() {
        return Err(TargetError::Namespace);
    }
    let text = namespace.to_str().map_err(|_| TargetError::Namespace)?.trim();
    let bare = text.trim_matches('/');
    if bare.split('/').any(|part| matches!(part, "." | "..") || part.is_empty() && !bare.is_empty()) {
        return Err(TargetError::Namespace);
    }
    if bare.is_empty() || bare == "root" {
        // The servers' name for the one above all others.
        headers.remove(headers::NAMESPACE);
    } else if bare.len() != namespace.len() {
        let settled = HeaderValue::from_str(bare).map_err(|_| TargetError::Namespace)?;
        headers.insert(headers::NAMESPACE, settled);
    }
    Ok(())
}

/// Resolves escapes, once.
pub(crate) fn decode(path: &str) -> Result<Vec<u8>, TargetError> {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digits = path.get(at + 1..at + 3).ok_or(TargetError::BadEscape)?;
            if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(TargetError::BadEscape);
            }
            out.push(u8::from_str_radix(digits, 16).map_err(|_| TargetError::BadEscape)?);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    Ok(out)
}

/// Escapes what a path cannot hold, in one way: upper-case digits, nothing escaped without need.
pub(crate) fn encode(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(char::from(*byte)),
            b'/' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
            | b',' | b';' | b'=' | b':' | b'@' => out.push(char::from(*byte)),
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// A query that cannot be read is refused, not dropped.
fn check_query(query: &str) -> Result<(), TargetError> {
    if query.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(TargetError::QueryControl);
    }
    if query.contains(';') {
        return Err(TargetError::Semicolon);
    }
    decode(query).map(drop).map_err(|_| TargetError::BadQuery)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(raw: &str) -> Result<String, TargetError> {
        Target::parse(raw, 16 * 1024).map(|target| target.text().to_owned())
    }

    #[test]
    fn s01_letters_of_a_query_are_escaped() {
        assert_eq!(path("/v1/a?b=ä&c=%41").as_deref(), Ok("/v1/a?b=%C3%A4&c=%41"));
    }

    #[test]
    fn spellings_become_one() {
        for (raw, canonical) in [
            ("/v1/secret/data/app", "/v1/secret/data/app"),
            ("/v1/secret/data/app/", "/v1/secret/data/app"),
            ("/v1/foo%2Fbar%20x/baz/", "/v1/foo/bar%20x/baz"),
            ("/v1/%73ecret", "/v1/secret"),
            ("/v1/auth%2ftoken/lookup-self", "/v1/auth/token/lookup-self"),
            ("/v1/a%c3%a9", "/v1/a%C3%A9"),
            ("/v1/a:b@c", "/v1/a:b@c"),
            ("/v1/a?list=true", "/v1/a?list=true"),
            ("/v1/a?", "/v1/a"),
            ("/", "/"),
        ] {
            assert_eq!(path(raw).as_deref(), Ok(canonical), "{raw}");
        }
    }

    #[test]
    fn tricks_are_refused() {
        for (raw, error) in [
            ("/v1/../sys", TargetError::DotSegment),
            ("/v1/%2e%2e/sys", TargetError::DotSegment),
            ("/v1/a/.%2fb", TargetError::DotSegment),
            ("/v1/a%00", TargetError::Control),
            ("/v1/a%0d%0aX: y", TargetError::Control),
            ("/v1/%zz", TargetError::BadEscape),
            ("/v1/a%2", TargetError::BadEscape),
            ("/v1/a?x=%zz", TargetError::BadQuery),
            ("/v1/a?x=a;b", TargetError::Semicolon),
            ("*", TargetError::NotAPath),
            ("v1/a", TargetError::NotAPath),
            ("/v1//a", TargetError::EmptySegment { cleaned: "/v1/a".into() }),
            ("/v1/a%2F%2Fb", TargetError::EmptySegment { cleaned: "/v1/a/b".into() }),
            ("/v1/a//", TargetError::EmptySegment { cleaned: "/v1/a".into() }),
        ] {
            assert_eq!(path(raw), Err(error), "{raw}");
        }
        assert_eq!(path(&format!("/{}", "a".repeat(20_000))), Err(TargetError::TooLong));
    }

    proptest! {
        /// What was made canonical stays as it is.
        #[test]
        fn canonical_is_canonical(raw in "/[a-zA-Z0-9%/._~ ?=&;:é-]{0,40}") {
            if let Ok(once) = path(&raw) {
                prop_assert_eq!(path(&once), Ok(once.clone()));
            }
        }
    }
}
