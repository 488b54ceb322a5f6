//! What may be chosen about the cache.

use std::time::Duration;

use http::HeaderName;

/// What may be chosen about a cache that remembers. The defaults are those of the configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Leases and tokens are remembered; otherwise only secrets of KV mounts are, if they are kept.
    pub leases: bool,
    /// Requests are the same only if they were spelled the same, byte for byte, as upstream has it.
    pub strict_keys: bool,
    /// Headers, in lower case, that tell requests apart beside those that always do.
    pub key_extra_headers: Vec<HeaderName>,
    /// Clients may bypass the cache with `Cache-Control`.
    pub client_control: bool,
    /// What a client had replaced with `no-cache` is revoked at the server.
    pub revoke_replaced: bool,
    /// Answers from memory say how long their lease or token lives now, not how long it lived at first.
    pub adjust_ttl: bool,
    /// So many renewals after its last hit an entry is renewed no more; 0 for no bound.
    pub max_idle_renewals: u16,
    /// Each entry is looked up at the server about this often; `None` for never.
    pub verify_interval: Option<Duration>,
    /// Paths below `/v1/` whose answers are never remembered: whole segments, `*` for one or a part of one, and at the
    /// end `/*` for all below.
    pub deny_paths: Vec<String>,
    /// Most leases and tokens.
    pub max_entries: usize,
    /// Most bytes for all of them, reckoned.
    pub max_bytes: usize,
    /// Most renewals, look-ups and revocations of our own in a second.
    pub renewals_per_second: u32,
    /// What can be renewed no longer and was asked for lately is replaced before it ends.
    pub refresh_ahead: bool,
}

impl Default for Options {
    /// A hundred thousand leases of an hour are due about forty times a second; 200 leaves room for those that came
    /// together, and is little for any server.
    fn default() -> Self {
        Self {
            leases: true,
            strict_keys: false,
            key_extra_headers: Vec::new(),
            client_control: true,
            revoke_replaced: false,
            adjust_ttl: true,
            max_idle_renewals: 0,
            verify_interval: None,
            deny_paths: Vec::new(),
            max_entries: 200_000,
            max_bytes: 256 * 1024 * 1024,
            renewals_per_second: 200,
            refresh_ahead: false,
        }
    }
}

impl Options {
    /// Whether answers of `path` (with `/v1/`) are never remembered.
    pub(crate) fn denies(&self, path: &str) -> bool {
        let path = path.strip_prefix("/v1/").unwrap_or(path);
        self.deny_paths.iter().any(|pattern| matches(pattern.trim_start_matches('/'), path))
    }
}

/// Segment by segment; in a segment `*` stands for any text without a slash.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut segments) = (pattern.split('/').peekable(), path.split('/'));
    loop {
        match (patterns.next(), segments.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) if patterns.peek().is_none() => return true,
            (Some(pattern), Some(segment)) if segment_matches(pattern, segment) => {}
            _ => return false,
        }
    }
}

fn segment_matches(pattern: &str, mut segment: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| segment.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    segment = rest;
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return segment.ends_with(part);
        }
        let Some(at) = segment.find(part) else { return false };
        segment = &segment[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_paths_are_whole_segments() {
        let denies = |pattern: &str, path: &str| {
            Options { deny_paths: vec![pattern.to_owned()], ..Options::default() }.denies(path)
        };
        for (pattern, path, denied) in [
            ("auth/token/create", "/v1/auth/token/create", true),
            ("/auth/token/create", "/v1/auth/token/create", true),
            ("auth/token/create", "/v1/auth/token/create-orphan", false),
            ("auth/token/create*", "/v1/auth/token/create-orphan", true),
            ("auth/token/create", "/v1/auth/token/create/role", false),
            ("auth/*/login", "/v1/auth/approle/login", true),
            ("auth/*/login", "/v1/auth/userpass/login/joe", false),
            ("database/*", "/v1/database/creds/app", true),
            ("database/*", "/v1/database", false),
            ("database/creds/a*z", "/v1/database/creds/abcz", true),
            ("database/creds/a*z", "/v1/database/creds/abc", false),
        ] {
            assert_eq!(denies(pattern, path), denied, "{pattern} {path}");
        }
    }
}
