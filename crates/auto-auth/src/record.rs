//! What became of logins and renewals, counted: plain numbers for whoever reports them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::LoginError;
use crate::lifecycle::{Event, Phase};

/// The record of one `auto_auth`.
#[derive(Debug, Default)]
pub struct Record {
    /// Logins that succeeded.
    pub logins: AtomicU64,
    /// Logins that failed.
    pub login_failures: AtomicU64,
    /// Renewals of the token.
    pub renewals: AtomicU64,
    /// Renewals that failed.
    pub renewal_failures: AtomicU64,
    last_login: AtomicU64,
    failing: AtomicBool,
    now: Mutex<Now>,
}

/// What is known of the token now.
#[derive(Clone, Copy, Debug, Default)]
struct Now {
    life: Life,
    last_error: Option<&'static str>,
}

/// Whether there is a token, and for how long.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Life {
    /// There is none, or the server does not know it any more.
    #[default]
    None,
    /// It has no end.
    Endless,
    /// It ends at this time since 1970.
    Until(Duration),
}

impl Life {
    /// Whether a token lives now.
    pub fn is_live(self) -> bool {
        match self {
            Self::None => false,
            Self::Endless => true,
            Self::Until(end) => end > unix_now(),
        }
    }
}

impl Record {
    /// Notes what happened and what came of it. `now` is the state machine's.
    pub(crate) fn note(&self, event: Event, failure: Option<&LoginError>, phase: &Phase, now: Instant) {
        let count = |counter: &AtomicU64| {
            counter.fetch_add(1, Relaxed);
        };
        let mut last_error = None;
        match event {
            Event::LoggedIn(_) => {
                count(&self.logins);
                self.last_login.store(unix_now().as_secs(), Relaxed);
            }
            Event::LoginFailed { .. } => {
                count(&self.login_failures);
                last_error = failure.map(LoginError::kind);
            }
            Event::Renewed(_) => count(&self.renewals),
            Event::RenewFailed(failure) => {
                count(&self.renewal_failures);
                last_error = Some(failure.kind());
            }
            Event::TokenDead => last_error = Some("token_gone"),
            Event::Timer | Event::NewCredentials => {}
        }
        match event {
            Event::LoggedIn(_) | Event::Renewed(_) => self.failing.store(false, Relaxed),
            _ if last_error.is_some() => self.failing.store(true, Relaxed),
            _ => {}
        }
        let mut known = self.now();
        known.last_error = last_error.or(known.last_error);
        known.life = match phase.expiry() {
            None => Life::None,
            Some(None) => Life::Endless,
            Some(Some(at)) => Life::Until(unix_now() + at.saturating_duration_since(now)),
        };
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The token's life.
    pub fn life(&self) -> Life {
        self.now().life
    }

    /// When the last login succeeded, in seconds since 1970; `None` for never.
    pub fn last_login(&self) -> Option<u64> {
        Some(self.last_login.load(Relaxed)).filter(|at| *at > 0)
    }

    /// One word for the last failure, whenever it was.
    pub fn last_error(&self) -> Option<&'static str> {
        self.now().last_error
    }

    /// Whether the last login or renewal failed.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Relaxed)
    }
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
