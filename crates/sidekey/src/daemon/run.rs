//! From start to end.

use std::time::Duration;

use supervisor::{Ending, Outcome};
use thiserror::Error;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::build::Daemon;
use super::child::Kept;
use super::reload::Reload;
use super::report::Board;
use super::session::OpenSession;
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

impl Daemon {
    /// Runs until there is a reason to end. Signals that came since `before` was opened count.
    ///
    /// # Errors
    /// A task that failed: with `exit_on_err`, say, or by a bug; or the child.
    pub(crate) async fn run(mut self, reload: Reload, before: Option<OpenSession>) -> Result<(), RunError> {
        // Standard output is the program's alone where somebody starts it without any configuration.
        let announce: fn(&Self, &str) = if before.is_some() { |_, _| () } else { announce };
        let forwarded: Vec<_> =
            self.units.child.iter().flat_map(|child| child.kept.forwards()).copied().collect();
        let listening = before.map_or_else(Signals::listen, |before| Ok(before.signals));
        let listening = listening.and_then(|signals| signals.and(&forwarded));
        let mut signals =
            listening.map_err(|error| TaskError::Failed(format!("cannot listen for signals: {error}")))?;
        let ready = self.fixed.ready.clone();
        ready.close();
        let exit_after_auth = self.units.settings.exit_after_auth;
        let limit = self.units.settings.startup_timeout;
        let mut too_late = std::pin::pin!(too_late(limit, ready.clone()));
        let quit = self.fixed.quit.clone();
        let end = loop {
            tokio::select! {
                // A failure counts before the end of the work: what has failed may look done.
                biased;
                failure = self.tasks.failure() => break End::Failed(failure),
                asked = signals.next() => {
                    let child = self.units.child.as_ref().map(|child| &child.kept);
                    let wanted = child.zip(asked.signal());
                    if let Some((child, signal)) = wanted.filter(|(child, signal)| child.forwards().contains(signal)) {
                        child.forward(signal);
                    }
                    match asked {
                    Asked::Stop => {
                        announce(&self, "shutdown triggered");
                        break End::Asked;
                    }
                    Asked::Reload => {
                        announce(&self, "config reload triggered");
                        // It is told where it happens.
                        let _ = self.reload(&reload).await;
                        self.listen_for_child(&mut signals);
                    }
                    Asked::Numbers => dump(&self.fixed.board),
                    Asked::Nothing | Asked::HandOn(_) => {}
                    }
                },
                Some(answer) = self.asks.recv() => {
                    let outcome = self.reload(&reload).await;
                    self.listen_for_child(&mut signals);
                    let _ = answer.send(outcome);
                }
                ended = ended(self.units.child.as_mut().map(|child| &mut child.kept)) => break match ended {
                    Ok(outcome) => End::Child(outcome),
                    Err(_) => End::Failed(TaskError::Panicked("child")),
                },
                () = quit.cancelled() => break End::Asked,
                after = &mut too_late => {
                    break End::Failed(TaskError::Late { after, state: self.fixed.board.summary() });
                }
                () = ready.wait(), if exit_after_auth => {
                    info!(target: "sink.server", "sinks finished, exiting");
                    break End::WorkDone;
                }
            }
        };
        let end = match end {
            End::Child(Outcome::Ended(ending)) if ending != Ending::Code(0) => {
                // Whoever ends us and the child together, as a terminal and systemd do, means us.
                if is_meant_too(stop_asked(&mut signals)).await {
                    announce(&self, "shutdown triggered");
                    End::Asked
                } else {
                    end
                }
            }
            _ => end,
        };
        if let Some(systemd) = &self.notify {
            systemd.stopping();
        }
        // Before those it may ask while it ends.
        if let Some(child) = self.units.child.take() {
            child.kept.stop(stop_asked(&mut signals)).await;
        }
        self.units.ask_no_more();
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
        if let Some(access) = &self.units.access {
            access.log.finish();
        }
        drop(self.units);
        match end {
            End::Failed(failure) => Err(failure.into()),
            End::Child(Outcome::NotStarted(why)) => Err(RunError::NoChild(why)),
            End::Child(Outcome::Ended(ending)) if ending != Ending::Code(0) => Err(RunError::Child(ending)),
            End::Asked | End::WorkDone | End::Child(_) => Ok(()),
        }
    }
}

impl Daemon {
    /// Signals that a new child wants to be handed are heard from now on.
    fn listen_for_child(&self, signals: &mut Signals) {
        let Some(child) = &self.units.child else { return };
        if let Err(error) = signals.add(child.kept.forwards()) {
            error!(target: "exec.server", %error, "cannot listen for the signals of forward_signals");
        }
    }
}

async fn ended(child: Option<&mut Kept>) -> Result<Outcome, tokio::task::JoinError> {
    match child {
        Some(child) => child.ended().await,
        None => std::future::pending().await,
    }
}

/// Ends when sinks and templates have not done their work in time; gives that time.
async fn too_late(limit: Option<Duration>, ready: TaskTracker) -> Duration {
    match limit {
        Some(limit) if tokio::time::timeout(limit, ready.wait()).await.is_err() => limit,
        _ => std::future::pending().await,
    }
}

/// Whether we are asked to end as the child was: a moment later at most.
async fn is_meant_too(asked: impl Future<Output = ()>) -> bool {
    tokio::time::timeout(TOGETHER, asked).await.is_ok()
}

async fn stop_asked(signals: &mut Signals) {
    while signals.next().await != Asked::Stop {}
}

/// In one piece, between two lines of the log.
fn dump(board: &Board) {
    crate::print::err_bytes(board.dump().as_bytes());
}

fn announce(daemon: &Daemon, what: &str) {
    let title = match daemon.units.settings.product {
        vault::Product::Agent => "Agent",
        vault::Product::Proxy => "Proxy",
    };
    outln!("==> Sidekey {title} {what}");
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_signal_within_a_tenth_of_a_second_of_the_childs_end_was_for_both() {
        assert!(is_meant_too(sleep(Duration::from_millis(99))).await);
        assert!(!is_meant_too(sleep(Duration::from_millis(102))).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_start_has_its_time_and_no_more() {
        const LIMIT: Duration = Duration::from_secs(30);
        const LONG: Duration = Duration::from_secs(86_400);
        let work = |takes: Duration| {
            let ready = TaskTracker::new();
            ready.spawn(sleep(takes));
            ready.close();
            ready
        };
        let began = Instant::now();
        assert_eq!(too_late(Some(LIMIT), work(LONG)).await, LIMIT);
        let took = began.elapsed();
        assert!(took >= LIMIT && took < LIMIT + Duration::from_millis(5), "{took:?}");
        // Who was ready in time is never late, and who has no limit neither.
        let last = LIMIT - Duration::from_millis(5);
        assert!(timeout(LONG, too_late(Some(LIMIT), work(last))).await.is_err());
        assert!(timeout(LONG / 2, too_late(None, work(LONG))).await.is_err());
    }
}
