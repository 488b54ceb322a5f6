//! Other templates while it runs: what is the same in both goes on untouched, and what was known stays known.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use config::Consequence;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{error, warn};
use vault::Upstream;
use vault::api::Caller;

use super::state::Output;
use super::{Runner, RunnerError, RunnerSettings};
use crate::command::Surroundings;
use crate::dependency::Dependency;
use crate::output;
use crate::prepared::{Piece, Prepared};
use crate::refresh::Rules;
use crate::world::World;

/// So long what templates asked for that are gone is kept fresh: those that have come may ask for it, too, and a
/// lease need not be had twice.
const HOLD: Duration = Duration::from_secs(30);

/// What is to be rendered from now on, and how.
pub struct Update {
    /// All templates.
    pub prepared: Arc<Prepared>,
    /// What they need besides.
    pub settings: RunnerSettings,
    /// Who is to be asked, if that is another.
    pub server: Option<(Arc<dyn Upstream>, Caller)>,
    /// Let go of when the new templates are rendered.
    pub ready: TaskTrackerToken,
}

/// What nobody asks for just now.
pub(super) struct Held {
    pub(super) what: BTreeSet<Dependency>,
    pub(super) until: Instant,
}

impl Runner {
    /// Where to send what is to be rendered from now on.
    pub fn updates(&mut self) -> mpsc::Sender<Update> {
        let (sender, receiver) = mpsc::channel(4);
        self.updates = Some(receiver);
        sender
    }

    pub(super) fn update(&mut self, update: Update) -> Result<(), RunnerError> {
        let Update { prepared, settings, server, ready } = update;
        let now = Instant::now();
        let is_in = |piece: &Arc<Piece>| prepared.all.iter().any(|new| Arc::ptr_eq(new, piece));
        let mut held = self.held.take().map(|held| held.what).unwrap_or_default();
        let mut gone = HashSet::new();
        for (nth, output) in self.outputs.iter_mut().enumerate() {
            match &output.piece {
                Some(piece) if is_in(piece) => output.waits(settings.shared.wait),
                Some(_) => {
                    held.append(&mut output.leave());
                    gone.insert(nth);
                }
                None => {}
            }
        }
        for id in self.commands.forget(&gone) {
            self.failed_commands.remove(&id);
        }
        let here: Vec<Arc<Piece>> = self.outputs.iter().filter_map(|output| output.piece.clone()).collect();
        let is_new = |piece: &&Arc<Piece>| !here.iter().any(|known| Arc::ptr_eq(known, piece));
        let new: Vec<Arc<Piece>> = prepared.all.iter().filter(is_new).cloned().collect();
        welcome(&new, &settings)?;
        if !new.is_empty() {
            self.ready.get_or_insert(ready);
        }
        for piece in &new {
            let output = Output::new(piece, settings.shared.wait, now);
            match self.outputs.iter_mut().find(|output| output.is_free()) {
                Some(free) => *free = output,
                None => self.outputs.push(output),
            }
        }
        if let Some((server, caller)) = server {
            self.fetcher = Arc::new(crate::fetch::Fetcher::new(server, caller, Rules::of(&settings.shared)));
        } else if settings.shared != self.settings.shared {
            self.fetcher = Arc::new(self.fetcher.with_rules(Rules::of(&settings.shared)));
        }
        self.world = Arc::new(World::here(
            &settings.shared,
            &settings.environment,
            &settings.for_commands,
            &self.stop,
        ));
        self.surroundings = Arc::new(surroundings(&settings));
        self.settings = settings;
        self.held = Some(Held { what: held, until: now + HOLD }).filter(|held| !held.what.is_empty());
        self.needs_changed = true;
        // Whoever reloads may want to have right what is not.
        let all: Vec<usize> = (0..self.outputs.len()).collect();
        self.put_back(&all);
        Ok(())
    }

    /// Lets go of what was held, once the new templates have had their chance.
    pub(super) fn let_go(&mut self) {
        let Some(held) = &self.held else { return };
        let settled = |output: &super::Output| output.is_rendered() || output.parsed.is_none();
        if Instant::now() >= held.until || self.outputs.iter().all(settled) {
            self.held = None;
            self.needs_changed = true;
        }
    }
}

/// What is said of templates that have come.
///
/// # Errors
/// One that cannot be used and counts.
pub(super) fn welcome(pieces: &[Arc<Piece>], settings: &RunnerSettings) -> Result<(), RunnerError> {
    let files = pieces.iter().filter(|piece| piece.settings.variable.is_none());
    atomic_file::remove_stale_temporaries(files.map(|piece| piece.settings.destination.as_path()));
    for piece in pieces {
        let template = &piece.settings;
        let destination = template.destination.display();
        if let Some(problem) = piece.problem() {
            // Who renders once waits for all of them, and nothing can change the text any more.
            let exits = settings.shared.exit_on_retry_failure || settings.shared.exit_on_start_failure;
            let fatal = settings.once || template.error_fatal && exits;
            let source_name = output::source(template);
            match problem {
                problem if fatal => return Err(problem),
                RunnerError::Source(reason)
                | RunnerError::Parse { reason, .. }
                | RunnerError::Failed { reason, .. } => {
                    error!(target: "template.server", template = source_name, %destination, error = reason, "the template cannot be used and is left out");
                }
            }
        }
        if settings.child.is_none()
            && matches!(template.on_change, Consequence::Restart | Consequence::Signal)
        {
            warn!(target: "template.server", %destination, "on_change has no effect: there is no exec, so nothing to restart or to signal");
        }
    }
    Ok(())
}

pub(super) fn surroundings(settings: &RunnerSettings) -> Surroundings {
    Surroundings { environment: settings.environment.clone(), variables: settings.for_commands.clone() }
}
