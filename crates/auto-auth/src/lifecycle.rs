//! A token's life as a pure state machine: no clock, no await, no log.
//!
//! Upstream's timing is kept where users can see it (renewal at 0.70 to 0.73 of the TTL, a new login when a
//! renewal no longer extends enough, back-off of logins from 1 s to 5 min less up to a quarter). It differs
//! where upstream hurts: no renewal right after a login; a failed renewal or login never throws away a token
//! that still lives; a use-limited token is never spent on renewals; a duration of zero means "never".

use std::time::Duration;

use tokio::time::Instant;
use vault::{Rhythm, Ttl};

/// What the server granted, at login or renewal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Grant {
    pub(crate) ttl: Ttl,
    pub(crate) renewable: bool,
    /// How many requests the token is good for; 0 is any number.
    pub(crate) num_uses: i64,
    /// Just issued, so that a renewal now would gain nothing. False for a token somebody else made.
    pub(crate) fresh: bool,
}

/// How long to wait after failed logins, and whether to wait at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
    pub(crate) exit_on_err: bool,
}

/// A token that lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Held {
    /// When the server last said how long it lives.
    granted_at: Instant,
    ttl: Ttl,
    renewable: bool,
    /// Drawn once.
    rhythm: Rhythm,
    /// Renewals that failed since the last that did not.
    failures: u32,
}

impl Held {
    fn new(grant: Grant, now: Instant, jitter: f64) -> Self {
        let rhythm = Rhythm::new(grant.ttl.duration().unwrap_or_default(), jitter);
        // Every renewal costs a use, and the consumer needs them all.
        let renewable = grant.renewable && grant.num_uses == 0;
        Self { granted_at: now, ttl: grant.ttl, renewable, rhythm, failures: 0 }
    }

    /// When it dies; `None` when it does not.
    fn expires_at(&self) -> Option<Instant> {
        self.ttl.duration().map(|ttl| self.granted_at + ttl)
    }
}

/// Where the token is in its life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    /// A login is under way; the old token may still live.
    LoggingIn { failures: u32, last_wait: Duration },
    /// Nothing to do until `wake_at`; for ever without it.
    Live { held: Held, wake_at: Option<Instant>, then: Then },
    /// A renewal is under way.
    Renewing { held: Held },
    /// Waiting to log in again.
    BackingOff { until: Instant, failures: u32, last_wait: Duration },
    /// The first failed login ended it (`exit_on_err`).
    GivenUp,
}

/// What to do when a live token's time comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Then {
    Renew,
    Login,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    LoggedIn(Grant),
    /// `retry_after` is the server's wish, if it had one.
    LoginFailed {
        retry_after: Option<Duration>,
    },
    Renewed(Grant),
    RenewFailed(RenewFailure),
    /// The time the phase waited for has come.
    Timer,
    /// A check has shown that the server no longer knows the token.
    TokenDead,
    /// There are other credentials than those of the last login.
    NewCredentials,
}

/// Why a renewal failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RenewFailure {
    /// The server cannot be asked now: nothing is lost.
    Unavailable,
    /// The token lives but may not renew itself: as if it were not renewable.
    Denied,
    /// The server no longer knows it.
    Gone,
}

/// What the driver has to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    Login,
    Renew,
    /// Wait for the time, or for a request to check the token.
    Wait(Option<Instant>),
    GiveUp,
}

impl Phase {
    /// The beginning.
    pub(crate) fn start() -> (Self, Action) {
        Self::login(0, Duration::ZERO)
    }

    fn login(failures: u32, last_wait: Duration) -> (Self, Action) {
        (Self::LoggingIn { failures, last_wait }, Action::Login)
    }

    fn wait(held: Held, wake_at: Option<Instant>, then: Then) -> (Self, Action) {
        (Self::Live { held, wake_at, then }, Action::Wait(wake_at))
    }
}

/// One step. `jitter` is uniform in 0..1. An event that does not belong to the phase changes nothing.
pub(crate) fn step(
    phase: Phase,
    event: Event,
    now: Instant,
    jitter: f64,
    backoff: Backoff,
) -> (Phase, Action) {
    match (phase, event) {
        (Phase::LoggingIn { .. }, Event::LoggedIn(grant)) => logged_in(grant, now, jitter),
        (Phase::LoggingIn { .. }, Event::LoginFailed { .. }) if backoff.exit_on_err => {
            (Phase::GivenUp, Action::GiveUp)
        }
        (Phase::LoggingIn { failures, last_wait }, Event::LoginFailed { retry_after }) => {
            let wait = next_wait(last_wait, backoff, jitter);
            let until = now + wait.max(retry_after.unwrap_or_default().min(backoff.max));
            (Phase::BackingOff { until, failures: failures + 1, last_wait: wait }, Action::Wait(Some(until)))
        }
        (Phase::BackingOff { failures, last_wait, .. }, Event::Timer) => Phase::login(failures, last_wait),
        (Phase::Live { held, then: Then::Renew, .. }, Event::Timer) => {
            (Phase::Renewing { held }, Action::Renew)
        }
        (Phase::Live { then: Then::Login, .. }, Event::Timer) => Phase::login(0, Duration::ZERO),
        (Phase::Live { .. }, Event::TokenDead | Event::NewCredentials) => Phase::login(0, Duration::ZERO),
        // The back-off goes on where it was if these fail too.
        (Phase::BackingOff { failures, last_wait, .. }, Event::NewCredentials) => {
            Phase::login(failures, last_wait)
        }
        (Phase::Renewing { held }, Event::Renewed(grant)) => renewed(held, grant, now),
        (Phase::Renewing { held }, Event::RenewFailed(failure)) => renew_failed(held, failure, now, jitter),
        (phase, _) => {
            let action = match phase {
                Phase::LoggingIn { .. } => Action::Login,
                Phase::Renewing { .. } => Action::Renew,
                Phase::Live { wake_at, .. } => Action::Wait(wake_at),
                Phase::BackingOff { until, .. } => Action::Wait(Some(until)),
                Phase::GivenUp => Action::GiveUp,
            };
            (phase, action)
        }
    }
}

fn logged_in(grant: Grant, now: Instant, jitter: f64) -> (Phase, Action) {
    let held = Held::new(grant, now, jitter);
    match held.ttl.duration() {
        None => Phase::wait(held, None, Then::Login),
        Some(_) if held.renewable && !grant.fresh => (Phase::Renewing { held }, Action::Renew),
        Some(ttl) => {
            let then = if held.renewable { Then::Renew } else { Then::Login };
            Phase::wait(held, Some(now + held.rhythm.pause(ttl)), then)
        }
    }
}

fn renewed(held: Held, grant: Grant, now: Instant) -> (Phase, Action) {
    let held = Held { granted_at: now, ttl: grant.ttl, failures: 0, ..held };
    let Some(remaining) = held.ttl.duration() else { return Phase::wait(held, None, Then::Login) };
    // The maximum TTL is near: the next renewal would come too late, so the new token is fetched now, while
    // the old one still serves.
    if !held.rhythm.worth_renewing(remaining) {
        return Phase::login(0, Duration::ZERO);
    }
    Phase::wait(held, Some(now + held.rhythm.pause(remaining)), Then::Renew)
}

fn renew_failed(held: Held, failure: RenewFailure, now: Instant, jitter: f64) -> (Phase, Action) {
    let expires_at = held.expires_at();
    let remaining = expires_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
    match failure {
        RenewFailure::Gone => Phase::login(0, Duration::ZERO),
        RenewFailure::Denied => {
            let held = Held { renewable: false, ..held };
            Phase::wait(held, expires_at.map(|_| now + held.rhythm.pause(remaining)), Then::Login)
        }
        RenewFailure::Unavailable => {
            let ttl = held.ttl.duration().unwrap_or_default();
            // Near the end it is time for the other way to a token.
            let Some(pause) = Rhythm::pause_after_failure(held.failures, ttl, remaining, jitter) else {
                return Phase::login(0, Duration::ZERO);
            };
            let held = Held { failures: held.failures + 1, ..held };
            Phase::wait(held, Some(now + pause), Then::Renew)
        }
    }
}

/// Doubles up to the maximum, less up to a quarter, the first wait included: a fleet that fails together
/// does not come back together.
fn next_wait(last: Duration, backoff: Backoff, jitter: f64) -> Duration {
    let full = if last.is_zero() { backoff.min } else { last * 2 };
    full.min(backoff.max).mul_f64(1.0 - 0.25 * jitter)
}

#[cfg(test)]
mod tests;
