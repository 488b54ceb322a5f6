//! Secrets: started to be fetched or renewed when they are due, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};
use tracing::{debug, error, info, warn};
use vault::{Token, TokenState};

use super::backoff::{FailureClass, asked_to_wait, is_worth_telling};
use super::dependent::{Dependent, OldToken, Renewal};
use super::standing::{self, Failing};
use super::{AT_ONCE, Runner, RunnerError, UnderWay, news};
use crate::dependency::Dependency;
use crate::evaluate::Known;
use crate::fetch::{FetchError, Fetcher, is_refusal, unix_now};
use crate::redact::redacted;
use crate::refresh::{Renewable, Rules, ends_with_token};

/// How long a server may take to say how long an old token lives.
const ASKING: Duration = Duration::from_secs(10);

/// Something that was under way has ended.
pub(super) enum Done {
    Fetched(Dependency, u64, Result<Known, FetchError>),
    Renewed(Dependency, Renewal),
    /// The token of a generation was replaced, and this became of it.
    Asked(u64, OldToken),
}

impl Runner {
    pub(super) fn take(&mut self, done: Done) -> Result<(), RunnerError> {
        match done {
            Done::Fetched(dependency, generation, outcome) => {
                return self.fetched(dependency, generation, outcome);
            }
            Done::Renewed(dependency, renewal) => self.renewed(&dependency, renewal),
            Done::Asked(generation, old) => self.old_token(generation, old),
        }
        Ok(())
    }

    /// Starts whatever is due: first fetches, reads anew, renewals; looks at local files.
    pub(super) fn start_fetches(&mut self, under_way: &mut UnderWay<Done>) {
        let Some(token) = self.token.token.clone() else { return };
        let now = Instant::now();
        let generation = self.token.generation;
        let due: Vec<Dependency> = self
            .dependents
            .iter()
            .filter(|(_, dependent)| dependent.due_at().is_some_and(|at| at <= now))
            .map(|(dependency, _)| dependency.clone())
            .take(AT_ONCE.saturating_sub(under_way.len()))
            .collect();
        for dependency in due {
            let Some(dependent) = self.dependents.get_mut(&dependency) else { continue };
            let Some(renewal) = dependent.take_due(now) else { continue };
            let known = self.known.get(&dependency).cloned();
            let is_brisk = self.rules_for(&dependency).is_brisk();
            let (fetcher, token) = (Arc::clone(&self.fetcher), Arc::clone(&token));
            under_way.push(match renewal {
                Some(what) => renew(fetcher, dependency, what, token),
                None => fetch(fetcher, dependency, token, generation, known, is_brisk),
            });
        }
    }

    /// The rules, with the shortest interval that a template wants of this secret.
    fn rules_for(&self, dependency: &Dependency) -> Rules {
        let users = self.dependents.get(dependency).map(|dependent| dependent.users.as_slice());
        let settings = users.unwrap_or_default().iter().filter_map(|nth| self.outputs.get(*nth));
        let shortest = settings.filter_map(|output| output.settings.static_secret_render_interval).min();
        self.fetcher.rules().with_interval(shortest)
    }

    fn fetched(
        &mut self,
        dependency: Dependency,
        generation: u64,
        outcome: Result<Known, FetchError>,
    ) -> Result<(), RunnerError> {
        let rules = self.rules_for(&dependency);
        let (backoff, gives_up) = (self.backoff(), self.gives_up());
        let Some(dependent) = self.dependents.get_mut(&dependency) else { return Ok(()) };
        let now = Instant::now();
        let recovered = outcome.is_ok() && dependent.is_failing();
        match outcome {
            Ok(known) => {
                let is_new = !news::same(self.known.get(&dependency), &known);
                let next = rules.after(&known, unix_now(), fastrand::f64());
                let bound_to = ends_with_token(&known).then_some(generation);
                dependent.fetched(next, bound_to, now, generation == self.token.generation);
                if is_new {
                    Arc::make_mut(&mut self.known).insert(dependency.clone(), known);
                    for nth in &dependent.users {
                        if let Some(output) = self.outputs.get_mut(*nth) {
                            output.has_news(now);
                        }
                    }
                } else {
                    let users = dependent.users.clone();
                    self.put_back(&users);
                }
            }
            Err(error) => {
                for output in dependent.users.iter().filter_map(|nth| self.outputs.get(*nth)) {
                    output.standing.failed(Failing::Secret(standing::kind(&error)));
                }
                if error.is_forbidden() {
                    (self.settings.refused)(generation);
                }
                let class = FailureClass::of(&error);
                let (pause, failures) =
                    dependent.failed(class, asked_to_wait(&error), now, backoff, fastrand::f64());
                // A path may be made of another secret's value.
                let error = redacted(&error.to_string(), &self.known, &self.known.keys().cloned().collect());
                // Nobody has been promised anything yet, and waiting helps only while the server is away.
                let hopeless = gives_up
                    && self.settings.shared.exit_on_start_failure
                    && matches!(class, FailureClass::Absent | FailureClass::Denied | FailureClass::Template);
                if failures <= self.settings.attempts && !hopeless {
                    let after = format!("{:.2}s", pause.as_secs_f64());
                    warn!(target: "", "(view) {error} (retry attempt {failures} after \"{after}\")");
                    return Ok(());
                }
                if failures == self.settings.attempts.saturating_add(1) || is_worth_telling(failures) {
                    error!(target: "", "(view) {error} (exceeded maximum retries)");
                }
                let mut users = dependent.users.iter().filter_map(|nth| self.outputs.get(*nth));
                let fatal = users.any(|output| output.settings.error_fatal);
                if gives_up && fatal {
                    return Err(RunnerError::Failed { class, reason: error });
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
        let users = dependent.users.clone();
        self.put_back(&users);
    }

    /// With a new token nothing known is thrown away. What was leased with the old one lives as long as that, so the
    /// server is asked how long that is.
    pub(super) fn new_token(&mut self, state: TokenState, under_way: &mut UnderWay<Done>) {
        if state.generation == self.token.generation {
            return;
        }
        info!(target: "template.server", "template server received new token");
        let old = std::mem::replace(&mut self.token, state);
        self.fetcher.new_token();
        let now = Instant::now();
        for dependent in self.dependents.values_mut() {
            dependent.new_token(now);
        }
        let leased = self.dependents.values().any(|one| one.bound_to() == Some(old.generation));
        match old.token {
            Some(token) if leased && !self.settings.old_tokens_are_revoked => {
                under_way.push(ask(Arc::clone(&self.fetcher), token, old.generation));
            }
            _ => self.old_token(old.generation, OldToken::Gone),
        }
    }

    fn old_token(&mut self, generation: u64, old: OldToken) {
        let now = Instant::now();
        for dependent in self.dependents.values_mut() {
            dependent.old_token(generation, old, now, fastrand::f64());
        }
    }
}

fn fetch(
    fetcher: Arc<Fetcher>,
    dependency: Dependency,
    token: Arc<Token>,
    generation: u64,
    known: Option<Known>,
    is_brisk: bool,
) -> BoxFuture<'static, Done> {
    Box::pin(async move {
        let outcome = match known {
            Some(known) if is_brisk => fetcher.fetch_again(&dependency, &token, &known).await,
            known => fetcher.fetch(&dependency, &token, known.is_some()).await,
        };
        Done::Fetched(dependency, generation, outcome)
    })
}

fn renew(
    fetcher: Arc<Fetcher>,
    dependency: Dependency,
    what: Renewable,
    token: Arc<Token>,
) -> BoxFuture<'static, Done> {
    Box::pin(async move {
        let renewal = match fetcher.renew(&what, &token).await {
            Ok(seconds) => {
                debug!(target: "", "(view) {dependency}: renewed");
                Renewal::Extended(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
            }
            // It is gone or may not be renewed. Anything else is the server's own trouble.
            Err(error) if is_refusal(&error) => Renewal::Ended,
            Err(_) => Renewal::Unanswered,
        };
        Done::Renewed(dependency, renewal)
    })
}

/// Asks how long a token lives that was replaced. Where nobody knows, what it leased is replaced while it may live.
fn ask(fetcher: Arc<Fetcher>, token: Arc<Token>, generation: u64) -> BoxFuture<'static, Done> {
    Box::pin(async move {
        let old = match timeout(ASKING, fetcher.rest_of_life(&token)).await {
            Ok(Ok(Some(rest))) => OldToken::Lives(rest),
            Ok(Ok(None)) => OldToken::Endless,
            Ok(Err(_)) | Err(_) => OldToken::Gone,
        };
        Done::Asked(generation, old)
    })
}
