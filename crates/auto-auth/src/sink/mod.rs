//! Sinks: where a fresh token is delivered.
//!
//! A sink only receives. It never logs in, never reads the cache, never decides when. Each has a task of its
//! own, so that one that fails delays nobody else. What is put into it is made in `content.rs`, the same for all
//! kinds. To add a kind: a file here, a variant of [`Sink`], and its keys in `config`.

mod content;
mod deliver;
pub mod envelope;
mod file;
mod peer;
mod socket;

use atomic_file::FileError;
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::task::task_tracker::TaskTrackerToken;
use vault::TokenState;

use content::Content;
pub use content::Wrapper;
use file::FileSink;
use socket::SocketSink;

/// A sink that is ready for tokens.
pub struct Sink {
    content: Content,
    place: Place,
}

enum Place {
    File(FileSink),
    Socket(SocketSink),
}

/// Why a sink cannot be.
#[derive(Debug, Error)]
pub enum SinkError {
    /// Nothing can be written there.
    #[error("error creating file sink: error during write check: {0}")]
    WriteCheck(#[source] FileError),
    /// Its owner or group does not exist.
    #[error("error creating {kind} sink: {source}")]
    Identity {
        /// `file`, `socket`, …
        kind: &'static str,
        /// Who.
        source: FileError,
    },
    /// The socket cannot be bound.
    #[error("error creating {kind} sink: listen unix {path}: {source}")]
    Bind {
        /// `socket` or `systemd_credential`.
        kind: &'static str,
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Sink {
    /// Looks up users and groups, checks that the file can be written or binds the socket. Serves nobody before
    /// [`Sink::run`]; the reader's public key may come later.
    ///
    /// # Errors
    /// [`SinkError`].
    pub fn new(settings: &config::Sink, wrapper: Wrapper) -> Result<Self, SinkError> {
        let place = match &settings.kind {
            config::SinkKind::File(file) => Place::File(FileSink::new(file)?),
            config::SinkKind::Socket(socket) => Place::Socket(SocketSink::new(socket)?),
            config::SinkKind::SystemdCredential(systemd) => Place::Socket(SocketSink::systemd(systemd)?),
        };
        Ok(Self { content: Content::new(settings, wrapper), place })
    }

    /// Delivers each token that appears and does not give up. `ready` is let go after the first success, and never
    /// without one. Ends when it is dropped.
    pub async fn run(self, tokens: watch::Receiver<TokenState>, ready: TaskTrackerToken) {
        match self.place {
            Place::File(file) => deliver::deliver(file, self.content, tokens, ready).await,
            Place::Socket(socket) => socket.serve(self.content, tokens, ready).await,
        }
    }
}

/// `-rw-r-----`, as Go prints a mode.
fn mode_text(mode: u32) -> String {
    let bit = |at: u32| if mode & (1 << at) != 0 { b"xwr"[at as usize % 3] as char } else { '-' };
    std::iter::once('-').chain((0..9).rev().map(bit)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vault::api::Caller;
    use vault::{Body, BoxFuture, Request, Response, SendError, Upstream};

    use super::*;

    /// A server that is never to be asked.
    struct Nobody;

    impl Upstream for Nobody {
        fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, SendError>> {
            Box::pin(std::future::ready(Err(SendError::TimedOut(Duration::ZERO))))
        }
    }

    pub(super) fn no_server() -> Wrapper {
        Wrapper {
            upstream: std::sync::Arc::new(Nobody),
            caller: Caller::default(),
            reauth: crate::Reauth::new().0,
        }
    }

    pub(super) fn plain(kind: config::SinkKind) -> config::Sink {
        config::Sink { kind, wrap_ttl: None, encryption: None }
    }

    pub(super) fn state(token: &str, generation: u64) -> TokenState {
        let token = Some(std::sync::Arc::new(vault::Token::new(token).unwrap()));
        TokenState { token, generation, ..TokenState::default() }
    }

    #[test]
    fn modes_read_as_in_a_listing() {
        assert_eq!((mode_text(0o640), mode_text(0o777)), ("-rw-r-----".into(), "-rwxrwxrwx".into()));
    }

    #[tokio::test]
    async fn a_refused_wrapping_has_the_token_checked() {
        struct Refuses;
        impl Upstream for Refuses {
            fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
                assert_eq!(request.target, "/v1/sys/wrapping/wrap");
                assert_eq!(request.headers["x-vault-wrap-ttl"], "5m0s");
                Box::pin(std::future::ready(Ok(Response {
                    status: http::StatusCode::FORBIDDEN,
                    headers: http::HeaderMap::new(),
                    body: Body::full(r#"{"errors":["permission denied"]}"#),
                })))
            }
        }
        let (reauth, requests) = crate::Reauth::new();
        let wrapper = Wrapper { upstream: std::sync::Arc::new(Refuses), caller: Caller::default(), reauth };
        let settings = config::Sink {
            wrap_ttl: Some(Duration::from_secs(300)),
            ..plain(config::SinkKind::File(config::FileSink::default()))
        };
        let error = Content::new(&settings, wrapper).make(&state("s.1", 7)).await.unwrap_err().to_string();
        assert!(
            error.starts_with("cannot wrap the token: ") && error.contains("permission denied"),
            "{error}"
        );
        requests.asked(7).await;
    }
}
