//! What a successful request tells about things that are remembered: a revocation, an unmount, a renewal.
//! Pure: from a request to what is to be forgotten or noted.

use http::{HeaderMap, Method, header};
use vault::{Namespace, Request, SecretString, headers};

use crate::json::{percent_decoded, string_field};
use crate::store::{Place, Subject};

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
    /// All leases and tokens in an area are gone, or not what they were.
    Area(Area),
    /// A lease was renewed; the answer says for how long.
    LeaseRenewed(String),
    /// A token was renewed; the answer says for how long.
    TokenRenewed(SecretString),
}

impl Observation {
    /// Whether it tells of a renewal; all others tell that something is gone.
    pub(crate) fn is_renewal(&self) -> bool {
        matches!(self, Self::LeaseRenewed(_) | Self::TokenRenewed(_))
    }
}

/// All below a path in a namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Area {
    /// Empty for the root; else with a slash at its end.
    pub(crate) namespace: String,
    /// Without a slash at its front, with one at its end; empty for all in the namespace.
    pub(crate) prefix: String,
}

impl Area {
    /// Whether an entry lies in it: by the path it was asked for at, or by its lease id.
    pub(crate) fn holds(&self, subject: &Subject, place: &Place) -> bool {
        let path = full_path(place);
        let Some(below) = path.strip_prefix(&self.namespace) else { return false };
        if below.starts_with(&self.prefix) {
            return true;
        }
        let Subject::Lease { lease } = subject else { return false };
        let lease = lease.as_str();
        if lease != self.prefix.trim_end_matches('/') && !lease.starts_with(&self.prefix) {
            return false;
        }
        // A lease id says nothing of its namespace; the path it was asked for at does, where it ends alike.
        let at = lease.rfind('/').map_or(0, |slash| slash + 1);
        path.strip_suffix(&lease[..at]).is_none_or(|namespace| namespace == self.namespace)
    }
}

/// Namespace and path of an entry in one, with a slash at its end: a prefix may name the very path.
pub(crate) fn full_path(place: &Place) -> String {
    let path = place.path.strip_prefix("/v1/").unwrap_or(&place.path);
    let namespace = place.namespace.as_deref().and_then(Namespace::new);
    format!("{}{path}/", namespace.as_ref().map_or("", Namespace::as_str))
}

/// Reads a request that the server answered with a success (2xx). Revocations that the server only queued
/// (202) count: what is doomed is not handed out.
pub(crate) fn observe(request: &Request) -> Option<Observation> {
    let path = request.path();
    // What may be of interest has one of these in it; most requests have not.
    if !path.contains("/sys/") && !path.contains("/auth/token/") {
        return None;
    }
    let after = |part: &str| {
        let at = path.find(part)?;
        Some(percent_decoded(path[at + part.len()..].trim_start_matches('/')).into_owned())
            .filter(|_| matches!(path.as_bytes().get(at + part.len()), None | Some(b'/')))
    };
    let is_form = is_form(&request.headers);
    let field = |name: &str| string_field(&request.body, name, is_form).filter(|value| !value.is_empty());
    let own_token = || Some(SecretString::from(request.token_sent()?));
    let rest_or_field = |rest: String, name| if rest.is_empty() { field(name) } else { Some(rest) };
    let secret = |text: Option<String>| text.map(SecretString::from);
    // What stands before `part` in the path is a namespace, below that of the header.
    let area = |part: &str, prefix: String| {
        let before =
            path.find(part).map(|at| path[..at].strip_prefix("/v1").unwrap_or_default()).unwrap_or_default();
        let given = request.headers.get(headers::NAMESPACE).and_then(|value| value.to_str().ok());
        let whole = Namespace::new(&format!("{}/{before}", given.unwrap_or_default()));
        let namespace = whole.as_ref().map_or("", Namespace::as_str).to_owned();
        Observation::Area(Area { namespace, prefix })
    };
    let mount = |kind: &str, front: &str, end: &str| {
        let mount = after(kind)?;
        let mount = mount.trim_end_matches('/').strip_suffix(end)?.trim_end_matches('/');
        (!mount.is_empty()).then(|| area(kind, format!("{front}{mount}/")))
    };
    if request.method == Method::DELETE {
        let namespace = || {
            let name = after("/sys/namespaces").filter(|name| !name.is_empty())?;
            let Observation::Area(parent) = area("/sys/namespaces", String::new()) else { return None };
            let namespace = format!("{}{}", parent.namespace, with_slash(&name));
            Some(Observation::Area(Area { namespace, prefix: String::new() }))
        };
        return mount("/sys/mounts", "", "").or_else(|| mount("/sys/auth", "auth/", "")).or_else(namespace);
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
    }
    for (revoke, prefix, force, renew) in [
        ("/sys/leases/revoke", "/sys/leases/revoke-prefix", "/sys/leases/revoke-force", "/sys/leases/renew"),
        ("/sys/revoke", "/sys/revoke-prefix", "/sys/revoke-force", "/sys/renew"),
    ] {
        for all in [prefix, force] {
            if let Some(rest) = after(all) {
                return (!rest.is_empty()).then(|| area(all, with_slash(&rest)));
            }
        }
        if let Some(rest) = after(revoke) {
            return rest_or_field(rest, "lease_id").map(Observation::Lease);
        }
        if let Some(rest) = after(renew) {
            return rest_or_field(rest, "lease_id").map(Observation::LeaseRenewed);
        }
    }
    if after("/sys/remount").is_some() {
        return field("from").map(|from| area("/sys/remount", with_slash(&from)));
    }
    mount("/sys/mounts", "", "/tune").or_else(|| mount("/sys/auth", "auth/", "/tune"))
}

/// Whether a body that is no JSON is taken for a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    })
}

fn with_slash(path: &str) -> String {
    format!("{}/", path.trim_matches('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vault::{LeaseId, Token};

    use super::Observation::{Accessor, Lease, LeaseRenewed, Token as Whole, TokenOnly, TokenRenewed};
    use super::*;

    fn put(path: &str, body: &serde_json::Value) -> Request {
        Request::new(Method::PUT, path).token(&Token::new("s.own").unwrap()).json(body)
    }

    /// `ns1/` and `database/` of `ns1/|database/`.
    fn area(text: &str) -> Observation {
        let (namespace, prefix) = text.split_once('|').unwrap();
        Observation::Area(Area { namespace: namespace.to_owned(), prefix: prefix.to_owned() })
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
            ("sys/leases/revoke-prefix/database/creds", &none, area("|database/creds/")),
            ("sys/leases/revoke-force/database/", &none, area("|database/")),
            ("sys/revoke-prefix/database/", &none, area("|database/")),
            ("sys/remount", &json!({"from": "database", "to": "db"}), area("|database/")),
            ("ns1/sys/leases/revoke-prefix/database", &none, area("ns1/|database/")),
            ("sys/remount", &json!({"from": "ns1/database", "to": "db"}), area("|ns1/database/")),
            ("sys/mounts/database/tune", &none, area("|database/")),
            ("ns1/sys/auth/approle/tune", &none, area("ns1/|auth/approle/")),
            ("sys/leases/revoke/database/creds/a%2Fb", &none, Lease("database/creds/a/b".into())),
            ("sys/leases/renew", &lease, LeaseRenewed("database/creds/app/1".into())),
            ("auth/token/renew-self", &none, TokenRenewed("s.own".into())),
            ("auth/token/renew", &token, TokenRenewed("s.t".into())),
        ];
        for (path, body, want) in cases {
            assert_eq!(observe(&put(path, body)), Some(want), "{path}");
        }
        let unmount = Request::new(Method::DELETE, "sys/mounts/database");
        assert_eq!(observe(&unmount), Some(area("|database/")));
        let disable = Request::new(Method::DELETE, "sys/auth/approle");
        assert_eq!(observe(&disable), Some(area("|auth/approle/")));
        let namespace = Request::new(Method::DELETE, "ns1/sys/namespaces/ns2");
        assert_eq!(observe(&namespace), Some(area("ns1/ns2/|")));
        let above = Namespace::new("ns0");
        assert_eq!(observe(&namespace.namespace(above.as_ref())), Some(area("ns0/ns1/ns2/|")));
    }

    /// `curl -d token=…`.
    #[test]
    fn a_form_is_read_where_the_servers_read_one() {
        let mut request = put("auth/token/revoke", &json!({}));
        request.body = "token=s.t".into();
        assert_eq!(observe(&request), None);
        request.headers.insert(header::CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
        assert_eq!(observe(&request), Some(Whole("s.t".into())));
    }

    #[test]
    fn an_area_ends_at_segments_and_namespaces() {
        let place = |namespace: &str, path: &str| Place {
            namespace: Some(namespace.into()).filter(|_| !namespace.is_empty()),
            path: path.into(),
        };
        let lease = |id: &str| Subject::Lease { lease: LeaseId::new(id).unwrap() };
        let token = || Subject::Own { token: std::sync::Arc::new(Token::new("s").unwrap()) };
        let creds = || lease("database/creds/app/1");
        for (text, subject, place, held) in [
            ("|database/", creds(), place("", "/v1/database/creds/app"), true),
            ("|database/creds/app/", creds(), place("", "/v1/database/creds/app"), true),
            ("|database/creds/app/1/", creds(), place("", "/v1/database/creds/app"), true),
            ("|database/creds/app/2/", creds(), place("", "/v1/database/creds/app"), false),
            ("|data/", creds(), place("", "/v1/database/creds/app"), false),
            ("ns1/|database/", creds(), place("", "/v1/database/creds/app"), false),
            ("ns1/|database/", creds(), place("ns1", "/v1/database/creds/app"), true),
            ("ns1/|database/", creds(), place("", "/v1/ns1/database/creds/app"), true),
            ("|database/", creds(), place("ns1/", "/v1/database/creds/app"), false),
            ("ns1/|", token(), place("", "/v1/ns1/auth/approle/login"), true),
            ("ns1/|", token(), place("ns1", "/v1/auth/approle/login"), true),
            ("ns1/|", token(), place("ns12", "/v1/auth/approle/login"), false),
            ("|auth/approle/login/", token(), place("", "/v1/auth/approle/login"), true),
            // Moved to another mount, its id stays.
            ("|old/", lease("old/creds/app/1"), place("", "/v1/new/creds/app"), true),
        ] {
            let Observation::Area(area) = area(text) else { unreachable!() };
            assert_eq!(area.holds(&subject, &place), held, "{text} {place:?}");
        }
    }

    #[test]
    fn what_looks_similar_is_left_alone() {
        for path in [
            "secret/data/sys/leases/revoke-later",
            "auth/token/revoker",
            "auth/token/create",
            "sys/mounts/x",
            "sys/mounts/tune",
        ] {
            assert_eq!(observe(&put(path, &json!({}))), None, "{path}");
        }
        assert_eq!(observe(&Request::new(Method::GET, "auth/token/revoke/s.t")), None);
        assert_eq!(observe(&put("sys/leases/revoke", &json!({"lease_id": 5}))), None);
    }
}
