//! What the story stands on: a folder that goes at the end, lines on the terminal, and readers that poll.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use testkit::{Api, KitError, PATIENCE};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Prints a line of the story.
pub(super) fn say(line: &str) {
    outln!("{line}");
}

/// A claim that was checked. `Err` ends the story.
pub(super) fn claim(what: &str, holds: bool) -> Result<(), KitError> {
    if holds {
        say(&format!("    ok  {what}"));
        return Ok(());
    }
    Err(KitError::TimedOut(what.to_owned()))
}

/// A folder of our own, removed with all in it on drop.
pub(super) struct Folder(PathBuf);

impl Folder {
    #[expect(clippy::disallowed_methods, reason = "the demo's own folder")]
    pub(super) fn new() -> Result<Self, KitError> {
        let path = std::env::temp_dir().join(format!("sidekey-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A folder in it.
    #[expect(clippy::disallowed_methods, reason = "the demo's own folder")]
    pub(super) fn sub(&self, name: &str) -> Result<PathBuf, KitError> {
        let path = self.0.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans the system's folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Somebody who asks again and again, and counts.
pub(super) struct Reader {
    asked: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Polls the token in `file` and shows it to the server.
    pub(super) fn of_sink(file: PathBuf, server: Api, every: Duration) -> Self {
        Self::start(every, move || {
            let (file, server) = (file.clone(), server.clone());
            async move {
                let Ok(token) = std::fs::read_to_string(&file) else { return false };
                let answer = server.with_token(Some(&token)).get("auth/token/lookup-self").await;
                answer.is_ok_and(|answer| answer.status.is_success())
            }
        })
    }

    /// Polls a path through a listener.
    pub(super) fn of_listener(listener: Api, path: &'static str, every: Duration) -> Self {
        Self::start(every, move || {
            let listener = listener.clone();
            async move { listener.get(path).await.is_ok_and(|answer| answer.status.is_success()) }
        })
    }

    fn start<F: Future<Output = bool> + Send>(every: Duration, ask: impl Fn() -> F + Send + 'static) -> Self {
        let (asked, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let counters = (Arc::clone(&asked), Arc::clone(&failed), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let (asked, failed, stop) = counters;
            while !stop.load(Ordering::Relaxed) {
                if !ask().await {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
                asked.fetch_add(1, Ordering::Relaxed);
                sleep(every).await;
            }
        });
        Self { asked, failed, stop, task }
    }

    /// Waits for the request under way; gives how many were asked and how many failed.
    pub(super) async fn finish(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = tokio::time::timeout(PATIENCE * 3, self.task).await;
        (self.asked.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

/// Waits until a file holds something for which `wanted` is true; gives it back.
pub(super) async fn file_holds(
    path: &Path,
    patience: Duration,
    wanted: impl Fn(&str) -> bool,
) -> Result<String, KitError> {
    let deadline = Instant::now() + patience;
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if wanted(&text) {
            return Ok(text);
        }
        if Instant::now() > deadline {
            return Err(KitError::TimedOut(format!("the right content in {}", path.display())));
        }
        sleep(Duration::from_millis(20)).await;
    }
}
