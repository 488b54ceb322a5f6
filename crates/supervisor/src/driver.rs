//! Acts as the state machine says, and waits.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use crate::guard::{Guard, Orders};
use crate::process::{self, Process};
use crate::program::{Group, is_shell_line};
use crate::settings::{OnChange, Settings};
use crate::state::{Action, Ending, Event, Outcome, State, Told};
use crate::variables::Variables;

/// How often is looked whether those that a child has started are gone. Nobody tells.
const LOOK: Duration = Duration::from_millis(20);

/// What may be asked of a child from outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asked {
    /// Something it uses, but is not given in its environment, has changed.
    Changed(OnChange),
    /// To hand on a signal.
    Forward(Signal),
    /// To stop it for good, with patience.
    Stop,
    /// The same, without.
    StopNow,
}

/// Keeps one child, from the moment that there are variables until it has ended for good. Who lets go of the other end
/// of `asked` asks to stop. Dropped, it kills the child with all that it has started.
pub async fn run(
    settings: Settings,
    mut variables: watch::Receiver<Option<Arc<Variables>>>,
    mut asked: mpsc::Receiver<Asked>,
) -> Outcome {
    info!(target: "exec.server", "starting exec server");
    let mut state = State::new(&settings);
    let mut child: Option<Process> = None;
    let mut guard = Guard::post(&settings);
    let mut event = variables.borrow_and_update().clone().map_or(Event::Tick, Event::Ready);
    let mut has_variables = true;
    loop {
        let due = matches!(event, Event::Tick) && state.restart_is_due(Instant::now());
        let missing = if due { settings.program_is_there().err() } else { None };
        let mut next = Some(missing.map_or(event, Event::NoProgram));
        while let Some(event) = next.take() {
            for action in state.step(event, Instant::now(), fastrand::f64()) {
                match action {
                    Action::Start(variables) => {
                        let orders = guard.as_ref().and_then(Guard::orders);
                        next = Some(start(&settings, &variables, orders, &mut child));
                    }
                    Action::Signal(signal) => child.iter().for_each(|child| child.signal(signal)),
                    Action::Kill => child.iter().for_each(|child| child.signal(Signal::KILL)),
                    Action::Tell(told) => tell(&told, &settings, child.as_ref()),
                    Action::End(outcome) => {
                        info!(target: "exec.server", "exec server stopped");
                        return outcome;
                    }
                }
            }
        }
        let deadline = state.deadline();
        let group = child.as_ref().and_then(Process::group);
        event = tokio::select! {
            // What it waits for is known before it is asked to do more.
            biased;
            ending = end(child.as_mut()) => {
                settings.record.ended(ending);
                if !state.is_stopping() {
                    child.take().into_iter().for_each(Process::spare);
                }
                Event::Ended(ending)
            }
            asked = asked.recv() => match asked {
                Some(Asked::Changed(what)) => Event::Changed(what),
                Some(Asked::Forward(signal)) => Event::Forward(signal),
                Some(Asked::StopNow) => Event::StopNow,
                Some(Asked::Stop) | None => Event::Stop,
            },
            changed = variables.changed(), if has_variables => match changed {
                Ok(()) => variables.borrow_and_update().clone().map_or(Event::Tick, Event::Ready),
                Err(_) => {
                    has_variables = false;
                    Event::Tick
                }
            },
            () = gone(group), if state.waits_for_group() => {
                child.take().into_iter().for_each(Process::spare);
                Event::GroupGone
            }
            () = guard_ended(guard.as_mut()) => {
                guard.iter_mut().for_each(|guard| guard.replace(group));
                Event::Tick
            }
            () = until(deadline) => Event::Tick,
        };
    }
}

fn start(
    settings: &Settings,
    variables: &Variables,
    orders: Option<&Orders>,
    child: &mut Option<Process>,
) -> Event {
    info!(target: "exec.server", "[INFO] (child) spawning: {}", shown(settings));
    // Whoever was there before is killed, if anything is left of it.
    *child = None;
    match process::start(settings, variables, orders) {
        Ok(process) => {
            info!(target: "exec.server", process_id = process.id(), "the child process runs");
            settings.record.started(process.id());
            *child = Some(process);
            Event::Started
        }
        Err(why) => Event::NotStarted(why),
    }
}

/// The command, as people know it from the configuration. No variable is in it.
fn shown(settings: &Settings) -> String {
    match is_shell_line(&settings.command) {
        Some(line) => format!("sh -c {line}"),
        None => settings.command.join(" "),
    }
}

async fn end(child: Option<&mut Process>) -> Ending {
    match child {
        Some(child) => child.end().await,
        None => std::future::pending().await,
    }
}

async fn guard_ended(guard: Option<&mut Guard>) {
    match guard {
        Some(guard) => guard.end().await,
        None => std::future::pending().await,
    }
}

async fn gone(group: Option<Group>) {
    let Some(group) = group else { return };
    let mut looks = 0_u32;
    while !group.is_gone() {
        looks = looks.saturating_add(1);
        // To look at all processes takes longer, and mostly it is not needed.
        if looks.is_multiple_of(10) && group.is_dead() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn tell(told: &Told, settings: &Settings, child: Option<&Process>) {
    let process_id = child.map(Process::id);
    match told {
        Told::NotRestarting => info!(target: "exec.server", "detected update, but not restarting process"),
        Told::Stopping => info!(target: "exec.server", process_id, "stopping process"),
        Told::NoProgram { why, pause } => {
            error!(target: "exec.server", process_id, error = why, again_in = ?pause, "the child is to be started anew, but its program cannot be; it goes on as it is");
        }
        Told::Late => {
            let after = settings.stop_timeout;
            warn!(target: "exec.server", process_id, ?after, "the child did not end when it was asked to, and is killed");
        }
        Told::Unkillable => {
            error!(target: "exec.server", process_id, "the child does not end although it was killed; it may wait for a disk");
        }
        Told::Restarting { why, pause } => {
            let after = format!("{:.2}s", pause.as_secs_f64());
            warn!(target: "exec.server", error = why, after, "the child has ended and will be started again");
        }
    }
}

#[cfg(test)]
mod tests;
