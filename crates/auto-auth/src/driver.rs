//! The small part that awaits, logs and acts for the state machine.

use std::sync::Arc;
use std::time::Duration;

use config::Environment;
use http::StatusCode;
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, info, warn};
use vault::api::{ApiError, Caller};
use vault::{ClientSettings, Mount, Token, TokenState, Ttl, Upstream};

use crate::ReauthRequests;
use crate::lifecycle::{Action, Backoff, Event, Grant, Phase, RenewFailure, step};
use crate::method::{self, LoginError, Method, Scene};
use crate::watch::Lookout;

/// The token is checked at most this often, however many requests were refused.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// One login may take this long; a server that hangs must not hold the token's life up.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

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
}

/// The server as auto-auth sees it, and the token that came out.
struct Door {
    method_name: &'static str,
    mount: Mount,
    /// New credentials are reason enough for a login.
    reauth_on_new_credentials: bool,
    upstream: Arc<dyn Upstream>,
    caller: Caller,
    environment: Arc<Environment>,
    tokens: watch::Sender<TokenState>,
    reauth: ReauthRequests,
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
        let backoff =
            Backoff { min: method.min_backoff, max: method.max_backoff, exit_on_err: method.exit_on_err };
        let door = Door {
            method_name: method.kind.name(),
            mount: method.mount.clone(),
            reauth_on_new_credentials: *reauth_on_new_credentials,
            upstream,
            caller,
            environment,
            tokens,
            reauth,
            lookout: Mutex::default(),
        };
        Self { method: method::new(method), backoff, door }
    }

    /// Tells how the server is reached, for methods that have a way of their own there (`cert`).
    #[must_use]
    pub fn with_client(mut self, settings: &ClientSettings) -> Self {
        self.method.use_client(settings);
        self
    }

    /// Lives as long as the program. To stop it, drop the future.
    ///
    /// # Errors
    /// Only with `exit_on_err`.
    pub async fn run(mut self) -> Result<(), AutoAuthError> {
        info!(target: "auth.handler", "starting auth handler");
        let (mut phase, mut action) = Phase::start();
        let mut last_failure = None;
        loop {
            let event = match action {
                Action::GiveUp => {
                    let failure = last_failure.unwrap_or(LoginError::NoToken("no login was tried"));
                    return Err(AutoAuthError::GaveUp(failure));
                }
                Action::Wait(until) => {
                    let live = matches!(phase, Phase::Live { .. });
                    self.door.wait(self.method.as_mut(), until, live).await
                }
                Action::Renew => self.door.renew(self.method.server()).await,
                Action::Login => match self.door.login(self.method.as_mut()).await {
                    Ok(grant) => Event::LoggedIn(grant),
                    Err(error) => {
                        let retry_after = error.retry_after();
                        last_failure = Some(error);
                        Event::LoginFailed { retry_after }
                    }
                },
            };
            (phase, action) = step(phase, event, Instant::now(), fastrand::f64(), self.backoff);
            report(event, phase, last_failure.as_ref());
        }
    }
}

/// Tells of a failed login together with what happens next.
fn report(event: Event, phase: Phase, failure: Option<&LoginError>) {
    let (Event::LoginFailed { .. }, Some(failure)) = (event, failure) else { return };
    match phase {
        Phase::BackingOff { until, .. } => {
            let backoff = until.saturating_duration_since(Instant::now());
            let backoff = format!("{:.2}s", backoff.as_secs_f64());
            error!(target: "auth.handler", error = %failure, backoff, "error authenticating");
        }
        _ => error!(target: "auth.handler", error = %failure, "error authenticating"),
    }
}

impl Door {
    async fn login(&self, method: &mut dyn Method) -> Result<Grant, LoginError> {
        info!(target: "auth.handler", method = self.method_name, "authenticating");
        let trying = async {
            let attempt = method.prepare(&self.scene()).await?;
            let own = method.server();
            attempt.carry_out(own.as_ref().unwrap_or(&self.upstream).as_ref(), &self.caller).await
        };
        let login = match timeout(CALL_TIMEOUT, trying).await {
            Ok(login) => login?,
            Err(_) => return Err(ApiError::Send(vault::SendError::TimedOut(CALL_TIMEOUT)).into()),
        };
        info!(target: "auth.handler", "authentication successful, sending token to sinks");
        if login.grant.ttl == Ttl::Never {
            info!(target: "auth.handler", "not starting token renewal process, as token has unlimited TTL");
        } else {
            debug!(target: "auth.handler", ttl = ?login.grant.ttl, "starting renewal process");
        }
        let token = Arc::new(login.token);
        let accessor = login.accessor.map(Arc::new);
        self.tokens.send_if_modified(|state| {
            // The same token again (a token file read twice) is no news to anybody.
            if state.token.as_ref() == Some(&token) {
                return false;
            }
            *state = TokenState { token: Some(token), accessor, generation: state.generation + 1 };
            true
        });
        Ok(login.grant)
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
                    Event::Renewed(Grant {
                        ttl: Ttl::from_seconds(u64::try_from(auth.lease_duration).unwrap_or(1)),
                        renewable: auth.renewable,
                        num_uses: auth.num_uses,
                        fresh: true,
                    })
                }
                None => Event::RenewFailed(RenewFailure::Unavailable),
            },
            Ok(Err(error)) => self.renew_failed(&error, &token).await,
            Err(_) => {
                warn!(target: "auth.handler", "the renewal of the token was not answered in time, trying again");
                Event::RenewFailed(RenewFailure::Unavailable)
            }
        }
    }

    async fn renew_failed(&self, error: &ApiError, token: &Token) -> Event {
        let failure = match error.status() {
            // Refused: either the token is dead, or it may not renew itself. Only a check can tell.
            Some(status) if is_gone(status) => match self.alive(token).await {
                Some(false) => RenewFailure::Gone,
                Some(true) => RenewFailure::Denied,
                None => RenewFailure::Unavailable,
            },
            _ => RenewFailure::Unavailable,
        };
        match failure {
            RenewFailure::Gone => {
                warn!(target: "auth.handler", "invalid token found, re-authenticating");
            }
            RenewFailure::Denied => {
                warn!(target: "auth.handler", error = %error, "the token may not renew itself; logging in again when it gets old");
            }
            RenewFailure::Unavailable => {
                warn!(target: "auth.handler", error = %error, "the token could not be renewed, trying again while it lives");
            }
        }
        Event::RenewFailed(failure)
    }

    /// Waits for the time, until somebody's refused request turns out to be our token's death, or until there are
    /// new credentials.
    async fn wait(&self, method: &mut dyn Method, until: Option<Instant>, live: bool) -> Event {
        let timer = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let death = async {
            if !live {
                std::future::pending::<()>().await;
            }
            loop {
                let generation = self.tokens.borrow().generation;
                self.reauth.asked(generation).await;
                let checked_at = Instant::now();
                if let Some(token) = self.token()
                    && self.alive(&token).await == Some(false)
                {
                    return;
                }
                sleep_until(checked_at + CHECK_INTERVAL).await;
            }
        };
        let scene = self.scene();
        let news = async {
            let mut lookout = self.lookout.lock().await;
            loop {
                let Some(watch) = method.watch() else { return std::future::pending().await };
                lookout.look_again(&watch).await;
                // New credentials are read and kept in any case: a file may be there for a moment only. While
                // logins fail they are what was waited for.
                if method.has_new_credentials(&scene).await && (self.reauth_on_new_credentials || !live) {
                    return;
                }
            }
        };
        tokio::select! {
            () = timer => Event::Timer,
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

    async fn alive(&self, token: &Token) -> Option<bool> {
        let asked = self.caller.is_alive(self.upstream.as_ref(), token);
        timeout(CALL_TIMEOUT, asked).await.unwrap_or_default()
    }

    fn token(&self) -> Option<Arc<Token>> {
        self.tokens.borrow().token.clone()
    }
}

/// Answers that may mean the token is dead; everything else is the server's own trouble.
fn is_gone(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 403 | 404)
}

#[cfg(test)]
mod tests;
