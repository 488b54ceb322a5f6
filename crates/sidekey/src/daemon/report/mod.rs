//! How everything stands: numbers, health and status, gathered from all rooms when somebody asks. No room knows it;
//! listeners are given it as a [`Report`].

mod numbers;
mod process;
mod push;
mod standing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use auto_auth::Record;
use cache::Cache;
use config::Telemetry;
use proxy::{AccessLog, Counters, Passed, Report};
use serde_json::{Value, json};
use telemetry::metrics::{Filter, Intervals, Snapshot};
use template::Standing;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use vault::{Client, Product, TokenState};

pub(super) use push::push;

/// What is reported, once everything is made.
pub(super) struct Parts {
    pub(super) product: Product,
    pub(super) telemetry: Telemetry,
    pub(super) identities: Vec<IdentityPart>,
    pub(super) listeners: Vec<ListenerPart>,
    pub(super) templates: Vec<TemplatePart>,
    pub(super) child: Option<Arc<supervisor::Record>>,
    /// The server as each part of the program reaches it.
    pub(super) upstreams: Vec<(&'static str, Client)>,
    pub(super) cache: Cache,
    pub(super) passed: Arc<Passed>,
    pub(super) access: Option<AccessLog>,
    /// Sinks and templates that have not done their work once.
    pub(super) ready: TaskTracker,
}

/// One `auto_auth`.
pub(super) struct IdentityPart {
    /// Empty for the one without a name.
    pub(super) name: String,
    pub(super) method: &'static str,
    pub(super) mount: String,
    pub(super) namespace: Option<String>,
    pub(super) record: Arc<Record>,
    pub(super) tokens: watch::Receiver<TokenState>,
}

/// One listener.
pub(super) struct ListenerPart {
    pub(super) address: String,
    pub(super) metrics_only: bool,
    pub(super) counters: Arc<Counters>,
}

/// One template.
pub(super) struct TemplatePart {
    pub(super) identity: String,
    pub(super) standing: Arc<Standing>,
}

/// What is asked for reports. Before everything is made it knows nothing.
pub(super) struct Board {
    parts: Mutex<Option<Arc<Parts>>>,
    intervals: Mutex<Intervals>,
    began: Instant,
}

impl Board {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            parts: Mutex::default(),
            intervals: Mutex::new(Intervals::new(process::now())),
            began: Instant::now(),
        })
    }

    /// Everything is made, or made anew.
    pub(super) fn complete(&self, parts: Parts) {
        *self.parts.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(parts));
    }

    fn parts(&self) -> Option<Arc<Parts>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn intervals(&self) -> MutexGuard<'_, Intervals> {
        self.intervals.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn numbers(&self) -> Snapshot {
        let Some(parts) = self.parts() else { return Snapshot::default() };
        let mut all = Snapshot::default();
        numbers::counters(&parts, &mut all);
        numbers::gauges(&parts, &mut all);
        all.filtered(&filter(&parts.telemetry))
    }

    /// As upstream writes it to standard error on SIGUSR1.
    pub(super) fn dump(&self) -> String {
        let numbers = self.numbers();
        self.intervals().dump(&numbers)
    }

    /// Whether everything does its work.
    pub(super) fn is_ready(&self) -> bool {
        self.parts().is_some_and(|parts| standing::is_ready(&parts))
    }

    /// What is waited for, in a few words.
    pub(super) fn summary(&self) -> String {
        self.parts().map_or_else(|| "starting".to_owned(), |parts| standing::summary(&parts))
    }
}

impl Report for Board {
    fn prometheus(&self) -> Option<String> {
        let parts = self.parts().filter(|parts| parts.telemetry.prometheus)?;
        let mut all = Snapshot::default();
        numbers::counters(&parts, &mut all);
        numbers::gauges(&parts, &mut all);
        process::numbers(&mut all);
        Some(all.filtered(&filter(&parts.telemetry)).prometheus())
    }

    fn json(&self) -> String {
        let numbers = self.numbers();
        self.intervals().json(&numbers)
    }

    fn health(&self) -> (bool, Value) {
        match self.parts() {
            Some(parts) => standing::health(&parts),
            None => (false, json!({"ready": false})),
        }
    }

    fn status(&self) -> Value {
        match self.parts() {
            Some(parts) => standing::status(&parts, self.began.elapsed()),
            None => json!({"ready": false}),
        }
    }
}

fn filter(telemetry: &Telemetry) -> Filter {
    Filter { default: telemetry.filter_default, rules: telemetry.filters.clone() }
}
