//! What to run, and what to do when.

use std::ffi::OsString;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use crate::record::Record;
use crate::{process, program};

/// One child.
#[derive(Debug)]
pub struct Settings {
    /// Program and arguments. One element with white space is a line for the shell.
    pub command: Vec<String>,
    /// The environment without the variables that it waits for; these win.
    pub environment: Vec<(OsString, OsString)>,
    /// What it writes goes to the end of this file; `None` for where ours goes.
    pub stdout: Option<File>,
    /// The same for what it complains about.
    pub stderr: Option<File>,
    /// What to do when its variables change while it runs.
    pub on_change: OnChange,
    /// What to do when it ends by itself.
    pub on_exit: OnExit,
    /// What asks it to end; `None` for nothing but patience.
    pub stop_signal: Option<Signal>,
    /// How long it has after that before it is killed.
    pub stop_timeout: Duration,
    /// How long a change waits for further ones, so that one restart is enough for all of them.
    pub change_delay: Duration,
    /// What it gets when we die without having stopped it; `None` for nothing.
    pub parent_death_signal: Option<Signal>,
    /// Program and arguments of a guard, which calls [`crate::stand_guard`] with its standard input: it sees to it that
    /// nobody lives on when we die. None for none; then the signal reaches the child alone.
    pub guard: Vec<OsString>,
    /// Where is noted how it stands.
    pub record: Arc<Record>,
}

impl Settings {
    /// Whether there is something to start.
    ///
    /// # Errors
    /// Why not, in upstream's words.
    pub fn program_is_there(&self) -> Result<(), String> {
        let path = self.environment.iter().rev().find(|(name, _)| name == "PATH");
        let there = program::program_is_there(&self.command, path.map(|(_, value)| value.as_os_str()));
        there.map_err(|error| {
            process::why_not_started(self.command.first().map_or("", String::as_str), &error)
        })
    }
}

/// What becomes of a running child at a change. Of several at once the greatest counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum OnChange {
    /// Nothing: it goes on with what it was given.
    Nothing,
    /// It gets this signal.
    Signal(SignalNumber),
    /// It is stopped, and started with what is new.
    Restart,
}

/// A signal that can be compared.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SignalNumber(i32);

impl OnChange {
    /// It gets this signal.
    pub fn signal(signal: Signal) -> Self {
        Self::Signal(SignalNumber(signal.as_raw()))
    }
}

impl SignalNumber {
    pub(crate) fn signal(self) -> Option<Signal> {
        Signal::from_named_raw(self.0)
    }
}

/// What becomes of a child that has ended by itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnExit {
    /// So do we, as it did; upstream's.
    #[default]
    End,
    /// It is started again, after a pause, unless it ended with 0.
    RestartFailed,
    /// It is started again, after a pause.
    Restart,
}
