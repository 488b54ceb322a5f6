//! What a successful request tells about things that are remembered: a revocation, an unmount, a renewal.
//! Pure: from a request to what is to be forgotten or noted.

use http::Method;
use vault::{Request, SecretString};

use crate::json::string_field;

/// News about something that may be remembered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Observation {
    /// A token is gone, with its leases and children.
    Token(SecretString),
    /// The same, known by its accessor only.
    Accessor(SecretString),
    /// A token and its leases are gone, its children live on.
    TokenOnly(SecretString),
    /// A lease is gone.
    Lease(String),
    /// All leases and tokens whose path or id begins so are gone; no slash at the front, one at the end.
    Prefix(String),
    /// A lease was renewed; the answer says for how long.
    LeaseRenewed(String),
    /// A token was renewed; the answer says for how long.
    TokenRenewed(SecretString),
}

/// Reads a request that the server answered with a success (2xx). Revocations that the server only queued
/// (202) count: what is doomed is not handed out.
pub(crate) fn observe(request: &Request) -> Option<Observation> {
    let path = request.path();
    let after = |part: &str| {
        let at = path.find(part)?;
        Some(path[at + part.len()..].trim_start_matches('/').to_owned())
            .filter(|_| matches!(path.as_bytes().get(at + part.len()), None | Some(b'/')))
    };
    let field = |name: &str| string_field(&request.body, name).filter(|value| !value.is_empty());
    let own_token = || Some(SecretString::from(request.token_sent()?));
    let rest_or_field = |rest: String, name| if rest.is_empty() { field(name) } else { Some(rest) };
    let secret = |text: Option<String>| text.map(SecretString::from);
    if request.method == Method::DELETE {
        return after("/sys/mounts").map(|mount| Observation::Prefix(with_slash(&mount))).or_else(|| {
            after("/sys/auth").map(|mount| Observation::Prefix(format!("auth/{}", with_slash(&mount))))
        });
    }
    if !matches!(request.method, Method::POST | Method::PUT) {
        return None;
    }
    if path.contains("/auth/token/") {
        if after("/auth/token/revoke-self").is_some() {
            return own_token().map(Observation::Token);
        }
        if after("/auth/token/renew-self").is_some() {
            return own_token().map(Observation::TokenRenewed);
        }
        if let Some(rest) = after("/auth/token/revoke-orphan") {
            return secret(rest_or_field(rest, "token")).map(Observation::TokenOnly);
        }
        if after("/auth/token/revoke-accessor").is_some() {
            return secret(field("accessor")).map(Observation::Accessor);
        }
        if let Some(rest) = after("/auth/token/revoke") {
            return secret(rest_or_field(rest, "token")).map(Observation::Token);
        }
        if let Some(rest) = after("/auth/token/renew") {
            return secret(rest_or_field(rest, "token")).map(Observation::TokenRenewed);
        }
        return None;
    }
    for (revoke, prefix, force, renew) in [
        ("/sys/leases/revoke", "/sys/leases/revoke-prefix", "/sys/leases/revoke-force", "/sys/leases/renew"),
        ("/sys/revoke", "/sys/revoke-prefix", "/sys/revoke-force", "/sys/renew"),
    ] {
        if let Some(rest) = after(prefix).or_else(|| after(force)) {
            return (!rest.is_empty()).then(|| Observation::Prefix(with_slash(&rest)));
        }
        if let Some(rest) = after(revoke) {
            return rest_or_field(rest, "lease_id").map(Observation::Lease);
        }
        if let Some(rest) = after(renew) {
            return rest_or_field(rest, "lease_id").map(Observation::LeaseRenewed);
        }
    }
    if after("/sys/remount").is_some() {
        return field("from").map(|from| Observation::Prefix(with_slash(&from)));
    }
    None
}

fn with_slash(path: &str) -> String {
    format!("{}/", path.trim_matches('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vault::Token;

    use super::Observation::{
        Accessor, Lease, LeaseRenewed, Prefix, Token as Whole, TokenOnly, TokenRenewed,
    };
    use super::*;

    fn put(path: &str, body: &serde_json::Value) -> Request {
        Request::new(Method::PUT, path).token(&Token::new("s.own").unwrap()).json(body)
    }

    #[test]
    fn every_way_to_revoke_is_seen() {
        let token = json!({"token": "s.t"});
        let lease = json!({"lease_id": "database/creds/app/1"});
        let none = json!({});
        let cases = [
            ("auth/token/revoke", &token, Whole("s.t".into())),
            ("ns1/ns2/auth/token/revoke", &token, Whole("s.t".into())),
            ("auth/token/revoke/s.t", &none, Whole("s.t".into())),
            ("auth/token/revoke-self", &none, Whole("s.own".into())),
            ("auth/token/revoke-orphan", &token, TokenOnly("s.t".into())),
            ("auth/token/revoke-accessor", &json!({"accessor": "a"}), Accessor("a".into())),
            ("sys/leases/revoke", &lease, Lease("database/creds/app/1".into())),
            ("sys/leases/revoke", &json!({"LEASE_ID": "x", "sync": false}), Lease("x".into())),
            ("sys/leases/revoke/database/creds/app/1", &none, Lease("database/creds/app/1".into())),
            ("sys/revoke/database/creds/app/1", &none, Lease("database/creds/app/1".into())),
            ("sys/leases/revoke-prefix/database/creds", &none, Prefix("database/creds/".into())),
            ("sys/leases/revoke-force/database/", &none, Prefix("database/".into())),
            ("sys/revoke-prefix/database/", &none, Prefix("database/".into())),
            ("sys/remount", &json!({"from": "database", "to": "db"}), Prefix("database/".into())),
            ("sys/leases/renew", &lease, LeaseRenewed("database/creds/app/1".into())),
            ("auth/token/renew-self", &none, TokenRenewed("s.own".into())),
            ("auth/token/renew", &token, TokenRenewed("s.t".into())),
        ];
        for (path, body, want) in cases {
            assert_eq!(observe(&put(path, body)), Some(want), "{path}");
        }
        let unmount = Request::new(Method::DELETE, "sys/mounts/database");
        assert_eq!(observe(&unmount), Some(Prefix("database/".into())));
        let disable = Request::new(Method::DELETE, "sys/auth/approle");
        assert_eq!(observe(&disable), Some(Prefix("auth/approle/".into())));
    }

    #[test]
    fn what_looks_similar_is_left_alone() {
        for path in
            ["secret/data/sys/leases/revoke-later", "auth/token/revoker", "auth/token/create", "sys/mounts/x"]
        {
            assert_eq!(observe(&put(path, &json!({}))), None, "{path}");
        }
        assert_eq!(observe(&Request::new(Method::GET, "auth/token/revoke/s.t")), None);
        assert_eq!(observe(&put("sys/leases/revoke", &json!({"lease_id": 5}))), None);
    }
}
