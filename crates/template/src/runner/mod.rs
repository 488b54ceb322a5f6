//! The loop that keeps outputs fresh.
//!
//! One task. It evaluates templates, fetches what is missing (several at a time), writes what is complete,
//! runs commands, and waits for the next deadline, the next token or the next answer. Each template and each
//! dependency has its own state, its own failures and its own pauses.

mod files;
mod state;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use atomic_file::Written;
use config::{Contents, Template, TemplateConfig};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{debug, error, info, warn};
use vault::api::Caller;
use vault::{Token, TokenState, Upstream};

use crate::command;
use crate::dependency::Dependency;
use crate::evaluate::{Environment, Known, Parsed};
use crate::fetch::{FetchError, Fetcher, MAX_FILE};
use crate::output;
use crate::refresh::{self, Refresh};
use state::{Backoff, Dependent, Output, Renewal};

/// Fetches and renewals under way at a time.
const AT_ONCE: usize = 10;

/// Local files are looked at this often.
const FILE_INTERVAL: Duration = Duration::from_secs(2);

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
    /// A template's text cannot be read or parsed, at start.
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
    known: Arc<HashMap<Dependency, Known>>,
    environment: Environment,
    token: TokenState,
    commands: VecDeque<(config::Command, String)>,
    command_failed: Option<String>,
    ready: Option<TaskTrackerToken>,
}

/// Something that was under way has ended.
enum Done {
    Fetched(Dependency, u64, Result<Known, FetchError>),
    Renewed(Dependency, Renewal),
    Command(Result<(), String>),
}

impl Runner {
    /// Reads and parses all templates. `ready` is let go once every template was rendered and every command
    /// has ended.
    ///
    /// # Errors
    /// [`RunnerError::Parse`] with `exit_on_retry_failure`; otherwise a template that cannot be parsed is told
    /// and left out, and the others go on.
    pub fn new(
        templates: Vec<Template>,
        settings: RunnerSettings,
        server: Arc<dyn Upstream>,
        caller: Caller,
        ready: TaskTrackerToken,
    ) -> Result<Self, RunnerError> {
        let mut outputs = Vec::new();
        for template in templates {
            atomic_file::remove_stale_temporaries(&template.destination);
            let parsed = parse(&template);
            if let Err(reason) = &parsed {
                let fatal = template.error_fatal && settings.shared.exit_on_retry_failure;
                let source_name = output::source(&template);
                if fatal {
                    return Err(RunnerError::Parse { source_name, reason: reason.clone() });
                }
                error!(target: "template.server", template = source_name, error = reason, "the template cannot be used and is left out");
            }
            outputs.push(Output::new(template, parsed.ok()));
        }
        let environment = Arc::new(settings.environment.clone());
        Ok(Self {
            settings,
            fetcher: Arc::new(Fetcher::new(server, caller)),
            outputs,
            dependents: HashMap::new(),
            known: Arc::default(),
            environment,
            token: TokenState::default(),
            commands: VecDeque::new(),
            command_failed: None,
            ready: Some(ready),
        })
    }

    /// Runs as long as the program lives; drop the future to stop it.
    ///
    /// # Errors
    /// Only with `exit_on_retry_failure`, or for a failed command when the program renders once.
    pub async fn run(mut self, mut tokens: watch::Receiver<TokenState>) -> Result<(), RunnerError> {
        info!(target: "template.server", "starting template server");
        let mut under_way: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
        let mut command_runs = false;
        loop {
            if self.token.token.is_some() {
                self.pass()?;
                self.start_fetches(&mut under_way);
            }
            if !command_runs && let Some((command, source)) = self.commands.pop_front() {
                command_runs = true;
                let variables = self.settings.for_commands.clone();
                under_way.push(Box::pin(async move {
                    let outcome = command::run(&command, &variables).await;
                    Done::Command(outcome.map_err(|error| format!("{error} from \"{source}\"")))
                }));
            }
            self.tell_ready(command_runs)?;
            let wake_at = self.next_deadline(under_way.len() < AT_ONCE);
            tokio::select! {
                Some(done) = under_way.next() => match done {
                    Done::Command(outcome) => {
                        command_runs = false;
                        if let Err(reason) = outcome {
                            self.command_failed(reason)?;
                        }
                    }
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

    /// Evaluates every template that may have something new to say, writes what is complete, and queues the
    /// commands of what changed.
    fn pass(&mut self) -> Result<(), RunnerError> {
        let now = Instant::now();
        let mut changed = Vec::new();
        let mut failure = None;
        for output in &mut self.outputs {
            if !output.is_due(now) {
                continue;
            }
            let Some(parsed) = &output.parsed else { continue };
            let evaluate = || parsed.evaluate(&self.known, &self.environment);
            // A bug that one template meets must not end the others.
            let Ok(evaluated) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(evaluate)) else {
                error!(target: "template.server", template = output::source(&output.settings), "a bug in Sidekey (panic) while evaluating the template; it is left out");
                output.parsed = None;
                continue;
            };
            output.evaluated(evaluated.needed);
            if !evaluated.missing.is_empty() {
                // An error now may only be the absence of what is on its way.
                continue;
            }
            let source = output::source(&output.settings);
            let problem = match evaluated.text {
                Err(error) => {
                    let text = redacted(&format!("{source}: execute: {error}"), &self.known, &output.needed);
                    Some(text)
                }
                Ok(text) => {
                    match output::write(&output.settings, self.settings.shared.default_perms, &text) {
                        Ok(written) => {
                            output.rendered();
                            if written == Written::Changed
                                && let Some(command) = &output.settings.command
                            {
                                changed.push((command.clone(), source));
                            }
                            None
                        }
                        Err(error) => Some(error.to_string()),
                    }
                }
            };
            if let Some(problem) = problem {
                let pause = output.failed(now, self.settings.shared.static_secret_render_interval);
                // Other content may be the cure.
                for dependency in &output.needed {
                    if let Some(dependent) = self.dependents.get_mut(dependency) {
                        dependent.hurry(now + pause);
                    }
                }
                let backoff = format!("{:.2}s", pause.as_secs_f64());
                error!(target: "template.server", error = problem, backoff, "template server error");
                if output.settings.error_fatal {
                    failure.get_or_insert(problem);
                }
            }
        }
        // All templates of the pass are written before any command, and equal commands run once.
        for (command, source) in changed {
            if !self.commands.iter().any(|(queued, _)| queued.arguments == command.arguments) {
                self.commands.push_back((command, source));
            }
        }
        match failure {
            Some(problem) if self.settings.shared.exit_on_retry_failure => Err(RunnerError::Failed(problem)),
            _ => Ok(()),
        }
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
    fn start_fetches(&mut self, under_way: &mut FuturesUnordered<BoxFuture<'static, Done>>) {
        let Some(token) = self.token.token.clone() else { return };
        self.forget_unneeded();
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
            ));
        }
    }

    /// What no template asks for any more is not kept fresh.
    fn forget_unneeded(&mut self) {
        let needed: HashSet<&Dependency> =
            self.outputs.iter().flat_map(|output| output.needed.iter()).collect();
        let before = self.dependents.len();
        self.dependents.retain(|dependency, _| needed.contains(dependency));
        if self.dependents.len() != before {
            let known = Arc::make_mut(&mut self.known);
            known.retain(|dependency, _| needed.contains(dependency));
        }
        for dependency in needed {
            if !self.dependents.contains_key(dependency) {
                self.dependents.insert(dependency.clone(), Dependent::new(Instant::now()));
            }
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
        match outcome {
            Ok(known) => {
                let is_new = !files::same(self.known.get(&dependency), &known);
                let next = match &known {
                    Known::File(_) => Refresh::ReadAfter(FILE_INTERVAL),
                    Known::Secret(secret) => {
                        let secret = secret.as_deref().cloned().unwrap_or_default();
                        let shared = &self.settings.shared;
                        let unix = jiff::Timestamp::now().as_second();
                        refresh::rule(
                            &secret,
                            shared.static_secret_render_interval,
                            shared.lease_renewal_threshold,
                            unix,
                            fastrand::f64(),
                        )
                    }
                };
                dependent.fetched(next, now, generation == self.token.generation);
                if is_new {
                    Arc::make_mut(&mut self.known).insert(dependency.clone(), known);
                    for output in self.outputs.iter_mut().filter(|output| output.needed.contains(&dependency))
                    {
                        output.has_news();
                    }
                }
            }
            Err(error) => {
                if error.is_forbidden() {
                    (self.settings.refused)(generation);
                }
                let (pause, failures) =
                    dependent.failed(now, Backoff(self.settings.backoff), fastrand::f64());
                if failures <= self.settings.attempts {
                    let after = format!("{:.2}s", pause.as_secs_f64());
                    warn!(target: "", "(view) {error} (retry attempt {failures} after \"{after}\")");
                    return Ok(());
                }
                error!(target: "", "(view) {error} (exceeded maximum retries)");
                let fatal =
                    self.outputs.iter().any(|o| o.settings.error_fatal && o.needed.contains(&dependency));
                if self.settings.shared.exit_on_retry_failure && fatal {
                    return Err(RunnerError::Failed(error.to_string()));
                }
            }
        }
        Ok(())
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

    /// When something is due. While no more can be started (`may_start`), what is due waits for an answer, not
    /// for the time.
    fn next_deadline(&self, may_start: bool) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        let outputs = self.outputs.iter().filter_map(|output| output.retry_at);
        let dependents = self.dependents.values().filter(|_| may_start).filter_map(Dependent::due_at);
        outputs.chain(dependents).min().unwrap_or(far).min(far)
    }
}

/// Makes the future of one fetch or renewal.
fn start(
    fetcher: Arc<Fetcher>,
    dependency: Dependency,
    renewal: Option<vault::LeaseId>,
    token: Arc<Token>,
    generation: u64,
) -> BoxFuture<'static, Done> {
    Box::pin(async move {
        let Some(lease) = renewal else {
            let outcome = fetcher.fetch(&dependency, &token).await;
            return Done::Fetched(dependency, generation, outcome);
        };
        let (server, caller) = fetcher.door();
        let renewal = match caller.renew_lease(server, &token, &lease).await {
            Ok(secret) => {
                debug!(target: "", "(view) {dependency}: renewed");
                Renewal::Extended(Duration::from_secs(
                    u64::try_from(secret.lease_duration).unwrap_or_default(),
                ))
            }
            // 4xx: the lease is gone or may not be renewed. Anything else is the server's own trouble.
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

fn parse(template: &Template) -> Result<Parsed, String> {
    let text = match &template.contents {
        Contents::Inline(text) => text.clone(),
        Contents::File(path) => atomic_file::read_regular(path, MAX_FILE)
            .map_err(|error| format!("failed to read template: {error}"))?,
    };
    Parsed::new(&text, template).map_err(|error| {
        let hint = match &error.undefined_function {
            Some(name) => format!(" (no function {name:?} is built in this version of Sidekey)"),
            None => String::new(),
        };
        format!("{error}{hint}")
    })
}

/// No value of a secret stands in an error: every string of the secrets that the template used is replaced, the
/// longer first.
fn redacted(
    text: &str,
    known: &HashMap<Dependency, Known>,
    needed: &std::collections::BTreeSet<Dependency>,
) -> String {
    let mut values = Vec::new();
    for dependency in needed {
        if let Some(Known::Secret(Some(secret))) = known.get(dependency)
            && let Some(data) = &secret.data
        {
            data.values().for_each(|value| strings(value, &mut values));
        }
    }
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), "[redacted]"))
}

/// Shorter strings say nothing and would tear the message apart.
const SHORTEST_SECRET: usize = 4;

fn strings(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) if text.len() >= SHORTEST_SECRET => found.push(text.clone()),
        serde_json::Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
