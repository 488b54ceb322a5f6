//! Whether a secret in KV version 2 has changed, by its version alone: the server decrypts and sends no value for that.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use vault::Secret;

use crate::kv::Mount;

/// Which versions may be asked for, as far as it is known.
#[derive(Default)]
pub(crate) struct Versions {
    denied: Mutex<HashSet<String>>,
}

impl Versions {
    /// Where the versions of a secret stand, by the path of its data. `None` where asking was refused.
    pub(crate) fn place(&self, data_path: &str, mount: &Mount) -> Option<String> {
        let key = data_path.strip_prefix(&mount.path)?.strip_prefix("data/").filter(|key| !key.is_empty())?;
        let place = format!("{}metadata/{key}", mount.path);
        (!self.denied().contains(&place)).then_some(place)
    }

    /// Asking was refused.
    pub(crate) fn deny(&self, place: &str) {
        self.denied().insert(place.to_owned());
    }

    /// Another token may be let in.
    pub(crate) fn forget_denials(&self) {
        self.denied().clear();
    }

    /// Whether `known` is what a read would give now, by the answer about its versions.
    pub(crate) fn is_current(&self, known: &Secret, answer: &Secret) -> bool {
        is_current(known, answer).unwrap_or(false)
    }

    fn denied(&self) -> MutexGuard<'_, HashSet<String>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` where one of them is not what it should be.
fn is_current(known: &Secret, answer: &Secret) -> Option<bool> {
    let own = known.data.as_ref()?.get("metadata")?;
    let all = answer.data.as_ref()?;
    let version = all.get("current_version")?.as_u64()?;
    let current = all.get("versions")?.get(version.to_string())?;
    // What a template may show. Absent and null are one here.
    let same = |key: &str, there: Option<&Value>| {
        own.get(key).filter(|value| !value.is_null()) == there.filter(|value| !value.is_null())
    };
    Some(
        own.get("version")?.as_u64() == Some(version)
            && same("created_time", current.get("created_time"))
            && same("deletion_time", current.get("deletion_time"))
            && same("destroyed", current.get("destroyed"))
            && same("custom_metadata", all.get("custom_metadata")),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(data: Value) -> Secret {
        Secret::parse(json!({ "data": data }).to_string().as_bytes()).unwrap().unwrap()
    }

    fn known(version: u64) -> Secret {
        let metadata = json!({"version": version, "created_time": "t", "deletion_time": "", "destroyed": false,
            "custom_metadata": {"owner": "a"}});
        secret(json!({"data": {"a": "b"}, "metadata": metadata}))
    }

    fn versions(current: u64, owner: &str, deletion: &str) -> Secret {
        let one = json!({"created_time": "t", "deletion_time": deletion, "destroyed": false});
        secret(json!({"current_version": current, "custom_metadata": {"owner": owner},
            "versions": {current.to_string(): one}}))
    }

    #[test]
    fn everything_that_a_template_may_show_is_compared() {
        let is_current = |answer: &Secret| Versions::default().is_current(&known(3), answer);
        assert!(is_current(&versions(3, "a", "")));
        assert!(!is_current(&versions(4, "a", "")));
        assert!(!is_current(&versions(3, "b", "")));
        assert!(!is_current(&versions(3, "a", "2020-01-01T00:00:00Z")), "deleted");
        assert!(!is_current(&secret(json!({"current_version": 3}))), "an answer that is not understood");
    }

    #[test]
    fn the_place_is_beside_the_data_and_remembered_when_refused() {
        let mount = Mount { path: "team/kv/".to_owned(), versioned: true };
        let versions = Versions::default();
        let place = versions.place("team/kv/data/app/db", &mount).unwrap();
        assert_eq!(place, "team/kv/metadata/app/db");
        for none in ["team/kv/data/", "team/kv/subkeys/app", "other/data/app"] {
            assert_eq!(versions.place(none, &mount), None, "{none}");
        }
        versions.deny(&place);
        assert_eq!(versions.place("team/kv/data/app/db", &mount), None);
        assert!(versions.place("team/kv/data/app", &mount).is_some());
        versions.forget_denials();
        assert!(versions.place("team/kv/data/app/db", &mount).is_some());
    }
}
