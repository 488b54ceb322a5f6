//! Services outside the server that know who this machine is: instance metadata, a cloud's token endpoint.
//!
//! They are asked directly, never through a proxy, and none may hold a login up: an answer comes within its time and
//! is small, or there is none.

use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderName;
use http::{Method, StatusCode};
use tokio::time::timeout;
use vault::{Client, ClientSettings, Request, RetryPolicy, Upstream as _};

use super::LoginError;

/// How long a service on the machine's own link may take. It answers in milliseconds, or is not there.
pub(crate) const NEAR: Duration = Duration::from_secs(2);

/// How long a service on the internet may take.
pub(crate) const FAR: Duration = Duration::from_secs(10);

/// The longest answer, in bytes: credentials, tokens and certificate chains are a few kilobytes.
const MAX_ANSWER: usize = 1 << 20;

/// One such service.
pub(crate) struct Outside {
    what: &'static str,
    base: String,
    client: Client,
    within: Duration,
}

/// What it said, status 200 to 299.
pub(crate) struct Answer {
    pub(crate) body: Bytes,
}

impl Outside {
    /// A service by its base URL, `http://169.254.169.254`. `what` names it in messages.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub(crate) fn new(what: &'static str, base: &str, within: Duration) -> Result<Self, LoginError> {
        let base = base.trim_end_matches('/').to_owned();
        let refused = |reason: String| LoginError::Outside { what, url: base.clone(), reason };
        let address = base.parse().map_err(|error: vault::AddressError| refused(error.to_string()))?;
        let settings = ClientSettings {
            // The limit in `send` comes first, and says how long it was.
            timeout: within * 2,
            retry: RetryPolicy::Never,
            keep_alive: false,
            // What is sent may be a credential, and is for this service alone.
            redirects: false,
            ..ClientSettings::new(address)
        };
        let client = Client::new(&settings).map_err(|error| refused(error.to_string()))?;
        Ok(Self { what, base, client, within })
    }

    /// `GET`.
    ///
    /// # Errors
    /// No answer in time, or none of use.
    pub(crate) async fn get(
        &self,
        target: &str,
        headers: &[(HeaderName, &str)],
    ) -> Result<Answer, LoginError> {
        self.send(Method::GET, target, headers, Bytes::new()).await
    }

    /// Any request. `target` is path and query.
    ///
    /// # Errors
    /// No answer in time, one that is too long, or a status that is no success: then the reason has the status and no
    /// part of the body, which may hold credentials.
    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(HeaderName, &str)],
        body: Bytes,
    ) -> Result<Answer, LoginError> {
        let mut request = Request { method, target: target.to_owned(), body, ..Request::default() };
        for (name, value) in headers {
            request = request.header(name.clone(), value);
        }
        let asked = async {
            let answer = self.client.send(request).await.map_err(|error| error.to_string())?;
            let body =
                answer.body.collect(MAX_ANSWER, self.within).await.map_err(|error| error.to_string())?;
            Ok::<(StatusCode, Bytes), String>((answer.status, body))
        };
        let late = || Err(format!("no answer within {} seconds", self.within.as_secs()));
        let outcome = timeout(self.within, asked).await.unwrap_or_else(|_| late());
        let (status, body) = outcome.map_err(|reason| self.refused(target, reason))?;
        if !status.is_success() {
            return Err(self.refused(target, format!("it answered {status}")));
        }
        Ok(Answer { body })
    }

    /// An error about what was asked here. `target` loses its query, which may say who we are.
    pub(crate) fn refused(&self, target: &str, reason: impl Into<String>) -> LoginError {
        let path = target.split('?').next().unwrap_or_default();
        LoginError::Outside { what: self.what, url: format!("{}{path}", self.base), reason: reason.into() }
    }
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::loopback::{Do, Loopback};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn services_may_not_lie_hang_flood_or_send_us_elsewhere() {
        let elsewhere = Loopback::start(|_| Do::Answer(200, "CANARY".to_owned())).await;
        let target = elsewhere.address.clone();
        let service = Loopback::start(move |asked| match asked.line.as_str() {
            "GET /good?who=CANARY" => Do::Answer(204, String::new()),
            "GET /full?who=CANARY" => Do::Answer(200, "x".repeat(MAX_ANSWER)),
            "GET /flood?who=CANARY" => Do::Answer(200, "x".repeat(MAX_ANSWER + 1)),
            "GET /moved?who=CANARY" => Do::Redirect(target.clone()),
            "GET /error?who=CANARY" => Do::Answer(500, "CANARY".to_owned()),
            _ => Do::Hang,
        })
        .await;
        let outside = Outside::new("metadata", &format!("{}/", service.address), NEAR).unwrap();
        assert!(outside.get("/good?who=CANARY", &[]).await.is_ok());
        assert_eq!(outside.get("/full?who=CANARY", &[]).await.unwrap().body.len(), MAX_ANSWER);
        for (path, reason) in [
            ("/moved", "it answered 307 Temporary Redirect"),
            ("/error", "it answered 500 Internal Server Error"),
            ("/hang", "no answer within 2 seconds"),
            ("/flood", ""),
        ] {
            let error = outside.get(&format!("{path}?who=CANARY"), &[]).await.err().unwrap().to_string();
            let start = format!("metadata at {}{path}: {reason}", service.address);
            assert!(error.starts_with(&start) && error.len() < 200, "{error}");
            assert!(!error.contains("CANARY"), "{error}");
        }
        assert_eq!(elsewhere.lines(), Vec::<String>::new(), "it went where it was sent");
    }
}
