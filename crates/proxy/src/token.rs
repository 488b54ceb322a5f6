//! Whose token a request travels with: a pure decision.

use config::UseAutoAuthToken;
use http::{HeaderMap, Method, header};
use vault::headers;

/// Whose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    /// The client's own, as it came; or none, if it brought none.
    Clients,
    /// Ours; the client's, if any, is removed.
    Ours,
}

/// Chooses for a request to the canonical `path`.
///
/// `Authorization: Bearer` is a token like any other. Ours never goes to paths outside the API, nor to logins
/// and other endpoints that need none: a login with a token beside it is somebody else's login.
pub(crate) fn choose(mode: UseAutoAuthToken, method: &Method, path: &str, headers: &HeaderMap) -> Choice {
    if mode == UseAutoAuthToken::No || !path.starts_with("/v1/") || needs_no_token(method, path) {
        return Choice::Clients;
    }
    // The server refuses a token beside inline authentication.
    if headers.contains_key(headers::INLINE_AUTH_PATH) {
        return Choice::Clients;
    }
    match mode {
        UseAutoAuthToken::Force => Choice::Ours,
        _ if has_token(headers) => Choice::Clients,
        _ => Choice::Ours,
    }
}

fn has_token(headers: &HeaderMap) -> bool {
    let named = headers.get(headers::TOKEN).is_some_and(|token| !token.is_empty());
    named || headers.get_all(header::AUTHORIZATION).iter().any(is_bearer)
}

fn is_bearer(value: &http::HeaderValue) -> bool {
    value.as_bytes().get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
}

/// Removes every token the client sent.
pub(crate) fn remove_clients(headers: &mut HeaderMap) {
    headers.remove(headers::TOKEN);
    if headers.get_all(header::AUTHORIZATION).iter().any(is_bearer) {
        headers.remove(header::AUTHORIZATION);
    }
}

/// Directly behind `/v1/` only: what looks like it further down may be somebody's secret, and needs a token.
fn needs_no_token(method: &Method, path: &str) -> bool {
    const OPEN: &[&str] =
        &["/v1/sys/health", "/v1/sys/init", "/v1/sys/leader", "/v1/sys/seal-status", "/v1/sys/unseal"];
    if OPEN.contains(&path) {
        return true;
    }
    // `auth/<mount>/login` and `…/login/<name>`, the mount of any depth.
    let Some(rest) = path.strip_prefix("/v1/auth/") else { return false };
    matches!(*method, Method::POST | Method::PUT) && rest.split('/').skip(1).any(|segment| segment == "login")
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::Choice::{Clients, Ours};
    use super::*;

    fn with(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn the_table() {
        use UseAutoAuthToken::{Force, No, WhenMissing};
        const READ: &str = "/v1/secret/data/app";
        let (none, token, empty) =
            (with(&[]), with(&[("x-vault-token", "s.c")]), with(&[("x-vault-token", "")]));
        let (bearer, basic) =
            (with(&[("authorization", "bearer s.c")]), with(&[("authorization", "Basic x")]));
        let inline = with(&[("x-vault-inline-auth-path", "auth/approle/login")]);
        for (mode, path, headers, choice) in [
            (No, READ, &none, Clients),
            (WhenMissing, READ, &none, Ours),
            (WhenMissing, READ, &empty, Ours),
            (WhenMissing, READ, &token, Clients),
            (WhenMissing, READ, &bearer, Clients),
            (WhenMissing, READ, &basic, Ours),
            (WhenMissing, READ, &inline, Clients),
            (Force, READ, &token, Ours),
            (Force, READ, &bearer, Ours),
            (Force, "/ui/", &none, Clients),
            (Force, "/v1/auth/approle/login", &none, Clients),
            (WhenMissing, "/v1/auth/a/b/login/bob", &none, Clients),
            (WhenMissing, "/v1/secret/data/auth/app/login", &none, Ours),
            (WhenMissing, "/v1/secret/data/sys/health", &none, Ours),
            (WhenMissing, "/v1/sys/health", &none, Clients),
            (WhenMissing, "/v1/auth/approle/role/login", &none, Clients),
            (WhenMissing, "/v1/auth/approle/role/app/role-id", &none, Ours),
            (WhenMissing, "/v1/secret/data/login", &none, Ours),
        ] {
            assert_eq!(choose(mode, &Method::PUT, path, headers), choice, "{mode:?} {path} {headers:?}");
        }
    }

    #[test]
    fn reading_about_a_login_is_none() {
        let choice =
            choose(UseAutoAuthToken::WhenMissing, &Method::GET, "/v1/auth/a/role/login", &HeaderMap::new());
        assert_eq!(choice, Ours);
    }

    #[test]
    fn both_kinds_of_tokens_go() {
        let mut headers = with(&[("x-vault-token", "s.c"), ("authorization", "Bearer s.c"), ("accept", "a")]);
        remove_clients(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }
}
