//! What a request asks of a KV mount, and what a write touches. Pure: from a request to names.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use http::{HeaderMap, Method, header};
use vault::{Namespace, Request, headers};

use super::hash::TokenHash;
use super::patterns::Patterns;

/// Which answer of a path is meant.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Variant {
    /// The newest version, or the only one there is.
    Latest,
    /// One version.
    Version(u64),
    /// The names below it.
    List,
}

/// What is asked for: two requests with one key have one answer, whoever may read it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct BodyKey {
    /// Namespace and path in one, from `/v1/` on.
    pub(crate) place: Arc<str>,
    pub(crate) variant: Variant,
}

/// A request that may be answered from memory, or whose answer may be kept.
#[derive(Clone, Debug)]
pub(crate) struct Meaning {
    pub(crate) key: BodyKey,
    /// The namespace of the header; our own calls for this reader carry it too.
    pub(crate) namespace: Option<Namespace>,
    /// The path without `/v1/` and without that namespace: as policies of the namespace name it.
    pub(crate) path: Arc<str>,
    /// An answer from memory will do. Otherwise the server is asked, and its answer kept.
    pub(crate) from_memory: bool,
}

/// Headers that may change the answer, or that ask for one newer than ours can be.
const NOT_FROM_MEMORY: &[&str] = &["if-match", "if-modified-since", "if-none-match", "if-range", "range"];

/// Of the API's own headers, those with which an answer may be kept and served.
const PLAIN: &[&str] = &[
    "x-vault-forward",
    "x-vault-namespace",
    "x-vault-no-request-forwarding",
    "x-vault-raw-error",
    "x-vault-request",
    "x-vault-token",
];

/// Reads a request; `None` when it is none that static secrets are about.
/// `controlled`: `Cache-Control` counts.
pub(crate) fn meaning(request: &Request, allowed: &Patterns, controlled: bool) -> Option<Meaning> {
    if !request.body.is_empty() || request.upload.is_some() || request.upgrade {
        return None;
    }
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let mut variant = match request.method.as_str() {
        "GET" => Variant::Latest,
        "LIST" => Variant::List,
        _ => return None,
    };
    let mut pairs = query.split('&').filter(|pair| !pair.is_empty());
    match (pairs.next(), pairs.next(), variant) {
        (None, _, _) => {}
        (Some("list=true"), None, Variant::Latest) => variant = Variant::List,
        (Some(pair), None, Variant::Latest) => match pair.strip_prefix("version=").and_then(number)? {
            0 => {}
            version => variant = Variant::Version(version),
        },
        // What any other parameter does we do not know.
        _ => return None,
    }
    let (namespace, place) = placed(path, &request.headers)?;
    let relative = path.strip_prefix("/v1/")?;
    let (place, relative) = match variant {
        // The server takes both spellings of a folder for one.
        Variant::List => (with_slash(&place), with_slash(relative)),
        _ if place.ends_with('/') => return None,
        _ => (place, relative.to_owned()),
    };
    if !allowed.matches(place.strip_prefix("/v1/")?) || too_winding(&place) {
        return None;
    }
    let from_memory = look_at_headers(&request.headers, controlled)?;
    let key = BodyKey { place: place.into(), variant };
    Some(Meaning { key, namespace, path: relative.into(), from_memory })
}

/// Digits alone: `+1` and `01` are the server's to judge.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn with_slash(path: &str) -> String {
    format!("{}/", path.trim_end_matches('/'))
}

/// The namespace of the header, and the whole path with it. `None` when the header does not say it clearly.
fn placed(path: &str, headers: &HeaderMap) -> Option<(Option<Namespace>, String)> {
    let rest = path.strip_prefix("/v1/")?;
    let mut given = headers.get_all(headers::NAMESPACE).iter();
    let Some(first) = given.next() else { return Some((None, path.to_owned())) };
    if given.next().is_some() {
        return None;
    }
    let text = first.to_str().ok()?;
    let namespace = Namespace::new(text);
    // A spelling that we would put another way is the server's to judge.
    let below = namespace.as_ref().map_or("", |namespace| namespace.as_str());
    if !below.is_empty() && text.trim_matches('/') != below.trim_end_matches('/') {
        return None;
    }
    let place = format!("/v1/{below}{rest}");
    Some((namespace, place))
}

/// Whether memory will do; `None` when the answer must not be kept either.
fn look_at_headers(headers: &HeaderMap, controlled: bool) -> Option<bool> {
    let mut from_memory = true;
    for name in headers.keys().map(|name| name.as_str()) {
        if NOT_FROM_MEMORY.contains(&name) {
            return None;
        }
        match name {
            // At least as new as something this client has seen: only the server knows.
            "x-vault-inconsistent" | "x-vault-index" => from_memory = false,
            name if (name.starts_with("x-vault-") || name.starts_with("x-bao-"))
                && !PLAIN.contains(&name) =>
            {
                return None;
            }
            _ => {}
        }
    }
    if controlled {
        for value in [header::CACHE_CONTROL, header::PRAGMA].iter().flat_map(|name| headers.get_all(name)) {
            let value = value.to_str().ok()?.to_ascii_lowercase();
            if value.contains("no-store") {
                return None;
            }
            from_memory &= !value.contains("no-cache");
        }
    }
    Some(from_memory)
}

// === Names of a secret ===

/// What follows a KV version 2 mount in a path.
const VERBS: &[&str] = &["data", "delete", "destroy", "metadata", "subkeys", "undelete"];

/// A path with more such words, or more folders, than this is not looked into.
const MOST_VERBS: usize = 8;
const MOST_FOLDERS: usize = 64;

fn too_winding(place: &str) -> bool {
    let segments = place.split('/');
    segments.clone().count() > MOST_FOLDERS
        || segments.filter(|segment| VERBS.contains(segment)).count() > MOST_VERBS
}

/// Hashes names of secrets. A name is what all paths of one secret have in common (`secret/data/app`,
/// `secret/metadata/app`, `secret/destroy/app`, …). Where the mount ends is not told by a path, so a path has a name
/// for each place where it may end; two paths concern each other when they share one.
#[derive(Default)]
pub(crate) struct Names(RandomState);

impl Names {
    /// The names of one path.
    pub(crate) fn of(&self, place: &str) -> Vec<u64> {
        let mut names = vec![self.0.hash_one(("", place))];
        names.extend(splits(place).map(|(mount, rest)| self.0.hash_one((mount, rest))));
        names
    }

    /// The name of a token.
    pub(crate) fn of_token(&self, token: TokenHash) -> u64 {
        self.0.hash_one(("token", token))
    }

    /// The names that a write at a path concerns: its own and those of the folders above, whose lists it may change.
    /// `None`: more than we would look at, so all are concerned.
    pub(crate) fn touched(&self, place: &str) -> Option<Vec<u64>> {
        if too_winding(place) {
            return None;
        }
        // The server may take a slash at the end for none.
        let place = place.trim_end_matches('/');
        let folders = |path: &str| -> Vec<usize> { path.match_indices('/').map(|(at, _)| at + 1).collect() };
        let mut names = self.of(place);
        names.extend(folders(place).into_iter().map(|end| self.0.hash_one(("", &place[..end]))));
        for (mount, rest) in splits(place) {
            names.push(self.0.hash_one((mount, "")));
            names.extend(folders(rest).into_iter().map(|end| self.0.hash_one((mount, &rest[..end]))));
        }
        Some(names)
    }
}

/// `/v1/secret/data/app` → (`/v1/secret/`, `app`), for each word that may follow a mount.
fn splits(place: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut at = 0;
    place.split('/').filter_map(move |segment| {
        let (start, end) = (at, at + segment.len() + 1);
        at = end;
        VERBS.contains(&segment).then(|| (&place[..start], place.get(end..).unwrap_or_default()))
    })
}

// === Writes ===

/// What a request that is no read may change, besides the path it names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// Nothing but what lies at its path.
    Path,
    /// Who may read what.
    Permissions,
    /// What lies where.
    Mounts,
}

/// The namespace-and-path of a write, and how far it reaches.
pub(crate) fn write(request: &Request) -> (String, Reach) {
    let path = request.path();
    match placed(path, &request.headers) {
        Some((_, place)) => {
            let reach = reach(&request.method, &place);
            (place, reach)
        }
        // Where that is the server alone knows.
        None => (path.to_owned(), Reach::Mounts),
    }
}

fn reach(method: &Method, place: &str) -> Reach {
    let after = |part: &str| {
        place.match_indices(part).find_map(|(at, _)| {
            let rest = &place[at + part.len()..];
            (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
        })
    };
    for part in ["/sys/mounts", "/sys/remount", "/sys/namespaces"] {
        // A tuned mount may have become one with versions.
        if after(part).is_some() {
            return Reach::Mounts;
        }
    }
    for part in ["/sys/policies", "/sys/policy", "/sys/auth", "/identity"] {
        if after(part).is_some() {
            return Reach::Permissions;
        }
    }
    let Some(rest) = after("/auth") else { return Reach::Path };
    let harmless = match rest.strip_prefix("token/") {
        // Revocations are told apart, by whom they concern.
        Some(verb) => ["create", "lookup", "renew", "revoke"].iter().any(|known| verb.starts_with(known)),
        None => method != Method::DELETE && rest.split('/').any(|segment| segment == "login"),
    };
    if harmless { Reach::Path } else { Reach::Permissions }
}

/// Whether a write may change what other requests are answered: everything of the server itself, its logins and its
/// identities, but for what only looks, or concerns nobody but who asks.
pub(crate) fn decides_for_others(request: &Request) -> bool {
    let (place, reach) = write(request);
    let of_server = || {
        place.match_indices("/sys/").any(|(at, part)| {
            let rest = &place[at + part.len()..];
            !["capabilities", "leases/lookup", "leases/renew", "renew", "tools/", "wrapping/"]
                .iter()
                .any(|known| rest.starts_with(known))
        })
    };
    reach != Reach::Path || of_server()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn allowed() -> Patterns {
        Patterns::new(&["secret/*".to_owned(), "ns1/secret/*".to_owned()])
    }

    fn read(method: &str, path: &str, extra: &[(&'static str, &'static str)]) -> Option<Meaning> {
        let mut request = Request::new(Method::from_bytes(method.as_bytes()).unwrap(), path);
        for (name, value) in extra {
            request.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        meaning(&request, &allowed(), true)
    }

    #[test]
    fn one_thing_has_one_key() {
        let key = |read: Option<Meaning>| read.unwrap().key;
        for (one, other) in [
            (read("GET", "secret/data/a", &[]), read("GET", "secret/data/a?version=0", &[])),
            (read("LIST", "secret/metadata/a", &[]), read("GET", "secret/metadata/a/?list=true", &[])),
            (
                read("GET", "secret/data/a", &[("x-vault-namespace", "ns1/")]),
                read("GET", "ns1/secret/data/a", &[]),
            ),
        ] {
            assert_eq!(key(one), key(other));
        }
        assert_ne!(key(read("GET", "secret/data/a", &[])), key(read("GET", "secret/data/a?version=1", &[])));
        let below = read("GET", "secret/data/a", &[("x-vault-namespace", "ns1/")]).unwrap();
        assert_eq!((&*below.path, below.namespace.unwrap().as_str()), ("secret/data/a", "ns1/"));
    }

    #[test]
    fn what_we_do_not_understand_is_left_to_the_server() {
        for (method, path) in [
            ("GET", "other/data/a"),
            ("HEAD", "secret/data/a"),
            ("POST", "secret/data/a"),
            ("GET", "secret/data/a/"),
            ("GET", "secret/data/a?version=01"),
            ("GET", "secret/data/a?version=x"),
            ("GET", "secret/data/a?version=1&version=2"),
            ("GET", "secret/data/a?depth=1"),
            ("LIST", "secret/metadata/?after=x"),
            ("GET", "secret/data/data/data/data/data/data/data/data/data/data"),
        ] {
            assert!(read(method, path, &[]).is_none(), "{method} {path}");
        }
        for header in [
            ("x-vault-unknown", "1"),
            ("x-vault-wrap-ttl", "60"),
            ("cache-control", "no-store"),
            ("if-none-match", "x"),
            ("x-vault-namespace", "a//b"),
        ] {
            assert!(read("GET", "secret/data/a", &[header]).is_none(), "{header:?}");
        }
        for header in [("cache-control", "No-Cache"), ("x-vault-index", "abc")] {
            assert!(!read("GET", "secret/data/a", &[header]).unwrap().from_memory, "{header:?}");
        }
        assert!(read("GET", "secret/data/a", &[("user-agent", "curl")]).unwrap().from_memory);
    }

    #[test]
    fn a_write_concerns_all_paths_of_its_secret_and_the_lists_above() {
        let names = Names::default();
        let concerns = |write: &str, read: &str| {
            let touched = names.touched(write).unwrap();
            names.of(read).iter().any(|name| touched.contains(name))
        };
        for verb in VERBS {
            for read in ["/v1/secret/data/a/b", "/v1/secret/metadata/a/b", "/v1/secret/subkeys/a/b"] {
                assert!(concerns(&format!("/v1/secret/{verb}/a/b"), read), "{verb} {read}");
            }
            for list in ["/v1/secret/metadata/a/", "/v1/secret/metadata/"] {
                assert!(concerns(&format!("/v1/secret/{verb}/a/b"), list), "{verb} {list}");
            }
        }
        assert!(concerns("/v1/kv/a", "/v1/kv/a") && concerns("/v1/kv/a/b", "/v1/kv/a/"));
        assert!(concerns("/v1/kv/data/data/x", "/v1/kv/data/metadata/x"));
        assert!(concerns("/v1/secret/data/a/", "/v1/secret/data/a"));
        assert!(!concerns("/v1/secret/data/a", "/v1/secret/data/b"));
        assert!(!concerns("/v1/secret/data/a", "/v1/other/data/a"));
        assert!(!concerns("/v1/secret/data/a", "/v1/secret/metadata/b/"));
    }

    #[test]
    fn how_far_a_write_reaches() {
        for (path, wanted) in [
            ("sys/policies/acl/app", Reach::Permissions),
            ("ns1/sys/policy/app", Reach::Permissions),
            ("identity/entity/id/1", Reach::Permissions),
            ("auth/approle/role/app", Reach::Permissions),
            ("auth/userpass/users/login2", Reach::Permissions),
            ("auth/token/roles/x", Reach::Permissions),
            ("sys/mounts/secret/tune", Reach::Mounts),
            ("sys/remount", Reach::Mounts),
            ("sys/mountsx", Reach::Path),
            ("auth/approle/login", Reach::Path),
            ("auth/userpass/login/eve", Reach::Path),
            ("auth/token/create", Reach::Path),
            ("secret/data/app", Reach::Path),
        ] {
            assert_eq!(write(&Request::new(Method::POST, path)).1, wanted, "{path}");
        }
        for (path, wanted) in [
            ("sys/policies/acl/app", true),
            ("sys/remount", true),
            ("ns1/sys/raw/core/mounts", true),
            ("sys/config/cors", true),
            ("auth/approle/role/app", true),
            ("identity/group", true),
            ("sys/leases/renew", false),
            ("sys/wrapping/unwrap", false),
            ("sys/capabilities-self", false),
            ("auth/approle/login", false),
            ("auth/token/renew-self", false),
            ("transit/encrypt/app", false),
            ("secret/data/app", false),
        ] {
            assert_eq!(decides_for_others(&Request::new(Method::POST, path)), wanted, "{path}");
        }
        let mut unclear = Request::new(Method::POST, "secret/data/app");
        unclear.headers.insert("x-vault-namespace", HeaderValue::from_static("a//b"));
        assert_eq!(write(&unclear).1, Reach::Mounts);
    }
}
