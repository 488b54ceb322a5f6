//! The door to the server for clients and templates, with its memory.

use std::sync::Arc;

use ::cache::{Cache, Mode};
use config::Settings;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tracing::warn;
use vault::{Consistent, Namespace, Subsystem, Upstream, WhenInconsistent};

use super::server::{self, caller};
use super::{Changes, Fixed, Id, Units};
use crate::daemon::build::{cache_options, static_secrets};
use crate::daemon::tasks::{Scope, Tasks};

/// A cache, or what only passes on.
pub(super) struct CacheUnit {
    pub(super) id: Id,
    spec: Spec,
    pub(super) cache: Cache,
    scope: Scope,
    /// Not started yet.
    work: Vec<(&'static str, BoxFuture<'static, ()>)>,
}

/// What makes it another.
#[derive(PartialEq)]
struct Spec {
    way: Id,
    settings: Option<config::Cache>,
    consistency: Option<WhenInconsistent>,
    namespace: Option<Namespace>,
}

impl Units {
    /// `None` where the old one stays.
    pub(super) fn prepare_cache(
        &self,
        settings: &Settings,
        ways: &server::Next,
        fixed: &Fixed,
        tasks: &Tasks,
    ) -> Option<CacheUnit> {
        let spec = Spec {
            way: ways.proxied.id,
            settings: settings.cache.clone(),
            consistency: settings.api_proxy.consistency,
            namespace: settings.vault.namespace.clone(),
        };
        if self.cache.as_ref().is_some_and(|old| old.spec == spec) {
            return None;
        }
        let mode = if settings.cache.is_some() { Mode::Remember } else { Mode::PassOn };
        let proxied = Arc::new(ways.proxied.client.clone());
        let upstream: Arc<dyn Upstream> = match settings.api_proxy.consistency {
            None => proxied,
            Some(action) => Arc::new(Consistent::new(proxied, action)),
        };
        let scope = tasks.scope();
        let options = settings.cache.as_ref().map(|cache| cache_options(&cache.bounds)).unwrap_or_default();
        let caller = caller(settings, Subsystem::ApiProxy);
        let (cache, keep_alive) = Cache::with_options(mode, options, upstream, caller.clone(), scope.stop());
        let mut work = vec![("cache", keep_alive.boxed())];
        if let Some(kept) = settings.cache.as_ref().and_then(|cache| cache.static_secrets.as_ref()) {
            if kept.events && settings.auto_auths.is_empty() {
                warn!(
                    target: "", ttl = ?kept.ttl,
                    "without auto_auth there is no token to subscribe to changes of secrets with: one that is made elsewhere is seen within the ttl"
                );
            }
            let run = cache.keep_static_secrets(&static_secrets(kept), caller, scope.stop());
            work.push(("static secrets", run.boxed()));
        }
        Some(CacheUnit { id: fixed.id(), spec, cache, scope, work })
    }

    pub(super) async fn commit_cache(
        &mut self,
        next: Option<CacheUnit>,
        tasks: &mut Tasks,
        changes: &mut Changes,
    ) {
        let Some(mut next) = next else { return };
        for (name, work) in std::mem::take(&mut next.work) {
            tasks.start_in(&next.scope, name, work.map(Ok));
        }
        let now = next.cache.remembers();
        let Some(old) = self.cache.replace(next) else { return };
        match (old.cache.remembers(), now) {
            (false, true) => changes.added("cache", ""),
            (true, false) => changes.removed("cache", ""),
            (true, true) => changes.changed("cache", ""),
            (false, false) => {}
        }
        old.scope.end().await;
    }
}
