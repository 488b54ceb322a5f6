//! What templates see of the machine they run on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use functions::Profile;
use jiff::Timestamp;

use crate::functions::profile_of;
use crate::processes::UnderWay;

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
    /// What `sockaddr` gives, by its expression, where this machine is not asked.
    pub(crate) addresses: Option<BTreeMap<String, String>>,
    /// Where goes what a template prints.
    pub(crate) prints: Prints,
    /// Whether there are files; without them a sandbox is a matter of names.
    pub(crate) has_files: bool,
}

/// Where goes what a template prints beside its text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Prints {
    /// To our standard output, as with upstream's agents.
    Itself,
    /// To the caller: our standard output is for the rendered text.
    HandsOn,
}

/// What `plugin` may run.
pub(crate) enum Programs {
    /// Programs of this machine, until these are stopped.
    Real(Arc<UnderWay>),
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
            addresses: None,
            prints: Prints::Itself,
            has_files: true,
        }
    }

    /// Whether secrets are real, not made up.
    pub(crate) fn is_real(&self) -> bool {
        matches!(self.programs, Programs::Real(_))
    }

    /// Whether nobody waits for what is evaluated any more.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(&self.programs, Programs::Real(stop) if stop.is_stopped())
    }
}

/// Ends evaluations and their programs when nobody waits for them any more.
#[derive(Default)]
pub(crate) struct StopOnDrop(Arc<UnderWay>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
