//! Whose token a request travels with: a pure decision.

use config::UseAutoAuthToken;
use http::{HeaderMap, HeaderValue, Method, header};
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

fn is_bearer(value: &HeaderValue) -> bool {
    value.as_bytes().get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
}

/// A token in `Authorization: Bearer` becomes the token of the request, where everybody looks for it: the server would
/// do the same. A login is left alone, and so is a request that brings both.
pub(crate) fn adopt_bearer(headers: &mut HeaderMap, method: &Method, path: &str) {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(bearer), None) = (given.next(), given.next()) else { return };
    let named = headers.get(headers::TOKEN).is_some_and(|token| !token.is_empty());
    if named || !is_bearer(bearer) || !path.starts_with("/v1/") || needs_no_token(method, path) {
        return;
    }
    let token = bearer.as_bytes().get(7..).unwrap_or_default().trim_ascii();
    if let Ok(token) = HeaderValue::from_bytes(token)
        && !token.is_empty()
    {
        headers.insert(headers::TOKEN, token);
        headers.remove(header::AUTHORIZATION);
    }
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
    let Some(rest) = path.strip_prefix("/v1/auth/") else { return false };
    // The token backend has no logins; a role of its may be called so.
    if rest.starts_with("token/") {
        return false;
    }
    let writes = matches!(*method, Method::POST | Method::PUT);
    let mut segments = rest.split('/');
    // The mount, of any depth, has one segment at least.
    let mut before = segments.next().unwrap_or_default();
    for (nth, segment) in segments.enumerate() {
        match (before, segment) {
            // Something of the method's that is called so; a mount may be called as its folder.
            (folder, "login") if nth > 0 && NAMED.contains(&folder) => {}
            // `auth/<mount>/login` and `…/login/<name>`.
            (_, "login") if writes => return true,
            ("oidc", "auth_url" | "callback" | "poll") => return true,
            _ => {}
        }
        before = segment;
    }
    false
}

/// What auth methods keep under names of the user's choice.
const NAMED: &[&str] = &["certs", "groups", "map", "role", "roles", "sts", "users"];

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::Choice::{Clients, Ours};
    use super::*;

    fn with(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn s3_a_bearer_is_the_token() {
        for (given, path, wanted) in [
            (&[("authorization", "bearer s.b")][..], "/v1/a", ("s.b", false)),
            (&[("authorization", "Bearer  s.b "), ("x-vault-token", "")], "/v1/a", ("s.b", false)),
            (&[("authorization", "Bearer s.b"), ("x-vault-token", "s.c")], "/v1/a", ("s.c", true)),
            (&[("authorization", "Bearer ")], "/v1/a", ("", true)),
            (&[("authorization", "Negotiate x")], "/v1/a", ("", true)),
            (&[("authorization", "Bearer s.b")], "/v1/auth/jwt/login", ("", true)),
            (&[("authorization", "Bearer s.b")], "/ui", ("", true)),
        ] {
            let mut headers = with(given);
            adopt_bearer(&mut headers, &Method::POST, path);
            let token = headers.get("x-vault-token").map_or("", |token| token.to_str().unwrap());
            assert_eq!((token, headers.contains_key("authorization")), wanted, "{given:?}");
        }
        let mut two = with(&[("authorization", "Bearer a")]);
        two.append("authorization", HeaderValue::from_static("Bearer b"));
        adopt_bearer(&mut two, &Method::GET, "/v1/a");
        assert!(!two.contains_key("x-vault-token"));
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
            (WhenMissing, "/v1/auth/approle/role/login", &none, Ours),
            (WhenMissing, "/v1/auth/approle/role/login/secret-id", &none, Ours),
            (WhenMissing, "/v1/auth/userpass/users/login", &none, Ours),
            (WhenMissing, "/v1/auth/users/login/bob", &none, Clients),
            (WhenMissing, "/v1/auth/team/ldap/login/bob", &none, Clients),
            (WhenMissing, "/v1/auth/oidc/oidc/auth_url", &none, Clients),
            (WhenMissing, "/v1/auth/oidc/oidc/callback", &none, Clients),
            (WhenMissing, "/v1/auth/sso/oidc/poll", &none, Clients),
            (WhenMissing, "/v1/auth/oidc/role/callback", &none, Ours),
            (WhenMissing, "/v1/auth/token/create/login", &none, Ours),
            (WhenMissing, "/v1/auth/approle/role/app/role-id", &none, Ours),
            (WhenMissing, "/v1/secret/data/login", &none, Ours),
        ] {
            assert_eq!(choose(mode, &Method::PUT, path, headers), choice, "{mode:?} {path} {headers:?}");
        }
    }

    #[test]
    fn reading_about_a_login_is_none() {
        let choice =
            choose(UseAutoAuthToken::WhenMissing, &Method::GET, "/v1/auth/a/login", &HeaderMap::new());
        assert_eq!(choice, Ours);
    }

    #[test]
    fn both_kinds_of_tokens_go() {
        let mut headers = with(&[("x-vault-token", "s.c"), ("authorization", "Bearer s.c"), ("accept", "a")]);
        remove_clients(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }
}
