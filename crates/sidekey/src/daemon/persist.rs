//! The cache on disk, from its settings: where its key comes from, and where it belongs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use atomic_file::{FileError, KeyError};
use cache::disk::{self, DiskError, DiskSettings, Home, KeyMaterial, Opened, SecretRoom};
use config::{Environment, KeySource, Persist, PersistKey};
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tracing::warn;
use vault::{Address, SecretString};

use super::build::{cache_options, static_secrets};

/// Why the cache cannot be on disk as it was asked for.
#[derive(Debug, Error)]
pub(crate) enum PersistError {
    /// The file, or what is in it.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Its key.
    #[error("the key cannot be read: {0}")]
    Key(#[from] KeyError),
    /// The passphrase is no key; it may be short.
    #[error("the passphrase in {0} is shorter than {SHORTEST_PASSPHRASE} characters")]
    ShortPassphrase(String),
    /// Who we are in Kubernetes.
    #[error("the service account's token cannot be read: {0}")]
    ServiceAccount(#[source] FileError),
    /// It is empty, or no text.
    #[error("{0} holds no service account's token")]
    NoServiceAccount(String),
    /// A panic on the other thread.
    #[error("a bug in Sidekey (panic)")]
    Panicked,
}

/// How long a process that is ending, or that the system is still clearing away, may have the file; upstream waits a
/// second.
const PREDECESSOR: Duration = Duration::from_secs(2);

/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Shorter passphrases are refused.
const SHORTEST_PASSPHRASE: usize = 12;

/// Reads the key. Apart, because a file may take its time.
///
/// # Errors
/// [`PersistError`].
pub(super) async fn settings(
    cache: &config::Cache,
    persist: &Persist,
    environment: &Arc<Environment>,
    server: &Address,
) -> Result<DiskSettings, PersistError> {
    let room = (&cache_options(cache)).into();
    let kept = cache.static_secrets.as_ref().filter(|kept| kept.persist);
    let secrets = kept.map(|kept| SecretRoom::from(&static_secrets(kept)));
    let (persist, environment, server) = (persist.clone(), Arc::clone(environment), server.to_string());
    let read = spawn_blocking(move || {
        let key = key(&persist.key, &environment)?;
        if let Some(file) = key_file(&persist.key).filter(|file| atomic_file::is_world_readable(file)) {
            warn!(target: "cache.persist", path = %file.display(), "the cache's key can be read by every user of this machine; set mode 0600");
        }
        let machine = match persist.key {
            // Pods have an id of their image at best.
            PersistKey::Kubernetes { .. } => String::new(),
            _ => machine_id(),
        };
        Ok(DiskSettings {
            folder: persist.path,
            key,
            home: Home { server, machine },
            keep_after_import: persist.keep_after_import,
            strict: persist.exit_on_err,
            room,
            secrets,
        })
    });
    read.await.unwrap_or(Err(PersistError::Panicked))
}

/// Opens the file and reads all that is in it.
///
/// # Errors
/// [`PersistError`].
pub(super) async fn open(settings: DiskSettings) -> Result<Opened, PersistError> {
    let settings = Arc::new(settings);
    let until = Instant::now() + PREDECESSOR;
    loop {
        let settings = Arc::clone(&settings);
        let opened = spawn_blocking(move || disk::open(&settings));
        match opened.await.map_err(|_| PersistError::Panicked)? {
            Err(DiskError::Locked(_)) if Instant::now() < until => sleep(LOOK_AGAIN).await,
            opened => return Ok(opened?),
        }
    }
}

fn key(key: &PersistKey, environment: &Environment) -> Result<KeyMaterial, PersistError> {
    let read = |source: &KeySource| source.read(environment.exact("CREDENTIALS_DIRECTORY").map(Path::new));
    Ok(match key {
        PersistKey::Key(source) => KeyMaterial::key(read(source)?),
        PersistKey::Passphrase(path) => {
            let material = KeyMaterial::passphrase(atomic_file::read_small(path).map_err(KeyError::File)?);
            if material.len() < SHORTEST_PASSPHRASE {
                return Err(PersistError::ShortPassphrase(path.display().to_string()));
            }
            material
        }
        PersistKey::Kubernetes { token_file, secret } => {
            let bytes = atomic_file::read_small(token_file).map_err(PersistError::ServiceAccount)?;
            let token = String::from_utf8(bytes).map(SecretString::from).ok();
            let token = token.filter(|token| !token.expose().trim().is_empty());
            let token =
                token.ok_or_else(|| PersistError::NoServiceAccount(token_file.display().to_string()))?;
            let secret = secret.as_ref().map(read).transpose()?.map(KeyMaterial::key);
            disk::service_account_key(&token, secret)
        }
    })
}

/// The file that keeps the cache from others, where there is one. A service account's token does not.
fn key_file(key: &PersistKey) -> Option<&Path> {
    match key {
        PersistKey::Key(source) | PersistKey::Kubernetes { secret: Some(source), .. } => source.file(),
        PersistKey::Passphrase(path) => Some(path),
        PersistKey::Kubernetes { secret: None, .. } => None,
    }
}

/// Empty where there is none.
fn machine_id() -> String {
    let read = |path| atomic_file::read_small(Path::new(path)).ok().and_then(|id| String::from_utf8(id).ok());
    read("/etc/machine-id").map(|id| id.trim().to_owned()).unwrap_or_default()
}
