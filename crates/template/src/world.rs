//! What templates see of the machine they run on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use functions::Profile;
use jiff::Timestamp;

use crate::functions::profile_of;

/// What templates see of the machine they run on.
pub(crate) struct World {
    /// Whose functions and rules count.
    pub(crate) profile: Profile,
    /// The environment as it was at start.
    pub(crate) environment: HashMap<String, String>,
    /// What `env` sees before it: where the server is.
    pub(crate) overrides: HashMap<String, String>,
    /// The time, where it is given.
    pub(crate) now: Option<Timestamp>,
    /// What `plugin` may run.
    pub(crate) programs: Programs,
    /// Whether there are files; without them a sandbox is a matter of names.
    pub(crate) has_files: bool,
}

/// What `plugin` may run.
pub(crate) enum Programs {
    /// Programs of this machine, until this says stop.
    Real(Arc<AtomicBool>),
    /// None: these are the answers, by program and arguments with a space between them.
    Canned(BTreeMap<String, String>),
}

impl World {
    /// This machine. Of the variables for commands `env` sees those of its own agent; programs run until
    /// `stop` is dropped.
    pub(crate) fn here(
        shared: &config::TemplateConfig,
        environment: &HashMap<String, String>,
        for_commands: &[(String, String)],
        stop: &StopOnDrop,
    ) -> Self {
        let profile = profile_of(shared.profile);
        let prefix = match profile {
            Profile::OpenBao => "BAO_",
            Profile::Vault => "VAULT_",
        };
        let own = for_commands.iter().filter(|(name, _)| name.starts_with(prefix));
        Self {
            profile,
            environment: environment.clone(),
            overrides: own.cloned().collect(),
            now: None,
            programs: Programs::Real(Arc::clone(&stop.0)),
            has_files: true,
        }
    }
}

impl World {
    /// Whether nobody waits for what is evaluated any more.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(&self.programs, Programs::Real(stop) if stop.load(Ordering::Relaxed))
    }
}

/// Tells programs under way to stop when nobody waits for them any more.
#[derive(Default)]
pub(crate) struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
