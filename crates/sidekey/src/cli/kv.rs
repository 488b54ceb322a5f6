//! Looking at key-value secrets before anything is started: what is there, and where.

use std::cell::RefCell;

use futures_util::{StreamExt as _, stream};
use http::Method;
use serde_json::{Map, Value};
use template::{Mount, data_path, escape_path, list_path};
use thiserror::Error;
use tokio::sync::{Mutex, Semaphore};
use vault::Secret;
use vault::api::ApiError;

use crate::daemon::Session;

/// Why a secret could not be looked at. The texts are upstream's.
#[derive(Debug, Error)]
pub(super) enum KvError {
    #[error("could not validate secret path {path:?}: {source}")]
    Mount { path: String, source: ApiError },
    #[error("could not traverse secrets at {path:?}: {source}")]
    List { path: String, source: ApiError },
    #[error("could not traverse secrets at {path:?}: no value found at {at:?}")]
    Nothing { path: String, at: String },
    #[error("could not traverse secrets at {path:?}: there are more than {MOST}; name them one by one")]
    TooMany { path: String },
    #[error("could not read secret at {path:?}: error querying: {source}")]
    Read { path: String, source: ApiError },
    #[error("could not read secret at {path:?}: {why}")]
    Absent { path: String, why: &'static str },
    #[error(
        "the path {path:?} cannot contain '*' wildcard characters except as the last element of the path"
    )]
    Star { path: String },
}

impl KvError {
    /// The server has answered, and nothing is there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::Nothing { .. })
    }
}

/// A secret that is there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Where its data is.
    pub(super) path: String,
    /// Its mount.
    pub(super) mount: Option<Mount>,
    /// What it holds.
    pub(super) fields: Map<String, Value>,
}

impl Found {
    pub(super) fn versioned(&self) -> bool {
        self.mount.as_ref().is_some_and(|mount| mount.versioned)
    }

    /// The path as a person says it: without `data`.
    pub(super) fn said(&self) -> String {
        match self.mount.as_ref().filter(|mount| mount.versioned) {
            Some(mount) => self.path.replacen(&format!("{}data/", mount.path), &mount.path, 1),
            None => self.path.clone(),
        }
    }
}

/// What is mounted where a path leads.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) mount: Option<Mount>,
    /// Its type, `kv` or `database`; empty when the server does not say.
    pub(super) kind: String,
}

/// Asks. Remembers mounts.
pub(super) struct Kv {
    session: Session,
    seen: RefCell<Vec<Place>>,
    /// Held while a mount is asked for: others may want to know the same.
    asking: Mutex<()>,
    /// For each request under way.
    places: Semaphore,
}

/// Requests under way at a time.
pub(super) const AT_ONCE: usize = 8;

/// Most secrets below one `*`, and most folders: whoever has more did not mean all of them.
const MOST: usize = 1_000;

impl Kv {
    pub(super) fn new(session: Session) -> Self {
        Self { session, seen: RefCell::default(), asking: Mutex::default(), places: Semaphore::new(AT_ONCE) }
    }

    /// Every secret that a path means: one, or with `/*` at its end all below, in the order of their paths. Those whose
    /// latest version is deleted are passed over below a `*`, and told of through `passed_over`.
    ///
    /// # Errors
    /// [`KvError`].
    pub(super) async fn expand(
        &self,
        path: &str,
        mut passed_over: impl FnMut(&str),
    ) -> Result<Vec<Found>, KvError> {
        let path = path.trim().trim_matches('/');
        let place = self.place(path).await?;
        let Some(folder) = path.strip_suffix("/*") else {
            if path.contains('*') {
                return Err(KvError::Star { path: path.to_owned() });
            }
            return Ok(vec![self.read(path, place.mount, None).await?]);
        };
        if folder.contains('*') {
            return Err(KvError::Star { path: path.to_owned() });
        }
        let mut all = Vec::new();
        let secrets = self.walk(path, folder, place.mount.as_ref()).await?;
        let read = |secret: String| {
            let mount = place.mount.clone();
            async move {
                let found = self.read(&secret, mount, None).await;
                (secret, found)
            }
        };
        let mut found = stream::iter(secrets).map(read).buffered(AT_ONCE);
        while let Some((secret, found)) = found.next().await {
            match found {
                Ok(found) => all.push(found),
                Err(error) if error.is_missing() => passed_over(&secret),
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// What is mounted there.
    ///
    /// # Errors
    /// The server does not answer, or not to us.
    pub(super) async fn place(&self, path: &str) -> Result<Place, KvError> {
        let _asking = self.asking.lock().await;
        let known = |place: &&Place| {
            let mount = place.mount.as_ref().map(|mount| mount.path.as_str());
            mount.is_some_and(|mount| path.starts_with(mount))
        };
        if let Some(place) = self.seen.borrow().iter().find(known) {
            return Ok(place.clone());
        }
        let answer = self.ask(&format!("sys/internal/ui/mounts/{path}"), "").await;
        let answer = answer.map_err(|source| KvError::Mount { path: path.to_owned(), source })?;
        let mount =
            answer.as_ref().and_then(|answer| Mount::told(answer, self.session.caller.namespace.as_ref()));
        let kind = answer.and_then(|answer| Some(answer.data?.get("type")?.as_str()?.to_owned()));
        let place = Place { mount, kind: kind.unwrap_or_default() };
        self.seen.borrow_mut().push(place.clone());
        Ok(place)
    }

    /// Reads a secret, or one of its versions.
    ///
    /// # Errors
    /// [`KvError`].
    pub(super) async fn read(
        &self,
        path: &str,
        mount: Option<Mount>,
        version: Option<u64>,
    ) -> Result<Found, KvError> {
        let at = data_path(path, mount.as_ref());
        let absent = |why| KvError::Absent { path: path.to_owned(), why };
        let query = version.map(|version| format!("?version={version}")).unwrap_or_default();
        let answer = self.ask(&at, &query).await;
        let answer = answer.map_err(|source| KvError::Read { path: path.to_owned(), source })?;
        let answer = answer.ok_or_else(|| absent("secret not found"))?;
        let mut data = answer.data.ok_or_else(|| absent("secret.Data not found"))?;
        if mount.as_ref().is_some_and(|mount| mount.versioned) {
            data = match data.remove("data") {
                Some(Value::Object(data)) => data,
                Some(_) => return Err(absent("secret not found: this version is deleted or destroyed")),
                None => return Err(absent("secret.Data not found")),
            };
        }
        Ok(Found { path: at, mount, fields: data })
    }

    /// The paths of all secrets below a folder.
    async fn walk(&self, path: &str, folder: &str, mount: Option<&Mount>) -> Result<Vec<String>, KvError> {
        // `secret/data/app/*` means the same as `secret/app/*`.
        let versioned = mount.filter(|mount| mount.versioned);
        let behind = versioned.and_then(|mount| Some((mount, folder.strip_prefix(&mount.path)?)));
        let folder = match behind {
            Some((mount, rest)) => {
                let own = ["data", "metadata"].iter().find_map(|own| rest.strip_prefix(own));
                let rest = own.filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(rest);
                format!("{}{}", mount.path, rest.trim_start_matches('/')).trim_end_matches('/').to_owned()
            }
            None => folder.to_owned(),
        };
        let mut secrets = Vec::new();
        // The next one is the last.
        let mut next = vec![format!("{folder}/")];
        let mut folders = 0;
        while let Some(entry) = next.pop() {
            let Some(inner) = entry.strip_suffix('/') else {
                secrets.push(entry);
                continue;
            };
            folders += 1;
            if folders > MOST || secrets.len() + next.len() > MOST {
                return Err(KvError::TooMany { path: path.to_owned() });
            }
            let at = list_path(inner, mount);
            let answer = self.ask(&at, "?list=true").await;
            let answer = answer.map_err(|source| KvError::List { path: path.to_owned(), source })?;
            let keys = answer.and_then(|answer| answer.data?.remove("keys"));
            let Some(Value::Array(keys)) = keys else {
                return Err(KvError::Nothing { path: path.to_owned(), at });
            };
            let mut names: Vec<String> =
                keys.iter().filter_map(Value::as_str).map(|key| format!("{inner}/{key}")).collect();
            names.sort();
            next.extend(names.into_iter().rev());
        }
        if secrets.len() > MOST {
            return Err(KvError::TooMany { path: path.to_owned() });
        }
        Ok(secrets)
    }

    async fn ask(&self, path: &str, query: &str) -> Result<Option<Secret>, ApiError> {
        // Never closed.
        let _place = self.places.acquire().await;
        let Session { upstream, caller, token } = &self.session;
        let target = format!("{}{query}", escape_path(path));
        caller.read(&**upstream, caller.request(Method::GET, &target).token(token)).await
    }
}
