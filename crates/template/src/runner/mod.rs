//! The loop that keeps outputs fresh.
//!
//! One task. It has templates evaluated on other threads (`jobs.rs`), fetches what is missing (several at a
//! time), writes what is complete, runs commands, and waits for the next deadline, the next token or the next
//! answer. Each template and each dependency has its own state, its own failures and its own pauses.

mod jobs;
mod news;
mod standing;
mod state;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use config::{Template, TemplateConfig};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use gotemplate::Funcs;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{debug, error, info, warn};
use vault::api::Caller;
use vault::{Token, TokenState, Upstream};

use crate::dependency::Dependency;
use crate::environment::Variables;
use crate::evaluate::{Evaluation, Known, Parsed};
use crate::fetch::{FetchError, Fetcher, unix_now};
use crate::redact::redacted;
use crate::refresh::{Renewable, Rules};
use crate::world::{StopOnDrop, World};
use crate::{command, functions, output, source};
use jobs::Jobs;
use standing::Failing;
pub use standing::Standing;
use state::{Backoff, Dependent, Output, Renewal};

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
    #[error("template server: {0}")]
    Failed(String),
}

/// Renders templates for as long as the program lives.
pub struct Runner {
    settings: RunnerSettings,
    fetcher: Arc<Fetcher>,
    outputs: Vec<Output>,
    dependents: HashMap<Dependency, Dependent>,
    /// Some template asks for other things than `dependents` knows.
    needs_changed: bool,
    known: Arc<HashMap<Dependency, Known>>,
    world: Arc<World>,
    /// Where goes what becomes no file.
    variables: Arc<Variables>,
    /// Ends programs under way with the runner.
    _stop: StopOnDrop,
    jobs: Jobs,
    /// Until when answers are gathered.
    gather_until: Option<Instant>,
    token: TokenState,
    commands: VecDeque<(config::Command, String)>,
    command_failed: Option<String>,
    ready: Option<TaskTrackerToken>,
}

/// Something that was under way has ended.
enum Done {
    Fetched(Dependency, u64, Result<Known, FetchError>),
    Renewed(Dependency, Renewal),
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
        let profile = functions::profile_of(settings.shared.profile);
        let table = functions::shared_table(profile);
        let mut outputs = Vec::new();
        atomic_file::remove_stale_temporaries(
            templates
                .iter()
                .filter(|template| template.variable.is_none())
                .map(|template| template.destination.as_path()),
        );
        for template in templates {
            let parsed = parse(&template, profile, &table);
            if let Err(reason) = &parsed {
                // Who renders once waits for all of them, and nothing can change the text any more.
                let fatal = settings.once || template.error_fatal && settings.shared.exit_on_retry_failure;
                let source_name = output::source(&template);
                let destination = template.destination.display();
                match reason {
                    Unusable::Source(reason) if fatal => return Err(RunnerError::Source(reason.clone())),
                    Unusable::Text(reason) if fatal => {
                        return Err(RunnerError::Parse { source_name, reason: reason.clone() });
                    }
                    Unusable::Source(reason) | Unusable::Text(reason) => {
                        error!(target: "template.server", template = source_name, %destination, error = reason, "the template cannot be used and is left out");
                    }
                }
            }
            outputs.push(Output::new(template, parsed.ok()));
        }
        let stop = StopOnDrop::default();
        let world = World::here(&settings.shared, &settings.environment, &settings.for_commands, &stop);
        Ok(Self {
            fetcher: Arc::new(Fetcher::new(server, caller, Rules::of(&settings.shared))),
            settings,
            outputs,
            dependents: HashMap::new(),
            needs_changed: false,
            known: Arc::default(),
            world: Arc::new(world),
            variables: Arc::default(),
            _stop: stop,
            jobs: Jobs::default(),
            gather_until: None,
            token: TokenState::default(),
            commands: VecDeque::new(),
            command_failed: None,
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
        let mut commands: UnderWay<Result<(), String>> = FuturesUnordered::new();
        loop {
            self.follow_needs();
            if self.token.token.is_some() {
                if self.has_gathered(fetches.is_empty()) {
                    self.start_evaluations(&mut evaluations);
                }
                self.start_fetches(&mut fetches);
            }
            if commands.is_empty()
                && let Some((command, source)) = self.commands.pop_front()
            {
                let variables = self.settings.for_commands.clone();
                commands.push(Box::pin(async move {
                    let outcome = command::run(&command, &variables).await;
                    outcome.map_err(|error| format!("{error} from \"{source}\""))
                }));
            }
            self.tell_ready(!commands.is_empty())?;
            let wake_at = self.next_deadline(fetches.len() < AT_ONCE);
            tokio::select! {
                Some(outcomes) = evaluations.next() => self.evaluated(outcomes)?,
                Some(outcome) = commands.next() => {
                    if let Err(reason) = outcome {
                        self.command_failed(reason)?;
                    }
                }
                Some(done) = fetches.next() => match done {
                    Done::Fetched(dependency, generation, outcome) => self.fetched(dependency, generation, outcome)?,
                    Done::Renewed(dependency, renewal) => self.renewed(&dependency, renewal),
                },
                changed = tokens.changed() => {
                    if changed.is_err() {
                        // Nobody logs in any more: whoever knows why ends the program.
                        return std::future::pending().await;
                    }
                    let state = tokens.borrow_and_update().clone();
                    self.new_token(state);
                }
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

    /// Lets go of `ready` when there is nothing left of the first round.
    fn tell_ready(&mut self, command_runs: bool) -> Result<(), RunnerError> {
        let rendered = self.outputs.iter().all(|output| output.is_rendered());
        if self.ready.is_none() || !rendered || command_runs || !self.commands.is_empty() {
            return Ok(());
        }
        if self.settings.once
            && let Some(reason) = self.command_failed.take()
        {
            return Err(RunnerError::Failed(reason));
        }
        self.ready = None;
        Ok(())
    }

    fn command_failed(&mut self, reason: String) -> Result<(), RunnerError> {
        error!(target: "template.server", error = reason, "a template's command failed");
        if self.settings.shared.exit_on_retry_failure {
            return Err(RunnerError::Failed(reason));
        }
        self.command_failed = Some(reason);
        Ok(())
    }

    /// Starts whatever is due: first fetches, reads anew, renewals; looks at local files.
    fn start_fetches(&mut self, under_way: &mut UnderWay<Done>) {
        let Some(token) = self.token.token.clone() else { return };
        let now = Instant::now();
        let generation = self.token.generation;
        for (dependency, dependent) in &mut self.dependents {
            if under_way.len() >= AT_ONCE {
                break;
            }
            let Some(renewal) = dependent.take_due(now) else { continue };
            under_way.push(start(
                Arc::clone(&self.fetcher),
                dependency.clone(),
                renewal,
                Arc::clone(&token),
                generation,
                self.known.contains_key(dependency),
            ));
        }
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
        self.dependents.retain(|_, dependent| !dependent.users.is_empty());
        if self.dependents.len() != before {
            Arc::make_mut(&mut self.known).retain(|dependency, _| self.dependents.contains_key(dependency));
        }
    }

    fn fetched(
        &mut self,
        dependency: Dependency,
        generation: u64,
        outcome: Result<Known, FetchError>,
    ) -> Result<(), RunnerError> {
        let Some(dependent) = self.dependents.get_mut(&dependency) else { return Ok(()) };
        let now = Instant::now();
        let recovered = outcome.is_ok() && dependent.is_failing();
        match outcome {
            Ok(known) => {
                let is_new = !news::same(self.known.get(&dependency), &known);
                let next = self.fetcher.rules().after(&known, unix_now(), fastrand::f64());
                dependent.fetched(next, now, generation == self.token.generation);
                if is_new {
                    Arc::make_mut(&mut self.known).insert(dependency.clone(), known);
                    for nth in &dependent.users {
                        if let Some(output) = self.outputs.get_mut(*nth) {
                            output.has_news();
                        }
                    }
                }
            }
            Err(error) => {
                for output in dependent.users.iter().filter_map(|nth| self.outputs.get(*nth)) {
                    output.standing.failed(Failing::Secret(standing::kind(&error)));
                }
                if error.is_forbidden() {
                    (self.settings.refused)(generation);
                }
                let (pause, failures) =
                    dependent.failed(now, Backoff(self.settings.backoff), fastrand::f64());
                // A path may be made of another secret's value.
                let error = redacted(&error.to_string(), &self.known, &self.known.keys().cloned().collect());
                if failures <= self.settings.attempts {
                    let after = format!("{:.2}s", pause.as_secs_f64());
                    warn!(target: "", "(view) {error} (retry attempt {failures} after \"{after}\")");
                    return Ok(());
                }
                error!(target: "", "(view) {error} (exceeded maximum retries)");
                let mut users = dependent.users.iter().filter_map(|nth| self.outputs.get(*nth));
                let fatal = users.any(|output| output.settings.error_fatal);
                if self.settings.shared.exit_on_retry_failure && fatal {
                    return Err(RunnerError::Failed(error));
                }
            }
        }
        if recovered {
            self.note_recoveries();
        }
        Ok(())
    }

    /// Tells of the templates whose secrets can all be had again.
    fn note_recoveries(&self) {
        for output in &self.outputs {
            let fails = |dependency| self.dependents.get(dependency).is_some_and(Dependent::is_failing);
            if !output.needed.iter().any(fails) {
                output.standing.has_secrets();
            }
        }
    }

    fn renewed(&mut self, dependency: &Dependency, renewal: Renewal) {
        let Some(dependent) = self.dependents.get_mut(dependency) else { return };
        if matches!(renewal, Renewal::Ended) {
            warn!(target: "", "(view) {dependency}: renewer done (maybe the lease expired)");
        }
        dependent.renewed(renewal, Instant::now(), fastrand::f64());
    }

    /// With a new token nothing known is thrown away. What was leased with the old one dies with it, so it is
    /// fetched anew now, while the old values still serve.
    fn new_token(&mut self, state: TokenState) {
        if state.generation == self.token.generation {
            return;
        }
        info!(target: "template.server", "template server received new token");
        self.token = state;
        let now = Instant::now();
        for dependent in self.dependents.values_mut() {
            dependent.new_token(now);
        }
    }

    /// When something is due. While no more can be started (`may_start` for fetches), what is due waits for an
    /// answer, not for the time.
    fn next_deadline(&self, may_start: bool) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        let startable = |output: &&Output| output.parsed.as_ref().is_some_and(|p| self.jobs.has_room_for(p));
        let outputs = self.outputs.iter().filter(startable).filter_map(|output| output.retry_at);
        let outputs = outputs.map(|at| self.gather_until.map_or(at, |until| at.max(until)));
        let dependents = self.dependents.values().filter(|_| may_start).filter_map(Dependent::due_at);
        outputs.chain(dependents).chain(self.gather_until).min().unwrap_or(far).min(far)
    }
}

/// Makes the future of one fetch or renewal. `again` is whether it was fetched before.
fn start(
    fetcher: Arc<Fetcher>,
    dependency: Dependency,
    renewal: Option<Renewable>,
    token: Arc<Token>,
    generation: u64,
    again: bool,
) -> BoxFuture<'static, Done> {
    Box::pin(async move {
        let Some(what) = renewal else {
            let outcome = fetcher.fetch(&dependency, &token, again).await;
            return Done::Fetched(dependency, generation, outcome);
        };
        let renewal = match fetcher.renew(&what, &token).await {
            Ok(seconds) => {
                debug!(target: "", "(view) {dependency}: renewed");
                Renewal::Extended(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
            }
            // 4xx: it is gone or may not be renewed. Anything else is the server's own trouble.
            Err(error)
                if error
                    .status()
                    .is_some_and(|status| status.is_client_error() && status.as_u16() != 429) =>
            {
                Renewal::Ended
            }
            Err(_) => Renewal::Unanswered,
        };
        Done::Renewed(dependency, renewal)
    })
}

/// Why a template cannot be used at all.
enum Unusable {
    Source(String),
    Text(String),
}

fn parse(
    template: &Template,
    profile: ::functions::Profile,
    functions: &Arc<Funcs<Evaluation>>,
) -> Result<Arc<Parsed>, Unusable> {
    let text = source::read(&template.contents).map_err(Unusable::Source)?;
    let parsed = Parsed::new(&text, template, profile, functions);
    parsed.map(Arc::new).map_err(|error| Unusable::Text(error.to_string()))
}

#[cfg(test)]
pub(crate) mod tests;
