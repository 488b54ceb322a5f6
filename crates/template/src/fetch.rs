//! Fetching what a template asks for, through the cache.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use atomic_file::Sandbox;
use http::Method;
use serde_json::json;
use thiserror::Error;
use tracing::{debug, warn};
use vault::api::{ApiError, Caller};
use vault::{Secret, Token, Upstream, headers};

use crate::dependency::Dependency;
use crate::dependency::url::escape_path;
use crate::evaluate::Known;
use crate::kv::{Mount, Mounts, data_path, list_path};
use crate::pki::Certificate;
use crate::refresh::{Renewable, Rules};
use crate::versions::Versions;
use crate::words::read_words;

/// Why a dependency could not be fetched. Worded as upstream's.
#[derive(Debug, Error)]
pub(crate) enum FetchError {
    /// The server refused, or could not be asked.
    #[error("{}: {source}", dependency.prefix())]
    Api { dependency: Dependency, source: ApiError },
    /// Nothing is there.
    #[error("{dependency}: no secret exists at {path}")]
    Absent { dependency: Dependency, path: String },
    /// The answer is not what it should be; or a local file.
    #[error("{dependency}: {reason}")]
    Unusable { dependency: Dependency, reason: String },
}

impl FetchError {
    /// Whether the server refused the token.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Api { source, .. } if source.status() == Some(http::StatusCode::FORBIDDEN))
    }
}

/// Longest file that a template may read, or be, in bytes. Upstream reads whatever is there.
pub const MAX_FILE: usize = 16 * 1024 * 1024;

/// Fetches. Knows which mounts hold versioned secrets; asks for each mount once.
pub(crate) struct Fetcher {
    server: Arc<dyn Upstream>,
    caller: Caller,
    rules: Rules,
    mounts: Mounts,
    /// Which secrets' versions may be asked for.
    versions: Versions,
    /// Held while a mount is asked for.
    asking: tokio::sync::Mutex<()>,
}

impl Fetcher {
    pub(crate) fn new(server: Arc<dyn Upstream>, caller: Caller, rules: Rules) -> Self {
        let (mounts, versions) = (Mounts::default(), Versions::default());
        Self { server, caller, rules, mounts, versions, asking: tokio::sync::Mutex::default() }
    }

    /// The same with other rules.
    pub(crate) fn with_rules(&self, rules: Rules) -> Self {
        Self::new(Arc::clone(&self.server), self.caller.clone(), rules)
    }

    /// What the configuration says of refreshing.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Fetches what is known already, perhaps in a cheaper way: of a secret in KV version 2 that is read often, only
    /// the version is asked for, and what is known is given back as long as it is that one.
    pub(crate) async fn fetch_again(
        &self,
        dependency: &Dependency,
        token: &Token,
        known: &Known,
    ) -> Result<Known, FetchError> {
        if let (Dependency::Read { path, query }, Known::Secret(Some(secret))) = (dependency, known)
            && query.is_empty()
            && let Some(mount) = self.mounts.find(path).filter(|mount| mount.versioned)
            && let Some(metadata) = self.versions.place(&data_path(path, Some(&mount)), &mount)
        {
            match self.read(&metadata, "", token).await {
                Ok(Some(answer)) if self.versions.is_current(secret, &answer) => return Ok(known.clone()),
                // The token may read the secret and not its versions: then it is read itself.
                Err(error) if is_refusal(&error) => {
                    debug!(target: "", "{dependency}: its versions cannot be asked for, so it is read itself each time: {error}");
                    self.versions.deny(&metadata);
                }
                Err(source) => return Err(FetchError::Api { dependency: dependency.clone(), source }),
                Ok(_) => {}
            }
        }
        self.fetch(dependency, token, true).await
    }

    /// There is a new token, which may do other things.
    pub(crate) fn new_token(&self) {
        self.versions.forget_denials();
    }

    /// How long a token lives on; `None` when it has no end.
    ///
    /// # Errors
    /// [`ApiError`]: with a status it is dead.
    pub(crate) async fn rest_of_life(&self, token: &Token) -> Result<Option<Duration>, ApiError> {
        let answer = self.caller.lookup_self(self.server.as_ref(), token).await?;
        let ttl = answer.data.as_ref().and_then(|data| data.get("ttl")?.as_u64()).unwrap_or_default();
        Ok((ttl > 0).then(|| Duration::from_secs(ttl)))
    }

    /// Fetches. `again` is whether it was fetched before: a certificate whose time is up is then not looked
    /// for in the template's file, where it still is.
    pub(crate) async fn fetch(
        &self,
        dependency: &Dependency,
        token: &Token,
        again: bool,
    ) -> Result<Known, FetchError> {
        let api = |source| FetchError::Api { dependency: dependency.clone(), source };
        let absent =
            |path: &str| FetchError::Absent { dependency: dependency.clone(), path: path.to_owned() };
        let unusable = |reason: String| FetchError::Unusable { dependency: dependency.clone(), reason };
        match dependency {
            Dependency::File { path, sandbox } => {
                let read = match sandbox {
                    // A FIFO must not block us, nor a device fill our memory.
                    None => atomic_file::read_regular(path, MAX_FILE),
                    Some(sandbox) => Sandbox::new(sandbox).read_regular(path, MAX_FILE),
                };
                read.map(|bytes| Known::File(Arc::new(bytes)))
                    .map_err(|e| unusable(read_words("stat", path, &e)))
            }
            Dependency::Read { path, query } => {
                let mount = self.mount(dependency, path, token).await.map_err(api)?;
                let path = data_path(path, mount.as_ref());
                match self.read(&path, query, token).await.map_err(api)?.filter(|found| !is_deleted(found)) {
                    Some(secret) => {
                        tell_warnings(dependency, &secret);
                        Ok(Known::Secret(Some(Arc::new(secret))))
                    }
                    None => {
                        if let Some(mount) = &mount {
                            self.mounts.forget(mount);
                        }
                        Err(absent(&path))
                    }
                }
            }
            Dependency::List { path } => {
                let mount = self.mount(dependency, path, token).await.map_err(api)?;
                let path = list_path(path, mount.as_ref());
                let answer = self.read(&path, "list=true", token).await.map_err(api)?;
                names(answer.as_ref()).map(|names| Known::List(names.map(Arc::new))).map_err(unusable)
            }
            Dependency::Write { path, data } => {
                let mount = self.mount(dependency, path, token).await.map_err(api)?;
                let versioned = mount.as_ref().is_some_and(|mount| mount.versioned);
                let body = if versioned { json!({"data": data}) } else { json!(data) };
                let path = data_path(path, mount.as_ref());
                match self.write(&path, &body, token).await.map_err(api)? {
                    None if versioned => Err(absent(&path)),
                    secret => {
                        secret.iter().for_each(|secret| tell_warnings(dependency, secret));
                        Ok(Known::Secret(secret.map(Arc::new)))
                    }
                }
            }
            Dependency::Certificate { path, data, destination } => {
                let file = destination.as_deref().filter(|_| !again);
                if let Some(kept) = file.and_then(|path| self.kept(path)) {
                    debug!(target: "", "{dependency}: the certificate in the file is still good");
                    return Ok(Known::Certificate(Arc::new(kept)));
                }
                let answer = self.write(path, &json!(data), token).await.map_err(api)?;
                let answer = answer.ok_or_else(|| absent(path))?;
                tell_warnings(dependency, &answer);
                let found = Certificate::of_answer(&answer.data.unwrap_or_default(), self.rules.profile)
                    .map_err(unusable)?;
                match self.rules.certificate(found.valid, unix_now(), 0.5) {
                    Some(_) => Ok(Known::Certificate(Arc::new(found))),
                    None => Err(unusable("needs renewal".to_owned())),
                }
            }
        }
    }

    /// Extends a lease or a token; gives how long it lives from now.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn renew(&self, what: &Renewable, token: &Token) -> Result<i64, ApiError> {
        let server = self.server.as_ref();
        match what {
            Renewable::Lease(lease) => {
                Ok(self.caller.renew_lease(server, token, lease).await?.lease_duration)
            }
            Renewable::Token(own) => {
                let answer = self.caller.renew_self(server, own).await?;
                Ok(answer.auth.map_or(0, |auth| auth.lease_duration))
            }
        }
    }

    async fn read(&self, path: &str, query: &str, token: &Token) -> Result<Option<Secret>, ApiError> {
        let path = escape_path(path);
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let request = self.caller.request(Method::GET, &target).token(token);
        self.caller.read(self.server.as_ref(), request).await
    }

    async fn write(
        &self,
        path: &str,
        body: &serde_json::Value,
        token: &Token,
    ) -> Result<Option<Secret>, ApiError> {
        let mut request = self.caller.request(Method::PUT, &escape_path(path)).token(token).json(body);
        if path == "sys/wrapping/wrap" {
            // The endpoint wants to be told how long; the official client says so much by itself.
            request = request.header(headers::WRAP_TTL, "5m");
        }
        self.caller.call(self.server.as_ref(), request).await
    }

    /// The certificate in a template's own file, if it is still good for some time.
    fn kept(&self, path: &Path) -> Option<Certificate> {
        let text = atomic_file::read_regular(path, MAX_FILE).ok()?;
        let found = Certificate::parse(&text, self.rules.profile).ok()?;
        self.rules.certificate(found.valid, unix_now(), 0.5)?;
        Some(found)
    }

    /// The mount of a path; `None` when the server does not say, which means: take the path as it is.
    async fn mount(
        &self,
        dependency: &Dependency,
        path: &str,
        token: &Token,
    ) -> Result<Option<Mount>, ApiError> {
        if let Some(mount) = self.mounts.find(path) {
            return Ok(Some(mount));
        }
        // At start everything is asked for at once: one answer may do for all.
        let asking = self.asking.try_lock();
        if asking.is_err() {
            drop(self.asking.lock().await);
            if let Some(mount) = self.mounts.find(path) {
                return Ok(Some(mount));
            }
        }
        let answer = match self.read(&format!("sys/internal/ui/mounts/{path}"), "", token).await {
            Ok(answer) => answer,
            // No right to ask. Upstream goes on as with version 1, and so do we; the next time we ask again.
            Err(error) if error.status().is_some() => {
                if matches!(dependency, Dependency::Read { .. }) {
                    warn!(target: "", "{dependency}: failed to check if {path} is KVv2, assume not: {error}");
                }
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mount = answer.and_then(|answer| Mount::told(&answer, self.caller.namespace.as_ref()));
        if let Some(mount) = &mount {
            self.mounts.remember(mount);
        }
        Ok(mount)
    }
}

/// Whether the server says no for good: a 4xx, save that it is too busy.
pub(crate) fn is_refusal(error: &ApiError) -> bool {
    error.status().is_some_and(|status| status.is_client_error() && status.as_u16() != 429)
}

pub(crate) fn unix_now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn tell_warnings(dependency: &Dependency, secret: &Secret) {
    for warning in &secret.warnings {
        warn!(target: "", "{dependency}: {warning}");
    }
}

/// The sorted names of a list's answer; none when nothing is there.
fn names(answer: Option<&Secret>) -> Result<Option<Vec<String>>, String> {
    let Some(keys) = answer.and_then(|answer| answer.data.as_ref()?.get("keys")) else { return Ok(None) };
    let keys = keys.as_array().ok_or("unexpected response")?;
    let mut names = Vec::with_capacity(keys.len());
    for key in keys {
        names.push(key.as_str().ok_or("non-string in list")?.to_owned());
    }
    names.sort();
    // Go's empty and absent lists differ in JSON; upstream's is absent.
    Ok((!names.is_empty()).then_some(names))
}

/// A version that was deleted answers with its metadata alone. One that will be is still there.
fn is_deleted(secret: &Secret) -> bool {
    let metadata = secret.data.as_ref().and_then(|data| data.get("metadata"));
    let deleted = metadata.and_then(|metadata| metadata.get("deletion_time")?.as_str()).unwrap_or_default();
    let past =
        |time: &str| time.parse::<jiff::Timestamp>().map_or(true, |time| time <= jiff::Timestamp::now());
    !deleted.is_empty() && past(deleted)
}

#[cfg(test)]
mod tests;
