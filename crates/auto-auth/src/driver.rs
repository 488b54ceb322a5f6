//! The small part that awaits, logs and acts for the state machine.

mod clock;
mod logged_in;
mod previous;
mod resume;
mod store;

use std::sync::Arc;
use std::time::Duration;

use config::Environment;
use http::StatusCode;
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, info, warn};
use vault::api::{ApiError, Caller};
use vault::{Accessor, ClientSettings, Instead, Mount, Token, TokenState, Ttl, Upstream};

use self::clock::Clock;
pub use self::logged_in::LoggedIn;
use self::previous::Previous;
use self::store::Store;
use crate::ReauthRequests;
use crate::lifecycle::{Action, Backoff, Event, Grant, Phase, RenewFailure, step};
use crate::method::{self, Given, Login, LoginError, Method, Scene};
use crate::reauth::Verdict;
use crate::record::Record;
use crate::watch::Lookout;

/// The token is checked at most this often, however many requests were refused.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// One login may take this long; a server that hangs must not hold the token's life up.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

const UNAVAILABLE: RenewFailure = RenewFailure::Unavailable { retry_after: None };

/// Auto-auth ended.
#[derive(Debug, Error)]
pub enum AutoAuthError {
    /// The first failed login, with `exit_on_err`.
    #[error("{0}")]
    GaveUp(#[source] LoginError),
}

/// Logs in, keeps the token alive, and publishes it.
pub struct AutoAuth {
    method: Box<dyn Method>,
    backoff: Backoff,
    door: Door,
    record: Arc<Record>,
}

/// The server as auto-auth sees it, and the token that came out.
struct Door {
    method_name: &'static str,
    mount: Mount,
    /// The sink gets the login's answer wrapped, and nobody else gets anything.
    wrap_ttl: Option<Duration>,
    /// New credentials are reason enough for a login.
    reauth_on_new_credentials: bool,
    upstream: Arc<dyn Upstream>,
    caller: Caller,
    environment: Arc<Environment>,
    tokens: watch::Sender<TokenState>,
    reauth: ReauthRequests,
    clock: Clock,
    store: Option<Store>,
    /// Of the last run, and not yet found to be of use or not.
    stored: Option<Token>,
    /// To go on with, instead of the first login.
    handed_on: Option<LoggedIn>,
    /// Tokens to be revoked, if that is wanted.
    previous: Option<Previous>,
    /// Keeps watch while we do other things; one waits at a time.
    lookout: Mutex<Lookout>,
}

impl AutoAuth {
    /// Makes it; nothing is read or sent before [`AutoAuth::run`]. `upstream` should not repeat requests by
    /// itself: the back-off here is the only one.
    pub fn new(
        settings: &config::AutoAuth,
        upstream: Arc<dyn Upstream>,
        caller: Caller,
        environment: Arc<Environment>,
        tokens: watch::Sender<TokenState>,
        reauth: ReauthRequests,
    ) -> Self {
        let config::AutoAuth { method, reauth_on_new_credentials, .. } = settings;
        let namespace = caller.namespace.as_ref().map(|namespace| namespace.as_str()).unwrap_or_default();
        let login = format!("{}\n{namespace}\n{}\n{:?}", caller.address, method.mount, method.kind);
        let store = settings.token_store.as_ref().and_then(|store| Store::new(store, &environment, login));
        let backoff =
            Backoff { min: method.min_backoff, max: method.max_backoff, exit_on_err: method.exit_on_err };
        let door = Door {
            method_name: method.kind.name(),
            mount: method.mount.clone(),
            wrap_ttl: method.wrap_ttl,
            reauth_on_new_credentials: *reauth_on_new_credentials,
            upstream,
            caller,
            environment,
            tokens,
            reauth,
            clock: Clock::system(),
            store,
            stored: None,
            handed_on: None,
            previous: settings.revoke_previous_token.then(Previous::default),
            lookout: Mutex::default(),
        };
        Self { method: method::new(method), backoff, door, record: Arc::default() }
    }

    /// Tells how the server is reached, for methods that have a way of their own there (`cert`).
    #[must_use]
    pub fn with_client(mut self, settings: &ClientSettings) -> Self {
        self.method.use_client(settings);
        self
    }

    /// Keeps the record there.
    #[must_use]
    pub fn with_record(mut self, record: Arc<Record>) -> Self {
        self.record = record;
        self
    }

    /// Lives as long as the program. To stop it, drop the future.
    ///
    /// # Errors
    /// Only with `exit_on_err`.
    pub async fn run(mut self) -> Result<(), AutoAuthError> {
        info!(target: "auth.handler", "starting auth handler");
        self.door.load().await;
        let (mut phase, mut action) = Phase::start();
        let mut last_failure = None;
        loop {
            let event = match action {
                Action::GiveUp => {
                    let failure =
                        last_failure.unwrap_or(LoginError::NoCredentials("no login was tried".to_owned()));
                    return Err(AutoAuthError::GaveUp(failure));
                }
                Action::Wait(until) => self.door.wait(self.method.as_mut(), until, &phase).await,
                Action::Renew => self.door.renew(self.method.server()).await,
                Action::Login => match self.door.login(self.method.as_mut()).await {
                    Ok(grant) => Event::LoggedIn(grant),
                    Err(error) => {
                        let (retry_after, refused) = (error.retry_after(), error.is_refusal());
                        last_failure = Some(error);
                        Event::LoginFailed { retry_after, refused }
                    }
                },
            };
            let now = self.door.clock.now();
            (phase, action) = step(phase, event, now, fastrand::f64(), self.backoff);
            self.record.note(event, last_failure.as_ref(), &phase, now);
            if let (Event::LoginFailed { .. }, Some(failure)) = (event, &last_failure) {
                self.door.login_failed(action, &phase, failure);
            }
        }
    }
}

impl Door {
    /// Tells of a failed login together with what happens next.
    fn login_failed(&self, next: Action, phase: &Phase, failure: &LoginError) {
        if let Action::Wait(Some(until)) = next {
            let backoff = until.saturating_duration_since(self.clock.now());
            let backoff = format!("{:.2}s", backoff.as_secs_f64());
            error!(target: "auth.handler", error = %failure, backoff, "error authenticating");
        } else {
            error!(target: "auth.handler", error = %failure, "error authenticating");
        }
        if !phase.is_live() {
            // Nobody shall wait for a token that does not come soon.
            self.reauth.found(self.tokens.borrow().generation, Verdict::Lost);
        }
    }

    async fn login(&mut self, method: &mut dyn Method) -> Result<Grant, LoginError> {
        if let Some((token, accessor, grant)) = self.handed_on.take().and_then(LoggedIn::now) {
            info!(target: "auth.handler", "going on with the token of a login made before");
            self.publish(token, accessor, grant).await;
            return Ok(grant);
        }
        let login = match self.take_up_stored().await? {
            Some(login) => login,
            None => self.ask(method).await?,
        };
        let (token, accessor) = match login.given {
            Given::Token(token, accessor) => (Arc::new(token), accessor.map(Arc::new)),
            Given::Wrapped(wrapping) => {
                info!(target: "auth.handler", "authentication successful, sending wrapped token to sinks and pausing");
                let instead = Some(Arc::new(Instead::Wrapped(wrapping)));
                self.tokens.send_modify(|state| {
                    let generation = state.generation + 1;
                    *state = TokenState { instead, generation, ..TokenState::default() };
                });
                return Ok(login.grant);
            }
        };
        info!(target: "auth.handler", "authentication successful, sending token to sinks");
        if login.grant.ttl == Ttl::Never {
            info!(target: "auth.handler", "not starting token renewal process, as token has unlimited TTL");
        } else {
            debug!(target: "auth.handler", ttl = ?login.grant.ttl, "starting renewal process");
        }
        self.publish(token, accessor, login.grant).await;
        Ok(login.grant)
    }

    /// Asks the server for a token with the method's credentials.
    async fn ask(&self, method: &mut dyn Method) -> Result<Login, LoginError> {
        info!(target: "auth.handler", method = self.method_name, "authenticating");
        let trying = async {
            let attempt = method.prepare(&self.scene()).await?;
            let own = method.server();
            let server = own.as_ref().unwrap_or(&self.upstream);
            attempt.carry_out(server.as_ref(), &self.caller, self.wrap_ttl).await
        };
        match timeout(CALL_TIMEOUT, trying).await {
            Ok(login) => login,
            Err(_) => Err(ApiError::Send(vault::SendError::TimedOut(CALL_TIMEOUT)).into()),
        }
    }

    /// Sinks, proxy and templates take the token from here, all at once.
    async fn publish(&mut self, token: Arc<Token>, accessor: Option<Arc<Accessor>>, grant: Grant) {
        let mut before = None;
        let is_new = self.tokens.send_if_modified(|state| {
            // The same token again (a token file read twice) is no news to anybody.
            if state.token.as_ref() == Some(&token) {
                return false;
            }
            before = state.token.take();
            let generation = state.generation + 1;
            let token = Some(Arc::clone(&token));
            *state = TokenState { token, accessor: accessor.clone(), generation, ..TokenState::default() };
            true
        });
        if !is_new {
            // It was looked up just now, so whatever was thought of it before, it lives.
            self.reauth.found(self.tokens.borrow().generation, Verdict::Alive(Instant::now()));
            return;
        }
        self.reauth.found(self.tokens.borrow().generation, Verdict::Unknown);
        if let (Some(previous), Some(before)) = (&self.previous, before) {
            previous.replaced(before, self.clock.now());
        }
        // Every use counts of one with a limited number: it is nobody's to keep.
        if let (Some(store), 0) = (self.store.clone(), grant.num_uses) {
            // Only a panic fails it, and that is told elsewhere.
            let _ = spawn_blocking(move || store.save(&token, accessor.as_deref())).await;
        }
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            mount: &self.mount,
            server: self.upstream.as_ref(),
            caller: &self.caller,
            environment: &self.environment,
        }
    }

    /// `own` is the method's way to the server.
    async fn renew(&self, own: Option<Arc<dyn Upstream>>) -> Event {
        let Some(token) = self.token() else { return Event::RenewFailed(RenewFailure::Gone) };
        let server = own.as_ref().unwrap_or(&self.upstream);
        let asked = self.caller.renew_self(server.as_ref(), &token);
        match timeout(CALL_TIMEOUT, asked).await {
            Ok(Ok(secret)) => match secret.auth {
                Some(auth) => {
                    info!(target: "auth.handler", "renewed auth token");
                    Event::Renewed(granted(&auth))
                }
                None => Event::RenewFailed(UNAVAILABLE),
            },
            Ok(Err(error)) => self.renew_failed(&error, &token).await,
            Err(_) => {
                warn!(target: "auth.handler", "the renewal of the token was not answered in time, trying again");
                Event::RenewFailed(UNAVAILABLE)
            }
        }
    }

    async fn renew_failed(&self, error: &ApiError, token: &Token) -> Event {
        let generation = self.tokens.borrow().generation;
        let checked_at = Instant::now();
        let failure = match error.status() {
            // Refused: either the token is dead, or it may not renew itself. Only a check can tell.
            Some(status) if is_gone(status) => match self.alive(token).await {
                Some(false) => {
                    self.found_dead(generation);
                    RenewFailure::Gone
                }
                Some(true) => {
                    self.reauth.found(generation, Verdict::Alive(checked_at));
                    RenewFailure::Denied
                }
                None => UNAVAILABLE,
            },
            _ => RenewFailure::Unavailable { retry_after: retry_after(error) },
        };
        match failure {
            RenewFailure::Gone => {
                warn!(target: "auth.handler", "invalid token found, re-authenticating");
            }
            RenewFailure::Denied => {
                warn!(target: "auth.handler", error = %error, "the token may not renew itself; logging in again when it gets old");
            }
            RenewFailure::Unavailable { .. } => {
                warn!(target: "auth.handler", error = %error, "the token could not be renewed, trying again while it lives");
            }
        }
        Event::RenewFailed(failure)
    }

    fn found_dead(&self, generation: u64) {
        self.reauth.found(generation, Verdict::Dead);
        if let Some(previous) = &self.previous {
            previous.is_dead(self.token());
        }
    }

    /// Waits for the time, until somebody's refused request turns out to be our token's death, or until there are
    /// new credentials.
    async fn wait(&self, method: &mut dyn Method, until: Option<Instant>, phase: &Phase) -> Event {
        let timer = async {
            match until {
                Some(until) => self.clock.sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let revocations = async {
            match &self.previous {
                Some(previous) => previous.revoke(&self.clock, self.upstream.as_ref(), &self.caller).await,
                None => std::future::pending().await,
            }
        };
        let death = async {
            if !phase.is_live() {
                std::future::pending::<()>().await;
            }
            self.death().await;
        };
        let scene = self.scene();
        let wanted = self.reauth_on_new_credentials || phase.awaits_credentials();
        let news = async {
            let mut lookout = self.lookout.lock().await;
            loop {
                let Some(watch) = method.watch() else { return std::future::pending().await };
                lookout.look_again(&watch).await;
                // New credentials are read and kept in any case: a file may be there for a moment only. While
                // logins fail they are what was waited for.
                if method.has_new_credentials(&scene).await && wanted {
                    return;
                }
            }
        };
        tokio::select! {
            () = timer => Event::Timer,
            // Never: it only goes on beside the others.
            () = revocations => Event::Timer,
            () = news => {
                info!(target: "auth.handler", "auth method found new credentials, re-authenticating");
                Event::NewCredentials
            }
            () = death => {
                warn!(target: "auth.handler", "invalid token found, re-authenticating");
                Event::TokenDead
            }
        }
    }

    /// Checks the token whenever it was refused somewhere, at most once a second; ends when it is dead.
    async fn death(&self) {
        loop {
            let generation = self.tokens.borrow().generation;
            let check = self.reauth.asked(generation).await;
            let Some(token) = self.token() else { return std::future::pending().await };
            let checked_at = Instant::now();
            match self.alive(&token).await {
                Some(true) => check.found(Verdict::Alive(checked_at)),
                Some(false) => {
                    check.found(Verdict::Dead);
                    return self.found_dead(generation);
                }
                None => check.found(Verdict::Untold(checked_at)),
            }
            sleep_until(checked_at + CHECK_INTERVAL).await;
        }
    }

    async fn alive(&self, token: &Token) -> Option<bool> {
        let asked = self.caller.is_alive(self.upstream.as_ref(), token);
        timeout(CALL_TIMEOUT, asked).await.unwrap_or_default()
    }

    fn token(&self) -> Option<Arc<Token>> {
        self.tokens.borrow().token.clone()
    }
}

/// What a renewal's answer grants.
fn granted(auth: &vault::Auth) -> Grant {
    let ttl = Ttl::from_seconds(u64::try_from(auth.lease_duration).unwrap_or(1));
    Grant { ttl, renewable: auth.renewable, num_uses: auth.num_uses, fresh: true }
}

/// When the server wants to be asked again.
fn retry_after(error: &ApiError) -> Option<Duration> {
    match error {
        ApiError::Refused { retry_after, .. } => *retry_after,
        _ => None,
    }
}

/// Answers that may mean the token is dead; everything else is the server's own trouble.
fn is_gone(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 403 | 404)
}

#[cfg(test)]
mod tests;
