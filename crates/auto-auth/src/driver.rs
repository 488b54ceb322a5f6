//! The small part that awaits, logs and acts for the state machine.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, info, warn};
use vault::api::{ApiError, Caller};
use vault::{Mount, Token, TokenState, Ttl, Upstream};

use crate::ReauthRequests;
use crate::lifecycle::{Action, Backoff, Event, Grant, Phase, RenewFailure, step};
use crate::method::{LoginError, Method};

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
    method: Method,
    method_name: &'static str,
    mount: Mount,
    backoff: Backoff,
    upstream: Arc<dyn Upstream>,
    caller: Caller,
    tokens: watch::Sender<TokenState>,
    reauth: ReauthRequests,
}

impl AutoAuth {
    /// Makes it; nothing is read or sent before [`AutoAuth::run`]. `upstream` should not repeat requests by
    /// itself: the back-off here is the only one.
    pub fn new(
        settings: &config::Method,
        upstream: Arc<dyn Upstream>,
        caller: Caller,
        tokens: watch::Sender<TokenState>,
        reauth: ReauthRequests,
    ) -> Self {
        let backoff = Backoff {
            min: settings.min_backoff,
            max: settings.max_backoff,
            exit_on_err: settings.exit_on_err,
        };
        Self {
            method: Method::new(settings),
            method_name: settings.kind.name(),
            mount: settings.mount.clone(),
            backoff,
            upstream,
            caller,
            tokens,
            reauth,
        }
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
                Action::Wait(until) => self.wait(until, matches!(phase, Phase::Live { .. })).await,
                Action::Renew => self.renew().await,
                Action::Login => match self.login().await {
                    Ok(grant) => Event::LoggedIn(grant),
                    Err(error) => {
                        let retry_after = error.retry_after();
                        last_failure = Some(error);
                        Event::LoginFailed { retry_after }
                    }
                },
            };
            (phase, action) = step(phase, event, Instant::now(), fastrand::f64(), self.backoff);
            self.report(event, phase, last_failure.as_ref());
        }
    }

    /// Tells of a failed login together with what happens next.
    fn report(&self, event: Event, phase: Phase, failure: Option<&LoginError>) {
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

    async fn login(&mut self) -> Result<Grant, LoginError> {
        info!(target: "auth.handler", method = self.method_name, "authenticating");
        let trying = self.method.login(&self.mount, self.upstream.as_ref(), &self.caller);
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

    async fn renew(&self) -> Event {
        let Some(token) = self.token() else { return Event::RenewFailed(RenewFailure::Gone) };
        let asked = self.caller.renew_self(self.upstream.as_ref(), &token);
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

    /// Waits for the time, or until somebody's refused request turns out to be our token's death.
    async fn wait(&self, until: Option<Instant>, live: bool) -> Event {
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
        tokio::select! {
            () = timer => Event::Timer,
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
