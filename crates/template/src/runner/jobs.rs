//! Evaluations on other threads: a template may run a program, or compute for seconds.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use atomic_file::Written;
use config::Template;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tracing::{error, info};

use super::backoff::is_worth_telling;
use super::standing::Failing;
use super::state::Output;
use super::{FailureClass, Runner, RunnerError, UnderWay, news};
use crate::dependency::Dependency;
use crate::environment::Variables;
use crate::evaluate::{Knowledge, Pace, Parsed};
use crate::output::{self, Look};
use crate::redact::redacted;
use crate::world::World;
use crate::writes::{self, FileWrite};

/// Templates that take seconds, evaluated at a time. Threads are few, and names are looked up on them too.
const SLOW_AT_ONCE: usize = 2;

/// What is being evaluated.
#[derive(Default)]
pub(super) struct Jobs {
    /// All that were due together and are quick.
    quick: bool,
    /// Those that are not, each alone, so that nobody waits for them.
    slow: usize,
    /// How many of these there were.
    turns: u64,
}

impl Jobs {
    /// Whether an evaluation of this template could start now.
    pub(super) fn has_room_for(&self, parsed: &Parsed) -> bool {
        if parsed.pace() == Pace::Quick { !self.quick } else { self.slow < SLOW_AT_ONCE }
    }
}

/// A template to evaluate and, when it is complete, to write.
struct Work {
    nth: usize,
    parsed: Arc<Parsed>,
    settings: Arc<Template>,
    appended: Vec<FileWrite>,
}

/// A template by its number, and what came of it.
pub(super) struct Outcome {
    nth: usize,
    slow: bool,
    /// What it was evaluated with.
    known: Arc<Knowledge>,
    came: Came,
}

/// What came of an evaluation.
#[derive(Default)]
enum Came {
    Done(Done),
    /// It takes long: it is to be evaluated apart.
    Postponed {
        appended: Vec<FileWrite>,
    },
    #[default]
    Panicked,
}

struct Done {
    needed: BTreeSet<Dependency>,
    appended: Vec<FileWrite>,
    /// Nothing while something is missing.
    written: Option<Result<Written, Problem>>,
    /// How the file looks then.
    look: Option<Look>,
}

/// What is wrong, and its kind.
type Problem = (Failing, String);

impl Runner {
    /// Starts to evaluate every template that may have something new to say.
    pub(super) fn start_evaluations(&mut self, under_way: &mut UnderWay<Vec<Outcome>>) {
        let now = Instant::now();
        let mut due: Vec<(Pace, u64, usize)> = Vec::new();
        for (nth, output) in self.outputs.iter().enumerate().filter(|(_, output)| output.is_due(now)) {
            due.extend(output.parsed.as_ref().map(|parsed| (parsed.pace(), output.turn, nth)));
        }
        // Of those that wait for a place, whoever waited longest: none may keep the others out by failing again
        // and again.
        due.sort_unstable();
        let mut quick = Vec::new();
        for (pace, _, nth) in due {
            let Some(output) = self.outputs.get_mut(nth) else { continue };
            let Some(parsed) = output.parsed.as_ref().filter(|parsed| self.jobs.has_room_for(parsed)) else {
                continue;
            };
            let (parsed, settings) = (Arc::clone(parsed), Arc::clone(&output.settings));
            let work = Work { nth, parsed, settings, appended: output.started() };
            if pace == Pace::Quick {
                quick.push(work);
            } else {
                self.jobs.slow += 1;
                self.jobs.turns += 1;
                output.turn = self.jobs.turns;
                under_way.push(self.job(vec![work]));
            }
        }
        if !quick.is_empty() {
            self.jobs.quick = true;
            under_way.push(self.job(quick));
        }
    }

    /// Evaluates templates and writes those that are complete, on another thread.
    fn job(&self, work: Vec<Work>) -> BoxFuture<'static, Vec<Outcome>> {
        let (world, known) = (Arc::clone(&self.world), Arc::clone(&self.known));
        let variables = Arc::clone(&self.variables);
        let default_perms = self.settings.shared.default_perms;
        let numbers: Vec<(usize, bool)> =
            work.iter().map(|work| (work.nth, work.parsed.pace() != Pace::Quick)).collect();
        let shared = Arc::clone(&known);
        // Another thread does not know of itself for whom it works, and its log lines should say it.
        let whose = tracing::Span::current();
        let job = tokio::task::spawn_blocking(move || {
            whose.in_scope(|| do_all(work, &shared, &world, &variables, default_perms))
        });
        Box::pin(async move {
            let mut all = job.await.unwrap_or_default().into_iter();
            let outcome = |(nth, slow)| {
                let came = all.next().unwrap_or_default();
                Outcome { nth, slow, known: Arc::clone(&known), came }
            };
            numbers.into_iter().map(outcome).collect()
        })
    }

    /// Takes over what came of evaluations, and queues the commands of what changed.
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
        self.carry_on(&changed);
        match failure {
            Some((class, reason)) if self.gives_up() => Err(RunnerError::Failed { class, reason }),
            _ => Ok(()),
        }
    }

    /// Puts back the files of these templates that somebody else has removed or changed. What several write looks always
    /// otherwise.
    pub(super) fn put_back(&mut self, users: &[usize]) {
        let now = Instant::now();
        for nth in users {
            let Some(output) = self.outputs.get(*nth) else { continue };
            let destination = &output.settings.destination;
            if output.settings.shares_file || output.is_as_left(|| Look::at(destination), now) {
                continue;
            }
            info!(target: "template.server", template = output::source(&output.settings), destination = %destination.display(), "the rendered file is not as it was left, it is put back");
            if let Some(output) = self.outputs.get_mut(*nth) {
                output.put_back(now);
            }
        }
    }

    /// One template's outcome. Gives the problem of one that counts.
    fn settle(
        &mut self,
        outcome: Outcome,
        changed: &mut Vec<(usize, Arc<Template>)>,
    ) -> Option<(FailureClass, String)> {
        let now = Instant::now();
        let output = self.outputs.get_mut(outcome.nth)?;
        let settings = Arc::clone(&output.settings);
        if output.piece.is_none() {
            output.left();
            // It may have written the file of another that has come meanwhile.
            let heir =
                |one: &&mut Output| one.piece.is_some() && one.settings.destination == settings.destination;
            self.outputs.iter_mut().filter(heir).for_each(|heir| heir.has_news(now));
            return None;
        }
        let (source, destination) = (output::source(&settings), settings.destination.display());
        let done = match outcome.came {
            Came::Done(done) => done,
            Came::Postponed { appended } => {
                output.postponed(appended, now);
                return None;
            }
            Came::Panicked => {
                error!(target: "template.server", template = source, %destination, "a bug in Sidekey (panic) while evaluating the template; it is left out");
                output.parsed = None;
                output.standing.failed(Failing::Unusable);
                return None;
            }
        };
        self.needs_changed |= output.needed != done.needed;
        output.evaluated(done.needed, done.appended);
        // What came while it was evaluated was not told to it: it had not asked yet.
        if news::is_late(&output.needed, &outcome.known, &self.known) {
            output.has_news(now);
        }
        // While something is missing, an error may only be the absence of what is on its way.
        let written = done.written?;
        let (why, problem) = match written {
            Ok(written) => {
                output.rendered(done.look);
                if written == Written::Changed {
                    changed.push((outcome.nth, settings));
                }
                return None;
            }
            Err((why, problem)) => (why, redacted(&problem, &outcome.known, &output.needed)),
        };
        let setback = output.failed(why, now, self.settings.shared.static_secret_render_interval);
        let is_local = why == Failing::File;
        // Other content may be the cure of a template, and is none of a file. What changes something at the server is
        // not asked for again.
        for dependency in output.needed.iter().filter(|dependency| !is_local && dependency.is_safe()) {
            if let Some(dependent) = self.dependents.get_mut(dependency) {
                dependent.hurry(now + setback.pause);
            }
        }
        if is_worth_telling(setback.failures) {
            let backoff = format!("{:.2}s", setback.pause.as_secs_f64());
            error!(target: "template.server", error = problem, backoff, template = source, %destination, "template server error");
        }
        let class = if is_local { FailureClass::Local } else { FailureClass::Template };
        settings.error_fatal.then_some((class, problem))
    }
}

fn do_all(
    work: Vec<Work>,
    known: &Arc<Knowledge>,
    world: &Arc<World>,
    variables: &Variables,
    default_perms: u32,
) -> Vec<Came> {
    let mut texts: Vec<(usize, Arc<Template>, Vec<u8>)> = Vec::new();
    let mut all: Vec<Came> = Vec::with_capacity(work.len());
    for work in work {
        let settings = Arc::clone(&work.settings);
        // A bug that one template meets must not end the others.
        let (came, text) = catch_unwind(AssertUnwindSafe(|| do_one(work, known, world))).unwrap_or_default();
        texts.extend(text.map(|text| (all.len(), settings, text)));
        all.push(came);
    }
    texts.retain(|(nth, settings, text)| {
        let Some(outcome) = variables.take(settings, text) else { return true };
        if let Some(Came::Done(done)) = all.get_mut(*nth) {
            done.written = Some(outcome.map_err(|problem| (Failing::Template, problem)));
        }
        false
    });
    let finished: Vec<(&Template, &[u8])> =
        texts.iter().map(|(_, settings, text)| (&**settings, text.as_slice())).collect();
    let written = catch_unwind(AssertUnwindSafe(|| output::write(&finished, default_perms)));
    let mut written = written.unwrap_or_default().into_iter();
    for (nth, settings, _) in &texts {
        let outcome = match written.next() {
            Some(outcome) => outcome.map_err(|error| output::failed(settings, &error)),
            None => Err("a bug in Sidekey (panic) while writing files".to_owned()),
        };
        let outcome = outcome.map_err(|problem| (Failing::File, problem));
        if let Some(Came::Done(done)) = all.get_mut(*nth) {
            done.look = Look::at(&settings.destination);
            done.written = Some(outcome);
        }
    }
    all
}

/// Evaluates one template and carries out what it writes by itself. Gives its text when it is complete.
fn do_one(work: Work, known: &Arc<Knowledge>, world: &Arc<World>) -> (Came, Option<Vec<u8>>) {
    let Work { parsed, settings, mut appended, .. } = work;
    let Some(evaluated) = parsed.evaluate_at_pace(known, world) else {
        return (Came::Postponed { appended }, None);
    };
    let source = output::source(&settings);
    let failed = |problem| Some(Err((Failing::Template, problem)));
    let (mut complete, mut written) = (None, None);
    match evaluated.text {
        _ if !evaluated.missing.is_empty() => {}
        Err(error) => written = failed(format!("{source}: execute: {error}")),
        Ok(text) => match writes::carry_out(evaluated.writes, &mut appended) {
            Err(why) => written = failed(format!("{source}: execute: error calling writeToFile: {why}")),
            Ok(()) => complete = Some(text),
        },
    }
    (Came::Done(Done { needed: evaluated.needed, appended, written, look: None }), complete)
}
