//! `command` and `exec { … }` of a template: what runs when its file changed, and how.

use std::time::Duration;

use hcl1::Kind;
use rustix::process::Signal;

use super::super::child_environment::{self, ChildEnvironment};
use super::super::signal;
use super::KEYS_PREFIX;
use crate::decode::{Fields, Labels, Wording, seconds};
use crate::go_duration::GoDuration;

/// How long a template's command may run when nothing is said; upstream's.
pub const DEFAULT_COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a command that was sent `kill_signal` gets when nothing is said; upstream's.
pub const DEFAULT_KILL_TIMEOUT: Duration = Duration::from_secs(30);

/// A command run after a change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    /// One element with white space is a shell line; anything else is run as it is.
    pub arguments: Vec<String>,
    /// Ended after this long.
    pub timeout: Duration,
    /// What it sees of our environment.
    pub environment: ChildEnvironment,
    /// The signal that is to end it at its time limit. None: it is killed at once.
    pub kill_signal: Option<Signal>,
    /// After `kill_signal` it gets this long; then it is killed.
    pub kill_timeout: Duration,
    /// It starts after a random share of this, so that a fleet does not run it at one moment.
    pub splay: Duration,
}

impl Default for Command {
    fn default() -> Self {
        Self {
            arguments: Vec::new(),
            timeout: DEFAULT_COMMAND_TIMEOUT,
            environment: ChildEnvironment::default(),
            kill_signal: None,
            kill_timeout: DEFAULT_KILL_TIMEOUT,
            splay: Duration::ZERO,
        }
    }
}

/// What a change of a template's file leads to. (What a changed variable means to the child is [`super::super::OnChange`].)
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Consequence {
    /// Its command runs, if it has one.
    #[default]
    Command,
    /// Nothing.
    Nothing,
    /// The child of `exec` is stopped and started.
    Restart,
    /// The child of `exec` gets the signal of its `change_signal`, or SIGHUP where there is none.
    Signal,
}

pub(super) fn read_consequence(fields: &Fields<'_>) -> Consequence {
    let Some(word) = fields.filled("on_change") else { return Consequence::default() };
    match word.as_str() {
        "command" => Consequence::Command,
        "none" => Consequence::Nothing,
        "restart" => Consequence::Restart,
        "signal" => Consequence::Signal,
        other => {
            let message = format!("'on_change' cannot be {other:?}");
            let hint = "\"command\" (the default), \"restart\", \"signal\" or \"none\"";
            fields.refuse_with(fields.span_of("on_change"), message, hint);
            Consequence::default()
        }
    }
}

/// `exec { command … }`, or the older keys beside it.
pub(super) fn read(fields: &Fields<'_>) -> Option<Command> {
    let whole = |text: &str| if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
    let mut command =
        Command { arguments: fields.strings_or("command", whole).unwrap_or_default(), ..Command::default() };
    let mut timeout = read_timeout(fields, "command_timeout", "command_timeout");
    let blocks = fields.blocks("exec", Labels::Ignored);
    let mut enabled = true;
    // Given several times, the last one wins.
    if let Some(block) = blocks.last() {
        let exec = fields.inside("exec", block, KEYS_PREFIX).worded(Wording::Template);
        let arguments = exec.strings_or("command", whole).unwrap_or_default();
        if !arguments.is_empty() {
            if !command.arguments.is_empty() {
                fields.warn(
                    fields.span_of("command"),
                    "`command` is not used: `exec` has one too",
                    "remove one of them",
                );
            }
            command.arguments = arguments;
        }
        timeout = read_timeout(&exec, "timeout", "exec.timeout").or(timeout);
        enabled = exec.strict_bool("enabled").unwrap_or(true);
        command.kill_signal = signal::read_shown(&exec, "kill_signal", "exec.kill_signal").flatten();
        command.kill_timeout =
            read_timeout(&exec, "kill_timeout", "exec.kill_timeout").unwrap_or(DEFAULT_KILL_TIMEOUT);
        command.splay = read_timeout(&exec, "splay", "exec.splay").unwrap_or_default();
        // It is for a process that goes on running; a template's command is waited for. Upstream reads it, too.
        signal::read_shown(&exec, "reload_signal", "exec.reload_signal");
        command.environment = child_environment::read(&exec, "exec.env");
        exec.finish();
    }
    command.timeout = timeout.unwrap_or(DEFAULT_COMMAND_TIMEOUT);
    let wanted = enabled && command.arguments.iter().any(|argument| !argument.is_empty());
    wanted.then_some(command)
}

/// A duration as templates take it: seconds as a number, but text only with a unit.
pub(super) fn read_timeout(fields: &Fields<'_>, key: &'static str, shown: &str) -> Option<Duration> {
    let value = fields.value(key)?;
    let duration = match &value.kind {
        Kind::Number(text) => seconds(text),
        Kind::Null => return None,
        _ => GoDuration::parse(&fields.text(key)?),
    };
    match duration {
        Ok(duration) => duration.positive(),
        Err(why) => {
            let hint = "a number of seconds, or text with a unit: \"90s\", \"5m\"";
            fields.refuse_with(value.span, format!("'{shown}' {why}"), hint);
            None
        }
    }
}
