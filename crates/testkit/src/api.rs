//! Plain requests to a server or a listener, answers as JSON.

use std::io;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use thiserror::Error;
use vault::{Client, ClientSettings, Request, RetryPolicy, Token, Upstream as _};

/// How long an answer's body may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What went wrong in a test's or the demo's surroundings.
#[derive(Debug, Error)]
pub enum KitError {
    /// No server binary is there.
    #[error("no OpenBao or Vault binary found; run `make setup`, or set SIDEKEY_BAO to one")]
    NoServerBinary,
    /// A program cannot be started.
    #[error("cannot start {0}: {1}")]
    Start(String, io::Error),
    /// A file or a port.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Something did not happen.
    #[error("waited in vain for {0}")]
    TimedOut(String),
    /// A program did not print a line.
    #[error("{name} did not say {text:?}; it said:\n{output}")]
    Unsaid {
        /// The program.
        name: String,
        /// The line.
        text: String,
        /// What it said instead.
        output: String,
    },
    /// A request failed.
    #[error("{method} {path}: {reason}")]
    Request {
        /// Its method.
        method: String,
        /// Its path.
        path: String,
        /// Status or error.
        reason: String,
    },
}

/// Somebody who asks: an address and mostly a token.
#[derive(Clone)]
pub struct Api {
    client: Client,
    token: Option<Token>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null when it is no JSON.
    pub json: Value,
    /// Its body as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's text, empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// `HIT`, `MISS`, or empty.
    pub fn cache(&self) -> &str {
        self.header("x-cache")
    }
}

impl Api {
    /// For an address, `http://…` or `unix://…`.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(address: &str, token: Option<&str>) -> Result<Self, KitError> {
        let bad =
            |reason: String| KitError::Request { method: "address".into(), path: address.into(), reason };
        let address = address.parse().map_err(|error: vault::AddressError| bad(error.to_string()))?;
        let settings = ClientSettings { retry: RetryPolicy::Never, ..ClientSettings::new(address) };
        let client = Client::new(&settings).map_err(|error| bad(error.to_string()))?;
        Ok(Self { client, token: token.and_then(|token| Token::new(token).ok()) })
    }

    /// The same server asked with another token.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { client: self.client.clone(), token: token.and_then(|token| Token::new(token).ok()) }
    }

    /// Sends a request with a raw body and extra headers.
    ///
    /// # Errors
    /// No answer came; an error status is an answer.
    pub async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, KitError> {
        let failed =
            |reason: String| KitError::Request { method: method.into(), path: target.into(), reason };
        let method_value =
            Method::from_bytes(method.as_bytes()).map_err(|error| failed(error.to_string()))?;
        let mut request = Request {
            method: method_value,
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
            ..Request::default()
        };
        if let Some(token) = &self.token {
            request = request.token(token);
        }
        for (name, value) in headers {
            let name: HeaderName = name.parse().map_err(|_| failed("a bad header name".into()))?;
            request.headers.append(name, HeaderValue::from_str(value).map_err(|e| failed(e.to_string()))?);
        }
        let answer = self.client.send(request).await.map_err(|error| failed(error.to_string()))?;
        let (status, headers) = (answer.status, answer.headers);
        let body =
            answer.body.collect(usize::MAX, PATIENCE).await.map_err(|error| failed(error.to_string()))?;
        let json = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Answer { status, headers, json, body: body.to_vec() })
    }

    /// `GET /v1/<path>`.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn get(&self, path: &str) -> Result<Answer, KitError> {
        self.send("GET", &format!("/v1/{path}"), &[], "").await
    }

    /// `POST /v1/<path>` with a JSON body.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, KitError> {
        let json = [(header::CONTENT_TYPE.as_str(), "application/json")];
        self.send("POST", &format!("/v1/{path}"), &json, &body.to_string()).await
    }

    /// [`Api::post`] that must succeed; gives the answer's JSON.
    ///
    /// # Errors
    /// As [`Api::send`], and any status of 400 and above.
    pub async fn write(&self, path: &str, body: &Value) -> Result<Value, KitError> {
        let answer = self.post(path, body).await?;
        if answer.status.as_u16() >= 400 {
            let reason = format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
            return Err(KitError::Request { method: "POST".into(), path: path.into(), reason });
        }
        Ok(answer.json)
    }
}
