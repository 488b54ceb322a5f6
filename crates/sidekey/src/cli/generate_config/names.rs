//! Names of variables for the keys of secrets: upstream's, and longer ones where two would be the same.

use std::collections::{BTreeMap, BTreeSet};

use super::super::kv::Found;

/// One variable.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Named<'a> {
    pub(super) name: String,
    pub(super) path: &'a str,
    pub(super) versioned: bool,
    pub(super) key: &'a str,
}

/// `FOO_USER` for the key `user` of `secret/foo`; each key of each secret once.
///
/// # Errors
/// Two keys of one secret become one name, whatever is put before it.
pub(super) fn name_all(found: &[Found]) -> Result<Vec<Named<'_>>, String> {
    let mut all: Vec<(&Found, &str)> = Vec::new();
    for secret in found {
        if all.iter().any(|(known, _)| known.path == secret.path) {
            continue;
        }
        let mut keys: Vec<&str> = secret.fields.keys().map(String::as_str).collect();
        keys.sort_unstable();
        all.extend(keys.into_iter().map(|key| (secret, key)));
    }
    // How many elements of the path are in the name.
    let mut parts = vec![1_usize; all.len()];
    loop {
        let names: Vec<String> =
            all.iter().zip(&parts).map(|((secret, key), parts)| name(secret, *parts, key)).collect();
        let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (nth, name) in names.iter().enumerate() {
            by_name.entry(name).or_default().push(nth);
        }
        let mut longer = parts.clone();
        for (name, which) in by_name.iter().filter(|(_, which)| which.len() > 1) {
            // Two keys of one secret have the same path before them, however much of it.
            let secrets: BTreeSet<&str> =
                which.iter().filter_map(|nth| Some(all.get(*nth)?.0.path.as_str())).collect();
            let mut can = false;
            if secrets.len() == which.len() {
                for nth in which {
                    let most = all.get(*nth).map_or(1, |(secret, _)| secret.said().split('/').count());
                    if let Some(parts) = longer.get_mut(*nth).filter(|parts| **parts < most) {
                        *parts += 1;
                        can = true;
                    }
                }
            }
            if !can {
                let who: Vec<String> = which
                    .iter()
                    .filter_map(|nth| all.get(*nth))
                    .map(|(secret, key)| format!("{key:?} of {:?}", secret.said()))
                    .collect();
                return Err(format!(
                    "the keys {} would both be the variable {name}; rename one of them",
                    who.join(" and ")
                ));
            }
        }
        if longer == parts {
            let named = all.iter().zip(names).map(|((secret, key), name)| Named {
                name,
                path: &secret.path,
                versioned: secret.versioned(),
                key,
            });
            return Ok(named.collect());
        }
        parts = longer;
    }
}

/// The last `parts` elements of the path and the key, in capitals, with `_` between words.
fn name(secret: &Found, parts: usize, key: &str) -> String {
    let said = secret.said();
    let elements: Vec<&str> = said.split('/').collect();
    let last = elements.iter().skip(elements.len().saturating_sub(parts)).copied();
    let words = last.chain([key]).flat_map(|text| text.split(|char: char| !char.is_alphanumeric()));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_").to_uppercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use template::Mount;

    use super::*;

    fn found(path: &str, keys: &[&str]) -> Found {
        let mount = Mount { path: "secret/".into(), versioned: true };
        let fields = keys.iter().map(|key| ((*key).to_owned(), json!("x"))).collect();
        Found { path: path.into(), mount: Some(mount), fields }
    }

    fn names(found: &[Found]) -> Vec<String> {
        name_all(found).unwrap().into_iter().map(|named| named.name).collect()
    }

    #[test]
    fn upstreams_names() {
        let foo = found("secret/data/foo", &["user", "b-c", "a.b", "9x", "é", "-"]);
        assert_eq!(names(&[foo]), ["FOO", "FOO_9X", "FOO_A_B", "FOO_B_C", "FOO_USER", "FOO_É"]);
        assert_eq!(names(&[found("secret/data/a/my-app.x", &["k"])]), ["MY_APP_X_K"]);
    }

    #[test]
    fn one_secret_named_twice_is_there_once() {
        let one = || found("secret/data/foo", &["k"]);
        assert_eq!(names(&[one(), one()]), ["FOO_K"]);
    }

    #[test]
    fn equal_names_get_more_of_the_path() {
        let all = [
            found("secret/data/a/db", &["k", "own"]),
            found("secret/data/b/db", &["k"]),
            found("secret/data/db", &["k"]),
        ];
        assert_eq!(names(&all), ["A_DB_K", "DB_OWN", "B_DB_K", "SECRET_DB_K"]);
    }

    #[test]
    fn keys_that_cannot_be_told_apart_are_refused_by_name() {
        let error = name_all(&[found("secret/data/foo", &["b-c", "b.c"])]).unwrap_err();
        assert_eq!(
            error,
            r#"the keys "b-c" of "secret/foo" and "b.c" of "secret/foo" would both be the variable FOO_B_C; rename one of them"#
        );
    }
}
