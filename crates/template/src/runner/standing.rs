//! How a template stands, for whoever reports it: plain numbers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::fetch::FetchError;

/// One template.
#[derive(Debug)]
pub struct Standing {
    destination: PathBuf,
    /// How often its text was complete and its file right, written or not.
    pub renders: AtomicU64,
    /// How often it, its file or a secret it asks for failed.
    pub failures: AtomicU64,
    rendered_at: AtomicU64,
    failing: Mutex<Option<Failing>>,
}

/// Why a template does not get on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Failing {
    /// Its text cannot be parsed or read, or a bug ended it.
    Unusable,
    /// It ends with an error.
    Template,
    /// Its file cannot be written.
    File,
    /// A secret cannot be had; why not.
    Secret(&'static str),
}

impl Standing {
    pub(super) fn new(destination: PathBuf) -> Self {
        Self {
            destination,
            renders: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            rendered_at: AtomicU64::new(0),
            failing: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn rendered(&self) {
        self.renders.fetch_add(1, Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.rendered_at.store(now.as_secs(), Relaxed);
        self.state().take_if(|why| !matches!(why, Failing::Secret(_)));
    }

    pub(super) fn failed(&self, why: Failing) {
        self.failures.fetch_add(1, Relaxed);
        *self.state() = Some(why);
    }

    /// All its secrets can be had.
    pub(super) fn has_secrets(&self) {
        self.state().take_if(|why| matches!(why, Failing::Secret(_)));
    }

    /// The file.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// When its file was right last, in seconds since 1970; `None` for never.
    pub fn rendered_at(&self) -> Option<u64> {
        Some(self.rendered_at.load(Relaxed)).filter(|at| *at > 0)
    }

    /// One word for why it does not get on now; `None` while all is well.
    pub fn failing(&self) -> Option<&'static str> {
        Some(match (*self.state())? {
            Failing::Unusable => "unusable",
            Failing::Template => "template",
            Failing::File => "file",
            Failing::Secret(why) => why,
        })
    }
}

/// One word for why a secret cannot be had.
pub(super) fn kind(error: &FetchError) -> &'static str {
    match error {
        FetchError::Api { source, .. } => source.kind(),
        FetchError::Absent { .. } => "absent",
        FetchError::Unusable { .. } => "malformed",
    }
}
