//! What to do when: pure, time and chance passed in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use crate::settings::{OnChange, OnExit, Settings};
use crate::variables::Variables;

/// The first pause before a child that has ended is started again, and the longest. One that has run this long counts
/// as having been well.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Changes that never end are acted upon after so many delays.
const MOST_DELAYS: u32 = 5;

/// How long a restart waits for a program that is not there.
const NO_PROGRAM: Duration = Duration::from_secs(5);

/// How long something killed may take to go. What waits for a disk may take for ever.
const BURIAL: Duration = Duration::from_secs(5);

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Ending {
    /// As shells tell it: a signal is 128 and its number.
    pub fn code(self) -> u8 {
        match self {
            // A code has eight bits.
            Self::Code(code) => (code & 0xff) as u8,
            Self::Signal(signal) => 128u8.saturating_add(u8::try_from(signal).unwrap_or(u8::MAX)),
        }
    }
}

/// In upstream's words.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "process exited with {code}"),
            Self::Signal(signal) => {
                write!(f, "process exited with {} (killed by signal {signal})", self.code())
            }
        }
    }
}

/// Why there is no child any more, and will be none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// We were asked to stop it.
    Stopped,
    /// It ended by itself.
    Ended(Ending),
    /// It cannot be started; why not.
    NotStarted(String),
}

/// Something has happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// All it waits for is there, or is another now.
    Ready(Arc<Variables>),
    /// What is not among its variables has changed.
    Changed(OnChange),
    Started,
    NotStarted(String),
    Ended(Ending),
    /// Nobody is left of those it started, after its own end.
    GroupGone,
    /// A signal is handed on.
    Forward(Signal),
    /// It is to be stopped for good.
    Stop,
    /// The same, without patience.
    StopNow,
    /// It is time for a restart, and there is nothing to start; why not.
    NoProgram(String),
    /// The deadline may have come.
    Tick,
}

/// Something is to be done.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Action {
    Start(Arc<Variables>),
    /// To the child and what it has started.
    Signal(Signal),
    /// The same, with what cannot be ignored.
    Kill,
    Tell(Told),
    /// There is nothing more to do.
    End(Outcome),
}

/// What people want to know.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Told {
    /// A change has no consequences, as configured.
    NotRestarting,
    Stopping,
    /// It would have been stopped for a new one, which could not be started.
    NoProgram {
        why: String,
        pause: Duration,
    },
    /// It did not end in time.
    Late,
    /// It did not even end when it was killed.
    Unkillable,
    /// It ended and is started again after a pause.
    Restarting {
        why: String,
        pause: Duration,
    },
}

#[derive(Debug, Eq, PartialEq)]
enum Phase {
    /// For variables.
    Waiting,
    Starting,
    Running {
        since: Instant,
    },
    Stopping {
        until: Instant,
        killed: bool,
        /// The child itself has ended; what it started may not have.
        ended: bool,
        /// Whether it is for good.
        last: bool,
    },
    BackingOff {
        until: Instant,
    },
    Done,
}

/// A change that waits for further ones.
#[derive(Debug)]
struct Change {
    first: Instant,
    at: Instant,
    what: OnChange,
}

/// The child, as we know it.
#[derive(Debug)]
pub(crate) struct State {
    phase: Phase,
    on_change: OnChange,
    on_exit: OnExit,
    stop_signal: Option<Signal>,
    stop_timeout: Duration,
    change_delay: Duration,
    /// The latest.
    variables: Option<Arc<Variables>>,
    change: Option<Change>,
    /// It was asked to stop while it was being started.
    stop_asked: bool,
    /// It ran once.
    has_run: bool,
    failures: u32,
}

impl State {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            phase: Phase::Waiting,
            on_change: settings.on_change,
            on_exit: settings.on_exit,
            stop_signal: settings.stop_signal,
            stop_timeout: settings.stop_timeout,
            change_delay: settings.change_delay,
            variables: None,
            change: None,
            stop_asked: false,
            has_run: false,
            failures: 0,
        }
    }

    /// When something is due without further events.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running { .. } => self.change.as_ref().map(|change| change.at),
            Phase::Stopping { until, .. } | Phase::BackingOff { until } => Some(until),
            Phase::Waiting | Phase::Starting | Phase::Done => None,
        }
    }

    /// Whether it was asked to end.
    pub(crate) fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. })
    }

    /// Whether somebody must look if the group is gone.
    pub(crate) fn waits_for_group(&self) -> bool {
        matches!(self.phase, Phase::Stopping { ended: true, .. })
    }

    /// What is to be done now. `jitter` is between 0 and 1.
    pub(crate) fn step(&mut self, event: Event, now: Instant, jitter: f64) -> Vec<Action> {
        match event {
            Event::Ready(variables) => self.ready(variables, now),
            Event::Changed(what) => self.changed(what, now),
            Event::Started => {
                self.has_run = true;
                self.phase = Phase::Running { since: now };
                if self.stop_asked { self.stop(true, now) } else { Vec::new() }
            }
            Event::NotStarted(why) => match (self.on_exit, self.has_run && !self.stop_asked) {
                // The first time it is a mistake; later a program may be just being replaced.
                (OnExit::Restart | OnExit::RestartFailed, true) => self.back_off(why, now, jitter),
                _ => self.end(Outcome::NotStarted(why)),
            },
            Event::Ended(ending) => self.ended(ending, now, jitter),
            Event::GroupGone if self.waits_for_group() => self.stopped(),
            Event::GroupGone => Vec::new(),
            Event::Forward(signal) => match self.phase {
                Phase::Running { .. } | Phase::Stopping { ended: false, .. } => vec![Action::Signal(signal)],
                _ => Vec::new(),
            },
            Event::Stop => self.asked_to_stop(now),
            Event::StopNow => self.asked_to_stop_now(now),
            Event::NoProgram(why) => self.postpone(why, now),
            Event::Tick => self.tick(now),
        }
    }

    /// Whether the next tick stops a child that runs, for another in its place.
    pub(crate) fn restart_is_due(&self, now: Instant) -> bool {
        let due = |change: &Change| change.what == OnChange::Restart && change.at <= now;
        matches!(self.phase, Phase::Running { .. }) && self.change.as_ref().is_some_and(due)
    }

    /// Better one with old values than none: somebody may just be replacing the program.
    fn postpone(&mut self, why: String, now: Instant) -> Vec<Action> {
        let Some(change) = self.change.as_mut() else { return Vec::new() };
        (change.first, change.at) = (now, now + NO_PROGRAM);
        vec![Action::Tell(Told::NoProgram { why, pause: NO_PROGRAM })]
    }

    fn ready(&mut self, variables: Arc<Variables>, now: Instant) -> Vec<Action> {
        // The same again is no news: a new token, say, changes nothing.
        if self.variables.as_ref() == Some(&variables) {
            return Vec::new();
        }
        self.variables = Some(variables);
        match self.phase {
            Phase::Waiting => self.start(),
            // Whoever is started later is started with the latest.
            _ => self.changed(self.on_change, now),
        }
    }

    fn changed(&mut self, what: OnChange, now: Instant) -> Vec<Action> {
        if !matches!(self.phase, Phase::Running { .. } | Phase::Starting) {
            return Vec::new();
        }
        if what == OnChange::Nothing {
            return vec![Action::Tell(Told::NotRestarting)];
        }
        let earlier = self.change.take();
        let first = earlier.as_ref().map_or(now, |earlier| earlier.first);
        self.change = Some(Change {
            first,
            at: (now + self.change_delay).min(first + self.change_delay * MOST_DELAYS),
            what: earlier.map_or(what, |earlier| earlier.what.max(what)),
        });
        Vec::new()
    }

    fn tick(&mut self, now: Instant) -> Vec<Action> {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return Vec::new();
        }
        match self.phase {
            Phase::Running { .. } => match self.change.take().map(|change| change.what) {
                Some(OnChange::Restart) => self.stop(false, now),
                Some(OnChange::Signal(signal)) => signal.signal().map(Action::Signal).into_iter().collect(),
                Some(OnChange::Nothing) | None => Vec::new(),
            },
            Phase::Stopping { killed: false, ended, last, .. } => {
                self.phase = Phase::Stopping { until: now + BURIAL, killed: true, ended, last };
                vec![Action::Tell(Told::Late), Action::Kill]
            }
            // Of what it left behind somebody cannot be killed; nobody waits for that.
            Phase::Stopping { killed: true, ended: true, .. } => self.stopped(),
            Phase::Stopping { killed: true, ended: false, last: true, .. } => {
                let mut actions = vec![Action::Tell(Told::Unkillable)];
                actions.extend(self.end(Outcome::Stopped));
                actions
            }
            // Two at a time may be worse than none.
            Phase::Stopping { killed: true, ended: false, last: false, .. } => {
                self.phase =
                    Phase::Stopping { until: now + PAUSES.1, killed: true, ended: false, last: false };
                vec![Action::Tell(Told::Unkillable), Action::Kill]
            }
            Phase::BackingOff { .. } => self.start(),
            Phase::Waiting | Phase::Starting | Phase::Done => Vec::new(),
        }
    }

    fn ended(&mut self, ending: Ending, now: Instant, jitter: f64) -> Vec<Action> {
        match &mut self.phase {
            Phase::Stopping { ended, .. } => {
                *ended = true;
                Vec::new()
            }
            Phase::Running { since } => {
                if now.duration_since(*since) >= PAUSES.1 {
                    self.failures = 0;
                }
                match (self.on_exit, ending) {
                    (OnExit::End, _) | (OnExit::RestartFailed, Ending::Code(0)) => {
                        self.end(Outcome::Ended(ending))
                    }
                    _ => self.back_off(ending.to_string(), now, jitter),
                }
            }
            _ => Vec::new(),
        }
    }

    fn back_off(&mut self, why: String, now: Instant, jitter: f64) -> Vec<Action> {
        let (first, longest) = PAUSES;
        let full = first.saturating_mul(1 << self.failures.min(16)).min(longest);
        // Not less than half: it must stay rare whatever chance says.
        let pause = full.mul_f64(0.5 + 0.5 * jitter);
        self.failures = self.failures.saturating_add(1);
        self.change = None;
        self.phase = Phase::BackingOff { until: now + pause };
        vec![Action::Tell(Told::Restarting { why, pause })]
    }

    fn start(&mut self) -> Vec<Action> {
        // What changed before is in there.
        self.change = None;
        self.phase = Phase::Starting;
        self.variables.clone().map(Action::Start).into_iter().collect()
    }

    fn stop(&mut self, last: bool, now: Instant) -> Vec<Action> {
        self.change = None;
        let until = now + self.stop_timeout;
        self.phase = Phase::Stopping { until, killed: false, ended: false, last };
        let signal = self.stop_signal.map(Action::Signal);
        std::iter::once(Action::Tell(Told::Stopping)).chain(signal).collect()
    }

    /// It is gone with all that it started.
    fn stopped(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Stopping { last: true, .. } => self.end(Outcome::Stopped),
            _ => self.start(),
        }
    }

    fn asked_to_stop(&mut self, now: Instant) -> Vec<Action> {
        match &mut self.phase {
            Phase::Waiting | Phase::BackingOff { .. } => self.end(Outcome::Stopped),
            Phase::Starting => {
                self.stop_asked = true;
                Vec::new()
            }
            Phase::Running { .. } => self.stop(true, now),
            Phase::Stopping { last, .. } => {
                *last = true;
                Vec::new()
            }
            Phase::Done => Vec::new(),
        }
    }

    fn asked_to_stop_now(&mut self, now: Instant) -> Vec<Action> {
        let ended = match self.phase {
            Phase::Running { .. } => false,
            Phase::Stopping { ended, .. } => ended,
            _ => return self.asked_to_stop(now),
        };
        self.phase = Phase::Stopping { until: now + BURIAL, killed: true, ended, last: true };
        vec![Action::Kill]
    }

    fn end(&mut self, outcome: Outcome) -> Vec<Action> {
        self.phase = Phase::Done;
        vec![Action::End(outcome)]
    }
}

#[cfg(test)]
mod tests;
