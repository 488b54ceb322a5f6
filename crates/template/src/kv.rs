//! Versioned key-value mounts: which they are, and where their data is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use vault::{Namespace, Secret};

/// A mount, and whether it is KV version 2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mount {
    /// With its trailing slash.
    pub path: String,
    /// Its kind: `kv` of version 2.
    pub versioned: bool,
}

impl Mount {
    /// From the answer of `sys/internal/ui/mounts/PATH` to a request in this namespace. The server puts the
    /// namespace before the mount's path, the template does not.
    pub fn told(answer: &Secret, namespace: Option<&Namespace>) -> Option<Self> {
        let data = answer.data.as_ref()?;
        let text = |key: &str| data.get(key).and_then(|value| value.as_str()).unwrap_or_default();
        let path = text("path").trim_matches('/');
        let own = namespace.map_or("", |namespace| namespace.as_str());
        let path = path.strip_prefix(own).unwrap_or(path);
        if path.is_empty() {
            return None;
        }
        let version = data.get("options").and_then(|options| options.get("version")?.as_str());
        Some(Self { path: format!("{path}/"), versioned: text("type") == "kv" && version == Some("2") })
    }

    /// What of a path lies behind the mount; `None` for another mount's.
    fn behind<'a>(&self, path: &'a str) -> Option<&'a str> {
        match path.strip_prefix(self.path.as_str()) {
            Some(rest) => Some(rest),
            None => (path == self.path.trim_end_matches('/')).then_some(""),
        }
    }
}

/// The mounts seen so far.
#[derive(Default)]
pub(crate) struct Mounts(Mutex<Vec<Mount>>);

impl Mounts {
    pub(crate) fn find(&self, path: &str) -> Option<Mount> {
        self.locked().iter().find(|mount| mount.behind(path).is_some()).cloned()
    }

    pub(crate) fn remember(&self, mount: &Mount) {
        let mut mounts = self.locked();
        mounts.retain(|known| known.path != mount.path);
        mounts.push(mount.clone());
    }

    /// It may have been replaced by one of the other kind: ask again next time.
    pub(crate) fn forget(&self, mount: &Mount) {
        self.locked().retain(|known| known != mount);
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Mount>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a path's data is: on a versioned mount below `data/`, unless the path says so itself.
pub fn data_path(path: &str, mount: Option<&Mount>) -> String {
    let of_its_own = |rest: &str| ["data/", "metadata/", "subkeys/"].iter().any(|own| rest.starts_with(own));
    match mount.filter(|mount| mount.versioned).and_then(|mount| Some((mount, mount.behind(path)?))) {
        Some((mount, rest)) if !of_its_own(rest) => joined(&mount.path, "data", rest),
        _ => path.to_owned(),
    }
}

/// Where a path's names are: on a versioned mount below `metadata/`.
pub fn list_path(path: &str, mount: Option<&Mount>) -> String {
    let of_its_own = |rest: &str| rest == "metadata" || rest.starts_with("metadata/");
    match mount.filter(|mount| mount.versioned).and_then(|mount| Some((mount, mount.behind(path)?))) {
        Some((mount, rest)) if !of_its_own(rest) => joined(&mount.path, "metadata", rest),
        _ => path.to_owned(),
    }
}

/// Go's `path.Join`.
fn joined(mount: &str, middle: &str, rest: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in mount.split('/').chain([middle]).chain(rest.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mount(path: &str, versioned: bool) -> Mount {
        Mount { path: path.into(), versioned }
    }

    #[test]
    fn versioned_paths_are_rewritten_once() {
        for (path, data, list) in [
            ("secret/app", "secret/data/app", "secret/metadata/app"),
            ("secret/data/app", "secret/data/app", "secret/metadata/data/app"),
            ("secret/metadata/app", "secret/metadata/app", "secret/metadata/app"),
            ("secret/metadata", "secret/data/metadata", "secret/metadata"),
            ("secret/subkeys/app", "secret/subkeys/app", "secret/metadata/subkeys/app"),
            ("secret", "secret/data", "secret/metadata"),
            ("secret/database", "secret/data/database", "secret/metadata/database"),
            ("secret/data/data/x", "secret/data/data/x", "secret/metadata/data/data/x"),
            ("secret//app", "secret/data/app", "secret/metadata/app"),
        ] {
            let mount = mount("secret/", true);
            assert_eq!(data_path(path, Some(&mount)), data, "{path}");
            assert_eq!(list_path(path, Some(&mount)), list, "{path}");
        }
        assert_eq!(data_path("kv/app", Some(&mount("kv/", false))), "kv/app");
        assert_eq!(list_path("kv/app", Some(&mount("kv/", false))), "kv/app");
        assert_eq!(data_path("kv/app", None), "kv/app");
    }

    #[test]
    fn mounts_are_told_apart() {
        let mounts = Mounts::default();
        mounts.remember(&mount("secret/", true));
        mounts.remember(&mount("team/kv/", false));
        assert_eq!(mounts.find("secrets/app"), None);
        assert_eq!(mounts.find("secret"), Some(mount("secret/", true)));
        assert_eq!(mounts.find("team/kv/x"), Some(mount("team/kv/", false)));
        assert_eq!(mounts.find("team"), None);
        mounts.forget(&mount("team/kv/", false));
        assert_eq!(mounts.find("team/kv/x"), None);
    }

    #[test]
    fn the_requests_namespace_is_no_part_of_the_mount() {
        let answer = |path: &str, version: &str| {
            let body = json!({"data": {"path": path, "type": "kv", "options": {"version": version}}});
            Secret::parse(body.to_string().as_bytes()).unwrap().unwrap()
        };
        let team = Namespace::new("team");
        assert_eq!(Mount::told(&answer("team/secret/", "2"), team.as_ref()), Some(mount("secret/", true)));
        // A namespace in the path of the template stays.
        assert_eq!(Mount::told(&answer("team/secret/", "1"), None), Some(mount("team/secret/", false)));
        assert_eq!(Mount::told(&answer("", "2"), None), None);
    }
}
