//! From start to end.

use std::time::Duration;

use supervisor::{Ending, Outcome};
use thiserror::Error;
use tracing::{error, info, warn};

use super::build::Daemon;
use super::child::Kept;
use super::notify;
use super::reload::{self, Reload};
use super::report::Board;
use super::signals::{Asked, Signals};
use super::tasks::TaskError;

/// Requests under way get this long at the end; the whole stop takes less than five seconds.
const GRACE: Duration = Duration::from_secs(4);

/// How long after the child's end a signal may come that was sent to both.
const TOGETHER: Duration = Duration::from_millis(100);

/// Why the program ends.
enum End {
    Asked,
    WorkDone,
    Failed(TaskError),
    /// The child has ended.
    Child(Outcome),
}

/// What went wrong.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    /// A task.
    #[error("{0}")]
    Task(#[from] TaskError),
    /// The child ended, and not well.
    #[error("{0}")]
    Child(Ending),
    /// It could not be started.
    #[error("{0}")]
    NoChild(String),
}

impl RunError {
    /// The program's exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Child(ending) => ending.code(),
            Self::Task(_) | Self::NoChild(_) => 1,
        }
    }
}

impl Daemon {
    /// Runs until there is a reason to end.
    ///
    /// # Errors
    /// A task that failed: with `exit_on_err`, say, or by a bug; or the child.
    pub(crate) async fn run(mut self, reload: Reload) -> Result<(), RunError> {
        let listening = Signals::listen().and_then(|signals| signals.and(&self.forward));
        let mut signals =
            listening.map_err(|error| TaskError::Failed(format!("cannot listen for signals: {error}")))?;
        self.ready.close();
        let exit_after_auth = self.settings.exit_after_auth;
        let end = loop {
            tokio::select! {
                // A failure counts before the end of the work: what has failed may look done.
                biased;
                failure = self.tasks.failure() => break End::Failed(failure),
                asked = signals.next() => {
                    let signal = asked.signal().filter(|signal| self.forward.contains(signal));
                    if let (Some(child), Some(signal)) = (&self.child, signal) {
                        child.forward(signal);
                    }
                    match asked {
                    Asked::Stop => {
                        announce(&self, "shutdown triggered");
                        break End::Asked;
                    }
                    Asked::Reload => {
                        announce(&self, "config reload triggered");
                        if let Some(access) = &self.access {
                            access.reopen();
                        }
                        let told = self.notify.as_deref().is_some_and(notify::Systemd::reloading);
                        if let Some(settings) = reload() {
                            reload::apply(&settings, &self.certificates, &self.clients);
                        }
                        if let Some(systemd) = self.notify.as_deref().filter(|_| told) {
                            systemd.ready(&self.board);
                        }
                    }
                    Asked::Numbers => dump(&self.board),
                    Asked::Nothing | Asked::HandOn(_) => {}
                    }
                },
                ended = ended(self.child.as_mut()) => break match ended {
                    Ok(outcome) => End::Child(outcome),
                    Err(_) => End::Failed(TaskError::Panicked("child")),
                },
                () = self.quit.cancelled() => break End::Asked,
                () = self.ready.wait(), if exit_after_auth => {
                    info!(target: "sink.server", "sinks finished, exiting");
                    break End::WorkDone;
                }
            }
        };
        let end = match end {
            End::Child(Outcome::Ended(ending)) if ending != Ending::Code(0) => {
                // Whoever ends us and the child together, as a terminal and systemd do, means us.
                match tokio::time::timeout(TOGETHER, stop_asked(&mut signals)).await {
                    Ok(()) => {
                        announce(&self, "shutdown triggered");
                        End::Asked
                    }
                    Err(_) => end,
                }
            }
            _ => end,
        };
        if let Some(systemd) = &self.notify {
            systemd.stopping();
        }
        // Before those it may ask while it ends.
        if let Some(child) = self.child.take() {
            child.stop(stop_asked(&mut signals)).await;
        }
        let stopping = self.tasks.shut_down(GRACE);
        let late = tokio::select! {
            late = stopping => late,
            () = stop_asked(&mut signals) => {
                warn!(target: "", "asked again, ending at once");
                Vec::new()
            }
        };
        if !late.is_empty() {
            error!(target: "", tasks = late.join(", "), "did not end in time and were cut off");
        }
        if let Some(access) = &self.access {
            access.finish();
        }
        drop(self.pid_file);
        match end {
            End::Failed(failure) => Err(failure.into()),
            End::Child(Outcome::NotStarted(why)) => Err(RunError::NoChild(why)),
            End::Child(Outcome::Ended(ending)) if ending != Ending::Code(0) => Err(RunError::Child(ending)),
            End::Asked | End::WorkDone | End::Child(_) => Ok(()),
        }
    }
}

async fn ended(child: Option<&mut Kept>) -> Result<Outcome, tokio::task::JoinError> {
    match child {
        Some(child) => child.ended().await,
        None => std::future::pending().await,
    }
}

async fn stop_asked(signals: &mut Signals) {
    while signals.next().await != Asked::Stop {}
}

/// In one piece, between two lines of the log.
fn dump(board: &Board) {
    use std::io::Write as _;
    let _ = std::io::stderr().lock().write_all(board.dump().as_bytes());
}

#[expect(clippy::print_stdout, reason = "upstream tells of signals on standard output")]
fn announce(daemon: &Daemon, what: &str) {
    let title = match daemon.settings.product {
        vault::Product::Agent => "Agent",
        vault::Product::Proxy => "Proxy",
    };
    println!("==> Sidekey {title} {what}");
}
