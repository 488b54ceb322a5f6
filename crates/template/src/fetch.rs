//! Fetching what a template asks for, through the cache.

use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::json;
use thiserror::Error;
use vault::api::{ApiError, Caller};
use vault::{Token, Upstream};

use crate::dependency::Dependency;
use crate::evaluate::Known;

/// Why a dependency could not be fetched. Worded as upstream's.
#[derive(Debug, Error)]
pub(crate) enum FetchError {
    /// The server refused, or could not be asked.
    #[error("{dependency}: {source}")]
    Api { dependency: Dependency, source: ApiError },
    /// Nothing is there.
    #[error("{dependency}: no secret exists at {path}")]
    Absent { dependency: Dependency, path: String },
    /// A local file.
    #[error("{dependency}: {reason}")]
    File { dependency: Dependency, reason: String },
}

impl FetchError {
    /// Whether the server refused the token.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Api { source, .. } if source.status() == Some(http::StatusCode::FORBIDDEN))
    }
}

/// Longest file that a template may read, or be.
pub(crate) const MAX_FILE: usize = 16 * 1024 * 1024;

/// Fetches. Knows which mounts hold versioned secrets; asks for each mount once.
pub(crate) struct Fetcher {
    server: Arc<dyn Upstream>,
    caller: Caller,
    mounts: Mutex<Vec<Mount>>,
}

/// A mount, and whether it is KV version 2.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Mount {
    /// With its trailing slash.
    path: String,
    versioned: bool,
}

impl Fetcher {
    pub(crate) fn new(server: Arc<dyn Upstream>, caller: Caller) -> Self {
        Self { server, caller, mounts: Mutex::default() }
    }

    /// Whom it speaks as, and to whom: for renewals of what it fetched.
    pub(crate) fn door(&self) -> (&dyn Upstream, &Caller) {
        (self.server.as_ref(), &self.caller)
    }

    pub(crate) async fn fetch(&self, dependency: &Dependency, token: &Token) -> Result<Known, FetchError> {
        match dependency {
            // A FIFO must not block us, nor a device fill our memory.
            Dependency::File { path } => match atomic_file::read_regular(path, MAX_FILE) {
                Ok(bytes) => Ok(Known::File(Arc::new(bytes))),
                Err(error) => {
                    Err(FetchError::File { dependency: dependency.clone(), reason: error.reason() })
                }
            },
            Dependency::Read { path, query } => {
                let mount = self.mount(path, token).await.map_err(|source| api(dependency, source))?;
                let path = data_path(path, mount.as_ref());
                let target = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
                let request = self.caller.request(Method::GET, &target).token(token);
                let absent = || FetchError::Absent { dependency: dependency.clone(), path: path.clone() };
                match self.caller.call(self.server.as_ref(), request).await {
                    Ok(Some(secret)) if exists(&secret) => Ok(Known::Secret(Some(Arc::new(secret)))),
                    Ok(_) => Err(absent()),
                    Err(ApiError::Refused { status, .. }) if status == http::StatusCode::NOT_FOUND => {
                        Err(absent())
                    }
                    Err(source) => Err(api(dependency, source)),
                }
            }
            Dependency::Write { path, data } => {
                let mount = self.mount(path, token).await.map_err(|source| api(dependency, source))?;
                let versioned = mount.as_ref().is_some_and(|mount| mount.versioned);
                let fields: serde_json::Map<String, serde_json::Value> =
                    data.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
                let body = if versioned { json!({"data": fields}) } else { json!(fields) };
                let path = data_path(path, mount.as_ref());
                let request = self.caller.request(Method::PUT, &path).token(token).json(&body);
                let answer = self.caller.call(self.server.as_ref(), request).await;
                answer
                    .map(|secret| Known::Secret(secret.map(Arc::new)))
                    .map_err(|source| api(dependency, source))
            }
        }
    }

    /// The mount of a path; `None` when the server does not say, which means: take the path as it is.
    async fn mount(&self, path: &str, token: &Token) -> Result<Option<Mount>, ApiError> {
        let with_slash = format!("{path}/");
        let known =
            |mounts: &[Mount]| mounts.iter().find(|mount| with_slash.starts_with(&mount.path)).cloned();
        if let Some(mount) = known(&self.mounts()) {
            return Ok(Some(mount));
        }
        let target = format!("sys/internal/ui/mounts/{path}");
        let answer = match self
            .caller
            .call(self.server.as_ref(), self.caller.request(Method::GET, &target).token(token))
            .await
        {
            Ok(answer) => answer,
            // Not told: an old server, or no right to ask. Upstream goes on as with version 1.
            Err(error) if error.status().is_some() => return Ok(None),
            Err(error) => return Err(error),
        };
        let data = answer.and_then(|secret| secret.data).unwrap_or_default();
        let text = |key: &str| data.get(key).and_then(|value| value.as_str()).unwrap_or_default();
        let mount = Mount {
            path: format!("{}/", text("path").trim_matches('/')),
            versioned: text("type") == "kv"
                && data.get("options").and_then(|options| options.get("version")) == Some(&json!("2")),
        };
        if mount.path == "/" {
            return Ok(None);
        }
        let mut mounts = self.mounts();
        if !mounts.contains(&mount) {
            mounts.push(mount.clone());
        }
        Ok(Some(mount))
    }

    fn mounts(&self) -> std::sync::MutexGuard<'_, Vec<Mount>> {
        self.mounts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn api(dependency: &Dependency, source: ApiError) -> FetchError {
    FetchError::Api { dependency: dependency.clone(), source }
}

/// Where a path's data is: on a versioned mount below `data/`, unless the path says so itself.
fn data_path(path: &str, mount: Option<&Mount>) -> String {
    let Some(mount) = mount.filter(|mount| mount.versioned) else { return path.to_owned() };
    let with_slash = format!("{path}/");
    let rest = with_slash.strip_prefix(&mount.path).unwrap_or_default().trim_end_matches('/');
    if rest.starts_with("data/") || rest.starts_with("metadata/") || rest.starts_with("subkeys/") {
        return path.to_owned();
    }
    if rest.is_empty() { format!("{}data", mount.path) } else { format!("{}data/{rest}", mount.path) }
}

/// A version that was deleted answers with its metadata alone.
fn exists(secret: &vault::Secret) -> bool {
    let Some(data) = &secret.data else { return secret.auth.is_some() || secret.wrap_info.is_some() };
    let deleted = data.get("metadata").and_then(|m| m.get("deletion_time")).and_then(|time| time.as_str());
    let past =
        |time: &str| time.parse::<jiff::Timestamp>().map_or(true, |time| time <= jiff::Timestamp::now());
    !deleted.is_some_and(|time| !time.is_empty() && past(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versioned_paths_are_rewritten_once() {
        let mount = Mount { path: "secret/".into(), versioned: true };
        for (path, want) in [
            ("secret/app", "secret/data/app"),
            ("secret/data/app", "secret/data/app"),
            ("secret/metadata/app", "secret/metadata/app"),
            ("secret", "secret/data"),
            ("secret/database", "secret/data/database"),
            ("secret/data/data/x", "secret/data/data/x"),
        ] {
            assert_eq!(data_path(path, Some(&mount)), want, "{path}");
        }
        assert_eq!(data_path("kv/app", Some(&Mount { path: "kv/".into(), versioned: false })), "kv/app");
        assert_eq!(data_path("kv/app", None), "kv/app");
    }

    #[test]
    fn deleted_versions_do_not_exist() {
        let with = |time: &str| {
            let answer = json!({"data": {"data": null, "metadata": {"deletion_time": time}}});
            exists(&vault::Secret::parse(answer.to_string().as_bytes()).unwrap().unwrap())
        };
        assert!(with(""));
        assert!(with("2999-01-01T00:00:00Z"));
        assert!(!with("2020-01-01T00:00:00Z"));
    }
}
