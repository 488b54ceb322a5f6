//! Tasks have an owner and an end: a panic becomes an error with a name, stopping is asked for and awaited,
//! and those that are late are named.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use template::{FailureClass, RunnerError};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why a task ended before it was asked to.
#[derive(Debug, Error)]
pub(crate) enum TaskError {
    /// A bug; the message stays out of it, because it could hold anything.
    #[error("{0} failed by a bug in Sidekey (panic)")]
    Panicked(&'static str),
    /// What the task said.
    #[error("{0}")]
    Failed(String),
    /// Not everything was ready in time (`startup_timeout`).
    #[error("startup_timeout: not everything was ready after {after:?}: {state}")]
    Late {
        /// How long it took already.
        after: Duration,
        /// What there is, in a few words.
        state: String,
    },
    /// The templates, for good.
    #[error("{why}")]
    Templates {
        /// What kind of thing failed.
        class: FailureClass,
        /// What they said.
        why: String,
    },
}

impl From<RunnerError> for TaskError {
    fn from(error: RunnerError) -> Self {
        Self::Templates { class: error.class(), why: error.to_string() }
    }
}

/// Some of the tasks, which can be ended alone.
#[derive(Clone)]
pub(super) struct Scope {
    stop: CancellationToken,
    running: TaskTracker,
}

/// Dropping a future takes no time; somebody may hold one all the same.
const ENDING: Duration = Duration::from_secs(1);

impl Scope {
    /// Cancelled when these should end.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Ends them, and waits until they are gone.
    pub(super) async fn end(self) {
        self.stop.cancel();
        self.running.close();
        let _ = tokio::time::timeout(ENDING, self.running.wait()).await;
    }
}

/// A set of named tasks.
pub(super) struct Tasks {
    stop: CancellationToken,
    set: JoinSet<(&'static str, Result<(), TaskError>)>,
    running: Vec<&'static str>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self { stop: CancellationToken::new(), set: JoinSet::new(), running: Vec::new() }
    }

    /// Cancelled when everybody should end.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// A part of them.
    pub(super) fn scope(&self) -> Scope {
        Scope { stop: self.stop.child_token(), running: TaskTracker::new() }
    }

    /// Starts a task that is dropped when its part of the program stops.
    pub(super) fn start_in(
        &mut self,
        scope: &Scope,
        name: &'static str,
        task: impl Future<Output = Result<(), TaskError>> + Send + 'static,
    ) {
        let (stop, task) = (scope.stop(), Box::pin(task));
        let task = async move { stop.run_until_cancelled(task).await.unwrap_or(Ok(())) };
        self.own(name, scope.running.track_future(task));
    }

    /// Starts a task that watches [`Scope::stop`] itself and ends in good order.
    pub(super) fn start_graceful_in(
        &mut self,
        scope: &Scope,
        name: &'static str,
        task: impl Future<Output = Result<(), TaskError>> + Send + 'static,
    ) {
        self.own(name, scope.running.track_future(Box::pin(task)));
    }

    /// Starts a task that is dropped when the program stops.
    pub(super) fn start(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let (stop, task) = (self.stop.clone(), Box::pin(task));
        self.start_graceful(name, async move { stop.run_until_cancelled(task).await.unwrap_or(Ok(())) });
    }

    /// Starts a task that watches [`Tasks::stop`] itself and ends in good order.
    pub(super) fn start_graceful(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        self.own(name, task.map(|ended| ended.map_err(TaskError::Failed)));
    }

    fn own(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), TaskError>> + Send + 'static,
    ) {
        self.running.push(name);
        // Each layer around a future holds it twice, once as it was given and once as it is waited for.
        let task = Box::pin(task);
        self.set.spawn(async move {
            match AssertUnwindSafe(task).catch_unwind().await {
                Ok(result) => (name, result),
                Err(_) => (name, Err(TaskError::Panicked(name))),
            }
        });
    }

    /// Waits for the next task that fails; those that end well are no news.
    pub(super) async fn failure(&mut self) -> TaskError {
        loop {
            match self.set.join_next().await {
                None => std::future::pending().await,
                Some(Ok((name, result))) => {
                    self.forget(name);
                    if let Err(error) = result {
                        return error;
                    }
                }
                Some(Err(_)) => return TaskError::Panicked("a task"),
            }
        }
    }

    fn forget(&mut self, name: &'static str) {
        if let Some(at) = self.running.iter().position(|known| *known == name) {
            self.running.remove(at);
        }
    }

    /// Asks everybody to end and waits, `grace` at most. Returns who was late.
    pub(super) async fn shut_down(mut self, grace: Duration) -> Vec<&'static str> {
        self.stop.cancel();
        let _ = tokio::time::timeout(grace, async {
            while let Some(ended) = self.set.join_next().await {
                if let Ok((name, _)) = ended {
                    self.forget(name);
                }
            }
        })
        .await;
        self.set.abort_all();
        self.running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_an_error_with_a_name() {
        let mut tasks = Tasks::new();
        tasks.start("quiet", std::future::pending());
        tasks.start("noisy", async { panic!("secret") });
        let error = tasks.failure().await.to_string();
        assert!(error.contains("noisy") && !error.contains("secret"), "{error}");
        assert!(tasks.shut_down(Duration::from_secs(1)).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_late_are_named() {
        let mut tasks = Tasks::new();
        tasks.start("prompt", std::future::pending());
        tasks.start_graceful("late", std::future::pending());
        assert_eq!(tasks.shut_down(Duration::from_secs(1)).await, ["late"]);
    }

    /// A part of the program that does not end is not waited for longer than a second.
    #[tokio::test(start_paused = true)]
    async fn a_part_ends_alone_and_soon() {
        let mut tasks = Tasks::new();
        let (prompt, stubborn) = (tasks.scope(), tasks.scope());
        tasks.start_in(&prompt, "prompt", std::future::pending());
        tasks.start_graceful_in(&stubborn, "stubborn", std::future::pending());
        let began = tokio::time::Instant::now();
        prompt.end().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        stubborn.end().await;
        let took = began.elapsed();
        assert!(took >= ENDING && took < Duration::from_millis(1010), "{took:?}");
        assert_eq!(tasks.shut_down(Duration::from_secs(1)).await, ["stubborn"]);
    }
}
