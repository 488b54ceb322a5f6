//! A token's life as a pure state machine: no clock, no await, no log.
//!
//! Upstream's timing is kept where users can see it: renewal at 0.70 to 0.73 of the TTL, a new login when a renewal
//! no longer extends enough. It differs where upstream hurts: no renewal right after a login; a failed renewal or
//! login never throws away a token that still lives; a use-limited token is never spent on renewals; a duration of
//! zero means "never".
//!
//! The waits after failures are made for fleets; docs/fleet.md says what they do. While the old token lives there is
//! no hurry, so the next try is anywhere in what is left of it ([`patient_wait`]). Without a token the waits grow
//! with the outage ([`urgent_wait`]).

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

/// Shortest time between two logins, whatever happens to the tokens (reliability N7).
const LOGIN_INTERVAL: Duration = Duration::from_secs(1);

/// While the old token lives, a failure is tried again within this time, or within twice the outage so far.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Servers count whole seconds and round up what the maximum TTL leaves: with 1.1 s left they say 2.
const ROUNDING: Duration = Duration::from_secs(1);

/// Stands for the rest of a life that has no end.
const ENDLESS: Duration = Duration::from_secs(365 * 24 * 3600);

/// A token that lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Held {
    /// When it came.
    issued_at: Instant,
    /// When it dies; `None` when it does not.
    expires_at: Option<Instant>,
    ttl: Ttl,
    /// What the login granted.
    whole: Ttl,
    /// A renewal would make it live longer.
    renewable: bool,
    /// Drawn once.
    rhythm: Rhythm,
}

impl Held {
    fn new(grant: Grant, now: Instant, jitter: f64) -> Self {
        let rhythm = Rhythm::new(grant.ttl.duration().unwrap_or_default(), jitter);
        // Every renewal costs a use, and the consumer needs them all.
        let renewable = grant.renewable && grant.num_uses == 0;
        let expires_at = grant.ttl.duration().map(|ttl| now + ttl);
        Self { issued_at: now, expires_at, ttl: grant.ttl, whole: grant.ttl, renewable, rhythm }
    }

    /// The same after a renewal.
    fn renewed(self, ttl: Ttl, now: Instant) -> Self {
        let expires_at = ttl.duration().map(|ttl| now + surely(ttl));
        Self { expires_at, ttl, ..self }
    }

    fn left(&self, now: Instant) -> Duration {
        self.expires_at.map_or(ENDLESS, |at| at.saturating_duration_since(now))
    }

    fn lives(&self, now: Instant) -> bool {
        !self.left(now).is_zero()
    }

    /// A tenth of its life: what a renewal must leave for a login (reliability R-C).
    fn reserve(&self) -> Duration {
        self.ttl.duration().unwrap_or_default() / 10
    }
}

/// How long a renewed token lives for sure. Where a second is more than the tenth that a renewal leaves for a login,
/// the server's rounding counts; a token of a second is taken to live for half of it.
fn surely(ttl: Duration) -> Duration {
    if ttl / 10 >= ROUNDING { ttl } else { ttl.saturating_sub(ROUNDING).max(ttl.min(ROUNDING) / 2) }
}

/// Where the token is in its life. `since` is when the first of the failures happened that have not ended yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    /// A login is under way; the old token may still live.
    LoggingIn { old: Option<Held>, since: Option<Instant> },
    /// Nothing to do until `wake_at`; for ever without it.
    Live { held: Held, wake_at: Option<Instant>, then: Then, since: Option<Instant> },
    /// A renewal is under way.
    Renewing { held: Held, since: Option<Instant> },
    /// Waiting to log in again, without a token.
    BackingOff { until: Instant, since: Instant },
    /// The first failed login ended it (`exit_on_err`).
    GivenUp,
}

/// What to do when a live token's time comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Then {
    Renew,
    Login,
}

/// What happened. `retry_after` is the server's wish, if it had one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    LoggedIn(Grant),
    /// `refused`: the server, or what gives the credentials, is there and says no.
    LoginFailed {
        retry_after: Option<Duration>,
        refused: bool,
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
    Unavailable { retry_after: Option<Duration> },
    /// The token lives but may not renew itself: as if it were not renewable.
    Denied,
    /// The server no longer knows it.
    Gone,
}

impl RenewFailure {
    /// One word for it, for status.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "renewal_unanswered",
            Self::Denied => "renewal_denied",
            Self::Gone => "token_gone",
        }
    }
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
        Self::login(None, None)
    }

    /// There is a token that lives as far as we know.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Self::Live { .. })
    }

    /// When the token that is held ends; the inner `None` for one that does not, the outer without one.
    pub(crate) fn expiry(&self) -> Option<Option<Instant>> {
        match self {
            Self::Live { held, .. }
            | Self::Renewing { held, .. }
            | Self::LoggingIn { old: Some(held), .. } => Some(held.expires_at),
            _ => None,
        }
    }

    /// Logins fail, so that new credentials are what is waited for.
    pub(crate) fn awaits_credentials(&self) -> bool {
        matches!(self, Self::BackingOff { .. } | Self::Live { since: Some(_), .. })
    }

    fn login(old: Option<Held>, since: Option<Instant>) -> (Self, Action) {
        (Self::LoggingIn { old, since }, Action::Login)
    }

    fn wait(held: Held, wake_at: Option<Instant>, then: Then) -> (Self, Action) {
        (Self::Live { held, wake_at, then, since: None }, Action::Wait(wake_at))
    }

    fn back_off(until: Instant, since: Instant) -> (Self, Action) {
        (Self::BackingOff { until, since }, Action::Wait(Some(until)))
    }

    /// What this phase was waiting for, once more.
    fn action(&self) -> Action {
        match self {
            Self::LoggingIn { .. } => Action::Login,
            Self::Renewing { .. } => Action::Renew,
            Self::Live { wake_at, .. } => Action::Wait(*wake_at),
            Self::BackingOff { until, .. } => Action::Wait(Some(*until)),
            Self::GivenUp => Action::GiveUp,
        }
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
        (Phase::LoggingIn { old, since }, Event::LoginFailed { retry_after, refused }) => {
            let failure = Failure { since: since.unwrap_or(now), retry_after, now, jitter, backoff };
            login_failed(old, refused, failure)
        }
        (Phase::BackingOff { since, .. }, Event::Timer | Event::NewCredentials) => {
            Phase::login(None, Some(since))
        }
        (Phase::Live { held, then: Then::Renew, since, .. }, Event::Timer) => {
            (Phase::Renewing { held, since }, Action::Renew)
        }
        (Phase::Live { held, since, .. }, Event::Timer | Event::NewCredentials) => {
            Phase::login(Some(held), since)
        }
        (Phase::Live { held, since, .. }, Event::TokenDead) => dead(held, since, now),
        (Phase::Renewing { held, .. }, Event::Renewed(grant)) => renewed(held, grant, now),
        (Phase::Renewing { held, since }, Event::RenewFailed(failure)) => match failure {
            RenewFailure::Gone => dead(held, since, now),
            RenewFailure::Denied => {
                let held = Held { renewable: false, ..held };
                let wake_at = held.expires_at.map(|_| now + held.rhythm.pause(held.left(now)));
                Phase::wait(held, wake_at, Then::Login)
            }
            RenewFailure::Unavailable { retry_after } => {
                let failure = Failure { since: since.unwrap_or(now), retry_after, now, jitter, backoff };
                renewal_failed(held, failure)
            }
        },
        (phase, _) => (phase, phase.action()),
    }
}

fn logged_in(grant: Grant, now: Instant, jitter: f64) -> (Phase, Action) {
    let held = Held::new(grant, now, jitter);
    match held.ttl.duration() {
        None => Phase::wait(held, None, Then::Login),
        Some(_) if held.renewable && !grant.fresh => (Phase::Renewing { held, since: None }, Action::Renew),
        Some(ttl) => {
            let then = if held.renewable { Then::Renew } else { Then::Login };
            Phase::wait(held, Some(now + held.rhythm.pause(ttl)), then)
        }
    }
}

fn renewed(held: Held, grant: Grant, now: Instant) -> (Phase, Action) {
    let held = held.renewed(grant.ttl, now);
    if held.expires_at.is_none() {
        return Phase::wait(held, None, Then::Login);
    }
    let remaining = held.left(now);
    // The maximum TTL is near: the next renewal would come too late, so the new token is fetched now, while
    // the old one still serves. It is not near when the whole TTL was granted again, however little of a short one
    // is sure.
    if held.ttl.duration() < held.whole.duration() && !held.rhythm.worth_renewing(remaining) {
        return Phase::login(Some(Held { renewable: false, ..held }), None);
    }
    Phase::wait(held, Some(now + held.rhythm.pause(remaining)), Then::Renew)
}

/// The server no longer knows the token: a login at once, unless the token was made just now. A server whose tokens
/// do not last must not be asked for them as fast as it can make them.
fn dead(held: Held, since: Option<Instant>, now: Instant) -> (Phase, Action) {
    let earliest = held.issued_at + LOGIN_INTERVAL;
    if now < earliest { Phase::back_off(earliest, since.unwrap_or(now)) } else { Phase::login(None, since) }
}

// === After failures ===

/// What a failed try leaves to decide on.
struct Failure {
    since: Instant,
    retry_after: Option<Duration>,
    now: Instant,
    jitter: f64,
    backoff: Backoff,
}

impl Failure {
    fn outage(&self) -> Duration {
        self.now.saturating_duration_since(self.since)
    }

    fn wish(&self) -> Duration {
        self.retry_after.unwrap_or_default().min(self.backoff.max)
    }

    /// The server's wish comes first, and the wait behind it: a fleet told the same second must not come in it.
    fn until(&self, wait: Duration) -> Instant {
        self.now + self.wish() + wait
    }

    /// The same while the token lives `left` more. A wish for longer than that is heard as far as the token can wait.
    fn patiently_until(&self, left: Duration) -> Instant {
        let wish = self.wish().min(left * 9 / 10);
        let wait = patient_wait(left.saturating_sub(wish), self.backoff.min, self.outage(), self.jitter);
        self.now + wish + wait
    }
}

fn login_failed(old: Option<Held>, refused: bool, failure: Failure) -> (Phase, Action) {
    let Some(held) = old.filter(|held| held.lives(failure.now)) else {
        let wait = urgent_wait(failure.outage(), failure.jitter, failure.backoff);
        return Phase::back_off(failure.until(wait), failure.since);
    };
    let left = held.left(failure.now);
    // Who is refused, with a new password perhaps that the server is told a moment later, is no fleet after an outage.
    let until = if refused {
        failure.until(urgent_wait(failure.outage(), failure.jitter, failure.backoff))
    } else {
        failure.patiently_until(left)
    };
    // A token that a renewal could save is not lost because there is no other to be had.
    let old_enough = held.left(until) <= held.ttl.duration().unwrap_or_default() / 2;
    let then = if held.renewable && (!refused || old_enough) { Then::Renew } else { Then::Login };
    let wake_at = Some(until);
    (Phase::Live { held, wake_at, then, since: Some(failure.since) }, Action::Wait(wake_at))
}

fn renewal_failed(held: Held, failure: Failure) -> (Phase, Action) {
    let left = held.left(failure.now);
    // Near the end it is time for the other way to a token.
    if left <= held.reserve() {
        return Phase::login(Some(held), Some(failure.since));
    }
    let wake_at = Some(failure.patiently_until(left));
    (Phase::Live { held, wake_at, then: Then::Renew, since: Some(failure.since) }, Action::Wait(wake_at))
}

/// How long to wait while the token lives `left` more: anywhere in nine tenths of that, but not much longer than
/// [`PATIENCE`] or twice the outage so far. What failed together is then spread over longer than it failed, so that
/// it adds less to the usual rate than that rate itself; and the closer the end, the more often it is tried.
fn patient_wait(left: Duration, shortest: Duration, outage: Duration, jitter: f64) -> Duration {
    let longest = (left * 9 / 10).min(PATIENCE.max(outage * 2));
    let shortest = shortest.max(longest / 8).max(LOGIN_INTERVAL).min(left);
    shortest + longest.saturating_sub(shortest).mul_f64(jitter)
}

/// How long to wait without a token: a sixth to a third of the outage so far, never less than `min_backoff` nor more
/// than `max_backoff`. A fleet of n agents then logs in about 5 n / outage times in a second, where full jitter up to
/// a quarter (reliability R-F) comes to 8: its waits are half as long on average and as long at most. Everybody is
/// back a third of the outage after its end at the latest.
fn urgent_wait(outage: Duration, jitter: f64, backoff: Backoff) -> Duration {
    let longest = (outage / 3).max(backoff.min * 2).min(backoff.max);
    let shortest = (longest / 2).max(backoff.min).min(longest);
    shortest + (longest - shortest).mul_f64(jitter)
}

// With their paths, because `examples/fleet.rs` takes this file from elsewhere.
#[cfg(test)]
#[path = "lifecycle/fleet.rs"]
mod fleet;
#[cfg(test)]
#[path = "lifecycle/tests.rs"]
mod tests;
