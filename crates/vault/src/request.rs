//! A request, an answer, and the seam between them.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};
use thiserror::Error;

use crate::transport::{Arriving, Tunnel};
use crate::{Namespace, SendError, Token, Upload};

/// A boxed future that borrows for `'a`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Header names of the API.
pub mod headers {
    use super::HeaderName;

    /// The client token.
    pub const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
    /// The namespace a request is for.
    pub const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
    /// Marks requests of well-meaning clients; see `require_request_header`.
    pub const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
    /// Where to log in before the request itself, without a token of its own.
    pub const INLINE_AUTH_PATH: HeaderName = HeaderName::from_static("x-vault-inline-auth-path");
    /// How new the state was that an answer was given from, and how new it has to be for a request.
    pub const INDEX: HeaderName = HeaderName::from_static("x-vault-index");
    /// What a server is to do that is not as new.
    pub const INCONSISTENT: HeaderName = HeaderName::from_static("x-vault-inconsistent");
    /// Which node is to answer.
    pub const FORWARD: HeaderName = HeaderName::from_static("x-vault-forward");
    /// Asks for a wrapped answer, with its TTL.
    pub const WRAP_TTL: HeaderName = HeaderName::from_static("x-vault-wrap-ttl");
}

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

/// Neither body nor header values: both hold secrets.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        write!(f, "{} {} {names:?}, {} bytes", self.method, self.target, self.body.len())
    }
}

impl Request {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
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
}

/// An answer's body.
pub enum Body {
    /// All of it; `None` once it was handed out.
    Full(Option<Bytes>),
    /// Still arriving.
    Stream(Arriving),
    /// A part that was read already, then the rest as it arrives.
    Continued(Option<Bytes>, Arriving),
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

    /// Reads all of it, up to `limit` bytes.
    ///
    /// # Errors
    /// When it is longer, or breaks off.
    pub async fn collect(self, limit: usize) -> Result<Bytes, BodyError> {
        match self {
            Self::Full(bytes) => {
                let bytes = bytes.unwrap_or_default();
                if bytes.len() > limit { Err(BodyError::TooLong(limit)) } else { Ok(bytes) }
            }
            body => match Limited::new(body, limit).collect().await {
                Ok(collected) => Ok(collected.to_bytes()),
                Err(error) => match error.downcast::<BodyError>() {
                    Ok(error) => Err(*error),
                    Err(_) => Err(BodyError::TooLong(limit)),
                },
            },
        }
    }
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
            Self::Full(bytes) | Self::Continued(bytes @ Some(_), _) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Stream(rest) | Self::Continued(None, rest) => rest.poll_frame(cx),
            Self::Other(body) => body.as_mut().poll_frame(cx),
            Self::Tunnel(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream(rest) | Self::Continued(None, rest) => rest.is_over(),
            Self::Continued(Some(_), _) => false,
            Self::Other(body) => body.is_end_stream(),
            Self::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Stream(rest) | Self::Continued(None, rest) => rest.size_hint(),
            Self::Continued(Some(bytes), rest) => rest.length().map_or_else(SizeHint::default, |length| {
                SizeHint::with_exact(length.saturating_add(bytes.len() as u64))
            }),
            Self::Other(body) => body.size_hint(),
            Self::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}
