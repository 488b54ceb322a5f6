//! The real [`Upstream`]: one server, pooled connections, one redirect, retries, one deadline over all.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::retry::{self, Outcome};
use crate::transport::{Connector, Pool, Sender};
use crate::{
    Address, Body, BoxFuture, Request, Response, Retry, RetryPolicy, SendError, Sent, TlsError, TlsSettings,
    Upstream,
};

/// The client timeout when `VAULT_CLIENT_TIMEOUT` does not say otherwise.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// What a client is made from.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The server.
    pub address: Address,
    /// TLS towards it.
    pub tls: TlsSettings,
    /// How long one request may take, all retries together. Default 60 s.
    pub timeout: Duration,
    /// How stubborn to be.
    pub retry: RetryPolicy,
    /// Keep no connection for a second request (`disable_keep_alives`).
    pub keep_alive: bool,
    /// Follow one redirect, as a standby asks for.
    pub redirects: bool,
}

impl ClientSettings {
    /// Plain settings for an address.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            tls: TlsSettings::default(),
            timeout: DEFAULT_TIMEOUT,
            retry: RetryPolicy::Patient,
            keep_alive: true,
            redirects: true,
        }
    }
}

/// A server, spoken to over HTTP. Cheap to clone: clones share connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    retry: RetryPolicy,
}

struct Shared {
    address: Address,
    host: HeaderValue,
    timeout: Duration,
    keep_alive: bool,
    redirects: bool,
    connector: ArcSwap<Connector>,
    pool: Pool,
}

impl Client {
    /// Reads the TLS files; connects to nobody.
    ///
    /// # Errors
    /// A TLS file that cannot be used.
    pub fn new(settings: &ClientSettings) -> Result<Self, TlsError> {
        let connector = Connector::new(&settings.address, &settings.tls)?;
        let host = HeaderValue::from_str(&settings.address.authority())
            .unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        let shared = Shared {
            address: settings.address.clone(),
            host,
            timeout: settings.timeout,
            keep_alive: settings.keep_alive,
            redirects: settings.redirects,
            connector: ArcSwap::from_pointee(connector),
            pool: Pool::default(),
        };
        Ok(Self { shared: Arc::new(shared), retry: settings.retry })
    }

    /// The same server and connections with another stubbornness.
    #[must_use]
    pub fn with_retry(&self, retry: RetryPolicy) -> Self {
        Self { shared: Arc::clone(&self.shared), retry }
    }

    /// The server's address.
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// Reads the TLS files again; connections from now on use them.
    ///
    /// # Errors
    /// A file that cannot be used; the old ones stay in force.
    pub fn reload_tls(&self, settings: &TlsSettings) -> Result<(), TlsError> {
        let connector = Connector::new(&self.shared.address, settings)?;
        self.shared.connector.store(Arc::new(connector));
        self.shared.pool.clear();
        Ok(())
    }

    async fn attempts(&self, request: Request) -> Result<Response, SendError> {
        let deadline = Instant::now() + self.shared.timeout;
        let timed_out = || SendError::TimedOut(self.shared.timeout);
        let mut repetitions = 0;
        let mut first_answer = None;
        loop {
            let tried = timeout_at(deadline, self.shared.follow(&request)).await;
            let result = tried.map_err(|_| timed_out())?;
            let outcome = match &result {
                Ok(response) => {
                    // Most answers are welcome, and need no clock.
                    if response.status.as_u16() < 412 {
                        return result;
                    }
                    first_answer.get_or_insert_with(Instant::now);
                    Outcome::Answer { status: response.status, retry_after: retry_after(response) }
                }
                Err(error) => Outcome::Error(error),
            };
            let answered_for = first_answer.map_or(Duration::ZERO, |first| first.elapsed());
            let random = fastrand::f64();
            let wait = match retry::decide(
                self.retry,
                &request.method,
                outcome,
                repetitions,
                answered_for,
                random,
            ) {
                Retry::No => return result,
                Retry::After(wait) => wait,
            };
            if Instant::now() + wait >= deadline {
                // What the server really said, or why it could not be reached, says more than "timed out".
                return result;
            }
            drop(result);
            repetitions += 1;
            tokio::time::sleep(wait).await;
        }
    }
}

impl Upstream for Client {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        Box::pin(self.attempts(request))
    }
}

impl Shared {
    /// One try, and one redirect if the answer asks for it.
    async fn follow(&self, request: &Request) -> Result<Response, SendError> {
        let response = self.exchange(request).await?;
        if !self.redirects {
            return Ok(response);
        }
        let Some((address, target)) = redirect(&response, &self.address) else { return Ok(response) };
        if self.address.is_tls() && !address.is_tls() {
            return Err(SendError::Downgrade);
        }
        // A standby names the active node here. Its connection is not kept: the next request asks again.
        let host = HeaderValue::from_str(&address.authority()).unwrap_or_else(|_| self.host.clone());
        let mut sender = self.connector.load_full().connect(&address).await?;
        let message = message(request, &address.prefix, &target, host);
        exchange_on(&mut sender, message, request, &address).await
    }

    /// One try on a pooled connection, or a new one. A pooled connection that turns out to be closed before
    /// the request left is replaced once, silently: that is no failure of the server.
    async fn exchange(&self, request: &Request) -> Result<Response, SendError> {
        let mut next = message(request, &self.address.prefix, &request.target, self.host.clone());
        if self.keep_alive {
            while let Some(mut sender) = self.pool.take() {
                match sender.try_send_request(next).await {
                    Ok(response) => {
                        self.pool.put(sender);
                        return Ok(answer(response));
                    }
                    Err(mut error) => match error.take_message() {
                        Some(unsent) => next = unsent,
                        None => return Err(broken(request, &self.address, error.error(), Sent::Maybe)),
                    },
                }
            }
        }
        let mut sender =
            self.connector.load_full().connect(&self.address).await.map_err(|error| match error {
                SendError::Unreachable { reason, .. } => SendError::Unreachable {
                    method: request.method.clone(),
                    address: place(&self.address, request),
                    reason,
                },
                other => other,
            })?;
        let response = exchange_on(&mut sender, next, request, &self.address).await?;
        if self.keep_alive {
            self.pool.put(sender);
        }
        Ok(response)
    }
}

async fn exchange_on(
    sender: &mut Sender,
    message: http::Request<Full<Bytes>>,
    request: &Request,
    address: &Address,
) -> Result<Response, SendError> {
    match sender.try_send_request(message).await {
        Ok(response) => Ok(answer(response)),
        Err(mut error) => {
            let sent = if error.take_message().is_some() { Sent::No } else { Sent::Maybe };
            Err(broken(request, address, error.error(), sent))
        }
    }
}

fn message(request: &Request, prefix: &str, target: &str, host: HeaderValue) -> http::Request<Full<Bytes>> {
    let mut message = http::Request::new(Full::new(request.body.clone()));
    *message.method_mut() = request.method.clone();
    // A target that is no URI is refused by the proxy before it comes here; our own are written by us.
    let uri =
        if prefix.is_empty() { Uri::try_from(target) } else { Uri::try_from(format!("{prefix}{target}")) };
    *message.uri_mut() = uri.unwrap_or_else(|_| Uri::from_static("/"));
    *message.headers_mut() = request.headers.clone();
    message.headers_mut().insert(header::HOST, host);
    if request.body.is_empty() && matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
        message.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    message
}

fn answer(response: http::Response<Incoming>) -> Response {
    let (head, body) = response.into_parts();
    Response { status: head.status, headers: head.headers, body: Body::Stream(body) }
}

fn place(address: &Address, request: &Request) -> String {
    format!("\"{address}{}\"", request.path())
}

fn broken(request: &Request, address: &Address, error: &hyper::Error, sent: Sent) -> SendError {
    let reason =
        if error.is_incomplete_message() || error.is_closed() { "EOF".into() } else { error.to_string() };
    SendError::Broken { method: request.method.clone(), address: place(address, request), reason, sent }
}

/// Where a 301, 302, 307 or 308 points, if it is a place we can go to.
fn redirect(response: &Response, from: &Address) -> Option<(Address, String)> {
    let follow = matches!(
        response.status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !follow {
        return None;
    }
    let location: Uri = response.headers.get(header::LOCATION)?.to_str().ok()?.parse().ok()?;
    let target = location.path_and_query()?.as_str().to_owned();
    match (location.scheme_str(), location.authority()) {
        (Some(scheme), Some(authority)) => Some((format!("{scheme}://{authority}").parse().ok()?, target)),
        (None, None) => Some((Address { prefix: String::new(), ..from.clone() }, target)),
        _ => None,
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
