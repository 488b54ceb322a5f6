//! The door to the server for clients and templates, with its memory.

use std::sync::Arc;

use ::cache::disk::{DiskSettings, Opened};
use ::cache::{Cache, Mode};
use config::{CacheBounds, Settings};
use futures_util::FutureExt as _;
use tracing::{error, warn};
use vault::{Consistent, Namespace, Subsystem};

use super::server;
use super::{Changes, Fixed, Id, Units};
use crate::daemon::build::{StartError, cache_options, caller, static_secrets};
use crate::daemon::persist::{self, PersistError};
use crate::daemon::tasks::{Scope, Tasks};

/// A cache, or what only passes on.
pub(super) struct CacheUnit {
    pub(super) id: Id,
    spec: Spec,
    pub(super) cache: Cache,
    consistent: Arc<Consistent>,
    scope: Scope,
}

/// One that is to be.
pub(super) struct Next {
    spec: Spec,
    consistent: Arc<Consistent>,
    file: File,
}

/// What it is made from.
#[derive(PartialEq)]
struct Spec {
    way: Id,
    settings: Option<config::Cache>,
    namespace: Option<Namespace>,
}

impl Spec {
    /// Whether the same cache will do, with other options at most. Under other keys nothing would be found in it.
    fn fits(&self, other: &Self) -> bool {
        let lasting = |settings: &config::Cache| config::Cache {
            bounds: CacheBounds {
                strict_keys: settings.bounds.strict_keys,
                key_extra_headers: settings.bounds.key_extra_headers.clone(),
                ..CacheBounds::default()
            },
            ..settings.clone()
        };
        self.way == other.way
            && self.namespace == other.namespace
            && self.settings.as_ref().map(lasting) == other.settings.as_ref().map(lasting)
    }

    fn persist(&self) -> Option<&config::Persist> {
        self.settings.as_ref()?.persist.as_ref()
    }
}

/// What outlives the process.
enum File {
    None,
    Opened(Box<Opened>),
    /// The cache that is there has it open.
    Handed(Box<DiskSettings>),
}

impl CacheUnit {
    /// Goes by what may be another while it runs.
    fn adjust(&mut self, settings: &Settings, changes: &mut Changes) {
        self.consistent.set(settings.api_proxy.consistency);
        if self.spec.settings == settings.cache {
            return;
        }
        if let Some(new) = &settings.cache {
            self.cache.set_options(cache_options(new));
        }
        self.spec.settings.clone_from(&settings.cache);
        changes.changed("cache", "");
    }
}

impl Units {
    /// `None` where the old one stays.
    pub(super) async fn prepare_cache(
        &self,
        settings: &Settings,
        ways: &server::Next,
        fixed: &Fixed,
        problems: &mut Vec<StartError>,
    ) -> Option<Next> {
        let spec = Spec {
            way: ways.proxied.id,
            settings: settings.cache.clone(),
            namespace: settings.vault.namespace.clone(),
        };
        if self.cache.as_ref().is_some_and(|old| old.spec.fits(&spec)) {
            return None;
        }
        let file = self.prepare_file(&spec, settings, fixed).await;
        let file = file.map_err(|error| problems.push(error.into())).unwrap_or(File::None);
        let proxied = Arc::new(ways.proxied.client.clone());
        let consistent = Arc::new(Consistent::new(proxied, settings.api_proxy.consistency));
        Some(Next { spec, consistent, file })
    }

    async fn prepare_file(
        &self,
        spec: &Spec,
        settings: &Settings,
        fixed: &Fixed,
    ) -> Result<File, PersistError> {
        let Some((cache, persist)) = spec.settings.as_ref().zip(spec.persist()) else {
            return Ok(File::None);
        };
        let disk = persist::settings(cache, persist, &fixed.environment, &settings.vault.address).await?;
        let open = self.cache.as_ref().and_then(|old| old.spec.persist());
        Ok(match open.is_some_and(|open| open.path == persist.path) {
            true => File::Handed(Box::new(disk)),
            false => File::Opened(Box::new(persist::open(disk).await?)),
        })
    }

    pub(super) async fn commit_cache(
        &mut self,
        next: Option<Next>,
        fixed: &Fixed,
        tasks: &mut Tasks,
        changes: &mut Changes,
    ) {
        let Some(Next { spec, consistent, file }) = next else {
            if let Some(cache) = &mut self.cache {
                cache.adjust(&self.settings, changes);
            }
            return;
        };
        let old = self.cache.take();
        let remembered = old.as_ref().map(|old| old.cache.remembers()).unwrap_or_default();
        if let Some(old) = old {
            old.scope.end().await;
        }
        let file = match file {
            File::None => None,
            File::Opened(opened) => Some(*opened),
            File::Handed(disk) => persist::open(*disk).await.map_or_else(
                |error| {
                    error!(target: "cache.persist", %error, "the cache's file could not be opened again: the cache is in memory alone until the next start");
                    None
                },
                Some,
            ),
        };
        let settings = &self.settings;
        let scope = tasks.scope();
        let mode = if spec.settings.is_some() { Mode::Remember } else { Mode::PassOn };
        let options = spec.settings.as_ref().map(cache_options).unwrap_or_default();
        let caller = caller(settings, Subsystem::ApiProxy);
        let (cache, keep_alive) = Cache::with_options(
            mode,
            options,
            file,
            Arc::clone(&consistent) as _,
            caller.clone(),
            scope.stop(),
        );
        // It writes to disk what is left, at the end.
        tasks.start_graceful_in(&scope, "cache", keep_alive.map(Ok));
        if let Some(kept) = spec.settings.as_ref().and_then(|cache| cache.static_secrets.as_ref()) {
            if kept.events && settings.auto_auths.is_empty() {
                warn!(
                    target: "", ttl = ?kept.ttl,
                    "without auto_auth there is no token to subscribe to changes of secrets with: one that is made elsewhere is seen within the ttl"
                );
            }
            let run = cache.keep_static_secrets(&static_secrets(kept), caller, scope.stop());
            tasks.start_in(&scope, "static secrets", run.map(Ok));
        }
        match (remembered, cache.remembers()) {
            (false, true) => changes.added("cache", ""),
            (true, false) => changes.removed("cache", ""),
            (true, true) => changes.changed("cache", ""),
            (false, false) => {}
        }
        self.cache = Some(CacheUnit { id: fixed.id(), spec, cache, consistent, scope });
    }
}
