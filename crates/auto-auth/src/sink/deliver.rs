//! Brings every new token to one sink, and does not give up.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::error;
use vault::TokenState;

use super::FileSink;

/// First and longest pause after a failed write.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Writes each token that appears to `sink`; a failed write is tried again until it succeeds or a newer token
/// is there. `ready` is let go after the first success, and never without one. Ends when it is dropped.
pub async fn deliver(sink: FileSink, mut tokens: watch::Receiver<TokenState>, ready: TaskTrackerToken) {
    let mut ready = Some(ready);
    loop {
        let state = tokens.borrow_and_update().clone();
        if let Some(token) = state.token {
            let mut pause = PAUSE.0;
            loop {
                match sink.write(&token) {
                    Ok(()) => {
                        drop(ready.take());
                        break;
                    }
                    Err(error) => {
                        let wait = pause.mul_f64(0.75 + 0.25 * fastrand::f64());
                        let backoff = format!("{:.2}s", wait.as_secs_f64());
                        error!(target: "sink.server", error = %error, backoff, "error returned by sink function, retrying");
                        tokio::select! {
                            () = sleep(wait) => {}
                            () = newer(&mut tokens) => {
                                tokens.mark_changed();
                                break;
                            }
                        }
                        pause = (pause * 2).min(PAUSE.1);
                    }
                }
            }
        }
        newer(&mut tokens).await;
    }
}

/// Waits for a newer token; for ever when nobody makes tokens any more.
async fn newer(tokens: &mut watch::Receiver<TokenState>) {
    if tokens.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_util::task::TaskTracker;
    use vault::Token;

    use super::*;

    fn state(token: &str, generation: u64) -> TokenState {
        let token = Some(Arc::new(Token::new(token).unwrap()));
        TokenState { token, accessor: None, generation }
    }

    fn sink(path: &std::path::Path) -> FileSink {
        let settings = config::FileSink { path: path.into(), mode: 0o600, owner: None, group: None };
        FileSink::new(&settings).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_sink_delays_no_other_and_is_written_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
        atomic_file::create_folders(&bad).unwrap();
        let (sender, tokens) = watch::channel(TokenState::default());
        let tracker = TaskTracker::new();
        for path in [&bad, &good] {
            tokio::spawn(deliver(sink(path), tokens.clone(), tracker.token()));
        }
        tracker.close();
        sender.send_replace(state("s.1", 1));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(std::fs::read(&good).unwrap(), b"s.1");
        sender.send_replace(state("s.2", 2));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(std::fs::read(&good).unwrap(), b"s.2");
        assert!(!tracker.is_empty(), "the failing sink is not ready");
        std::fs::remove_dir(&bad).unwrap();
        tracker.wait().await;
        assert_eq!(std::fs::read(&bad).unwrap(), b"s.2");
    }
}
