//! `command` and `exec { … }` of a template: what runs when its file changed, and how.

use std::fmt;
use std::time::Duration;

use hcl1::Kind;

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
    pub environment: CommandEnvironment,
    /// The signal that ends it at its time limit, by number. None: it is killed at once.
    pub kill_signal: Option<i32>,
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
            environment: CommandEnvironment::default(),
            kill_signal: None,
            kill_timeout: DEFAULT_KILL_TIMEOUT,
            splay: Duration::ZERO,
        }
    }
}

/// `env { … }` in `exec`: what a command sees of our environment. Names may hold `*` and `?`.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct CommandEnvironment {
    /// Nothing of it.
    pub pristine: bool,
    /// Only these names, unless there are none.
    pub allowlist: Vec<String>,
    /// And none of these.
    pub denylist: Vec<String>,
    /// And these variables besides, names and values.
    pub custom: Vec<(String, String)>,
}

/// Without the values of variables: they may be secret.
impl fmt::Debug for CommandEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.custom.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("CommandEnvironment")
            .field("pristine", &self.pristine)
            .field("allowlist", &self.allowlist)
            .field("denylist", &self.denylist)
            .field("custom", &names)
            .finish()
    }
}

/// What a change of a template's file leads to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Consequence {
    /// Its command runs, if it has one.
    #[default]
    Command,
    /// Nothing.
    Nothing,
    /// The supervised process is stopped and started.
    Restart,
    /// The supervised process gets its signal.
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
        command.kill_signal = read_signal(&exec, "kill_signal");
        command.kill_timeout =
            read_timeout(&exec, "kill_timeout", "exec.kill_timeout").unwrap_or(DEFAULT_KILL_TIMEOUT);
        command.splay = read_timeout(&exec, "splay", "exec.splay").unwrap_or_default();
        // It is for a process that goes on running; a template's command is waited for. Upstream reads it, too.
        read_signal(&exec, "reload_signal");
        command.environment = read_environment(&exec);
        exec.finish();
    }
    command.timeout = timeout.unwrap_or(DEFAULT_COMMAND_TIMEOUT);
    let wanted = enabled && command.arguments.iter().any(|argument| !argument.is_empty());
    wanted.then_some(command)
}

fn read_environment(exec: &Fields<'_>) -> CommandEnvironment {
    let blocks = exec.blocks("env", Labels::Ignored);
    let Some(block) = blocks.last() else { return CommandEnvironment::default() };
    let env = exec.inside("env", block, KEYS_PREFIX).worded(Wording::Template);
    let one = |text: &str| vec![text.to_owned()];
    let names = |key, older| {
        let mut names = env.strings_or(key, one).unwrap_or_default();
        names.extend(env.strings_or(older, one).unwrap_or_default());
        names
    };
    let mut custom = Vec::new();
    for pair in env.strings_or("custom", one).unwrap_or_default() {
        let is_variable = !pair.contains('\0') && !pair.starts_with('=');
        match pair.split_once('=').filter(|_| is_variable) {
            Some((name, value)) => custom.push((name.to_owned(), value.to_owned())),
            // Its value may be secret.
            None => env.refuse_with(
                env.span_of("custom"),
                "'exec.env.custom' holds something that is no variable",
                "custom = [\"NAME=value\"]",
            ),
        }
    }
    let environment = CommandEnvironment {
        pristine: env.strict_bool("pristine").unwrap_or(false),
        allowlist: names("allowlist", "whitelist"),
        denylist: names("denylist", "blacklist"),
        custom,
    };
    env.finish();
    environment
}

/// Signals that people send to programs, with the numbers that Linux has for them on x86 and ARM.
const SIGNALS: &[(&str, i32)] = &[
    ("SIGABRT", 6),
    ("SIGALRM", 14),
    ("SIGCONT", 18),
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGKILL", 9),
    ("SIGPIPE", 13),
    ("SIGQUIT", 3),
    ("SIGTERM", 15),
    ("SIGTSTP", 20),
    ("SIGUSR1", 10),
    ("SIGUSR2", 12),
    ("SIGWINCH", 28),
];

/// A signal by its name, `TERM` or `SIGTERM`, in any case.
fn read_signal(fields: &Fields<'_>, key: &'static str) -> Option<i32> {
    let word = fields.filled(key)?;
    let upper = word.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    let found = SIGNALS.iter().find(|(name, _)| *name == full);
    if found.is_none() {
        let names: Vec<&str> = SIGNALS.iter().map(|(name, _)| *name).collect();
        let message = format!("'exec.{key}' invalid signal {word:?}");
        fields.refuse_with(fields.span_of(key), message, format!("one of {}", names.join(", ")));
    }
    found.map(|(_, number)| *number)
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
