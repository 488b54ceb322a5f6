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
    /// How often its command ran, alone or for several templates.
    pub commands: AtomicU64,
    /// How often its command failed.
    pub command_failures: AtomicU64,
    rendered_at: AtomicU64,
    failing: Mutex<Troubles>,
}

/// What does not get on, each until it does.
#[derive(Debug, Default)]
struct Troubles {
    own: Option<Failing>,
    secret: Option<Failing>,
    command: bool,
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
    pub(crate) fn new(destination: PathBuf) -> Self {
        Self {
            destination,
            renders: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            command_failures: AtomicU64::new(0),
            rendered_at: AtomicU64::new(0),
            failing: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, Troubles> {
        self.failing.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn rendered(&self) {
        self.renders.fetch_add(1, Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.rendered_at.store(now.as_secs(), Relaxed);
        self.state().own = None;
    }

    pub(super) fn failed(&self, why: Failing) {
        self.failures.fetch_add(1, Relaxed);
        let mut troubles = self.state();
        match why {
            Failing::Secret(_) => troubles.secret = Some(why),
            Failing::Unusable | Failing::Template | Failing::File => troubles.own = Some(why),
        }
    }

    /// All its secrets can be had.
    pub(super) fn has_secrets(&self) {
        self.state().secret = None;
    }

    /// Its command has ended, well or not.
    pub(super) fn command_ended(&self, well: bool) {
        self.commands.fetch_add(1, Relaxed);
        if !well {
            self.command_failures.fetch_add(1, Relaxed);
        }
        self.state().command = !well;
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
        let troubles = self.state();
        Some(match troubles.own.or(troubles.secret) {
            Some(Failing::Unusable) => "unusable",
            Some(Failing::Template) => "template",
            Some(Failing::File) => "file",
            Some(Failing::Secret(why)) => why,
            None if troubles.command => "command",
            None => return None,
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
