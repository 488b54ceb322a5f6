//! One server: its address, its connections, one request to it.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use tokio::time::{Instant, timeout_at};

use crate::transport::{Connection, Connector, Failure, Framed, Pool, RequestHead, body};
use crate::{Address, Body, OwnPlaces, Proxies, Proxy, Request, Response, SendError, Sent};

/// A server and what is known of it.
pub(crate) struct Server {
    pub(crate) address: Address,
    host: HeaderValue,
    /// The proxy on the way.
    via: Option<Arc<Proxy>>,
    /// What stands before a request's target: the address's own prefix, and all of the address when a proxy is to
    /// read it.
    prefix: String,
    pool: Arc<Pool>,
}

/// How a request is sent.
pub(crate) struct Manner<'a> {
    pub(crate) connector: &'a Connector,
    /// Where nobody is asked anything.
    pub(crate) own_places: &'a OwnPlaces,
    /// Keep connections.
    pub(crate) keep_alive: bool,
    /// What the user calls the time limit, for errors and for uploads.
    pub(crate) timeout: Duration,
    pub(crate) deadline: Instant,
}

impl Server {
    pub(crate) fn new(address: Address, proxies: &Proxies) -> Self {
        let host = HeaderValue::from_str(&address.authority())
            .unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        let via = proxies.way_to(&address).cloned();
        let prefix = match &via {
            // A proxy sees nothing of what travels in TLS; it is asked for a tunnel.
            Some(_) if !address.is_tls() => address.to_string(),
            _ => address.prefix.clone(),
        };
        Self { address, host, via, prefix, pool: Arc::default() }
    }

    /// Closes idle connections.
    pub(crate) fn forget_connections(&self) {
        self.pool.clear();
    }

    /// One try on a kept connection, or a new one. A kept connection that turns out to be closed before anything
    /// was said on it is replaced, silently: that is no failure of the server.
    pub(crate) async fn exchange(
        &self,
        request: &Request,
        target: &str,
        manner: &Manner<'_>,
    ) -> Result<Response, SendError> {
        if manner.keep_alive {
            // Once: a server that dies of a request must not be given it on every connection that is left.
            if let Some(connection) = self.pool.take() {
                match self.exchange_on(connection, request, target, manner).await {
                    Err(Failure::Broken { started: false, sent, .. })
                        if request.upload.is_none() && (sent == Sent::No || request.is_safe()) => {}
                    other => return other.map_err(|failure| self.failed(failure, request, manner)),
                }
            }
        }
        // Seldom, and large: apart, so that the way everything goes stays small.
        let connection = Box::pin(self.connect(request, manner)).await?;
        let answered = self.exchange_on(connection, request, target, manner).await;
        answered.map_err(|failure| self.failed(failure, request, manner))
    }

    async fn connect(&self, request: &Request, manner: &Manner<'_>) -> Result<Box<Connection>, SendError> {
        let connected = timeout_at(
            manner.deadline,
            manner.connector.connect(&self.address, self.via.as_deref(), manner.own_places),
        )
        .await;
        connected.map_err(|_| SendError::TimedOut(manner.timeout))?.map_err(|error| match error {
            SendError::Unreachable { reason, .. } => SendError::Unreachable {
                method: request.method.clone(),
                address: self.place(request),
                reason,
            },
            SendError::Loop { .. } => {
                SendError::Loop { method: request.method.clone(), address: self.place(request) }
            }
            other => other,
        })
    }

    async fn exchange_on(
        &self,
        mut connection: Box<Connection>,
        request: &Request,
        target: &str,
        manner: &Manner<'_>,
    ) -> Result<Response, Failure> {
        let mut upload = match &request.upload {
            None => None,
            Some(upload) => {
                Some(upload.take().ok_or_else(|| Failure::Upload("it was sent before".to_owned()))?)
            }
        };
        let for_proxy = self.for_proxy(&request.headers);
        let head = RequestHead {
            method: &request.method,
            prefix: &self.prefix,
            target,
            host: &self.host,
            headers: for_proxy.as_deref().unwrap_or(&request.headers),
            body: framed(request),
            last: !manner.keep_alive,
            upgrade: request.upgrade,
        };
        let patience = manner.timeout;
        let mut answer =
            connection.exchange(&head, &request.body, upload.as_mut(), patience, manner.deadline).await?;
        let headers = std::mem::take(&mut answer.headers);
        if answer.status == http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Response {
                status: answer.status,
                headers,
                body: Body::Tunnel(connection.upgraded()),
            });
        }
        let pool = manner.keep_alive.then(|| Arc::clone(&self.pool));
        let body = body(connection, &answer, pool).map_err(Failure::Malformed)?;
        Ok(Response { status: answer.status, headers, body })
    }

    /// A proxy that reads the request is told who we are with it; one that makes a tunnel was told before.
    fn for_proxy(&self, headers: &HeaderMap) -> Option<Box<HeaderMap>> {
        let authorization = self.via.as_ref().filter(|_| !self.address.is_tls())?.authorization()?;
        let mut headers = headers.clone();
        headers.insert(header::PROXY_AUTHORIZATION, authorization.clone());
        Some(Box::new(headers))
    }

    /// The server with the path of a request, as errors name them.
    pub(crate) fn place(&self, request: &Request) -> String {
        format!("\"{}{}\"", self.address, request.shown_path())
    }

    fn failed(&self, failure: Failure, request: &Request, manner: &Manner<'_>) -> SendError {
        let (method, address) = (request.method.clone(), self.place(request));
        match failure {
            Failure::Broken { reason, sent, started } => {
                let reason =
                    if started { format!("the head of the answer ended early: {reason}") } else { reason };
                SendError::Broken { method, address, reason, sent, began: started }
            }
            Failure::Malformed(malformed) => SendError::Malformed { method, address, reason: malformed.0 },
            Failure::Upload(reason) => SendError::Upload(reason),
            Failure::TimedOut => SendError::TimedOut(manner.timeout),
        }
    }
}

fn framed(request: &Request) -> Framed {
    let begun = request.body.len() as u64;
    match &request.upload {
        Some(upload) => {
            upload.length().map_or(Framed::Chunked, |rest| Framed::Length(begun.saturating_add(rest)))
        }
        // A body that is empty is said to be, where one is expected.
        None if begun == 0 && !matches!(request.method, Method::POST | Method::PUT | Method::PATCH) => {
            Framed::Nothing
        }
        None => Framed::Length(begun),
    }
}
