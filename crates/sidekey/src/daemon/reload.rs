//! A new configuration: compiled, compared and applied by difference. Where anything is wrong with it, nothing changes.

use std::sync::Arc;

use config::Settings;
use tracing::error;

use super::build::Daemon;
use super::notify;
use super::units::{Changes, restrained};

/// What the command line knows of configurations.
pub(crate) struct Reload {
    /// Reads the configuration again. When it is bad, its problems are logged, and given.
    pub(crate) load: Box<dyn Fn() -> Result<Settings, Vec<String>> + Send>,
    /// Puts its log level in force, and opens the log file anew: somebody may have put it aside.
    pub(crate) apply_log: Box<dyn Fn(&Settings) + Send>,
}

impl Daemon {
    /// Reads the configuration again and applies it.
    ///
    /// # Errors
    /// All that is wrong with it; everything is as it was then.
    pub(super) async fn reload(&mut self, reload: &Reload) -> Result<Changes, Vec<String>> {
        if let Some(access) = &self.units.access {
            access.log.reopen();
        }
        let told = self.notify.as_deref().is_some_and(notify::Systemd::reloading);
        let outcome = self.apply(reload).await;
        if let Some(systemd) = self.notify.as_deref().filter(|_| told) {
            systemd.ready(&self.fixed.board);
        }
        outcome
    }

    async fn apply(&mut self, reload: &Reload) -> Result<Changes, Vec<String>> {
        let settings = Arc::new(restrained(&self.units.settings, (reload.load)()?, self.fixed.reaps));
        let next = match self.units.prepare(&settings, &self.fixed, &self.tasks).await {
            Ok(next) => next,
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                error!(target: "reload", problems = problems.join("; "), "the new configuration cannot be applied, the old configuration stays in force");
                return Err(problems);
            }
        };
        (reload.apply_log)(&settings);
        let changes = self.units.commit(next, &self.fixed, &mut self.tasks).await;
        self.units.read_again();
        changes.log();
        Ok(changes)
    }
}
