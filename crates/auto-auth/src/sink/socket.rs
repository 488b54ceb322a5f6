//! `sink "socket"` and `sink "systemd_credential"`: whoever connects and may have the token is given it, and the
//! connection ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atomic_file::SocketFile;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{error, info, warn};
use vault::TokenState;

use super::content::Content;
use super::peer::{Complaints, Peer, Rule};
use super::{SinkError, mode_text};

/// Connections served at once; more wait in the socket's queue.
const MOST: usize = 64;

/// How long a connection waits for a token, if there is none yet. systemd gives a service 90 s to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between tries to wrap or encrypt the token for a connection.
const PAUSE: Duration = Duration::from_secs(1);

/// A socket where the token is given away.
#[derive(Debug)]
pub(super) struct SocketSink {
    kind: &'static str,
    listener: UnixListener,
    path: PathBuf,
    rule: Rule,
    _file: SocketFile,
}

/// What a connection came to.
enum Outcome {
    Served,
    Failed,
}

impl SocketSink {
    /// Binds the socket of `sink "socket"`.
    ///
    /// # Errors
    /// It cannot be bound, or a user or group is not known.
    pub(super) fn new(settings: &config::SocketSink) -> Result<Self, SinkError> {
        let rule = Rule::of(settings)?;
        Self::bind("socket", &settings.path, &settings.access, rule)
    }

    /// Binds the socket of `sink "systemd_credential"`.
    ///
    /// # Errors
    /// As [`SocketSink::new`].
    pub(super) fn systemd(settings: &config::SystemdSink) -> Result<Self, SinkError> {
        let rule = Rule::systemd(settings.credentials.clone());
        Self::bind("systemd_credential", &settings.path, &settings.access, rule)
    }

    fn bind(
        kind: &'static str,
        path: &std::path::Path,
        access: &config::SocketAccess,
        rule: Rule,
    ) -> Result<Self, SinkError> {
        let failed = |source| SinkError::Bind { kind, path: path.display().to_string(), source };
        let attributes = access.attributes().map_err(|source| SinkError::Identity { kind, source })?;
        let (listener, file) = atomic_file::bind_socket(path, &attributes).map_err(failed)?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        let mode = access.mode.unwrap_or_default();
        let shown = path.display();
        if let Rule::Anybody = rule
            && mode & 0o002 != 0
        {
            warn!(target: "sink.socket", path = %shown, "every user of this machine can have the token");
        }
        if let Some(reason) = atomic_file::endangered(path) {
            warn!(target: "sink.socket", path = %shown, reason, "others can replace the socket");
        }
        info!(target: "sink.socket", path = %shown, mode = mode_text(mode), "{kind} sink configured");
        Ok(Self { kind, listener, path: path.to_owned(), rule, _file: file })
    }

    /// Serves until it is dropped. `ready` is let go when the token was given to somebody.
    pub(super) async fn serve(
        self,
        content: Content,
        tokens: watch::Receiver<TokenState>,
        ready: TaskTrackerToken,
    ) {
        let content = Arc::new(content);
        let mut ready = Some(ready);
        let mut complaints = Complaints::default();
        let mut connections = JoinSet::new();
        let path = self.path.display().to_string();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MOST => match accepted {
                    Ok((stream, _)) => match self.admit(&stream) {
                        Ok((peer, wanted)) => {
                            let connection = Connection { kind: self.kind, path: path.clone(), peer, wanted };
                            connections.spawn(connection.serve(stream, Arc::clone(&content), tokens.clone()));
                        }
                        Err((uid, reason)) => if complaints.may_tell(uid) {
                            warn!(target: "sink.socket", sink = self.kind, path, uid, reason, "a process that asked for the token was refused");
                        }
                    },
                    Err(error) => {
                        // Most likely no file descriptors are left; some will be, in a moment.
                        warn!(target: "sink.socket", sink = self.kind, path, error = %error, "cannot accept a connection");
                        sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(ended) = connections.join_next() => if let Ok(Outcome::Served) = ended {
                    drop(ready.take());
                },
            }
        }
    }

    /// The process and what it wants, or its user and why it gets nothing.
    fn admit(&self, stream: &UnixStream) -> Result<(Peer, String), (u32, String)> {
        let unknown = |error: std::io::Error| (u32::MAX, error.to_string());
        let peer = Peer::of(stream).map_err(unknown)?;
        // Not the address that accepting gave: it has lost its name if that is an abstract one.
        let address = stream.peer_addr().map_err(unknown)?;
        let wanted = self.rule.admit(peer, &address).map_err(|reason| (peer.uid, reason))?;
        Ok((peer, wanted))
    }
}

/// One that may have the token.
struct Connection {
    kind: &'static str,
    path: String,
    peer: Peer,
    wanted: String,
}

impl Connection {
    async fn serve(
        self,
        mut stream: UnixStream,
        content: Arc<Content>,
        mut tokens: watch::Receiver<TokenState>,
    ) -> Outcome {
        let Self { kind, path, peer, wanted } = self;
        let mut problem = "there is no token yet".to_owned();
        let giving = async {
            loop {
                let state = tokens.borrow_and_update().clone();
                match content.make(&state).await {
                    Ok(Some(bytes)) => {
                        let written = async {
                            stream.write_all(&bytes).await?;
                            stream.shutdown().await
                        };
                        return written.await.map_err(|error| problem = error.to_string());
                    }
                    Ok(None) => {
                        if tokens.changed().await.is_err() {
                            std::future::pending::<()>().await;
                        }
                    }
                    Err(error) => {
                        problem = error.to_string();
                        sleep(PAUSE).await;
                    }
                }
            }
        };
        let given = timeout(PATIENCE, giving).await;
        let (uid, pid) = (peer.uid, peer.pid);
        if let Ok(Ok(())) = given {
            info!(target: "sink.socket", sink = kind, path, uid, pid, wanted, "token handed over");
            Outcome::Served
        } else {
            error!(target: "sink.socket", sink = kind, path, uid, pid, wanted, error = problem, "the token could not be handed over");
            Outcome::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio_util::task::TaskTracker;

    use super::super::Sink;
    use super::super::tests::{no_server, plain, state};
    use super::*;

    async fn fetch(path: &std::path::Path) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    fn settings(path: &std::path::Path, uids: Vec<u32>) -> config::Sink {
        plain(config::SinkKind::Socket(config::SocketSink {
            path: path.to_owned(),
            access: config::SocketAccess { mode: Some(0o600), ..Default::default() },
            allowed_uids: uids.into_iter().map(config::Identity::Id).collect(),
            allowed_gids: Vec::new(),
        }))
    }

    #[tokio::test]
    async fn each_connection_gets_the_token_of_its_time_and_early_ones_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.sock");
        let (sender, tokens) = watch::channel(TokenState::default());
        let tracker = TaskTracker::new();
        let sink = Sink::new(&settings(&path, Vec::new()), no_server()).unwrap();
        let serving = tokio::spawn(sink.run(tokens, tracker.token()));
        tracker.close();
        let mut early = UnixStream::connect(&path).await.unwrap();
        let mut byte = [0];
        assert!(timeout(Duration::from_millis(50), early.read(&mut byte)).await.is_err(), "it did not wait");
        // One that says nothing and reads nothing holds nobody up.
        let _silent = UnixStream::connect(&path).await.unwrap();
        sender.send_replace(state("s.1", 1));
        let mut text = String::new();
        early.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "s.1");
        tracker.wait().await;
        sender.send_replace(state("s.2", 2));
        for _ in 0..200 {
            assert_eq!(fetch(&path).await, "s.2");
        }
        serving.abort();
        let _ = serving.await;
        assert!(!path.exists(), "the socket's file was left");
    }

    #[tokio::test]
    async fn others_get_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.sock");
        let (_sender, tokens) = watch::channel(state("s.1", 1));
        let us = rustix::process::geteuid().as_raw();
        for (uids, given) in [(vec![us + 1], ""), (vec![us + 1, us], "s.1")] {
            let sink = Sink::new(&settings(&path, uids), no_server()).unwrap();
            let serving = tokio::spawn(sink.run(tokens.clone(), TaskTracker::new().token()));
            assert_eq!(fetch(&path).await, given);
            serving.abort();
            let _ = serving.await;
        }
        let _live = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = Sink::new(&settings(&path, Vec::new()), no_server()).err().unwrap().to_string();
        let shown = path.display();
        assert_eq!(
            error,
            format!("error creating socket sink: listen unix {shown}: bind: address already in use")
        );
    }

    #[tokio::test]
    async fn systemd_is_known_by_its_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("systemd.sock");
        let settings = plain(config::SinkKind::SystemdCredential(config::SystemdSink {
            path: path.clone(),
            access: config::SocketAccess { mode: Some(0o600), ..Default::default() },
            credentials: vec![config::CredentialPattern::parse("app.service/token").unwrap()],
        }));
        let sink = Sink::new(&settings, no_server()).unwrap();
        let (_sender, tokens) = watch::channel(state("s.1", 1));
        tokio::spawn(sink.run(tokens, TaskTracker::new().token()));
        let id = std::process::id();
        for (wanted, given) in
            [("app.service/token", "s.1"), ("app.service/other", ""), ("other.service/token", "")]
        {
            let client = tokio::net::UnixSocket::new_stream().unwrap();
            client.bind(format!("\0{id:x}/unit/{wanted}")).unwrap();
            let mut stream = client.connect(&path).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, given, "{wanted}");
        }
        assert_eq!(fetch(&path).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.sock");
        let (_sender, tokens) = watch::channel(TokenState::default());
        let sink = Sink::new(&settings(&path, Vec::new()), no_server()).unwrap();
        tokio::spawn(sink.run(tokens, TaskTracker::new().token()));
        assert_eq!(fetch(&path).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_token_waits_a_minute_and_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.sock");
        let (sender, tokens) = watch::channel(TokenState::default());
        let tracker = TaskTracker::new();
        let sink = Sink::new(&settings(&path, Vec::new()), no_server()).unwrap();
        tokio::spawn(sink.run(tokens, tracker.token()));
        tracker.close();
        let since = tokio::time::Instant::now();
        assert_eq!(fetch(&path).await, "");
        let waited = since.elapsed();
        assert!((Duration::from_secs(60)..Duration::from_secs(61)).contains(&waited), "{waited:?}");
        sleep(Duration::from_millis(1)).await;
        assert!(!tracker.is_empty(), "nobody was given anything so far");
        sender.send_replace(state("s.1", 1));
        assert_eq!(fetch(&path).await, "s.1");
        tracker.wait().await;
    }

    #[tokio::test]
    async fn so_many_are_served_at_once_and_more_wait_for_their_turn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.sock");
        let (_sender, tokens) = watch::channel(TokenState::default());
        let watched = tokens.clone();
        let sink = Sink::new(&settings(&path, Vec::new()), no_server()).unwrap();
        let serving = tokio::spawn(sink.run(tokens, TaskTracker::new().token()));
        let before = _sender.receiver_count();
        let mut waiting = Vec::new();
        for _ in 0..MOST + 8 {
            waiting.push(UnixStream::connect(&path).await.unwrap());
        }
        // Each that is served looks out for tokens itself.
        while _sender.receiver_count() < before + MOST {
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_millis(50)).await;
        assert_eq!(_sender.receiver_count(), before + MOST);
        drop(watched);
        serving.abort();
    }
}
