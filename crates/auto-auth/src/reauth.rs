//! "Somebody saw our token refused": one arrow back up from the proxy, templates and sinks, and the answer to it.
//!
//! Any number of refused requests lead to one check, at most once a second. Those who wait learn whether a new token
//! comes; for a second an answer serves those who come later, so that denied requests of a live token cost the
//! server nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// A token that was found alive is believed to be so for this long.
const VERDICT_LIFE: Duration = Duration::from_secs(1);

/// A refused request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused {
    /// Of the token it travelled with ([`vault::TokenState`]).
    pub generation: u64,
    /// The server's words are those it has for a dead token. They are a hint alone: one who is denied by a policy
    /// need not wait for a fresh check.
    pub looks_dead: bool,
}

/// Handed to whoever uses the token.
#[derive(Clone, Debug)]
pub struct Reauth(Arc<Shared>);

/// The receiving end, kept by the driver.
#[derive(Debug)]
pub struct ReauthRequests(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The newest token that was refused since its last check, by its generation; 0 is none.
    refused: Mutex<u64>,
    asked: Notify,
    latest: watch::Sender<(u64, Verdict)>,
}

/// What is known of the token of a generation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing.
    Unknown,
    /// It was alive when it was checked at this time.
    Alive(Instant),
    /// The server could not tell at this time.
    Untold(Instant),
    /// It is dead, and a login is under way.
    Dead,
    /// It is of no use, and the last login failed.
    Lost,
}

impl Shared {
    fn refused(&self) -> MutexGuard<'_, u64> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, generation: u64) {
        let mut refused = self.refused();
        *refused = generation.max(*refused);
        drop(refused);
        self.asked.notify_one();
    }
}

impl Reauth {
    /// Both ends.
    pub fn new() -> (Self, ReauthRequests) {
        let latest = watch::Sender::new((0, Verdict::Unknown));
        let shared = Arc::new(Shared { refused: Mutex::new(0), asked: Notify::new(), latest });
        (Self(Arc::clone(&shared)), ReauthRequests(shared))
    }

    /// Asks for a check whether the token of this generation ([`vault::TokenState`]) is still alive. Returns
    /// at once; late news of a token that was replaced meanwhile does nothing.
    pub fn ask(&self, generation: u64) {
        self.0.ask(generation);
    }

    /// The same for who wants to know what comes of it: true when there is a newer token, false when the old one lives
    /// or no login succeeds. The check is asked for at once; the future only waits, without end while the server does not answer.
    pub fn replacement_comes(&self, refused: Refused) -> impl Future<Output = bool> + Send + use<> {
        let Refused { generation, looks_dead } = refused;
        let mut latest = self.0.latest.subscribe();
        let asked_at = Instant::now();
        // One who looks dead wants a check that began after the refusal.
        let since = if looks_dead { Some(asked_at) } else { asked_at.checked_sub(VERDICT_LIFE) };
        let settled = move |latest: &(u64, Verdict)| match *latest {
            (checked, _) if checked > generation => Some(true),
            (checked, _) if checked < generation => None,
            // A login is under way: it ends with the next generation, or the token is lost.
            (_, Verdict::Unknown | Verdict::Dead) => None,
            (_, Verdict::Alive(at) | Verdict::Untold(at)) => {
                since.is_none_or(|since| at >= since).then_some(false)
            }
            (_, Verdict::Lost) => Some(false),
        };
        let known = settled(&latest.borrow_and_update());
        if known.is_none() {
            self.ask(generation);
        }
        async move {
            if let Some(known) = known {
                return known;
            }
            let found = latest.wait_for(|latest| settled(latest).is_some()).await;
            found.ok().and_then(|latest| settled(&latest)).unwrap_or(false)
        }
    }
}

/// A check that is owed. Dropped without [`Check::found`] it is owed still.
pub(crate) struct Check<'a> {
    requests: &'a ReauthRequests,
    generation: u64,
    done: bool,
}

impl ReauthRequests {
    /// Waits until the token of `generation` was refused somewhere: one check for all who asked so far.
    pub(crate) async fn asked(&self, generation: u64) -> Check<'_> {
        loop {
            {
                let mut refused = self.0.refused();
                if *refused == generation {
                    *refused = 0;
                    return Check { requests: self, generation, done: false };
                }
            }
            self.0.asked.notified().await;
        }
    }

    /// Tells those who wait what is known of the token of `generation`.
    pub(crate) fn found(&self, generation: u64, verdict: Verdict) {
        self.0.latest.send_replace((generation, verdict));
    }
}

impl Check<'_> {
    /// Tells those who wait.
    pub(crate) fn found(mut self, verdict: Verdict) {
        self.done = true;
        self.requests.found(self.generation, verdict);
    }
}

impl Drop for Check<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.requests.0.ask(self.generation);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::{advance, sleep};

    use super::*;

    fn refused(generation: u64, looks_dead: bool) -> Refused {
        Refused { generation, looks_dead }
    }

    #[tokio::test(start_paused = true)]
    async fn a_verdict_serves_for_a_second_and_a_doubtful_case_wants_a_fresh_one() {
        let (reauth, requests) = Reauth::new();
        let waiting = reauth.replacement_comes(refused(1, true));
        requests.asked(1).await.found(Verdict::Alive(Instant::now()));
        assert_eq!(waiting.now_or_never(), Some(false));
        // A plain denial is settled by what is known.
        assert_eq!(reauth.replacement_comes(refused(1, false)).now_or_never(), Some(false));
        assert!(requests.asked(1).now_or_never().is_none(), "a check was asked for");
        advance(Duration::from_millis(1)).await;
        // Words of a dead token are not.
        let doubtful = reauth.replacement_comes(refused(1, true));
        requests.asked(1).await.found(Verdict::Dead);
        requests.found(2, Verdict::Unknown);
        assert_eq!(doubtful.now_or_never(), Some(true));
        // And after a second nobody's is.
        requests.found(1, Verdict::Alive(Instant::now()));
        sleep(Duration::from_millis(1001)).await;
        assert_eq!(reauth.replacement_comes(refused(1, false)).now_or_never(), None);
        assert!(requests.asked(1).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_was_not_finished_is_owed_still() {
        let (reauth, requests) = Reauth::new();
        reauth.ask(3);
        drop(requests.asked(3).await);
        assert!(requests.asked(3).now_or_never().is_some());
        assert!(requests.asked(4).now_or_never().is_none(), "late news of an old token");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_login_that_failed() {
        let (reauth, requests) = Reauth::new();
        let waiting = reauth.replacement_comes(refused(1, true));
        requests.found(1, Verdict::Dead);
        let late = reauth.replacement_comes(refused(1, true));
        requests.found(1, Verdict::Lost);
        assert!(!waiting.await && !late.await);
        assert_eq!(reauth.replacement_comes(refused(1, true)).now_or_never(), Some(false));
        requests.found(2, Verdict::Alive(Instant::now()));
        assert_eq!(reauth.replacement_comes(refused(1, true)).now_or_never(), Some(true));
    }
}
