//! `exec { … }`: a child that is given the variables of the `env_template`s.

use std::path::PathBuf;
use std::time::Duration;

use hcl1::Span;
use rustix::process::Signal;

use super::auto_auth::Choosing;
use super::child_environment::{self, ChildEnvironment};
use super::signal;
use crate::decode::{Block, Fields, Wording};
use crate::problem::{Place, Problem};

/// How long a child may take to end before it is killed, when nothing is said; upstream's.
pub const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a change waits for further ones, when nothing is said; upstream's.
pub const DEFAULT_CHANGE_DELAY: Duration = Duration::from_secs(2);

/// A child.
#[derive(Clone, Debug, PartialEq)]
pub struct Exec {
    /// Program and arguments. One element with white space is a line for the shell.
    pub command: Vec<String>,
    /// What to do when a variable changes.
    pub on_change: OnChange,
    /// What a changed file sends whose template says so; `None` for nothing.
    pub change_signal: Option<Signal>,
    /// What to do when it ends by itself.
    pub restart_on_exit: RestartOnExit,
    /// What asks it to end, before a restart and at our end; `None` for nothing but patience.
    pub stop_signal: Option<Signal>,
    /// How long it may take then.
    pub stop_timeout: Duration,
    /// How long a change waits for further ones.
    pub change_delay: Duration,
    /// Which of the signals that we get are handed on to it.
    pub forward_signals: Vec<Signal>,
    /// What it and all it has started get when we die without having stopped it, before they are killed; `None`: they
    /// live on.
    pub parent_death_signal: Option<Signal>,
    /// File that its standard output is added to.
    pub stdout: Option<PathBuf>,
    /// The same for its standard error.
    pub stderr: Option<PathBuf>,
    /// Wait for processes that have lost their parent, though we are not process 1.
    pub reap_orphans: bool,
    /// What it gets of our own environment.
    pub environment: ChildEnvironment,
}

/// What becomes of a running child when a variable changes. (What a changed file leads to is [`super::Consequence`].)
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnChange {
    /// It is stopped and started again; upstream's.
    Restart,
    /// It gets a signal.
    Signal(Signal),
    /// Nothing.
    Nothing,
}

/// What becomes of a child that has ended by itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RestartOnExit {
    /// We end as it did; upstream's.
    #[default]
    Never,
    /// It is started again, unless it ended with 0.
    OnFailure,
    /// It is started again.
    Always,
}

pub(crate) const PREFIX: &str = "error parsing 'exec': ";
const KEYS_PREFIX: &str = "error parsing 'exec': decoding failed due to the following error(s):\n\n";

/// Those that end or stop us, or cannot be caught.
const NOT_FORWARDED: &str = "the signals are SIGALRM, SIGCONT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH; \
                             SIGTERM and SIGINT always stop the child";
const FORWARDED: &[Signal] =
    &[Signal::ALARM, Signal::CONT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2, Signal::WINCH];

/// What changes send unless something else is said.
const USUAL_CHANGE_SIGNAL: Signal = Signal::HUP;

/// The stanza; and where its `change_signal` stands, if it takes a template to use it.
pub(crate) fn read<'a>(file: &Fields<'a>, block: &Block<'a>) -> (Choosing<Exec>, Option<Place>) {
    let fields = file.inside("exec", block, KEYS_PREFIX).worded(Wording::Template);
    let whole = |text: &str| if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
    let command = fields.strings_or("command", whole).unwrap_or_default();
    if command.first().is_none_or(String::is_empty) && block.object.is_some() {
        let message = "'exec' requires a non-empty 'command' field";
        let hint = "command = [\"/path/of/the/program\", \"argument\"]";
        refuse_whole(&fields, fields.span_of("command"), message.to_owned(), hint);
    }
    let change_signal = signal::read(&fields, "change_signal");
    let on_change = read_on_change(&fields, change_signal);
    let own = fields.filled("on_change").is_some_and(|word| word == "signal");
    let for_templates = fields.has("change_signal") && !own;
    let for_templates = for_templates.then(|| fields.report.place(fields.key_span("change_signal")));
    let stop_signal = signal::read(&fields, "restart_stop_signal").unwrap_or(Some(Signal::TERM));
    let exec = Exec {
        command,
        on_change,
        change_signal: change_signal.unwrap_or(Some(USUAL_CHANGE_SIGNAL)),
        restart_on_exit: read_restart(&fields),
        stop_signal,
        stop_timeout: read_duration(&fields, "stop_timeout").unwrap_or(DEFAULT_STOP_TIMEOUT),
        change_delay: read_duration(&fields, "change_delay").unwrap_or(DEFAULT_CHANGE_DELAY),
        forward_signals: read_forwarded(&fields),
        parent_death_signal: signal::read(&fields, "pdeathsig").unwrap_or(stop_signal.or(Some(Signal::TERM))),
        stdout: fields.file("child_process_stdout"),
        stderr: fields.file("child_process_stderr"),
        reap_orphans: fields.strict_bool("reap_orphans").unwrap_or(false),
        environment: child_environment::read(&fields, "env"),
    };
    let choosing = Choosing::read(&fields, exec);
    if block.object.is_some() {
        fields.finish();
    }
    (choosing, for_templates)
}

fn refuse_whole(fields: &Fields<'_>, span: Span, message: String, hint: &str) {
    fields.report.refuse(Problem::whole(message, Some(&fields.report.place(span))).hint(hint));
}

/// Ours, or upstream's older key.
fn read_on_change(fields: &Fields<'_>, signal: Option<Option<Signal>>) -> OnChange {
    let older = match fields.filled("restart_on_secret_changes").as_deref() {
        None | Some("always") => OnChange::Restart,
        Some("never") => OnChange::Nothing,
        Some(other) => {
            let message = format!("'exec.restart_on_secret_changes' unexpected value: {other:?}");
            let span = fields.span_of("restart_on_secret_changes");
            refuse_whole(fields, span, message, "the values are always and never");
            OnChange::Restart
        }
    };
    let own = fields.filled("on_change");
    if own.is_some() && fields.has("restart_on_secret_changes") {
        let message = "'exec' has both 'on_change' and 'restart_on_secret_changes'";
        refuse_whole(fields, fields.key_span("on_change"), message.to_owned(), "keep one of them");
    }
    match own.as_deref() {
        None => older,
        Some("restart") => OnChange::Restart,
        Some("none") => OnChange::Nothing,
        Some("signal") => match signal {
            Some(Some(signal)) => OnChange::Signal(signal),
            Some(None) => OnChange::Nothing,
            None => {
                if !fields.has("change_signal") {
                    let message = "on_change = \"signal\" needs a 'change_signal'";
                    let span = fields.span_of("on_change");
                    refuse_whole(fields, span, message.to_owned(), "change_signal = \"SIGHUP\"");
                }
                OnChange::Nothing
            }
        },
        Some(other) => {
            let message = format!("'exec.on_change' unexpected value: {other:?}");
            let hint = "the values are restart, signal and none";
            refuse_whole(fields, fields.span_of("on_change"), message, hint);
            OnChange::Restart
        }
    }
}

fn read_restart(fields: &Fields<'_>) -> RestartOnExit {
    match fields.filled("restart_on_exit").as_deref() {
        None | Some("never") => RestartOnExit::Never,
        Some("on_failure") => RestartOnExit::OnFailure,
        Some("always") => RestartOnExit::Always,
        Some(other) => {
            let message = format!("'exec.restart_on_exit' unexpected value: {other:?}");
            let hint = "the values are never, on_failure and always";
            refuse_whole(fields, fields.span_of("restart_on_exit"), message, hint);
            RestartOnExit::Never
        }
    }
}

/// A duration that may be zero.
fn read_duration(fields: &Fields<'_>, key: &'static str) -> Option<Duration> {
    let given = fields.duration(key)?;
    let nanoseconds = u64::try_from(given.nanoseconds());
    if nanoseconds.is_err() {
        fields.refuse(fields.span_of(key), format!("'{key}' must not be negative"));
    }
    nanoseconds.ok().map(Duration::from_nanos)
}

fn read_forwarded(fields: &Fields<'_>) -> Vec<Signal> {
    let mut signals = Vec::new();
    for name in fields.strings("forward_signals").unwrap_or_default() {
        match signal::parse(&name) {
            None => signal::refuse(fields, "forward_signals", "forward_signals", &name),
            Some(Some(signal)) if FORWARDED.contains(&signal) => signals.push(signal),
            Some(_) => {
                let message = format!("'forward_signals' {name} cannot be handed on");
                fields.refuse_with(fields.span_of("forward_signals"), message, NOT_FORWARDED);
            }
        }
    }
    signals
}
