//! The loop that keeps outputs fresh.
//!
//! One task. It has templates evaluated on other threads (`jobs.rs`), fetches what is missing (several at a
//! time), writes what is complete, runs commands, and waits for the next deadline, the next token or the next
//! answer. Each template and each dependency has its own state, its own failures and its own pauses.

mod backoff;
mod commands;
mod dependent;
mod jobs;
mod news;
mod secrets;
mod standing;
mod state;
mod update;
mod work;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use config::{Template, TemplateConfig};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::info;
use vault::api::Caller;
use vault::{TokenState, Upstream};

use crate::command::Surroundings;
use crate::dependency::Dependency;
use crate::environment::Variables;
use crate::evaluate::Known;
use crate::fetch::Fetcher;
use crate::prepared::Prepared;
use crate::refresh::Rules;
use crate::world::{StopOnDrop, World};
use backoff::Backoff;
pub use backoff::FailureClass;
use commands::Commands;
use dependent::Dependent;
use jobs::Jobs;
use secrets::Done;
pub use standing::Standing;
use state::Output;
pub use update::Update;
use update::{Held, surroundings, welcome};

/// Fetches and renewals under way at a time.
const AT_ONCE: usize = 10;

/// How long an answer waits for those that are still on their way, so that what they complete is written together.
/// Waiting for the disk is a large part of the time of many small files; see docs/benchmarks.md.
const GATHER: Duration = Duration::from_millis(20);

/// What a runner needs besides templates.
pub struct RunnerSettings {
    /// The stanza that all templates share.
    pub shared: TemplateConfig,
    /// Tries per secret before it counts as failed: `vault.retry`, 0 for none.
    pub attempts: u32,
    /// First and longest pause after a failed fetch.
    pub backoff: (Duration, Duration),
    /// The program ends when everything was rendered once, so a failed command must be told by then.
    pub once: bool,
    /// The environment as it was at start.
    pub environment: HashMap<String, String>,
    /// Variables that commands get beside the environment.
    pub for_commands: Vec<(String, String)>,
    /// The server refused the token of this generation.
    pub refused: Arc<dyn Fn(u64) + Send + Sync>,
    /// A token that was replaced is revoked soon, and what was leased with it must be replaced at once.
    pub old_tokens_are_revoked: bool,
    /// What a changed file asks of the supervised process (`on_change`); none where there is no such process.
    pub child: Option<Arc<dyn Fn(ChildAction) + Send + Sync>>,
}

/// What a changed file asks of the supervised process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChildAction {
    /// To be stopped and started.
    Restart,
    /// To be sent its signal.
    Signal,
}

/// Why the runner gave up.
#[derive(Debug, Error)]
pub enum RunnerError {
    /// A template's file cannot be read, at start.
    #[error("template server failed to create: {0}")]
    Source(String),
    /// A template's text cannot be parsed, at start.
    #[error("{source_name}: parse: {reason}")]
    Parse {
        /// Which template.
        source_name: String,
        /// Why.
        reason: String,
    },
    /// With `exit_on_retry_failure`: something failed for good.
    #[error("template server: {reason}")]
    Failed {
        /// What kind of thing.
        class: FailureClass,
        /// Why.
        reason: String,
    },
}

impl RunnerError {
    /// What kind of thing failed.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Source(_) => FailureClass::Local,
            Self::Parse { .. } => FailureClass::Template,
            Self::Failed { class, .. } => *class,
        }
    }
}

/// Renders templates for as long as the program lives.
pub struct Runner {
    settings: RunnerSettings,
    fetcher: Arc<Fetcher>,
    outputs: Vec<Output>,
    dependents: HashMap<Dependency, Dependent>,
    /// What nobody asks for just now and is kept fresh all the same.
    held: Option<Held>,
    /// Some template asks for other things than `dependents` knows.
    needs_changed: bool,
    known: Arc<HashMap<Dependency, Known>>,
    world: Arc<World>,
    /// Where goes what becomes no file.
    variables: Arc<Variables>,
    /// Ends programs under way with the runner.
    stop: StopOnDrop,
    /// What is to be rendered from now on.
    updates: Option<mpsc::Receiver<Update>>,
    jobs: Jobs,
    /// Until when answers are gathered.
    gather_until: Option<Instant>,
    token: TokenState,
    commands: Commands,
    surroundings: Arc<Surroundings>,
    /// Commands that are not tried again, by number, and why.
    failed_commands: BTreeMap<usize, String>,
    ready: Option<TaskTrackerToken>,
}

type UnderWay<T> = FuturesUnordered<BoxFuture<'static, T>>;

impl Runner {
    /// Reads and parses all templates. `ready` is let go once every template was rendered and every command
    /// has ended.
    ///
    /// # Errors
    /// [`RunnerError::Parse`] and [`RunnerError::Source`] with `exit_on_retry_failure`; otherwise a template that cannot be parsed is told
    /// and left out, and the others go on.
    pub fn new(
        templates: Vec<Template>,
        settings: RunnerSettings,
        server: Arc<dyn Upstream>,
        caller: Caller,
        ready: TaskTrackerToken,
    ) -> Result<Self, RunnerError> {
        let prepared = Prepared::new(templates, settings.shared.profile, None);
        Self::of(&prepared, settings, server, caller, ready)
    }

    /// The same for templates that are read and parsed.
    ///
    /// # Errors
    /// As [`Runner::new`].
    pub fn of(
        prepared: &Prepared,
        settings: RunnerSettings,
        server: Arc<dyn Upstream>,
        caller: Caller,
        ready: TaskTrackerToken,
    ) -> Result<Self, RunnerError> {
        let now = Instant::now();
        welcome(&prepared.all, &settings)?;
        let outputs =
            prepared.all.iter().map(|piece| Output::new(piece, settings.shared.wait, now)).collect();
        let surroundings = surroundings(&settings);
        let stop = StopOnDrop::default();
        let world = World::here(&settings.shared, &settings.environment, &settings.for_commands, &stop);
        Ok(Self {
            fetcher: Arc::new(Fetcher::new(server, caller, Rules::of(&settings.shared))),
            settings,
            outputs,
            dependents: HashMap::new(),
            held: None,
            needs_changed: false,
            known: Arc::default(),
            world: Arc::new(world),
            variables: Arc::default(),
            stop,
            updates: None,
            jobs: Jobs::default(),
            gather_until: None,
            token: TokenState::default(),
            commands: Commands::default(),
            surroundings: Arc::new(surroundings),
            failed_commands: BTreeMap::new(),
            ready: Some(ready),
        })
    }

    /// The same with a place for what `env_template`s render.
    #[must_use]
    pub fn with_variables(self, variables: Arc<Variables>) -> Self {
        Self { variables, ..self }
    }

    /// How each template stands, in order; kept up to date while it runs.
    pub fn standings(&self) -> Vec<Arc<Standing>> {
        self.outputs.iter().map(|output| Arc::clone(&output.standing)).collect()
    }

    /// Runs as long as the program lives; drop the future to stop it.
    ///
    /// # Errors
    /// Only with `exit_on_retry_failure`, or for a failed command when the program renders once.
    pub async fn run(mut self, mut tokens: watch::Receiver<TokenState>) -> Result<(), RunnerError> {
        info!(target: "template.server", "starting template server");
        let mut fetches: UnderWay<Done> = FuturesUnordered::new();
        let mut evaluations: UnderWay<Vec<jobs::Outcome>> = FuturesUnordered::new();
        let mut commands: UnderWay<work::Finished> = FuturesUnordered::new();
        let mut updates = self.updates.take();
        loop {
            self.let_go();
            self.follow_needs();
            if self.token.token.is_some() {
                if self.has_gathered(fetches.is_empty()) {
                    self.start_evaluations(&mut evaluations);
                }
                self.start_fetches(&mut fetches);
            }
            self.start_commands(&mut commands);
            self.tell_ready()?;
            let wake_at = self.next_deadline(fetches.len() < AT_ONCE);
            tokio::select! {
                Some(outcomes) = evaluations.next() => self.evaluated(outcomes)?,
                Some(finished) = commands.next() => self.command_ended(finished)?,
                Some(done) = fetches.next() => self.take(done)?,
                changed = tokens.changed() => {
                    if changed.is_err() {
                        // Nobody logs in any more: whoever knows why ends the program.
                        return std::future::pending().await;
                    }
                    let state = tokens.borrow_and_update().clone();
                    self.new_token(state, &mut fetches);
                }
                Some(update) = next(&mut updates) => self.update(update)?,
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Whether to evaluate now what is due: at once when nothing more is on its way (`quiet`), else after a moment.
    fn has_gathered(&mut self, quiet: bool) -> bool {
        let now = Instant::now();
        let until = *self.gather_until.get_or_insert(now + GATHER);
        let is_due = self.outputs.iter().any(|output| output.is_due(now));
        let gathered = quiet || now >= until;
        if gathered || !is_due {
            self.gather_until = None;
        }
        gathered
    }

    /// Whether a failure ends the program.
    fn gives_up(&self) -> bool {
        let shared = &self.settings.shared;
        shared.exit_on_retry_failure || shared.exit_on_start_failure && self.ready.is_some()
    }

    /// Lets go of `ready` when there is nothing left of the first round.
    fn tell_ready(&mut self) -> Result<(), RunnerError> {
        let rendered = self.outputs.iter().all(|output| output.is_rendered());
        // Who renders once wants to know of a command what came of it in the end.
        if self.ready.is_none() || !rendered || !self.commands.are_done(self.settings.once) {
            return Ok(());
        }
        if self.settings.once
            && let Some((_, reason)) = self.failed_commands.pop_first()
        {
            return Err(RunnerError::Failed { class: FailureClass::Command, reason });
        }
        self.ready = None;
        Ok(())
    }

    /// Notes who asks for what. What no template asks for any more is not kept fresh.
    fn follow_needs(&mut self) {
        if !std::mem::take(&mut self.needs_changed) {
            return;
        }
        for dependent in self.dependents.values_mut() {
            dependent.users.clear();
        }
        for (nth, output) in self.outputs.iter().enumerate() {
            for dependency in &output.needed {
                if !self.dependents.contains_key(dependency) {
                    self.dependents.insert(dependency.clone(), Dependent::new(Instant::now()));
                }
                if let Some(dependent) = self.dependents.get_mut(dependency) {
                    dependent.users.push(nth);
                }
            }
        }
        let before = self.dependents.len();
        let held = self.held.as_ref();
        let is_held = |dependency: &Dependency| held.is_some_and(|held| held.what.contains(dependency));
        self.dependents.retain(|dependency, dependent| !dependent.users.is_empty() || is_held(dependency));
        if self.dependents.len() != before {
            Arc::make_mut(&mut self.known).retain(|dependency, _| self.dependents.contains_key(dependency));
        }
    }

    /// When something is due. While no more can be started (`may_start` for fetches), what is due waits for an
    /// answer, not for the time.
    fn next_deadline(&self, may_start: bool) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        let commands = self.commands.due_at().into_iter();
        if self.token.token.is_none() {
            return commands.min().unwrap_or(far).min(far);
        }
        let startable = |output: &&Output| output.parsed.as_ref().is_some_and(|p| self.jobs.has_room_for(p));
        let outputs = self.outputs.iter().filter(startable).filter_map(Output::due_at);
        let outputs = outputs.map(|at| self.gather_until.map_or(at, |until| at.max(until)));
        let dependents = self.dependents.values().filter(|_| may_start).filter_map(Dependent::due_at);
        let held = self.held.as_ref().map(|held| held.until);
        outputs
            .chain(dependents)
            .chain(self.gather_until)
            .chain(commands)
            .chain(held)
            .min()
            .unwrap_or(far)
            .min(far)
    }

    fn backoff(&self) -> Backoff {
        let (first, longest) = self.settings.backoff;
        Backoff { first, longest, attempts: self.settings.attempts }
    }
}

async fn next(updates: &mut Option<mpsc::Receiver<Update>>) -> Option<Update> {
    match updates {
        Some(updates) => updates.recv().await,
        None => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
