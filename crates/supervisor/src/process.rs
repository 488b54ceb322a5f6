//! What the system is asked for: a process of its own group, signals to it, its end.

use std::io;
use std::io::IsTerminal as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::guard::{Orders, Watch};
use crate::program::{self, ENOEXEC, Group};
use crate::settings::Settings;
use crate::state::Ending;
use crate::variables::Variables;

/// A child that was started. Dropped, it is killed with all it has started.
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    /// The group that it leads, if it has one of its own.
    group: Option<Group>,
    ended: bool,
    /// Behind all else: it is watched over until it was killed.
    _watch: Option<Watch>,
}

/// Starts it, watched over if it can be.
///
/// # Errors
/// Why not, in upstream's words.
pub(crate) fn start(
    settings: &Settings,
    variables: &Variables,
    orders: Option<&Orders>,
) -> Result<Process, String> {
    let Some(mut command) = program::command(&settings.command) else {
        return Err("the command is empty".to_owned());
    };
    // The keyboard belongs to one group of processes: who is to read it must be in ours.
    let leads = !io::stdin().is_terminal();
    // Only a group of its own can be ended without us. The kernel signals the child alone, and once.
    let orders = orders.filter(|_| leads);
    program::prepare(&mut command, settings.parent_death_signal.filter(|_| orders.is_none()));
    // Told of its end in any case, for it may have told of its beginning.
    let watch = orders.cloned().map(Watch);
    if let Some(orders) = orders {
        program::tell_guard(&mut command, orders.clone());
    }
    let program = match (program::is_shell_line(&settings.command), settings.command.first()) {
        (None, Some(program)) => program,
        _ => "sh",
    };
    let mut command = Command::from(command);
    let failed = |error: io::Error| {
        format!(
            "unable to restart the child process: error starting the child process: {}",
            why_not_started(program, &error)
        )
    };
    command.env_clear().envs(settings.environment.iter().map(|(name, value)| (name, value)));
    command.envs(variables.iter());
    for (file, is_error) in [(&settings.stdout, false), (&settings.stderr, true)] {
        let Some(file) = file else { continue };
        let output = Stdio::from(file.try_clone().map_err(failed)?);
        if is_error {
            command.stderr(output)
        } else {
            command.stdout(output)
        };
    }
    if leads {
        command.process_group(0);
    }
    command.kill_on_drop(true);
    program::has_format(command.as_std()).map_err(failed)?;
    let child = command.spawn().map_err(failed)?;
    let id = child.id();
    let pid = id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| failed(io::Error::other("it has no process id")))?;
    Ok(Process {
        child,
        pid,
        group: id.and_then(Group::led_by).filter(|_| leads),
        ended: false,
        _watch: watch,
    })
}

impl Process {
    /// To it and to all it has started.
    pub(crate) fn signal(&self, signal: Signal) {
        match self.group {
            Some(group) => group.signal(signal),
            // The number of one that was waited for may be another's.
            None if self.ended => {}
            // One that has ended meanwhile needs no signal.
            None => drop(kill_process(self.pid, signal)),
        }
    }

    /// Waits for its end. May be dropped and called again.
    pub(crate) async fn end(&mut self) -> Ending {
        if self.ended {
            return std::future::pending().await;
        }
        let status = self.child.wait().await;
        self.ended = true;
        // Nobody else waits for it, so there is a status.
        status.map_or(Ending::Code(1), ending)
    }

    /// It and all it has started, if it has a group of its own.
    pub(crate) fn group(&self) -> Option<Group> {
        self.group
    }

    pub(crate) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// What it left behind on purpose lives on.
    pub(crate) fn spare(mut self) {
        self.group = None;
        self.ended = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Code(code),
        (None, Some(signal)) => Ending::Signal(signal),
        (None, None) => Ending::Code(1),
    }
}

/// Why a program cannot be started, in Go's words, and what to do.
pub fn why_not_started(program: &str, error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    match error.kind() {
        io::ErrorKind::NotFound if !program.contains('/') => {
            format!("exec: {program:?}: executable file not found in $PATH")
        }
        io::ErrorKind::NotFound => {
            format!(
                "fork/exec {program}: {text} (neither it nor, if it is a script, its interpreter may be missing)"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "fork/exec {program}: {text} (it must be a file that is marked executable, on a file system that allows it)"
            )
        }
        io::ErrorKind::ArgumentListTooLong => {
            format!(
                "fork/exec {program}: {text} (arguments and environment together are more than the system allows; use templates with files)"
            )
        }
        io::ErrorKind::InvalidInput => {
            format!("exec: {program:?}: the command or the environment has a NUL byte")
        }
        _ if error.raw_os_error() == Some(ENOEXEC) => {
            format!(
                "fork/exec {program}: {text} (it is neither a program for this machine nor a script that begins with #!)"
            )
        }
        _ => format!("fork/exec {program}: {text}"),
    }
}
