//! A request, an answer, and the seam between them.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use crate::transport::{Arriving, Tunnel};
use crate::{Namespace, SendError, Token, Upload, headers};

/// A boxed future that borrows for `'a`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A request to the server.
#[derive(Clone, Default)]
pub struct Request {
    /// GET, PUT, LIST, …
    pub method: Method,
    /// Path and query as they go on the wire, from `/v1/…` on.
    pub target: String,
    /// All headers but `Host` and the body's framing.
    pub headers: HeaderMap,
    /// The whole body, or its beginning when there is an `upload`.
    pub body: Bytes,
    /// The rest of a body that is too long to be kept. Such a request is sent once.
    pub upload: Option<Upload>,
    /// Asks the server to speak WebSocket on this connection from now on.
    pub upgrade: bool,
}

/// The methods that change nothing at the server.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "LIST" | "SCAN" | "OPTIONS")
}

/// A path without what may be a secret in it: old forms name a token behind `auth/token/<verb>/`.
pub fn shown_path(path: &str) -> &str {
    const TOKENS: &str = "auth/token/";
    let at = path.match_indices(TOKENS).find(|(at, _)| *at == 0 || path[..*at].ends_with('/'));
    let Some(verb) = at.map(|(at, _)| at + TOKENS.len()) else { return path };
    path[verb..].find('/').map_or(path, |end| &path[..verb + end])
}

/// Neither body nor header values: both hold secrets. Nor what a path may hold.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        write!(f, "{} {} {names:?}, {} bytes", self.method, self.shown_path(), self.body.len())
    }
}

impl Request {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The path as it may be told; see [`shown_path`].
    pub fn shown_path(&self) -> &str {
        shown_path(self.path())
    }

    /// The token it travels with, as the servers read it: `X-Vault-Token`, or else the first `Authorization: Bearer`.
    pub fn token_sent(&self) -> Option<&str> {
        let named = self.headers.get(headers::TOKEN).and_then(|token| token.to_str().ok());
        if let Some(token) = named.filter(|token| !token.is_empty()) {
            return Some(token);
        }
        self.headers.get_all(http::header::AUTHORIZATION).iter().find_map(|value| {
            let (scheme, token) = value.to_str().ok()?.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case("bearer ").then(|| token.trim())
        })
    }

    /// Whether it only reads: it may be repeated, and shared by those who ask the same.
    pub fn is_safe(&self) -> bool {
        is_safe(&self.method)
    }

    /// A request of our own, marked with `X-Vault-Request: true` as the official clients mark theirs.
    pub fn new(method: Method, path: &str) -> Self {
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(headers::REQUEST, HeaderValue::from_static("true"));
        Self { method, target: format!("/v1/{}", path.trim_start_matches('/')), headers, ..Self::default() }
    }

    /// Adds the token.
    #[must_use]
    pub fn token(mut self, token: &Token) -> Self {
        // A `Token` fits into a header: its constructor saw to that.
        if let Ok(mut value) = HeaderValue::from_str(token.expose()) {
            value.set_sensitive(true);
            self.headers.insert(headers::TOKEN, value);
        }
        self
    }

    /// Adds the namespace, if there is one.
    #[must_use]
    pub fn namespace(mut self, namespace: Option<&Namespace>) -> Self {
        if let Some(value) = namespace.and_then(|n| HeaderValue::from_str(n.as_str()).ok()) {
            self.headers.insert(headers::NAMESPACE, value);
        }
        self
    }

    /// Adds a JSON body.
    #[must_use]
    pub fn json(mut self, body: &serde_json::Value) -> Self {
        self.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = body.to_string().into();
        self
    }

    /// Adds a header; one that HTTP cannot carry is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// The server's answer.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, as they came.
    pub headers: HeaderMap,
    /// Its body, whole or still arriving.
    pub body: Body,
}

/// One door to a server. [`crate::Client`] is the real one; tests bring their own.
pub trait Upstream: Send + Sync {
    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// When no answer came. An answer with an error status is an answer.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>>;

    /// The same for a request that is lent, by somebody who may have to send it once more. Who can do without a copy
    /// of it does.
    ///
    /// # Errors
    /// As [`Upstream::send`].
    fn lend<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, SendError>> {
        self.send(request.clone())
    }
}

/// An answer's body.
pub enum Body {
    /// All of it; `None` once it was handed out.
    Full(Option<Bytes>),
    /// Still arriving.
    Stream(Arriving),
    /// A part that was read already, then the rest as it arrives.
    Continued(Option<Bytes>, Box<Body>),
    /// Any other.
    Other(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>),
    /// None: the server speaks another protocol on this connection now.
    Tunnel(Tunnel),
}

/// Why a body ended early.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The connection broke inside the body.
    #[error("the answer ended early: {0}")]
    Broken(String),
    /// What came is no body, or not the end of one.
    #[error("malformed answer: {0}")]
    Malformed(&'static str),
    /// It is longer than the reader's limit, in bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// It took longer than the reader's patience.
    #[error("the answer's body did not arrive within {} seconds", .0.as_secs())]
    TooSlow(Duration),
    /// It holds what must not be handed on.
    #[error("{0}")]
    Withheld(&'static str),
}

impl Body {
    /// A whole body.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()))
    }

    /// No body.
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// Reads all of it: at most `limit` bytes, for at most `patience`.
    ///
    /// # Errors
    /// When it is longer, takes longer, or breaks off.
    pub async fn collect(mut self, limit: usize, patience: Duration) -> Result<Bytes, BodyError> {
        match self.gather(limit, patience).await? {
            Gathered::Whole(bytes) => Ok(bytes),
            Gathered::TooLong => Err(BodyError::TooLong(limit)),
            Gathered::TooSlow => Err(BodyError::TooSlow(patience)),
        }
    }

    /// Reads up to `limit` bytes (and what arrives in one piece with the last of them), for at most `patience`. What
    /// was read stays in the body: it can be handed on, whole or not.
    ///
    /// # Errors
    /// It breaks off; nothing of it is left.
    pub async fn gather(&mut self, limit: usize, patience: Duration) -> Result<Gathered, BodyError> {
        if let Self::Full(bytes) = self {
            let bytes = bytes.clone().unwrap_or_default();
            return Ok(if bytes.len() > limit { Gathered::TooLong } else { Gathered::Whole(bytes) });
        }
        let mut rest = std::mem::replace(self, Self::empty());
        let deadline = Instant::now().checked_add(patience);
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        let ended = loop {
            let frame = match deadline {
                Some(deadline) => timeout_at(deadline, rest.frame()).await,
                None => Ok(rest.frame().await),
            };
            let data = match frame {
                Err(_) => break Gathered::TooSlow,
                Ok(None) => break Gathered::Whole(Bytes::new()),
                Ok(Some(frame)) => frame?.into_data().unwrap_or_default(),
            };
            // Most bodies arrive in one piece, which is handed on without a copy.
            if first.is_empty() && all.is_empty() {
                first = data;
            } else {
                if all.is_empty() {
                    all.reserve(first.len() + data.len());
                    all.extend_from_slice(&first);
                }
                all.extend_from_slice(&data);
            }
            if all.len().max(first.len()) > limit {
                break Gathered::TooLong;
            }
        };
        let read = if all.is_empty() { first } else { all.freeze() };
        Ok(match ended {
            Gathered::Whole(_) => {
                *self = Self::full(read.clone());
                Gathered::Whole(read)
            }
            other => {
                *self = Self::Continued(Some(read), Box::new(rest));
                other
            }
        })
    }
}

/// What [`Body::gather`] found.
#[derive(Debug)]
pub enum Gathered {
    /// All of it.
    Whole(Bytes),
    /// More than the limit.
    TooLong,
    /// It was not over in time.
    TooSlow,
}

impl std::fmt::Debug for Body {
    /// Lengths alone: bodies hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.as_ref().map_or(0, Bytes::len)),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Continued(..) => f.write_str("Continued"),
            Self::Other(_) => f.write_str("Other"),
            Self::Tunnel(_) => f.write_str("Tunnel"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Continued(read, rest) => match read.take().filter(|read| !read.is_empty()) {
                Some(read) => Poll::Ready(Some(Ok(Frame::data(read)))),
                None => Pin::new(&mut **rest).poll_frame(cx),
            },
            Self::Stream(rest) => rest.poll_frame(cx),
            Self::Other(body) => body.as_mut().poll_frame(cx),
            Self::Tunnel(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream(rest) => rest.is_over(),
            Self::Continued(read, rest) => read.is_none() && rest.is_end_stream(),
            Self::Other(body) => body.is_end_stream(),
            Self::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Stream(rest) => rest.size_hint(),
            Self::Continued(read, rest) => {
                let read = read.as_ref().map_or(0, |read| read.len() as u64);
                let rest = rest.size_hint().exact();
                rest.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest.saturating_add(read)))
            }
            Self::Other(body) => body.size_hint(),
            Self::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_path_is_not_told() {
        for (path, shown) in [
            ("/v1/auth/token/revoke/s.canary", "/v1/auth/token/revoke"),
            ("/v1/ns1/auth/token/lookup-accessor/a/b", "/v1/ns1/auth/token/lookup-accessor"),
            ("auth/token/renew/s.canary", "auth/token/renew"),
            ("/v1/auth/token/lookup-self", "/v1/auth/token/lookup-self"),
            ("/v1/secret/data/app", "/v1/secret/data/app"),
            ("/v1/xauth/token/a/b", "/v1/xauth/token/a/b"),
        ] {
            assert_eq!(shown_path(path), shown);
        }
        let request = Request::new(Method::PUT, "auth/token/revoke/s.canary?a=s.canary");
        assert!(!format!("{request:?}").contains("canary"));
    }

    #[test]
    fn the_token_is_the_one_the_servers_take() {
        let request = |pairs: &[(&'static str, &'static str)]| {
            let mut request = Request::new(Method::GET, "a");
            for (name, value) in pairs {
                request.headers.append(*name, HeaderValue::from_static(value));
            }
            request
        };
        for (pairs, token) in [
            (&[("x-vault-token", "s.a"), ("authorization", "Bearer s.b")][..], Some("s.a")),
            (&[("x-vault-token", ""), ("authorization", "Bearer s.b")], Some("s.b")),
            (&[("authorization", "Basic x"), ("authorization", "bearer  s.b ")], Some("s.b")),
            (&[("authorization", "Basic x")], None),
            (&[], None),
        ] {
            assert_eq!(request(pairs).token_sent(), token, "{pairs:?}");
        }
    }

    /// Pieces a second apart; then nothing, for ever.
    struct Slow(Vec<&'static str>, Option<Pin<Box<tokio::time::Sleep>>>);

    impl http_body::Body for Slow {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            if self.0.is_empty() {
                return Poll::Pending;
            }
            let pause = self.1.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_secs(1))));
            std::task::ready!(pause.as_mut().poll(cx));
            self.1 = None;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(self.0.remove(0))))))
        }
    }

    fn slow() -> Body {
        Body::Other(Box::pin(Slow(vec!["one ", "two ", "three"], None)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_not_waited_for() {
        let why = slow().collect(100, Duration::from_secs(60)).await.unwrap_err();
        assert!(matches!(why, BodyError::TooSlow(_)), "{why}");
        assert!(matches!(slow().collect(5, Duration::from_secs(60)).await, Err(BodyError::TooLong(5))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_gathered_is_still_there() {
        for (limit, patience, first) in [(3, 60, "one "), (5, 60, "one two "), (100, 2, "one ")] {
            let mut body = slow();
            let gathered = body.gather(limit, Duration::from_millis(patience * 1000 - 500)).await.unwrap();
            assert!(!matches!(gathered, Gathered::Whole(_)));
            let mut all = String::new();
            for _ in 0..4 {
                let Ok(frame) = tokio::time::timeout(Duration::from_secs(5), body.frame()).await else {
                    break;
                };
                let data = frame.unwrap().unwrap().into_data().unwrap();
                if all.is_empty() {
                    assert_eq!(data, first);
                }
                all.push_str(std::str::from_utf8(&data).unwrap());
            }
            assert_eq!(all, "one two three");
        }
    }
}
