//! Evaluations on other threads: a template may run a program, or compute for seconds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use atomic_file::Written;
use tokio::time::Instant;
use tracing::error;

use super::{Runner, RunnerError, UnderWay};
use crate::evaluate::{Evaluated, Knowledge, Parsed};
use crate::output;
use crate::redact::redacted;

/// Templates that take seconds, evaluated at a time. Threads are few, and names are looked up on them too.
const SLOW_AT_ONCE: usize = 2;

/// What is being evaluated.
#[derive(Default)]
pub(super) struct Jobs {
    /// All that were due together and are quick.
    quick: bool,
    /// Those that are not, each alone, so that nobody waits for them.
    slow: usize,
}

impl Jobs {
    /// Whether an evaluation of this template could start now.
    pub(super) fn has_room_for(&self, parsed: &Parsed) -> bool {
        if parsed.is_slow() { self.slow < SLOW_AT_ONCE } else { !self.quick }
    }
}

/// A template by its number, and what came of it; nothing after a panic.
pub(super) struct Outcome {
    nth: usize,
    slow: bool,
    /// What it was evaluated with.
    known: Arc<Knowledge>,
    evaluated: Option<Evaluated>,
}

impl Runner {
    /// Starts to evaluate every template that may have something new to say.
    pub(super) fn start_evaluations(&mut self, under_way: &mut UnderWay<Vec<Outcome>>) {
        let now = Instant::now();
        let mut quick = Vec::new();
        for (nth, output) in self.outputs.iter_mut().enumerate() {
            let Some(parsed) = output.parsed.as_ref().filter(|_| output.is_due(now)) else { continue };
            if !self.jobs.has_room_for(parsed) {
                continue;
            }
            let parsed = Arc::clone(parsed);
            output.started();
            if parsed.is_slow() {
                self.jobs.slow += 1;
                under_way.push(self.world.job(&self.known, vec![(nth, parsed)]));
            } else {
                quick.push((nth, parsed));
            }
        }
        if !quick.is_empty() {
            self.jobs.quick = true;
            under_way.push(self.world.job(&self.known, quick));
        }
    }

    /// Writes what is complete, and queues the commands of what changed.
    pub(super) fn evaluated(&mut self, outcomes: Vec<Outcome>) -> Result<(), RunnerError> {
        let mut changed = Vec::new();
        let mut failure = None;
        if outcomes.first().is_some_and(|outcome| outcome.slow) {
            self.jobs.slow -= 1;
        } else {
            self.jobs.quick = false;
        }
        for outcome in outcomes {
            if let Some(problem) = self.settle(outcome, &mut changed) {
                failure.get_or_insert(problem);
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

    /// One template's outcome. Gives the problem of one that counts.
    fn settle(&mut self, outcome: Outcome, changed: &mut Vec<(config::Command, String)>) -> Option<String> {
        let output = self.outputs.get_mut(outcome.nth)?;
        let source = output::source(&output.settings);
        let Some(evaluated) = outcome.evaluated else {
            error!(target: "template.server", template = source, "a bug in Sidekey (panic) while evaluating the template; it is left out");
            output.parsed = None;
            return None;
        };
        output.evaluated(evaluated.needed);
        if !evaluated.missing.is_empty() {
            // An error now may only be the absence of what is on its way.
            return None;
        }
        let written = match evaluated.text {
            Err(error) => {
                Err(redacted(&format!("{source}: execute: {error}"), &outcome.known, &output.needed))
            }
            Ok(text) => {
                output.carry_out(evaluated.writes).map_err(|why| format!("{source}: {why}")).and_then(|()| {
                    output::write(&output.settings, self.settings.shared.default_perms, &text)
                        .map_err(|error| error.to_string())
                })
            }
        };
        let problem = match written {
            Ok(written) => {
                output.rendered();
                if written == Written::Changed
                    && let Some(command) = &output.settings.command
                {
                    changed.push((command.clone(), source));
                }
                return None;
            }
            Err(problem) => problem,
        };
        let now = Instant::now();
        let pause = output.failed(now, self.settings.shared.static_secret_render_interval);
        // Other content may be the cure. What changes something at the server is not asked for again.
        for dependency in output.needed.iter().filter(|dependency| dependency.is_safe()) {
            if let Some(dependent) = self.dependents.get_mut(dependency) {
                dependent.hurry(now + pause);
            }
        }
        let backoff = format!("{:.2}s", pause.as_secs_f64());
        error!(target: "template.server", error = problem, backoff, "template server error");
        output.settings.error_fatal.then_some(problem)
    }
}

impl crate::world::World {
    /// Evaluates templates on another thread, one after the other.
    fn job(
        self: &Arc<Self>,
        known: &Arc<Knowledge>,
        templates: Vec<(usize, Arc<Parsed>)>,
    ) -> futures_util::future::BoxFuture<'static, Vec<Outcome>> {
        let (world, known) = (Arc::clone(self), Arc::clone(known));
        let numbers: Vec<(usize, bool)> =
            templates.iter().map(|(nth, parsed)| (*nth, parsed.is_slow())).collect();
        let shared = Arc::clone(&known);
        let job = tokio::task::spawn_blocking(move || {
            // A bug that one template meets must not end the others.
            let evaluate =
                |parsed: &Parsed| catch_unwind(AssertUnwindSafe(|| parsed.evaluate(&shared, &world))).ok();
            templates.iter().map(|(_, parsed)| evaluate(parsed)).collect::<Vec<_>>()
        });
        Box::pin(async move {
            let mut evaluated = job.await.unwrap_or_default().into_iter();
            let outcome = |(nth, slow)| Outcome {
                nth,
                slow,
                known: Arc::clone(&known),
                evaluated: evaluated.next().flatten(),
            };
            numbers.into_iter().map(outcome).collect()
        })
    }
}
