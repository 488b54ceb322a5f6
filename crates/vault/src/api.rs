//! The few endpoints we call ourselves.

use std::time::Duration;

use http::{Method, StatusCode, header};
use serde_json::json;
use thiserror::Error;

use crate::{
    BodyError, LeaseId, Namespace, Request, Secret, SendError, ServerErrors, Token, Upstream, WrapInfo,
    headers,
};

/// Longer answers than this are not read: nothing we ask for is near it.
pub const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum ApiError {
    /// No answer came.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The answer broke off.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The server said no. Worded in several lines as the official client words it; tools match on them.
    #[error("Error making API request.\n\n{}URL: {method} {url}\nCode: {}. Errors:\n\n{}", namespace_line(namespace), status.as_u16(), bullets(errors))]
    Refused {
        /// The method of the request.
        method: Method,
        /// Server and path.
        url: String,
        /// The status.
        status: StatusCode,
        /// The namespace that the server says it answered for; empty for none.
        namespace: String,
        /// What the server said.
        errors: ServerErrors,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// A success without the JSON object it should hold.
    #[error("{method} {path}: the answer is not what it should be: {reason}")]
    Malformed {
        /// The method of the request.
        method: Method,
        /// Its path.
        path: String,
        /// Where reading stopped; never the answer itself.
        reason: String,
    },
}

impl ApiError {
    /// The server's status, if it answered with an error.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl ApiError {
    /// One word for what went wrong, for metrics and status: `denied` (401, 403), `refused` (any other 4xx), `busy`
    /// (429), `server_error`, `malformed`, or why no answer came.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Send(error) => error.kind(),
            Self::Body(_) => "broken",
            Self::Malformed { .. } => "malformed",
            Self::Refused { status, .. } => match status.as_u16() {
                401 | 403 => "denied",
                429 => "busy",
                500.. => "server_error",
                _ => "refused",
            },
        }
    }
}

/// Upstream's client tells the namespace of the answer, unless it is the root.
fn namespace_line(namespace: &str) -> String {
    match namespace {
        "" | "root/" => String::new(),
        namespace => format!("Namespace: {namespace}\n"),
    }
}

/// As Go prints it: `1h0m0s`, `5m0s`, `1.5s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        let text = format!("{:.6}", duration.as_secs_f64() * 1000.0);
        return format!("{}ms", text.trim_end_matches('0').trim_end_matches('.'));
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let fraction = format!(".{:09}", duration.subsec_nanos());
    let rest = format!("{}{}s", seconds % 60, fraction.trim_end_matches('0').trim_end_matches('.'));
    match (hours, minutes) {
        (0, 0) => rest,
        (0, minutes) => format!("{minutes}m{rest}"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
    }
}

fn bullets(errors: &ServerErrors) -> String {
    errors.errors.iter().map(|error| format!("* {error}")).collect::<Vec<_>>().join("\n")
}

/// Whom our own calls speak as.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `User-Agent`.
    pub user_agent: String,
    /// Namespace of the calls.
    pub namespace: Option<Namespace>,
    /// Base of the URLs in error texts.
    pub address: String,
    /// How long one call may take, the answer's body included.
    pub timeout: Duration,
}

/// An answer, read to its end.
struct Answer {
    method: Method,
    path: String,
    /// The path with its query, which Go's client shows in errors.
    target: String,
    status: StatusCode,
    namespace: String,
    retry_after: Option<Duration>,
    body: bytes::Bytes,
}

impl Answer {
    fn secret(self, caller: &Caller) -> Result<Option<Secret>, ApiError> {
        let Self { method, path, target, status, namespace, retry_after, body } = self;
        if !status.is_success() {
            return Err(ApiError::Refused {
                method,
                url: format!("{}{target}", caller.address),
                status,
                namespace,
                errors: ServerErrors::parse(&body),
                retry_after,
            });
        }
        if body.is_empty() {
            return Ok(None);
        }
        let malformed = |reason: String| ApiError::Malformed { method, path, reason };
        match Secret::parse(&body) {
            Ok(secret) => Ok(secret),
            // Line and column only: the message of a type error may quote the value.
            Err(error) => Err(malformed(format!("line {} column {}", error.line(), error.column()))),
        }
    }
}

impl Default for Caller {
    fn default() -> Self {
        let timeout = crate::client::DEFAULT_TIMEOUT;
        Self { user_agent: String::new(), namespace: None, address: String::new(), timeout }
    }
}

impl Caller {
    /// A request with this caller's headers.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(method, path)
            .namespace(self.namespace.as_ref())
            .header(header::USER_AGENT, &self.user_agent)
    }

    /// Sends a request and reads the answer's envelope; `None` for an answer without a body (204).
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn call(&self, upstream: &dyn Upstream, request: Request) -> Result<Option<Secret>, ApiError> {
        let answered = tokio::time::timeout(self.timeout, self.answered(upstream, request)).await;
        answered.unwrap_or_else(|_| Err(SendError::TimedOut(self.timeout).into()))
    }

    /// [`Self::call`] of a read or a list. Nothing there (404) is `None`, unless the answer says more: the
    /// metadata of a deleted version, a warning.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn read(&self, upstream: &dyn Upstream, request: Request) -> Result<Option<Secret>, ApiError> {
        let found = async {
            let answer = self.exchange(upstream, request).await?;
            if answer.status != StatusCode::NOT_FOUND {
                return answer.secret(self);
            }
            let secret = Secret::parse(&answer.body).ok().flatten();
            let says_more = |secret: &Secret| {
                !secret.warnings.is_empty() || secret.data.as_ref().is_some_and(|data| !data.is_empty())
            };
            Ok(secret.filter(says_more))
        };
        let found = tokio::time::timeout(self.timeout, found).await;
        found.unwrap_or_else(|_| Err(SendError::TimedOut(self.timeout).into()))
    }

    async fn answered(&self, upstream: &dyn Upstream, request: Request) -> Result<Option<Secret>, ApiError> {
        self.exchange(upstream, request).await?.secret(self)
    }

    async fn exchange(&self, upstream: &dyn Upstream, request: Request) -> Result<Answer, ApiError> {
        let method = request.method.clone();
        let (path, target) = (request.path().to_owned(), request.target.clone());
        let response = upstream.send(request).await?;
        let retry_after =
            response.headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let namespace = response.headers.get(headers::NAMESPACE).and_then(|value| value.to_str().ok());
        let namespace = namespace.unwrap_or_default().to_owned();
        let status = response.status;
        let retry_after = retry_after.map(Duration::from_secs);
        let body = response.body.collect(MAX_ANSWER, self.timeout).await?;
        Ok(Answer { method, path, target, status, namespace, retry_after, body })
    }

    /// A call whose answer must hold something.
    async fn expect(&self, upstream: &dyn Upstream, request: Request) -> Result<Secret, ApiError> {
        let (method, path) = (request.method.clone(), request.target.clone());
        let reason = "it is empty".to_owned();
        self.call(upstream, request).await?.ok_or(ApiError::Malformed { method, path, reason })
    }

    /// `PUT` of a login's body, without a token, with headers beside the usual ones.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn login(
        &self,
        upstream: &dyn Upstream,
        path: &str,
        body: &serde_json::Value,
        headers: &[(http::header::HeaderName, String)],
        wrap_ttl: Option<Duration>,
    ) -> Result<Secret, ApiError> {
        let mut request = self.request(Method::PUT, path).json(body);
        for (name, value) in headers {
            request = request.header(name.clone(), value);
        }
        if let Some(ttl) = wrap_ttl {
            request = request.header(headers::WRAP_TTL, &go_duration(ttl));
        }
        self.expect(upstream, request).await
    }

    /// `GET auth/token/lookup-self`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn lookup_self(&self, upstream: &dyn Upstream, token: &Token) -> Result<Secret, ApiError> {
        self.expect(upstream, self.request(Method::GET, "auth/token/lookup-self").token(token)).await
    }

    /// `PUT auth/token/renew-self`, with the server's own increment.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn renew_self(&self, upstream: &dyn Upstream, token: &Token) -> Result<Secret, ApiError> {
        let body = json!({"increment": 0});
        self.expect(upstream, self.request(Method::PUT, "auth/token/renew-self").token(token).json(&body))
            .await
    }

    /// `PUT auth/token/revoke-self`: the token ends, and every lease made with it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn revoke_self(&self, upstream: &dyn Upstream, token: &Token) -> Result<(), ApiError> {
        let request = self.request(Method::PUT, "auth/token/revoke-self").token(token);
        self.call(upstream, request).await.map(drop)
    }

    /// `PUT sys/leases/renew`, with the server's own increment.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn renew_lease(
        &self,
        upstream: &dyn Upstream,
        token: &Token,
        lease: &LeaseId,
    ) -> Result<Secret, ApiError> {
        let body = json!({"increment": 0, "lease_id": lease.as_str()});
        self.expect(upstream, self.request(Method::PUT, "sys/leases/renew").token(token).json(&body)).await
    }

    /// `GET sys/wrapping/lookup` of a wrapping token: where its content was made.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn wrapping_lookup(&self, upstream: &dyn Upstream, token: &Token) -> Result<Secret, ApiError> {
        self.expect(upstream, self.request(Method::GET, "sys/wrapping/lookup").token(token)).await
    }

    /// `PUT sys/wrapping/wrap` of a token by itself: the wrapping lives for `ttl`, whoever unwraps it finds the token
    /// as `token`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn wrap(
        &self,
        upstream: &dyn Upstream,
        token: &Token,
        ttl: Duration,
    ) -> Result<WrapInfo, ApiError> {
        let request = self.request(Method::PUT, "sys/wrapping/wrap").token(token);
        let request =
            request.header(headers::WRAP_TTL, &go_duration(ttl)).json(&json!({"token": token.expose()}));
        let (method, path) = (request.method.clone(), request.target.clone());
        let wrap_info = self.expect(upstream, request).await?.wrap_info.filter(|wrap| !wrap.token.is_empty());
        let reason = "it holds no wrapping token".to_owned();
        wrap_info.ok_or(ApiError::Malformed { method, path, reason })
    }

    /// `PUT sys/wrapping/unwrap`: the content of a wrapping token, which is spent by it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn unwrap(&self, upstream: &dyn Upstream, token: &Token) -> Result<Secret, ApiError> {
        self.expect(upstream, self.request(Method::PUT, "sys/wrapping/unwrap").token(token)).await
    }

    /// Whether a token is alive on either server: any live token may list the mounts it can see, whatever
    /// its policies; a dead one gets 403. (`lookup-self` is refused to live tokens without the default
    /// policy.) `None` when the server could not be asked.
    pub async fn is_alive(&self, upstream: &dyn Upstream, token: &Token) -> Option<bool> {
        match self.call(upstream, self.request(Method::GET, "sys/internal/ui/mounts").token(token)).await {
            Ok(_) => Some(true),
            Err(error) => match error.status() {
                Some(StatusCode::FORBIDDEN) => Some(false),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (milliseconds, want) in [
            (300_000, "5m0s"),
            (3_600_000, "1h0m0s"),
            (90_061_000, "25h1m1s"),
            (1500, "1.5s"),
            (59_000, "59s"),
            (500, "500ms"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(milliseconds)), want);
        }
    }
}
