//! The real [`Upstream`]: one server or several of one cluster, kept connections, one redirect, retries, one
//! deadline over all.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Method, StatusCode, header};
use tokio::time::{Instant, sleep, sleep_until};

use crate::redirect::{RedirectHosts, names_token, redirect};
use crate::retry::{self, Outcome, Tries};
use crate::server::{Manner, Server};
use crate::servers::{Servers, another_may, is_leaderless};
use crate::traffic::Traffic;
use crate::transport::Connector;
use crate::{
    Address, Body, BoxFuture, OwnPlaces, Proxies, RateLimit, Request, Response, Retry, RetryPolicy,
    SendError, TlsError, TlsSettings, Upstream, headers,
};

/// The client timeout when `VAULT_CLIENT_TIMEOUT` does not say otherwise.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is asked whether the first of several servers is back.
const PROBE_PAUSE: Duration = Duration::from_secs(5);

/// How long its answer may take.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// What a client is made from.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The server.
    pub address: Address,
    /// Other servers of the same cluster, asked while the first cannot be.
    pub others: Vec<Address>,
    /// TLS towards them.
    pub tls: TlsSettings,
    /// How long one request may take, all retries together. Default 60 s.
    pub timeout: Duration,
    /// How stubborn to be.
    pub retry: RetryPolicy,
    /// Repeat a request whose answer would be older than asked for (412).
    pub retry_inconsistent: bool,
    /// Keep no connection for a second request (`disable_keep_alives`).
    pub keep_alive: bool,
    /// Follow one redirect, as a standby asks for.
    pub redirects: bool,
    /// Where that may lead.
    pub redirect_hosts: RedirectHosts,
    /// HTTP proxies on the way.
    pub proxies: Proxies,
    /// How often it asks at the most.
    pub rate_limit: Option<RateLimit>,
    /// Where nobody is asked anything: our own listeners.
    pub own_places: OwnPlaces,
}

impl ClientSettings {
    /// Plain settings for an address.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            others: Vec::new(),
            tls: TlsSettings::default(),
            timeout: DEFAULT_TIMEOUT,
            retry: RetryPolicy::Patient,
            retry_inconsistent: true,
            keep_alive: true,
            redirects: true,
            redirect_hosts: RedirectHosts::Any,
            proxies: Proxies::default(),
            rate_limit: None,
            own_places: OwnPlaces::default(),
        }
    }
}

/// A server, spoken to over HTTP. Cheap to clone: clones share connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// Where it is not that of the others.
    retry: Option<RetryPolicy>,
}

/// What may be another while it runs.
struct Manners {
    retry: RetryPolicy,
    retry_inconsistent: bool,
    keep_alive: bool,
    redirect_hosts: RedirectHosts,
}

impl Manners {
    fn of(settings: &ClientSettings) -> Self {
        Self {
            retry: settings.retry,
            retry_inconsistent: settings.retry_inconsistent,
            keep_alive: settings.keep_alive,
            redirect_hosts: settings.redirect_hosts.clone(),
        }
    }
}

struct Shared {
    address: Address,
    servers: Servers,
    timeout: Duration,
    redirects: bool,
    proxies: Proxies,
    rate_limit: Option<RateLimit>,
    manners: ArcSwap<Manners>,
    connector: ArcSwap<Connector>,
    own_places: OwnPlaces,
    traffic: Arc<Traffic>,
}

impl Client {
    /// Reads the TLS files; connects to nobody.
    ///
    /// # Errors
    /// A TLS file that cannot be used.
    pub fn new(settings: &ClientSettings) -> Result<Self, TlsError> {
        let connector = connector(&settings.address, &settings.others, &settings.tls, &settings.proxies)?;
        let shared = Shared {
            address: settings.address.clone(),
            servers: Servers::new(settings.address.clone(), &settings.others, &settings.proxies),
            timeout: settings.timeout,
            redirects: settings.redirects,
            proxies: settings.proxies.clone(),
            rate_limit: settings.rate_limit.clone(),
            manners: ArcSwap::from_pointee(Manners::of(settings)),
            connector: ArcSwap::from_pointee(connector),
            own_places: settings.own_places.clone(),
            traffic: Arc::default(),
        };
        Ok(Self { shared: Arc::new(shared), retry: None })
    }

    /// The same servers and connections with another stubbornness.
    #[must_use]
    pub fn with_retry(&self, retry: RetryPolicy) -> Self {
        Self { shared: Arc::clone(&self.shared), retry: Some(retry) }
    }

    /// The server's address, the first if there are several.
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// What its requests led to, those of its clones included.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.shared.traffic
    }

    /// The server in use now, and whether it is another than the first.
    pub fn in_use(&self) -> Option<&Address> {
        self.shared.servers.get(self.shared.servers.current()).map(|server| &server.address)
    }

    /// Reads the TLS files again; connections from now on use them.
    ///
    /// # Errors
    /// A file that cannot be used; the old ones stay in force.
    pub fn reload_tls(&self, settings: &TlsSettings) -> Result<(), TlsError> {
        let others: Vec<Address> = (1..self.shared.servers.count())
            .filter_map(|n| Some(self.shared.servers.get(n)?.address.clone()))
            .collect();
        let connector = connector(&self.shared.address, &others, settings, &self.shared.proxies)?;
        self.shared.connector.store(Arc::new(connector));
        self.shared.servers.forget_connections();
        Ok(())
    }

    /// From the next request on, `retry`, `retry_inconsistent`, `keep_alive` and `redirect_hosts` are those of
    /// `settings`, for its clones as well; one with a stubbornness of its own keeps that. Connections that may be kept stay.
    pub fn set_manners(&self, settings: &ClientSettings) {
        self.shared.manners.store(Arc::new(Manners::of(settings)));
        if !settings.keep_alive {
            self.shared.servers.forget_connections();
        }
    }

    async fn attempts(&self, request: &Request) -> Result<Response, SendError> {
        let shared = &self.shared;
        let deadline = Instant::now() + shared.timeout;
        if let Some(limit) = &shared.rate_limit {
            // As the official clients: once for a request, whatever becomes of it.
            match limit.take(Instant::now(), deadline) {
                Some(turn) => Box::pin(sleep_until(turn)).await,
                None => return Err(SendError::TimedOut(shared.timeout)),
            }
        }
        let first = self.attempt(request, deadline).await;
        match &first.1 {
            // Most answers are welcome.
            Ok(response) if response.status.as_u16() < 412 || asks_for_health(request) => first.1,
            _ => Box::pin(self.again(request, first, deadline)).await,
        }
    }

    /// One try at the server in use.
    async fn attempt(&self, request: &Request, deadline: Instant) -> (usize, Result<Response, SendError>) {
        let shared = &self.shared;
        let number = shared.servers.current();
        if number != 0 {
            self.ask_for_the_first();
        }
        let Some(server) = shared.servers.get(number) else {
            return (number, Err(SendError::TimedOut(shared.timeout)));
        };
        // One that hangs must not take all the time when there are others.
        let several = shared.servers.count() > 1 && request.is_safe();
        let began = Instant::now();
        let deadline = if several { deadline.min(began + shared.timeout / 3) } else { deadline };
        let result = shared.follow(server, request, deadline).await;
        shared.traffic.note(began, &result);
        (number, result)
    }

    /// All tries but the first.
    async fn again(
        &self,
        request: &Request,
        (mut asked, mut result): (usize, Result<Response, SendError>),
        deadline: Instant,
    ) -> Result<Response, SendError> {
        let servers = &self.shared.servers;
        let (mut tries, mut moved, mut first_answer) = (Tries::default(), 0, None);
        loop {
            // Each time: they may have changed while it waited.
            let (retry, retry_inconsistent) = {
                let manners = self.shared.manners.load();
                (self.retry.unwrap_or(manners.retry), manners.retry_inconsistent)
            };
            let outcome = match &result {
                Ok(response) if is_leaderless(response) => Outcome::Leaderless,
                Ok(response) => {
                    first_answer.get_or_insert_with(Instant::now);
                    Outcome::Answer { status: response.status, retry_after: retry_after(response) }
                }
                Err(error) => Outcome::Error(error),
            };
            let elsewhere = servers.count() > 1 && another_may(&result, request.is_safe());
            if elsewhere {
                servers.move_on(asked);
            }
            let answered = matches!(outcome, Outcome::Answer { .. });
            let answered_for = first_answer.map_or(Duration::ZERO, |first| first.elapsed());
            let wait = if request.upload.as_ref().is_some_and(crate::Upload::is_taken)
                || is_refused_login(request, outcome)
            {
                Retry::No
            } else if elsewhere && moved + 1 < servers.count() {
                moved += 1;
                Retry::After(Duration::ZERO)
            } else if !retry_inconsistent && result.as_ref().is_ok_and(is_inconsistent) {
                Retry::No
            } else {
                moved = 0;
                retry::decide(retry, &request.method, outcome, tries, answered_for, fastrand::f64())
            };
            let Retry::After(wait) = wait else { return result };
            if Instant::now() + wait >= deadline {
                // What the server really said, or why it could not be reached, says more than "timed out".
                return result;
            }
            // A long answer would keep its connection from the next try.
            let said = result.ok().filter(|response| matches!(response.body, Body::Full(_)));
            if !wait.is_zero() {
                tries.repetitions += 1;
                tries.after_answers += u32::from(answered);
                sleep(wait).await;
            }
            (asked, result) = self.attempt(request, deadline).await;
            if let (Err(SendError::TimedOut(_)), Some(said)) = (&result, said) {
                return Ok(said);
            }
            if result.as_ref().is_ok_and(|response| response.status.as_u16() < 412) {
                return result;
            }
        }
    }

    /// Asks the first server whether it can be used again: one request at a time, not too often.
    fn ask_for_the_first(&self) {
        if !self.shared.servers.claim_probe() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        // Ends by itself, after two pauses at most.
        tokio::spawn(async move {
            let request = Request::new(Method::GET, "sys/health?standbyok=true&perfstandbyok=true");
            let deadline = Instant::now() + PROBE_PATIENCE;
            if let Some(first) = shared.servers.first()
                && let Ok(response) = shared.exchange(first, &request, &request.target, deadline).await
                && response.status == StatusCode::OK
            {
                shared.servers.come_back();
            } else {
                sleep(PROBE_PAUSE).await;
            }
            shared.servers.release_probe();
        });
    }
}

/// A login that comes with the request (`X-Vault-Inline-Auth-…`) and is malformed, or stands beside a token, is a 500 at
/// the server; so is one that went wrong behind its auth method. Neither gets better, and logins are counted: they are
/// not repeated, whatever the request itself is.
fn is_refused_login(request: &Request, outcome: Outcome<'_>) -> bool {
    matches!(outcome, Outcome::Answer { status: StatusCode::INTERNAL_SERVER_ERROR, .. })
        && request.headers.contains_key(headers::INLINE_AUTH_PATH)
}

impl Upstream for Client {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        Box::pin(async move { self.attempts(&request).await })
    }

    fn lend<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, SendError>> {
        Box::pin(self.attempts(request))
    }
}

impl Shared {
    /// One try, and one redirect if the answer asks for it.
    async fn follow(
        &self,
        server: &Server,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, SendError> {
        let response = self.exchange(server, request, &request.target, deadline).await?;
        if !self.redirects || !response.status.is_redirection() || request.upload.is_some() {
            return Ok(response);
        }
        let Some((address, target)) = redirect(&response, &server.address)? else { return Ok(response) };
        let servers = self.servers.all().map(|server| &server.address);
        if !self.manners.load().redirect_hosts.allow(&server.address, &address, servers) {
            return Ok(response);
        }
        if names_token(&address, request) {
            let (method, address) = (request.method.clone(), server.place(request));
            let reason = "a redirect to a host that has the request's token in its name";
            return Err(SendError::Malformed { method, address, reason });
        }
        drop(response);
        // A standby names the active node here. Its connection is not kept: the next request asks again.
        Box::pin(async move {
            let active = Server::new(address, &self.proxies);
            self.exchange(&active, request, &target, deadline).await
        })
        .await
    }

    async fn exchange(
        &self,
        server: &Server,
        request: &Request,
        target: &str,
        deadline: Instant,
    ) -> Result<Response, SendError> {
        let connector = self.connector.load();
        let manner = Manner {
            connector: &connector,
            own_places: &self.own_places,
            keep_alive: self.manners.load().keep_alive,
            timeout: self.timeout,
            deadline,
        };
        server.exchange(request, target, &manner).await
    }
}

fn connector(
    first: &Address,
    others: &[Address],
    tls: &TlsSettings,
    proxies: &Proxies,
) -> Result<Connector, TlsError> {
    // One that speaks TLS is enough for the files to be read.
    let wanting = std::iter::once(first).chain(others).find(|address| address.is_tls()).unwrap_or(first);
    Connector::new(wanting, tls, proxies)
}

/// The status of this answer is what was asked for: 429 is a healthy standby.
fn asks_for_health(request: &Request) -> bool {
    request.path() == "/v1/sys/health"
}

fn is_inconsistent(response: &Response) -> bool {
    response.status == StatusCode::PRECONDITION_FAILED
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// It is made and moved for every request. (Blocks of up to 1032 bytes would be cheaper still with glibc.)
    #[test]
    fn a_requests_state_stays_small() {
        let size = size_of_future::<&'static Client, &'static Request, _>(Client::attempts);
        assert!(size <= 1500, "{size}");
    }
}
