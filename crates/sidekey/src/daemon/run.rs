//! From start to end.

use std::time::Duration;

use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::build::Daemon;
use super::notify;
use super::reload::{self, Reload};
use super::report::Board;
use super::signals::{Asked, Signals};
use super::tasks::TaskError;

/// Requests under way get this long at the end; the whole stop takes less than five seconds.
const GRACE: Duration = Duration::from_secs(4);

/// Why the program ends.
enum End {
    Asked,
    WorkDone,
    Failed(TaskError),
}

impl Daemon {
    /// Runs until there is a reason to end.
    ///
    /// # Errors
    /// A task that failed: with `exit_on_err`, say, or by a bug.
    pub(crate) async fn run(mut self, reload: Reload) -> Result<(), TaskError> {
        let mut signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => return Err(TaskError::Failed(format!("cannot listen for signals: {error}"))),
        };
        self.ready.close();
        let exit_after_auth = self.settings.exit_after_auth;
        let limit = self.settings.startup_timeout;
        let mut too_late = std::pin::pin!(too_late(limit, self.ready.clone()));
        let end = loop {
            tokio::select! {
                // A failure counts before the end of the work: what has failed may look done.
                biased;
                failure = self.tasks.failure() => break End::Failed(failure),
                asked = signals.next() => match asked {
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
                    Asked::Nothing => {}
                },
                () = self.quit.cancelled() => break End::Asked,
                after = &mut too_late => {
                    break End::Failed(TaskError::Late { after, state: self.board.summary() });
                }
                () = self.ready.wait(), if exit_after_auth => {
                    info!(target: "sink.server", "sinks finished, exiting");
                    break End::WorkDone;
                }
            }
        };
        if let Some(systemd) = &self.notify {
            systemd.stopping();
        }
        let stopping = self.tasks.shut_down(GRACE);
        let late = tokio::select! {
            late = stopping => late,
            () = second_stop(&mut signals) => {
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
            End::Failed(failure) => Err(failure),
            End::Asked | End::WorkDone => Ok(()),
        }
    }
}

/// Ends when sinks and templates have not done their work in time; gives that time.
async fn too_late(limit: Option<Duration>, ready: TaskTracker) -> Duration {
    match limit {
        Some(limit) if tokio::time::timeout(limit, ready.wait()).await.is_err() => limit,
        _ => std::future::pending().await,
    }
}

async fn second_stop(signals: &mut Signals) {
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
