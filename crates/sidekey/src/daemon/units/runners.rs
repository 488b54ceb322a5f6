//! Templates: a runner for each identity that has some.

use std::sync::Arc;
use std::time::Duration;

use config::{Settings, Template, TemplateConfig};
use futures_util::FutureExt as _;
use template::{Prepared, Runner, RunnerSettings, Update};
use tokio::sync::mpsc;
use tracing::Instrument as _;
use vault::api::Caller;
use vault::{RetryPolicy, Subsystem};

use super::logins;
use super::{Changes, Fixed, Id, Units};
use crate::daemon::build::{StartError, caller, for_commands};
use crate::daemon::identity::Identity;
use crate::daemon::tasks::{Scope, TaskError, Tasks};

/// A runner that renders.
pub(super) struct RunnerUnit {
    /// Whose token it uses.
    pub(super) login: Id,
    pub(super) prepared: Arc<Prepared>,
    spec: Spec,
    scope: Scope,
    updates: mpsc::Sender<Update>,
}

/// What all its templates share.
#[derive(Clone, PartialEq)]
struct Spec {
    shared: TemplateConfig,
    retry: RetryPolicy,
    for_commands: Vec<(String, String)>,
    revokes: bool,
    child: bool,
}

pub(super) struct Next {
    login: Id,
    prepared: Arc<Prepared>,
    spec: Spec,
}

/// Tries per secret and the pauses between them; upstream's numbers.
const TEMPLATE_RETRIES: (u32, Duration, Duration) = (12, Duration::from_millis(250), Duration::from_secs(60));

impl Units {
    pub(super) fn prepare_runners(
        &self,
        settings: &Settings,
        logins: &[logins::Next],
        problems: &mut Vec<StartError>,
    ) -> Vec<Next> {
        let mut all = Vec::new();
        for (whose, next) in logins.iter().enumerate() {
            let Some((login, _)) = next.identity(&self.logins) else { continue };
            let own = settings.templates.iter().filter(|template| template.auto_auth == Some(whose));
            // Its place among the others may change.
            let own = own.map(|template| Template { auto_auth: None, ..template.clone() });
            let templates: Vec<Template> = own.collect();
            if templates.is_empty() {
                continue;
            }
            let auto_auth = settings.auto_auths.get(whose);
            let spec = Spec {
                shared: settings.template_config.clone(),
                retry: settings.vault.retry,
                for_commands: for_commands(settings),
                revokes: auto_auth.is_some_and(|one| one.revoke_previous_token),
                child: settings.exec.is_some(),
            };
            let old = self.runners.iter().find(|old| old.login == login);
            let before = old.map(|old| &*old.prepared);
            let prepared = Arc::new(Prepared::new(templates, spec.shared.profile, before));
            let exits = spec.shared.exit_on_retry_failure || spec.shared.exit_on_start_failure;
            let mut useless: Vec<_> = prepared.fatal(settings.exit_after_auth, exits).into_iter().collect();
            if useless.is_empty() && self.ways.is_some() {
                // Whoever starts goes on without those that are useless; whoever runs has something to lose.
                useless = prepared.problems(before);
            }
            problems.extend(useless.into_iter().map(StartError::from));
            all.push(Next { login, prepared, spec });
        }
        all
    }

    /// `elsewhere`: they are to ask another cache.
    pub(super) async fn commit_runners(
        &mut self,
        next: Vec<Next>,
        elsewhere: bool,
        fixed: &Fixed,
        tasks: &mut Tasks,
        changes: &mut Changes,
    ) {
        let Some(cache) = self.cache.as_ref().map(|cache| cache.cache.clone()) else { return };
        let mut old: Vec<Option<RunnerUnit>> = self.runners.drain(..).map(Some).collect();
        let mut is_new = false;
        // Those that go end before others render what they did.
        let stays = |old: &RunnerUnit| next.iter().any(|next| next.login == old.login);
        for gone in old.iter_mut().filter(|old| !old.as_ref().is_some_and(stays)) {
            let Some(gone) = gone.take() else { continue };
            tell(Some(&gone.prepared), None, changes);
            gone.scope.end().await;
        }
        for Next { login, prepared, spec } in next {
            let Some(identity) =
                self.logins.iter().find(|one| one.id == login).map(|one| one.identity.clone())
            else {
                continue;
            };
            let shared = self.runner_settings(&spec, &identity, fixed);
            let asks = Caller {
                namespace: identity.namespace.clone(),
                ..caller(&self.settings, Subsystem::Templating)
            };
            let place = old.iter_mut().find(|old| old.as_ref().is_some_and(|old| old.login == login));
            let unit = match place.and_then(Option::take) {
                Some(mut unit) => {
                    let same = prepared.is_same(&unit.prepared);
                    tell(Some(&unit.prepared), Some(&prepared), changes);
                    if !same || elsewhere || spec != unit.spec {
                        if spec.shared != unit.spec.shared {
                            changes.changed("template_config", "");
                        }
                        let server = elsewhere.then(|| (Arc::new(cache.clone()) as _, asks));
                        is_new |= !same;
                        let ready = fixed.rendered.token();
                        let prepared = Arc::clone(&prepared);
                        // It listens as long as it lives.
                        let _ = unit.updates.send(Update { prepared, settings: shared, server, ready }).await;
                    }
                    (unit.prepared, unit.spec) = (prepared, spec);
                    unit
                }
                None => {
                    tell(None, Some(&prepared), changes);
                    is_new = true;
                    let ready = fixed.rendered.token();
                    let made = identity
                        .span
                        .in_scope(|| Runner::of(&prepared, shared, Arc::new(cache.clone()), asks, ready));
                    let scope = tasks.scope();
                    let gives_up = fixed.given_up.clone();
                    let mut runner = match made {
                        Ok(runner) => runner.with_variables(Arc::clone(&fixed.variables)),
                        Err(error) => {
                            // Nobody is here to be told but whoever waits for tasks.
                            tasks.start_in(&scope, "templates", async move { Err(TaskError::from(error)) });
                            continue;
                        }
                    };
                    let updates = runner.updates();
                    let running = runner.run(identity.tokens.clone());
                    let running = running.inspect(move |_| gives_up.cancel());
                    let running = running.map(|ended| ended.map_err(TaskError::from));
                    tasks.start_in(&scope, "templates", running.instrument(identity.span.clone()));
                    RunnerUnit { login, prepared, spec, scope, updates }
                }
            };
            self.runners.push(unit);
        }
        if is_new || !fixed.rendered.is_closed() {
            first_round(fixed, tasks);
        }
    }

    fn runner_settings(&self, spec: &Spec, identity: &Identity, fixed: &Fixed) -> RunnerSettings {
        let (retries, first, longest) = TEMPLATE_RETRIES;
        let reauth = identity.reauth.clone();
        let pairs = fixed.environment.pairs();
        RunnerSettings {
            shared: spec.shared.clone(),
            attempts: match spec.retry {
                RetryPolicy::Never => 0,
                RetryPolicy::AtMost(most) => most,
                RetryPolicy::Patient => retries,
            },
            backoff: (first, longest),
            once: self.settings.exit_after_auth,
            environment: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            for_commands: spec.for_commands.clone(),
            refused: Arc::new(move |generation| reauth.ask(generation)),
            old_tokens_are_revoked: spec.revokes,
            child: spec.child.then(|| fixed.child.changes()),
        }
    }
}

/// All is ready when the templates are, too.
fn first_round(fixed: &Fixed, tasks: &mut Tasks) {
    fixed.rendered.close();
    let (rendered, done) = (fixed.rendered.clone(), fixed.ready.token());
    tasks.start("first round", async move {
        rendered.wait().await;
        drop(done);
        Ok(())
    });
}

fn tell(old: Option<&Prepared>, new: Option<&Prepared>, changes: &mut Changes) {
    let gone = old.map(|old| old.not_in(new)).unwrap_or_default();
    let come = new.map(|new| new.not_in(old)).unwrap_or_default();
    for name in &come {
        match gone.contains(name) {
            true => changes.changed("template", name),
            false => changes.added("template", name),
        }
    }
    for name in gone.into_iter().filter(|name| !come.contains(name)) {
        changes.removed("template", name);
    }
}
