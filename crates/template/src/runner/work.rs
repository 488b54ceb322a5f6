//! What a changed file leads to: its command, or a word to the supervised process.

use std::sync::Arc;

use config::{Consequence, Template};
use tokio::time::Instant;
use tracing::{error, info};

use super::backoff::is_worth_telling;
use super::commands::Start;
use super::{ChildAction, FailureClass, Runner, RunnerError, UnderWay};
use crate::command::{self, CommandError, Tell};
use crate::dependency::Dependency;
use crate::redact::redacted;

/// Tries of a command that counts for the end of the program, if secrets have as many.
const TRIES: u32 = 3;

/// A command by its number, and what came of it.
pub(super) type Finished = (usize, Result<(), CommandError>);

impl Runner {
    /// All templates of a pass are written; these have changed.
    pub(super) fn carry_on(&mut self, changed: &[(usize, Arc<Template>)]) {
        let now = Instant::now();
        let mut child = None;
        self.commands.next_round();
        for (nth, settings) in changed {
            match settings.on_change {
                Consequence::Nothing => {}
                Consequence::Signal => child = child.or(Some(ChildAction::Signal)),
                // Whoever is started anew needs no signal.
                Consequence::Restart => child = Some(ChildAction::Restart),
                Consequence::Command => {
                    if let Some(command) = &settings.command {
                        let source = crate::output::source(settings);
                        self.commands.changed(*nth, &source, command, now, fastrand::f64());
                    }
                }
            }
        }
        if let (Some(action), Some(tell)) = (child, &self.settings.child) {
            tell(action);
        }
    }

    /// Starts the commands that are due, of which there is mostly one.
    pub(super) fn start_commands(&mut self, under_way: &mut UnderWay<Finished>) {
        while let Some(start) = self.commands.start(Instant::now()) {
            self.start_command(start, under_way);
        }
    }

    fn start_command(&self, start: Start, under_way: &mut UnderWay<Finished>) {
        let surroundings = Arc::clone(&self.surroundings);
        let (known, source) = (Arc::clone(&self.known), start.source);
        let destination = self.destination(start.user);
        let tell: Tell = Arc::new(move |stream: &str, line: &str| {
            // It may print what it was made to read.
            let all: std::collections::BTreeSet<Dependency> = known.keys().cloned().collect();
            let line = redacted(line, &known, &all);
            info!(target: "template.server", template = source, destination, stream, line, "command output");
        });
        under_way.push(Box::pin(async move {
            (start.id, command::run(&start.command, &surroundings, tell).await)
        }));
    }

    pub(super) fn command_ended(&mut self, (id, outcome): Finished) -> Result<(), RunnerError> {
        let settings = &self.settings;
        let gives_up = self.gives_up();
        let counts = settings.once || gives_up;
        let tries = settings.attempts.saturating_add(1).min(TRIES);
        let retry = |failures| !counts || failures < tries;
        let ended = self.commands.ended(id, outcome.is_ok(), retry, Instant::now(), fastrand::f64());
        let Some(ended) = ended else { return Ok(()) };
        for output in ended.users.iter().filter_map(|nth| self.outputs.get(*nth)) {
            output.standing.command_ended(outcome.is_ok());
        }
        let Err(error) = outcome else {
            self.failed_commands.remove(&id);
            return Ok(());
        };
        let (template, command) = (&ended.source, ended.command.arguments.join(" "));
        let destination = self.destination(ended.users.first().copied());
        let reason = format!(
            "failed to execute command {command:?} from \"{template}\" => \"{destination}\": {error}"
        );
        if is_worth_telling(ended.failures) {
            let backoff = format!("{:.2}s", ended.pause.as_secs_f64());
            let failures = ended.failures;
            error!(target: "template.server", error = reason, template, destination, failures, backoff, "a template's command failed");
        }
        if retry(ended.failures) {
            return Ok(());
        }
        if gives_up {
            return Err(RunnerError::Failed { class: FailureClass::Command, reason });
        }
        self.failed_commands.insert(id, reason);
        Ok(())
    }

    /// The file of a template, which tells one from another where several have no file of their own to be made from.
    fn destination(&self, user: Option<usize>) -> String {
        let output = user.and_then(|nth| self.outputs.get(nth));
        output.map(|output| output.settings.destination.display().to_string()).unwrap_or_default()
    }
}
