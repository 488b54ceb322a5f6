//! A command that runs after a change.

mod output;

use std::collections::HashMap;
use std::time::Duration;

use config::Command;
use thiserror::Error;
use tokio::process::Command as Process;
use tokio::time::timeout;

use crate::processes::{self, KilledOnDrop};
pub(crate) use output::Tell;

/// Why a command failed. Worded as upstream's; which command it is, and of which template, is told by who ran it.
#[derive(Debug, Error)]
pub(crate) enum CommandError {
    /// It cannot be started.
    #[error("{}", supervisor::why_not_started(.program, .source))]
    Start { program: String, source: std::io::Error },
    /// It ended badly.
    #[error(
        "command exited with a non-zero exit status ({0})\n\n\
         Please ensure the command exits with a zero (0) exit status to indicate success"
    )]
    Status(std::process::ExitStatus),
    /// It did not end.
    #[error("command did not exit within time limit ({0:?})")]
    TimedOut(Duration),
}

/// What commands see beside what their stanza says.
#[derive(Default)]
pub(crate) struct Surroundings {
    /// The environment as it was when we started.
    pub(crate) environment: HashMap<String, String>,
    /// Where the server is.
    pub(crate) variables: Vec<(String, String)>,
}

/// Runs it and waits for its end. One element with white space is a line for the shell, anything else is run as it
/// is; in both cases in a process group of its own, which is ended as a whole at the time limit. It gets no token of
/// ours. What it prints goes to `tell`, line by line and not without end.
pub(crate) async fn run(
    command: &Command,
    surroundings: &Surroundings,
    tell: Tell,
) -> Result<(), CommandError> {
    let failed = |source| {
        let program = match (supervisor::is_shell_line(&command.arguments), command.arguments.first()) {
            (None, Some(program)) => program.clone(),
            _ => "sh".to_owned(),
        };
        CommandError::Start { program, source }
    };
    let Some(mut process) = prepared(command, surroundings) else { return Ok(()) };
    supervisor::has_format(process.as_std()).map_err(failed)?;
    let mut child = process.spawn().map_err(failed)?;
    let mut group = KilledOnDrop::led_by(child.id());
    let heard = output::listen(child.stdout.take(), child.stderr.take(), &tell);
    match timeout(command.timeout, child.wait()).await {
        Ok(Ok(status)) => {
            group.spare();
            heard.finish().await;
            if status.success() { Ok(()) } else { Err(CommandError::Status(status)) }
        }
        Ok(Err(source)) => Err(failed(source)),
        Err(_) => {
            if let Some(signal) = command.kill_signal {
                group.signal(signal);
                // Whether it has ended or not, what is left of its group is killed below.
                let _ = timeout(command.kill_timeout, child.wait()).await;
            }
            drop(group);
            heard.finish().await;
            Err(CommandError::TimedOut(command.timeout))
        }
    }
}

/// The process, not started; `None` when there is nothing to run.
fn prepared(command: &Command, surroundings: &Surroundings) -> Option<Process> {
    let mut process = supervisor::command(&command.arguments)?;
    let wanted = &command.environment;
    if !wanted.keeps_all() {
        process.env_clear();
        process.envs(surroundings.environment.iter().filter(|(name, _)| wanted.keeps(name)));
    }
    process.envs(surroundings.variables.iter().map(|(name, value)| (name, value)));
    processes::prepare(&mut process);
    // What somebody wrote down for this command is meant for it.
    process.envs(wanted.custom.iter().map(|(name, value)| (name, value)));
    process.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut process = Process::from(process);
    // Waited for by tokio when it is killed.
    process.kill_on_drop(true);
    Some(process)
}

/// Nobody listens.
#[cfg(test)]
pub(crate) fn unheard() -> Tell {
    std::sync::Arc::new(|_, _| {})
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use config::ChildEnvironment;
    use supervisor::Signal;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn command(arguments: &[&str], timeout: Duration) -> Command {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Command { arguments, timeout, ..Command::default() }
    }

    async fn end(command: &Command) -> Result<(), CommandError> {
        run(command, &Surroundings::default(), unheard()).await
    }

    /// Runs it; gives its outcome and what it was heard to say.
    async fn heard(command: &Command, surroundings: &Surroundings) -> (bool, Vec<String>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let tell: Tell = Arc::new(move |stream: &str, line: &str| {
            kept.lock().unwrap().push(format!("{stream}: {line}"));
        });
        let outcome = run(command, surroundings, tell).await;
        let lines = lines.lock().unwrap().clone();
        (outcome.is_ok(), lines)
    }

    #[tokio::test]
    async fn lines_go_to_the_shell_and_words_do_not() {
        assert!(end(&command(&["exit 0 && true"], PATIENCE)).await.is_ok());
        assert!(end(&command(&["true"], PATIENCE)).await.is_ok());
        let error = end(&command(&["sh", "-c", "exit 7"], PATIENCE)).await.unwrap_err().to_string();
        assert!(error.contains("non-zero exit status (exit status: 7)"), "{error}");
        for (program, why) in [
            ("/nonexistent", "fork/exec /nonexistent: no such file or directory"),
            ("no-such-program", "exec: \"no-such-program\": executable file not found in $PATH"),
            ("/", "fork/exec /: permission denied"),
        ] {
            let error = end(&command(&[program], PATIENCE)).await.unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let late = folder.path().join("late");
        let line = format!("(sleep 0.5; echo x > {}) & sleep 60", late.display());
        let error = end(&command(&[&line], Duration::from_millis(50))).await.unwrap_err();
        assert!(error.to_string().contains("did not exit within time limit (50ms)"), "{error}");
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert!(!late.exists(), "a child of the command lived on");
    }

    #[tokio::test]
    async fn a_command_may_be_asked_to_end_before_it_is_killed() {
        let line = "trap 'echo ending; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
        let polite =
            Command { kill_signal: Some(Signal::TERM), ..command(&[line], Duration::from_millis(300)) };
        let (ended_well, mut lines) = heard(&polite, &Surroundings::default()).await;
        // Some shells tell on standard error what became of the program they waited for.
        lines.retain(|line| line.starts_with("stdout"));
        assert_eq!((ended_well, lines), (false, vec!["stdout: ready".into(), "stdout: ending".into()]));
        let deaf = "trap '' TERM; while :; do sleep 0.02; done";
        let deaf = Command {
            kill_signal: Some(Signal::TERM),
            kill_timeout: Duration::from_millis(50),
            ..command(&[deaf], Duration::from_millis(50))
        };
        assert!(timeout(Duration::from_secs(5), end(&deaf)).await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn its_time_limits_are_kept_to_the_second() {
        let began = tokio::time::Instant::now();
        let hangs = command(&["sleep", "600"], Duration::from_secs(30));
        assert!(matches!(end(&hangs).await, Err(CommandError::TimedOut(_))));
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(30) && took < Duration::from_secs(33), "{took:?}");
        // It does not mind this signal.
        let began = tokio::time::Instant::now();
        let deaf =
            Command { kill_signal: Some(Signal::WINCH), kill_timeout: Duration::from_secs(10), ..hangs };
        assert!(matches!(end(&deaf).await, Err(CommandError::TimedOut(_))));
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(40) && took < Duration::from_secs(43), "{took:?}");
    }

    #[tokio::test]
    async fn output_is_heard_by_line_and_has_an_end() {
        let (_, lines) =
            heard(&command(&["printf 'a\\nb'; echo c >&2"], PATIENCE), &Surroundings::default()).await;
        let mut sorted = lines.clone();
        sorted.sort();
        assert_eq!(sorted, ["stderr: c", "stdout: a", "stdout: b"]);
        // A hundred megabytes, of which a few lines are shown.
        let flood = command(&["yes 0123456789 | head -c 100000000"], Duration::from_secs(60));
        let (ended_well, lines) = heard(&flood, &Surroundings::default()).await;
        assert!(ended_well && lines.len() <= 101, "{}", lines.len());
        assert!(lines.last().unwrap().ends_with("more bytes are not shown"), "{:?}", lines.last());
        let (_, lines) =
            heard(&command(&["head -c 100000 /dev/zero"], PATIENCE), &Surroundings::default()).await;
        assert!(lines.iter().map(String::len).sum::<usize>() < 2000);
    }

    #[tokio::test]
    async fn who_leaves_a_process_behind_is_not_waited_for() {
        let started = tokio::time::Instant::now();
        assert!(end(&command(&["sleep 30 & true"], PATIENCE)).await.is_ok());
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn the_environment_is_what_the_stanza_lets_through() {
        let pairs = [
            ("APP_A", "1"),
            ("APP_B", "2"),
            ("OTHER", "3"),
            ("VAULT_TOKEN", "canary"),
            ("LISTEN_FDS", "1"),
            ("PATH", "/bin:/usr/bin"),
        ];
        let surroundings = Surroundings {
            environment: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            variables: vec![("VAULT_ADDR".to_owned(), "here".to_owned())],
        };
        let names = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        let run = async |environment: ChildEnvironment| {
            let command = Command { environment, ..command(&["/usr/bin/env"], PATIENCE) };
            let (_, mut lines) = heard(&command, &surroundings).await;
            lines.sort();
            lines.iter().map(|line| line.trim_start_matches("stdout: ").to_owned()).collect::<Vec<_>>()
        };
        let custom = vec![("OWN".to_owned(), "x=y".to_owned())];
        let pristine = ChildEnvironment { pristine: true, custom, ..ChildEnvironment::default() };
        assert_eq!(run(pristine).await, ["OWN=x=y", "VAULT_ADDR=here"]);
        let listed = ChildEnvironment {
            allowlist: names(&["APP_*", "*_TOKEN"]),
            denylist: names(&["APP_?B", "*_B"]),
            ..ChildEnvironment::default()
        };
        assert_eq!(run(listed).await, ["APP_A=1", "VAULT_ADDR=here"]);
        let denied = ChildEnvironment { denylist: names(&["APP_*", "PATH"]), ..ChildEnvironment::default() };
        assert_eq!(run(denied).await, ["OTHER=3", "VAULT_ADDR=here"], "a token is never let through");
    }
}
