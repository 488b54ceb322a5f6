//! The child of `exec`: its settings, what it waits for, and how it is asked.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::{Exec, RestartOnExit, Settings};
use supervisor::{Asked, OnChange, OnExit, Outcome, Record, Signal};
use template::{ChildAction, Values};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::build::StartError;
use super::tasks::{Scope, Tasks};

/// A child to be kept, made and not yet running.
pub(super) struct Child {
    settings: supervisor::Settings,
    /// What a changed file leads to whose template has `on_change = "signal"`.
    changed_file: OnChange,
    asked: mpsc::Sender<Asked>,
    asks: mpsc::Receiver<Asked>,
    forward: Vec<Signal>,
}

/// A child that is kept.
pub(super) struct Kept {
    asked: mpsc::Sender<Asked>,
    keeper: JoinHandle<Outcome>,
    /// It is to be stopped, and nobody is to come in its place.
    stop: CancellationToken,
    /// Patience is over.
    hurry: CancellationToken,
    /// Signals to hand on to it.
    forward: Vec<Signal>,
}

/// How templates reach the child, whichever it is at the time.
#[derive(Default)]
pub(super) struct Link(Mutex<Option<(mpsc::WeakSender<Asked>, OnChange)>>);

impl Link {
    fn now(&self) -> MutexGuard<'_, Option<(mpsc::WeakSender<Asked>, OnChange)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For templates whose changes concern it (`on_change`).
    pub(super) fn changes(self: &Arc<Self>) -> Arc<dyn Fn(ChildAction) + Send + Sync> {
        let link = Arc::clone(self);
        Arc::new(move |action| {
            let Some((asked, signal)) = link.now().clone() else { return };
            let what = match action {
                ChildAction::Restart => OnChange::Restart,
                ChildAction::Signal => signal,
            };
            // Where as many wait already, the child will see this change as well.
            let _ = asked.upgrade().map(|asked| asked.try_send(Asked::Changed(what)));
        })
    }
}

impl Child {
    /// Opens its outputs.
    ///
    /// # Errors
    /// One cannot be opened.
    pub(super) fn new(exec: &Exec) -> Result<Self, StartError> {
        // Mode and meaning as upstream's.
        let open = |path: &Option<std::path::PathBuf>| {
            path.as_deref().map(|path: &Path| atomic_file::open_for_output(path, 0o644)).transpose()
        };
        let environment =
            std::env::vars_os().filter(|(name, _)| exec.environment.keeps(&name.to_string_lossy()));
        let custom = exec.environment.custom.iter().map(|(name, value)| (name.into(), value.into()));
        let settings = supervisor::Settings {
            command: exec.command.clone(),
            environment: environment.chain(custom).collect(),
            stdout: open(&exec.stdout).map_err(StartError::ChildOutput)?,
            stderr: open(&exec.stderr).map_err(StartError::ChildOutput)?,
            on_change: match exec.on_change {
                config::OnChange::Restart => OnChange::Restart,
                config::OnChange::Signal(signal) => OnChange::signal(signal),
                config::OnChange::Nothing => OnChange::Nothing,
            },
            on_exit: match exec.restart_on_exit {
                RestartOnExit::Never => OnExit::End,
                RestartOnExit::OnFailure => OnExit::RestartFailed,
                RestartOnExit::Always => OnExit::Restart,
            },
            stop_signal: exec.stop_signal,
            stop_timeout: exec.stop_timeout,
            change_delay: exec.change_delay,
            parent_death_signal: exec.parent_death_signal,
            guard: super::guard::command(),
            record: Arc::default(),
        };
        let (asked, asks) = mpsc::channel(16);
        let changed_file = exec.change_signal.map_or(OnChange::Nothing, OnChange::signal);
        Ok(Self { settings, changed_file, asked, asks, forward: exec.forward_signals.clone() })
    }

    /// Whether there is something to start.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn program_is_there(&self) -> Result<(), String> {
        self.settings.program_is_there()
    }

    /// How it stands; kept up to date.
    pub(super) fn record(&self) -> Arc<Record> {
        Arc::clone(&self.settings.record)
    }

    /// Starts to keep it: it is started once all values are there and every file was rendered once, and once the one
    /// that was there `before` has ended.
    pub(super) fn keep(
        self,
        waits: Waits,
        link: &Link,
        before: Option<Kept>,
        scope: &Scope,
        tasks: &mut Tasks,
    ) -> Kept {
        let (sender, variables) = watch::channel(None);
        let Waits { values, rendered, given_up } = waits;
        tasks.start_in(scope, "child variables", async move {
            feed(values, rendered, given_up, sender).await;
            Ok(())
        });
        let Self { settings, changed_file, asked, asks, forward } = self;
        *link.now() = Some((asked.downgrade(), changed_file));
        let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
        let (stopped, hurried) = (stop.clone(), hurry.clone());
        let keeper = tokio::spawn(async move {
            if let Some(before) = before {
                before.stop(hurried.cancelled()).await;
            }
            if stopped.is_cancelled() {
                return Outcome::Stopped;
            }
            supervisor::run(settings, variables, asks).await
        });
        Kept { asked, keeper, stop, hurry, forward }
    }
}

/// What a child waits for.
pub(super) struct Waits {
    pub(super) values: watch::Receiver<Option<Arc<Values>>>,
    pub(super) rendered: TaskTracker,
    pub(super) given_up: CancellationToken,
}

/// Hands on values as variables, once every file was rendered.
async fn feed(
    mut values: watch::Receiver<Option<Arc<Values>>>,
    rendered: TaskTracker,
    given_up: CancellationToken,
    variables: watch::Sender<Option<Arc<supervisor::Variables>>>,
) {
    rendered.wait().await;
    if given_up.is_cancelled() {
        // Nothing more is rendered, because something failed: so it was let go of.
        return std::future::pending().await;
    }
    loop {
        let now = values.borrow_and_update().clone();
        if let Some(now) = now {
            let pairs = now.iter().map(|(name, value)| (name.into(), OsString::from_vec(value.to_vec())));
            variables.send_replace(Some(Arc::new(supervisor::Variables::new(pairs))));
        }
        if values.changed().await.is_err() {
            // No more comes; what is there goes on.
            return std::future::pending().await;
        }
    }
}

impl Kept {
    /// Waits for its end.
    ///
    /// # Errors
    /// A bug of ours.
    pub(super) async fn ended(&mut self) -> Result<Outcome, JoinError> {
        (&mut self.keeper).await
    }

    /// Signals to hand on to it.
    pub(super) fn forwards(&self) -> &[Signal] {
        &self.forward
    }

    /// Hands a signal on. More of them than anybody can handle are dropped.
    pub(super) fn forward(&self, signal: Signal) {
        if self.asked.try_send(Asked::Forward(signal)).is_err() {
            debug!(target: "exec.server", "a signal was not handed on: too many are on their way");
        }
    }

    /// Stops it with patience; `hurry` ends the patience.
    pub(super) async fn stop(mut self, hurry: impl Future<Output = ()>) {
        if self.keeper.is_finished() {
            return;
        }
        self.stop.cancel();
        let asked = self.asked.clone();
        let patience = async {
            // Who does not listen any more is ending.
            let _ = asked.send(Asked::Stop).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = &mut self.keeper => return,
            () = patience => {}
            () = hurry => {}
        }
        warn!(target: "exec.server", "asked again, the child is killed");
        self.hurry.cancel();
        tokio::select! {
            _ = &mut self.keeper => return,
            _ = asked.send(Asked::StopNow) => {}
        }
        let _ = self.keeper.await;
    }
}

/// Waits for orphans where they become ours: as process 1, or where we asked for them. Gives whether it does.
pub(super) fn bury_orphans(settings: &Settings, tasks: &mut Tasks) -> bool {
    let first = rustix::process::getpid() == rustix::process::Pid::INIT;
    let asked = settings.exec.as_ref().is_some_and(|exec| exec.reap_orphans);
    if !first && !asked {
        return false;
    }
    if !first && let Err(error) = supervisor::adopt() {
        warn!(target: "exec.server", %error, "cannot become the parent of orphans");
        return false;
    }
    info!(target: "exec.server", "orphans are waited for when they end");
    tasks.start("orphans", async {
        supervisor::bury().await;
        Ok(())
    });
    true
}
