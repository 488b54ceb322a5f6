//! Where in the server a request lies, as far as a path tells without knowing what is mounted where.

use std::hash::{BuildHasher as _, RandomState};

use vault::{Request, headers};

use crate::json::percent_decoded;
use crate::observe::full_path;
use crate::store::Place;

/// Namespaces and mounts may have any number of segments, and a namespace may stand in the path or in a header. But two
/// requests to one mount have the first segment of namespace and path in common, however they are spelled.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Region {
    /// That segment's hash. `None`: it cannot be told.
    first: Option<u64>,
    /// It may be about what the server itself knows of leases, tokens, identities and mounts.
    of_server: bool,
}

impl Region {
    pub(crate) fn of(request: &Request, hasher: &RandomState) -> Self {
        let namespace = request.headers.get(headers::NAMESPACE);
        let Ok(namespace) = namespace.map(|value| value.to_str()).transpose() else {
            return Self { first: None, of_server: true };
        };
        let place = Place { namespace: namespace.map(Into::into), path: request.path().into() };
        let path = full_path(&place);
        let path = percent_decoded(&path);
        let mut segments = path.split('/').filter(|segment| !segment.is_empty()).peekable();
        let first = segments.peek().map(|first| hasher.hash_one(first));
        let of_server = segments.any(|segment| matches!(segment, "auth" | "identity" | "sys"));
        Self { first, of_server }
    }

    /// Whether both may lie in one mount.
    pub(crate) fn meets(self, other: Self) -> bool {
        self.first.is_none() || other.first.is_none() || self.first == other.first
    }

    pub(crate) fn is_of_server(self) -> bool {
        self.of_server
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use vault::Namespace;

    use super::*;

    #[test]
    fn what_may_lie_in_one_mount_meets() {
        let hasher = RandomState::new();
        let region = |namespace: &str, path: &str| {
            let request = Request::new(Method::GET, path).namespace(Namespace::new(namespace).as_ref());
            Region::of(&request, &hasher)
        };
        for (one, other, meet) in [
            (("", "pki/root/rotate"), ("", "pki/ca/pem"), true),
            (("", "team/a/pki/root/rotate"), ("", "team/a/pki/ca/pem"), true),
            (("", "team/a/pki/root/rotate"), ("", "team/b/kv/x"), true),
            (("ns1", "pki/root/rotate"), ("", "ns1/pki/ca/pem"), true),
            (("ns1/ns2", "pki/root/rotate"), ("ns1", "ns2/pki/ca/pem"), true),
            (("ns1/ns2", "pki/root/rotate"), ("", "ns1/ns2/pki/ca/pem"), true),
            (("", "%70ki%2Froot/rotate"), ("", "pki/ca/pem"), true),
            (("", "pki/root/rotate"), ("", "pki2/ca/pem"), false),
            (("ns1", "pki/root/rotate"), ("", "pki/ca/pem"), false),
        ] {
            assert_eq!(region(one.0, one.1).meets(region(other.0, other.1)), meet, "{one:?} {other:?}");
        }
        for (path, of_server) in [
            ("sys/health", true),
            ("ns1/auth/token/lookup-self", true),
            ("identity/entity/id", true),
            ("secret/data/system", false),
        ] {
            assert_eq!(region("", path).is_of_server(), of_server, "{path}");
        }
        let mut unclear = Request::new(Method::GET, "secret/data/app");
        unclear.headers.insert(headers::NAMESPACE, http::HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(Region::of(&unclear, &hasher).meets(region("", "pki/ca/pem")));
    }
}
