//! Brings every new token to one file, keeps it there, and does not give up.

use std::path::PathBuf;
use std::time::Duration;

use atomic_file::FileError;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::error;
use vault::TokenState;
use zeroize::Zeroizing;

use super::content::{Content, ContentError};
use super::file::FileSink;
use crate::watch::{Lookout, Watch};

/// First and longest pause after a failed write.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How often files that others may change are looked at: a reader's public key, a token file to be put back.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Error)]
enum Failed {
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Writes each token that appears to `sink`; a failed write is tried again until it succeeds or a newer token
/// is there.
pub(super) async fn deliver(
    sink: FileSink,
    content: Content,
    mut tokens: watch::Receiver<TokenState>,
    ready: TaskTrackerToken,
) {
    let mut ready = Some(ready);
    let mut pause = PAUSE.0;
    loop {
        let state = tokens.borrow_and_update().clone();
        match put(&sink, &content, &state).await {
            Ok(None) => newer(&mut tokens).await,
            Ok(Some(written)) => {
                drop(ready.take());
                pause = PAUSE.0;
                tokio::select! {
                    () = newer(&mut tokens) => {}
                    () = keep(&sink, &content, written) => {}
                }
            }
            Err(failed) => {
                let wait = pause.mul_f64(0.75 + 0.25 * fastrand::f64());
                let backoff = format!("{:.2}s", wait.as_secs_f64());
                let path = sink.path().display();
                error!(target: "sink.server", sink = "file", %path, error = %failed, backoff, "error returned by sink function, retrying");
                pause = (pause * 2).min(PAUSE.1);
                tokio::select! {
                    () = sleep(wait) => {}
                    () = newer(&mut tokens) => pause = PAUSE.0,
                    () = new_key(&content) => pause = PAUSE.0,
                }
            }
        }
    }
}

/// What was written; `None` before the first login.
async fn put(
    sink: &FileSink,
    content: &Content,
    state: &TokenState,
) -> Result<Option<Zeroizing<Vec<u8>>>, Failed> {
    let Some(bytes) = content.make(state).await? else { return Ok(None) };
    sink.write(&bytes)?;
    Ok(Some(bytes))
}

/// Keeps the file as it was written. Ends when it has to be written anew, for another key.
async fn keep(sink: &FileSink, content: &Content, written: Zeroizing<Vec<u8>>) {
    let restoring = async {
        if !sink.restores() {
            return std::future::pending::<()>().await;
        }
        let watch = Watch { every: LOOK, files: vec![sink.path().to_owned()] };
        let (mut lookout, mut last_problem) = (Lookout::default(), String::new());
        loop {
            lookout.look_again(&watch).await;
            // The same problem each second is told once.
            let problem = sink.put_back(&written).err().map(|error| error.to_string()).unwrap_or_default();
            if !problem.is_empty() && problem != last_problem {
                let path = sink.path().display();
                error!(target: "sink.file", %path, error = problem, "the token file was removed or changed by somebody, and cannot be put back yet");
            }
            last_problem = problem;
        }
    };
    tokio::select! {
        () = restoring => {}
        () = new_key(content) => {}
    }
}

/// Waits until the reader has another key; for ever where none is awaited.
async fn new_key(content: &Content) {
    let Some(path) = content.watched_key().map(PathBuf::from) else { return std::future::pending().await };
    let watch = Watch { every: LOOK, files: vec![path] };
    let mut lookout = Lookout::default();
    while !content.has_new_key() {
        lookout.look_again(&watch).await;
    }
}

/// Waits for a newer token; for ever when nobody makes tokens any more.
async fn newer(tokens: &mut watch::Receiver<TokenState>) {
    if tokens.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    tokens.mark_changed();
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use tokio::task::JoinHandle;
    use tokio_util::task::TaskTracker;

    use super::super::Sink;
    use super::super::envelope::{Binding, KeyPair, open};
    use super::super::tests::{no_server, plain, state};
    use super::*;

    fn file(path: &Path, restore: bool) -> config::Sink {
        let file = config::FileSink { path: path.into(), mode: 0o600, restore, ..Default::default() };
        plain(config::SinkKind::File(file))
    }

    fn start(
        settings: &config::Sink,
        tokens: &watch::Receiver<TokenState>,
        tracker: &TaskTracker,
    ) -> JoinHandle<()> {
        let sink = Sink::new(settings, no_server()).unwrap();
        tokio::spawn(sink.run(tokens.clone(), tracker.token()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_sink_delays_no_other_and_is_written_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
        atomic_file::create_folders(&bad).unwrap();
        let (sender, tokens) = watch::channel(TokenState::default());
        let tracker = TaskTracker::new();
        for path in [&bad, &good] {
            start(&file(path, false), &tokens, &tracker);
        }
        tracker.close();
        sender.send_replace(state("s.1", 1));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(std::fs::read(&good).unwrap(), b"s.1");
        sender.send_replace(state("s.2", 2));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(std::fs::read(&good).unwrap(), b"s.2");
        assert!(!tracker.is_empty(), "the failing sink is not ready");
        sleep(Duration::from_secs(300)).await;
        std::fs::remove_dir(&bad).unwrap();
        let since = tokio::time::Instant::now();
        tracker.wait().await;
        assert!(since.elapsed() <= PAUSE.1, "{:?}", since.elapsed());
        assert_eq!(std::fs::read(&bad).unwrap(), b"s.2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_put_back_only_if_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, left) = (folder.path().join("kept"), folder.path().join("left"));
        let (_sender, tokens) = watch::channel(state("s.1", 1));
        let tracker = TaskTracker::new();
        start(&file(&kept, true), &tokens, &tracker);
        start(&file(&left, false), &tokens, &tracker);
        sleep(Duration::from_millis(1)).await;
        for path in [&kept, &left] {
            atomic_file::remove(path).unwrap();
        }
        sleep(Duration::from_secs(5)).await;
        assert_eq!(std::fs::read(&kept).unwrap(), b"s.1");
        assert!(!left.exists());
        atomic_file::write(&kept, b"other", &atomic_file::Attributes::new(0o644)).unwrap();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(std::fs::read(&kept).unwrap(), b"s.1");
        assert_eq!(std::fs::metadata(&kept).unwrap().mode() & 0o777, 0o600);
        atomic_file::remove(&kept).unwrap();
        atomic_file::create_folders(&kept).unwrap();
        sleep(Duration::from_secs(5)).await;
        std::fs::remove_dir(&kept).unwrap();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(std::fs::read(&kept).unwrap(), b"s.1", "what was in the way is gone");
    }

    const BINDING: Binding<'static> = Binding { derive_key: true, aad: b"a" };

    fn encrypted(path: &Path, key: &Path, repin: bool) -> config::Sink {
        let encryption =
            config::Encryption { public_key_file: key.into(), repin, derive_key: true, aad: "a".to_owned() };
        config::Sink { encryption: Some(encryption), ..file(path, false) }
    }

    fn publish(path: &Path, key: &KeyPair) {
        let attributes = atomic_file::Attributes::new(0o644);
        atomic_file::write(path, key.public().to_json().as_bytes(), &attributes).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_readers_key_may_come_late_and_counts_until_the_end_unless_it_may_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (sender, tokens) = watch::channel(state("s.1", 1));
        let tracker = TaskTracker::new();
        start(&encrypted(&path("pinned"), &path("key"), false), &tokens, &tracker);
        start(&encrypted(&path("moving"), &path("key"), true), &tokens, &tracker);
        sleep(Duration::from_secs(600)).await;
        assert!(!path("pinned").exists() && !path("moving").exists());
        let (first, second) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        publish(&path("key"), &first);
        sleep(LOOK * 2).await;
        let opens = |name: &str, key: &KeyPair| {
            open(&std::fs::read(path(name)).unwrap(), key, BINDING).ok().map(|plain| plain.to_vec())
        };
        for name in ["pinned", "moving"] {
            assert_eq!(opens(name, &first).as_deref(), Some(&b"s.1"[..]), "{name}: late for its key");
        }
        publish(&path("key"), &second);
        sleep(LOOK * 2).await;
        assert_eq!(opens("moving", &second).as_deref(), Some(&b"s.1"[..]));
        sender.send_replace(state("s.2", 2));
        sleep(LOOK).await;
        assert_eq!(opens("pinned", &first).as_deref(), Some(&b"s.2"[..]));
        // A file that is gone or damaged for a moment takes nothing away.
        atomic_file::remove(&path("key")).unwrap();
        sender.send_replace(state("s.3", 3));
        sleep(LOOK).await;
        assert_eq!(opens("moving", &second).as_deref(), Some(&b"s.3"[..]));
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_cannot_be_used_block_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let fifo = std::process::Command::new("mkfifo").arg(path("fifo")).status().unwrap();
        assert!(fifo.success());
        let json = |key: &[u8]| {
            use base64::Engine as _;
            let key = base64::engine::general_purpose::STANDARD.encode(key);
            format!("{{\"curve25519_public_key\":\"{key}\"}}")
        };
        for (name, text) in [
            ("short", json(&[1; 31])),
            ("zero", json(&[0; 32])),
            ("base64", "{\"curve25519_public_key\":\"***\"}".to_owned()),
            ("huge", "x".repeat(1 << 20)),
        ] {
            atomic_file::write(&path(name), text.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
        }
        let (sender, tokens) = watch::channel(state("s.1", 1));
        let tracker = TaskTracker::new();
        for (key, says) in [
            ("missing", "No such file"),
            ("fifo", "it is a FIFO"),
            ("short", "31 bytes long instead of 32"),
            ("zero", "no usable key"),
            ("base64", "is not base64"),
            ("huge", "larger than 65536 bytes"),
        ] {
            let settings = encrypted(&path(&format!("of-{key}")), &path(key), false);
            let error = Content::new(&settings, no_server()).make(&state("s.1", 1)).await.unwrap_err();
            let error = error.to_string();
            assert!(error.contains(says) && error.contains(&path(key).display().to_string()), "{error}");
            start(&settings, &tokens, &tracker);
        }
        start(&file(&path("good"), false), &tokens, &tracker);
        sleep(Duration::from_secs(100)).await;
        sender.send_replace(state("s.2", 2));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(std::fs::read(path("good")).unwrap(), b"s.2");
        assert!(!path("of-zero").exists());
        publish(&path("zero"), &KeyPair::generate().unwrap());
        sleep(LOOK * 2).await;
        assert!(path("of-zero").exists(), "a key that was refused was kept");
    }

    /// Tries of a sink whose server never answers, in milliseconds from the start.
    async fn tries(
        during: Duration,
        sender: &watch::Sender<TokenState>,
        settings: &config::Sink,
    ) -> Vec<u128> {
        use std::sync::{Arc, Mutex};
        struct Counts(tokio::time::Instant, Arc<Mutex<Vec<u128>>>);
        impl vault::Upstream for Counts {
            fn send(
                &self,
                _: vault::Request,
            ) -> vault::BoxFuture<'_, Result<vault::Response, vault::SendError>> {
                self.1.lock().unwrap().push(self.0.elapsed().as_millis());
                Box::pin(std::future::ready(Err(vault::SendError::TimedOut(Duration::ZERO))))
            }
        }
        let asked = Arc::new(Mutex::new(Vec::new()));
        let counts = Counts(tokio::time::Instant::now(), Arc::clone(&asked));
        let wrapper = super::super::Wrapper { upstream: Arc::new(counts), ..no_server() };
        let sink = Sink::new(settings, wrapper).unwrap();
        let task = tokio::spawn(sink.run(sender.subscribe(), TaskTracker::new().token()));
        sleep(during).await;
        sender.send_replace(state("s.2", 2));
        sleep(Duration::from_secs(5)).await;
        task.abort();
        let asked = asked.lock().unwrap();
        asked.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn tries_get_rarer_up_to_half_a_minute_and_a_new_token_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, _tokens) = watch::channel(state("s.1", 1));
        let settings = config::Sink {
            wrap_ttl: Some(Duration::from_secs(60)),
            ..file(&folder.path().join("token"), false)
        };
        let times = tries(Duration::from_secs(600), &sender, &settings).await;
        let (before, after): (Vec<u128>, Vec<u128>) = times.iter().partition(|at| **at < 600_000);
        assert!((20..40).contains(&before.len()), "{before:?}");
        let last = before[before.len() - 1] - before[before.len() - 2];
        assert!((22_000..=30_000).contains(&last), "{before:?}");
        assert!(after.len() >= 3, "{after:?}");
    }
}
