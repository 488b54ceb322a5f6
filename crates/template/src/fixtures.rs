//! Made-up secrets, files and an environment, to see what a template makes of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use functions::Profile;
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use thiserror::Error;
use vault::Secret;

use crate::dependency::Dependency;
use crate::evaluate::Known;
use crate::pki::Certificate;
use crate::words::quoted;
use crate::world::{Prints, Programs, World};

/// Everything a template may ask for. As JSON:
///
/// ```json
/// {
///   "secrets": {"secret/app": {"data": {"data": {"password": "x"}}}},
///   "lists": {"secret/": ["app", "db/"]},
///   "certificates": {"pki/issue/web": {"Cert": "…", "Key": "…", "CA": "…"}},
///   "files": {"/etc/motd": "welcome"},
///   "env": {"STAGE": "test"},
///   "plugins": {"host-role web": "frontend"},
///   "sockaddr": {"GetPrivateIP": "10.0.0.5"},
///   "now": "2026-02-03T04:05:06Z"
/// }
/// ```
///
/// A secret is the server's answer: `data`, and `lease_id`, `auth` and the rest where they matter. A path on a
/// versioned mount may be written with its `data/` or without it, a version as `path?version=2`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fixtures {
    #[serde(deserialize_with = "answers")]
    secrets: BTreeMap<String, Secret>,
    lists: BTreeMap<String, Vec<String>>,
    certificates: BTreeMap<String, Pems>,
    files: BTreeMap<String, String>,
    env: HashMap<String, String>,
    plugins: BTreeMap<String, String>,
    sockaddr: BTreeMap<String, String>,
    now: Option<String>,
    #[serde(skip)]
    time: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
struct Pems {
    cert: String,
    key: String,
    #[serde(rename = "CA")]
    ca: String,
    #[serde(rename = "CAChain")]
    ca_chain: Vec<String>,
}

/// Why fixtures cannot be used.
#[derive(Debug, Error)]
pub enum FixturesError {
    /// The text is not what it should be.
    #[error("the fixtures are not what they should be: {0}")]
    Json(#[from] serde_json::Error),
    /// `now` is no time.
    #[error("`now` in the fixtures is no time like 2026-02-03T04:05:06Z: {0:?}")]
    Now(String),
}

impl Fixtures {
    /// Reads their JSON.
    ///
    /// # Errors
    /// [`FixturesError`].
    pub fn parse(json: &[u8]) -> Result<Self, FixturesError> {
        let mut fixtures: Self = serde_json::from_slice(json)?;
        if let Some(now) = &fixtures.now {
            fixtures.time = Some(now.parse().map_err(|_| FixturesError::Now(now.clone()))?);
        }
        Ok(fixtures)
    }

    /// A world with nothing in it but these.
    pub(crate) fn world(&self, profile: Profile) -> World {
        World {
            profile,
            environment: self.env.clone(),
            overrides: HashMap::new(),
            now: self.time,
            programs: Programs::Canned(self.plugins.clone()),
            addresses: Some(self.sockaddr.clone()),
            prints: Prints::HandsOn,
            has_files: false,
        }
    }

    /// What stands here for a dependency.
    ///
    /// # Errors
    /// That there is nothing, and what there is instead.
    pub(crate) fn known(&self, dependency: &Dependency) -> Result<Known, String> {
        match dependency {
            Dependency::Read { path, query } => {
                let exact = find(&self.secrets, &format!("{path}?{query}"));
                let found = exact.or_else(|| find(&self.secrets, path));
                secret(found.ok_or_else(|| lacks("secret", path, self.secrets.keys()))?)
            }
            Dependency::Write { path, .. } => {
                secret(find(&self.secrets, path).ok_or_else(|| lacks("secret", path, self.secrets.keys()))?)
            }
            Dependency::List { path } => {
                let found = find(&self.lists, path).ok_or_else(|| lacks("list", path, self.lists.keys()))?;
                let mut names = found.clone();
                names.sort();
                Ok(Known::List((!names.is_empty()).then(|| Arc::new(names))))
            }
            Dependency::Certificate { path, .. } => {
                let found = find(&self.certificates, path);
                let pems = found.ok_or_else(|| lacks("certificate", path, self.certificates.keys()))?;
                let certificate = Certificate {
                    cert: pems.cert.clone(),
                    key: pems.key.clone(),
                    ca: pems.ca.clone(),
                    chain: pems.ca_chain.clone(),
                    valid: None,
                };
                Ok(Known::Certificate(Arc::new(certificate)))
            }
            Dependency::File { path, .. } => {
                let path = path.display().to_string();
                let found = self.files.get(&path).ok_or_else(|| lacks("file", &path, self.files.keys()))?;
                Ok(Known::File(Arc::new(found.clone().into_bytes())))
            }
        }
    }
}

/// Secrets, of which each field must be one that the server's answers have: it is ignored in those, but here it is
/// misspelt.
fn answers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    let written = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let answer = |(path, value): (String, Value)| {
        let inside = [("", FIELDS), ("auth", AUTH_FIELDS), ("wrap_info", WRAP_FIELDS)];
        let strange = inside.iter().find_map(|&(part, fields)| {
            let object = if part.is_empty() { Some(&value) } else { value.get(part) };
            object?
                .as_object()?
                .keys()
                .find(|key| !fields.contains(&key.as_str()))
                .map(|key| (part, key, fields))
        });
        if let Some((part, key, fields)) = strange {
            let place = if part.is_empty() { String::new() } else { format!("`{part}` of ") };
            let fields = fields.join(", ");
            return Err(D::Error::custom(format!(
                "{place}the secret {} has no field {}; there are: {fields}",
                quoted(&path),
                quoted(key)
            )));
        }
        let secret = serde_json::from_value(value);
        secret
            .map(|secret| (path.clone(), secret))
            .map_err(|error| D::Error::custom(format!("the secret {}: {error}", quoted(&path))))
    };
    written.into_iter().map(answer).collect()
}

/// The fields of [`Secret`].
const FIELDS: &[&str] = &[
    "request_id",
    "lease_id",
    "lease_duration",
    "renewable",
    "data",
    "warnings",
    "auth",
    "wrap_info",
    // Beside those, a copy of a server's answer has them, and templates cannot see them.
    "mount_type",
];

/// The same of [`vault::Auth`].
const AUTH_FIELDS: &[&str] = &[
    "client_token",
    "accessor",
    "policies",
    "metadata",
    "lease_duration",
    "renewable",
    "orphan",
    "num_uses",
    "token_policies",
    "identity_policies",
    "entity_id",
    "token_type",
    "mfa_requirement",
];

/// The same of [`vault::WrapInfo`].
const WRAP_FIELDS: &[&str] =
    &["token", "accessor", "ttl", "creation_time", "creation_path", "wrapped_accessor"];

fn secret(secret: &Secret) -> Result<Known, String> {
    Ok(Known::Secret(Some(Arc::new(secret.clone()))))
}

/// A path as it is, else one that differs only in slashes at its ends and in the `data/` or `metadata/` of a
/// versioned mount.
fn find<'a, T>(all: &'a BTreeMap<String, T>, path: &str) -> Option<&'a T> {
    all.get(path).or_else(|| {
        let wanted = plain(path);
        all.iter().find(|(key, _)| plain(key) == wanted).map(|(_, value)| value)
    })
}

fn plain(path: &str) -> String {
    let path = path.trim_matches('/');
    match path.split_once('/') {
        Some((mount, rest)) => {
            let rest = ["data/", "metadata/"].iter().find_map(|own| rest.strip_prefix(own)).unwrap_or(rest);
            format!("{mount}/{rest}")
        }
        None => path.to_owned(),
    }
}

fn lacks<'a>(what: &str, path: &str, known: impl Iterator<Item = &'a String>) -> String {
    let known: Vec<String> = known.map(|known| quoted(known)).collect();
    let others = match known.as_slice() {
        [] => format!("they have no {what} at all"),
        known => format!("they have {}", known.join(", ")),
    };
    format!("the fixtures have no {what} {}; {others}", quoted(path))
}
