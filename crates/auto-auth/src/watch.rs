//! When to look for new credentials: at least so often, and at once when a file changed, where the system tells.

mod changes;
mod places;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::debug;

use changes::Changes;
use places::Place;

/// Who writes a file is given this long to finish: some empty it first and write it then.
const SETTLE: Duration = Duration::from_millis(50);

/// Changes lead to a look this often at most: a file that is written all the time is no reason to log in all the time.
const GAP: Duration = Duration::from_secs(1);

/// A shorter period would be a spin.
const SHORTEST: Duration = Duration::from_millis(100);

/// When to look for new credentials.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Watch {
    /// At least so often.
    pub(crate) every: Duration,
    /// And soon after one of these files changed.
    pub(crate) files: Vec<PathBuf>,
}

/// Keeps watch between looks too, so that nothing that changes while something else is done is missed.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    /// The period and when it ends.
    due: Option<(Duration, Instant)>,
    places: Vec<Place>,
    changes: Option<Changes>,
    /// Something changed and nobody has looked since.
    pending: bool,
    /// The last look that a change led to.
    last: Option<Instant>,
    told: bool,
}

impl Lookout {
    /// Waits until it is time to look again. Dropping the future loses nothing.
    pub(crate) async fn look_again(&mut self, watch: &Watch) {
        let every = watch.every.max(SHORTEST);
        let due = match self.due {
            Some((period, due)) if period == every => due,
            _ => Instant::now() + every,
        };
        self.due = Some((every, due));
        // Whoever watches anew has missed what was before.
        self.pending |= self.settle_down(&watch.files);
        if !self.pending {
            tokio::select! {
                () = sleep_until(due) => {}
                () = changed(&mut self.changes) => self.pending = true,
            }
        }
        if self.pending {
            let now = Instant::now();
            sleep_until(self.last.map_or(now + SETTLE, |last| (last + GAP).max(now + SETTLE))).await;
            self.last = Some(Instant::now());
            if let Some(changes) = &mut self.changes {
                changes.drain();
            }
        }
        self.pending = false;
        self.due = None;
    }

    /// Watches the folders that matter now. True when they are others than before.
    fn settle_down(&mut self, files: &[PathBuf]) -> bool {
        let places: Vec<Place> = files.iter().flat_map(|file| places::of(file)).collect();
        let stale = self.changes.as_ref().is_some_and(Changes::is_stale);
        if places == self.places && !stale {
            return false;
        }
        self.changes = match Changes::of(&places) {
            Ok(changes) => Some(changes),
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    debug!(target: "auth.handler", error = %error, "the system does not tell of changed credential files; they are looked at from time to time only");
                }
                None
            }
        };
        self.places = places;
        self.changes.is_some()
    }
}

/// Waits for a change; for ever where the system tells of none.
async fn changed(changes: &mut Option<Changes>) {
    if let Some(watching) = changes {
        if watching.next().await.is_ok() {
            return;
        }
        *changes = None;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests;
