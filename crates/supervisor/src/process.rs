//! What the system is asked for: a process of its own group, signals to it, its end.

use std::io;
use std::io::IsTerminal as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpid, getppid, getrlimit, kill_process, kill_process_group,
    set_parent_process_death_signal, setrlimit, test_kill_process_group,
};
use tokio::process::{Child, Command};

use crate::settings::{Settings, is_shell_line};
use crate::state::Ending;
use crate::variables::Variables;

/// A child that was started. Dropped, it is killed with all it has started.
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    /// It leads a group of its own.
    leads: bool,
    ended: bool,
}

/// Starts it.
///
/// # Errors
/// Why not, in upstream's words.
pub(crate) fn start(settings: &Settings, variables: &Variables) -> Result<Process, String> {
    let (mut command, program) = match (is_shell_line(&settings.command), settings.command.as_slice()) {
        (Some(line), _) => {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(line);
            (shell, "sh")
        }
        (None, [program, arguments @ ..]) => {
            let mut command = Command::new(program);
            command.args(arguments);
            (command, program.as_str())
        }
        (None, []) => return Err("the command is empty".to_owned()),
    };
    let failed = |error: io::Error| {
        format!(
            "unable to restart the child process: error starting the child process: {}",
            why(program, &error)
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
    // The keyboard belongs to one group of processes: who is to read it must be in ours.
    let leads = !io::stdin().is_terminal();
    if leads {
        command.process_group(0);
    }
    command.kill_on_drop(true);
    before_it_begins(&mut command, settings);
    let child = command.spawn().map_err(failed)?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| failed(io::Error::other("it has no process id")))?;
    Ok(Process { child, pid, leads, ended: false })
}

/// What only the new process can do for itself: asking for a signal at our death, and its own limit of open files,
/// which for us is higher.
#[expect(unsafe_code, reason = "no safe call sets the parent-death signal of another process")]
fn before_it_begins(command: &mut Command, settings: &Settings) {
    let (parent, signal) = (getpid(), settings.parent_death_signal);
    let limit = settings.open_files.map(|files| {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        Rlimit { current: Some(maximum.map_or(files, |most| files.min(most))), maximum }
    });
    let prepare = move || {
        if let Some(limit) = limit {
            setrlimit(Resource::Nofile, limit)?;
        }
        if signal.is_some() {
            set_parent_process_death_signal(signal)?;
            // We may have died before it asked.
            if getppid() != Some(parent) {
                return Err(io::Error::from_raw_os_error(ESRCH));
            }
        }
        Ok(())
    };
    // SAFETY: it runs between fork and exec, where other threads' locks may be held for ever. It makes three system
    // calls (prlimit, prctl, getppid), allocates nothing and takes no lock: all it uses is captured by value, and an
    // error of the system is a number.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// No such process (`asm-generic/errno-base.h`).
const ESRCH: i32 = 3;

impl Process {
    /// To it and to all it has started.
    pub(crate) fn signal(&self, signal: Signal) {
        // Those that have ended meanwhile need no signal; the number of one that was waited for may be another's.
        let _ = match (self.leads, self.ended) {
            (true, _) => kill_process_group(self.pid, signal),
            (false, false) => kill_process(self.pid, signal),
            (false, true) => Ok(()),
        };
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

    /// It and all it has started.
    pub(crate) fn group(&self) -> Group {
        Group(self.leads.then_some(self.pid))
    }

    pub(crate) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// What it left behind on purpose lives on.
    pub(crate) fn spare(mut self) {
        self.leads = false;
        self.ended = true;
    }
}

/// The group that a child leads, if it has one of its own.
#[derive(Clone, Copy)]
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// Whether nobody is left of it.
    pub(crate) fn is_gone(self) -> bool {
        self.0.is_none_or(|leader| test_kill_process_group(leader).is_err())
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
fn why(program: &str, error: &io::Error) -> String {
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
        _ => format!("fork/exec {program}: {text}"),
    }
}
