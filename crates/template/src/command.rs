//! A command that runs after a change.

use config::Command;
use thiserror::Error;
use tokio::process::Command as Process;
use tokio::time::timeout;

use crate::processes::{self, Group};

/// Why a command failed. Worded as upstream's.
#[derive(Debug, Error)]
pub(crate) enum CommandError {
    /// It cannot be started.
    #[error("failed to execute command {command:?}: {source}")]
    Start { command: String, source: std::io::Error },
    /// It ended badly.
    #[error(
        "failed to execute command {command:?}: command exited with a non-zero exit status ({status})\n\n\
         Please ensure the command exits with a zero (0) exit status to indicate success"
    )]
    Status { command: String, status: std::process::ExitStatus },
    /// It did not end.
    #[error("failed to execute command {command:?}: command did not exit within time limit ({limit:?})")]
    TimedOut { command: String, limit: std::time::Duration },
}

/// Runs it and waits for its end. One element with white space is a line for the shell, in a process group of
/// its own that is killed as a whole; anything else is run as it is. It inherits our output, never our token.
pub(crate) async fn run(command: &Command, variables: &[(String, String)]) -> Result<(), CommandError> {
    let shown = || command.arguments.join(" ");
    let mut process = match command.arguments.as_slice() {
        [line] if line.contains(char::is_whitespace) => {
            let mut shell = Process::new("sh");
            shell.arg("-c").arg(line);
            shell
        }
        [program, arguments @ ..] => {
            let mut process = Process::new(program);
            process.args(arguments);
            process
        }
        [] => return Ok(()),
    };
    process.envs(variables.iter().map(|(name, value)| (name, value)));
    processes::prepare(process.as_std_mut());
    // Waited for by tokio when it is killed.
    process.kill_on_drop(true);
    let mut child = process.spawn().map_err(|source| CommandError::Start { command: shown(), source })?;
    child.id().into_iter().for_each(processes::limit);
    let mut group = Group::of(child.id());
    match timeout(command.timeout, child.wait()).await {
        Ok(Ok(status)) => {
            group.spare();
            if status.success() { Ok(()) } else { Err(CommandError::Status { command: shown(), status }) }
        }
        Ok(Err(source)) => Err(CommandError::Start { command: shown(), source }),
        Err(_) => Err(CommandError::TimedOut { command: shown(), limit: command.timeout }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn command(arguments: &[&str], timeout: Duration) -> Command {
        Command { arguments: arguments.iter().map(|a| (*a).to_owned()).collect(), timeout }
    }

    #[tokio::test]
    async fn lines_go_to_the_shell_and_words_do_not() {
        let patience = Duration::from_secs(10);
        assert!(run(&command(&["exit 0 && true"], patience), &[]).await.is_ok());
        assert!(run(&command(&["true"], patience), &[]).await.is_ok());
        let error = run(&command(&["sh", "-c", "exit 7"], patience), &[]).await.unwrap_err().to_string();
        assert!(error.contains("non-zero exit status (exit status: 7)"), "{error}");
        assert!(matches!(
            run(&command(&["/nonexistent"], patience), &[]).await,
            Err(CommandError::Start { .. })
        ));
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let late = folder.path().join("late");
        let line = format!("(sleep 0.5; echo x > {}) & sleep 60", late.display());
        let error = run(&command(&[&line], Duration::from_millis(50)), &[]).await.unwrap_err();
        assert!(error.to_string().contains("did not exit within time limit (50ms)"), "{error}");
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert!(!late.exists(), "a child of the command lived on");
    }
}
