//! The state of one template and of one dependency: pure, time passed in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use config::Template;
use tokio::time::Instant;
use vault::Rhythm;

use super::standing::{Failing, Standing};
use crate::dependency::Dependency;
use crate::evaluate::Parsed;
use crate::refresh::{Refresh, Renewable};
use crate::writes::FileWrite;

/// First pause after a template's own failure (an error in it, a file that cannot be written).
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A template and how it stands.
pub(super) struct Output {
    pub(super) settings: Arc<Template>,
    /// None when its text cannot be parsed.
    pub(super) parsed: Option<Arc<Parsed>>,
    /// What it asked for when it was evaluated last.
    pub(super) needed: BTreeSet<Dependency>,
    /// When it was evaluated apart, counted with all others; 0 for never.
    pub(super) turn: u64,
    /// When to try again after a failure.
    pub(super) retry_at: Option<Instant>,
    /// What `writeToFile` has appended already; with the evaluation while there is one.
    appended: Vec<FileWrite>,
    pub(super) standing: Arc<Standing>,
    failures: u32,
    news: bool,
    under_way: bool,
    rendered: bool,
}

impl Output {
    pub(super) fn new(settings: Template, parsed: Option<Arc<Parsed>>) -> Self {
        let standing = Arc::new(Standing::new(settings.destination.clone()));
        if parsed.is_none() {
            standing.failed(Failing::Unusable);
        }
        Self {
            settings: Arc::new(settings),
            standing,
            parsed,
            needed: BTreeSet::new(),
            turn: 0,
            retry_at: None,
            appended: Vec::new(),
            failures: 0,
            news: true,
            under_way: false,
            rendered: false,
        }
    }

    /// Whether an evaluation now may say something new.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.under_way && (self.news || self.retry_at.is_some_and(|at| at <= now))
    }

    /// It is being evaluated. What changes meanwhile is news again. Gives what it has appended to files already.
    pub(super) fn started(&mut self) -> Vec<FileWrite> {
        self.under_way = true;
        self.news = false;
        self.retry_at = None;
        std::mem::take(&mut self.appended)
    }

    /// Something it asked for has changed.
    pub(super) fn has_news(&mut self) {
        self.news = true;
    }

    pub(super) fn evaluated(&mut self, needed: BTreeSet<Dependency>, appended: Vec<FileWrite>) {
        self.needed = needed;
        self.appended = appended;
        self.under_way = false;
    }

    /// It is to be evaluated once more, from its start.
    pub(super) fn postponed(&mut self, appended: Vec<FileWrite>) {
        self.appended = appended;
        self.under_way = false;
        self.news = true;
    }

    pub(super) fn rendered(&mut self) {
        self.failures = 0;
        self.rendered = true;
        self.standing.rendered();
    }

    /// Notes a failure; gives the pause until the next try.
    pub(super) fn failed(&mut self, why: Failing, now: Instant, longest: Duration) -> Duration {
        self.standing.failed(why);
        let pause = (FIRST_PAUSE * 2u32.pow(self.failures.min(16))).min(longest.max(FIRST_PAUSE));
        self.failures += 1;
        self.retry_at = Some(now + pause);
        pause
    }

    /// Whether its file was written or found right once.
    pub(super) fn is_rendered(&self) -> bool {
        self.rendered
    }
}

/// First and longest pause after failed fetches.
#[derive(Clone, Copy)]
pub(super) struct Backoff(pub(super) (Duration, Duration));

impl Backoff {
    fn pause(self, failures: u32, jitter: f64) -> Duration {
        let Self((first, longest)) = self;
        let full = first.saturating_mul(1 << failures.min(20)).min(longest);
        full.mul_f64(0.75 + 0.25 * jitter)
    }
}

/// What a renewal led to.
pub(super) enum Renewal {
    /// It lives this long from now.
    Extended(Duration),
    /// It cannot be extended any more.
    Ended,
    /// The server could not be asked.
    Unanswered,
}

/// What a dependency waits for.
enum Next {
    /// To be fetched at this time.
    Fetch(Instant),
    /// To be renewed at this time.
    Renew { at: Instant, lease: Lease },
    /// An answer.
    Answer(Option<Lease>),
}

#[derive(Clone)]
struct Lease {
    what: Renewable,
    rhythm: Rhythm,
    ttl: Duration,
    granted_at: Instant,
    failures: u32,
}

/// A dependency and how it stands.
pub(super) struct Dependent {
    /// The templates that ask for it, by number.
    pub(super) users: Vec<usize>,
    next: Next,
    failures: u32,
    leased: bool,
    /// A new token came while a renewal with the old one was under way.
    again: bool,
}

impl Dependent {
    pub(super) fn new(now: Instant) -> Self {
        Self { users: Vec::new(), next: Next::Fetch(now), failures: 0, leased: false, again: false }
    }

    /// Whether the last fetch failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        match &self.next {
            Next::Fetch(at) | Next::Renew { at, .. } => Some(*at),
            Next::Answer(_) => None,
        }
    }

    /// If its time has come: `Some(None)` to fetch it, `Some(Some(lease))` to renew it. It waits for the answer
    /// from then on.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Option<Renewable>> {
        let lease = match &self.next {
            Next::Fetch(at) if *at <= now => None,
            Next::Renew { at, lease } if *at <= now => Some(lease.clone()),
            _ => return None,
        };
        let what = lease.as_ref().map(|lease| lease.what.clone());
        self.next = Next::Answer(lease);
        Some(what)
    }

    /// It was fetched, with the token of now (`current`) or an older one, and is good until `refresh` says.
    pub(super) fn fetched(&mut self, refresh: Refresh, now: Instant, current: bool) {
        self.failures = 0;
        self.leased = matches!(refresh, Refresh::Renew { .. });
        self.next = match refresh {
            // A lease of the old token dies with it.
            Refresh::Renew { .. } if !current => Next::Fetch(now),
            Refresh::ReadAfter(wait) => Next::Fetch(now + wait),
            Refresh::Renew { what, ttl, rhythm } => {
                let lease = Lease { what, rhythm, ttl, granted_at: now, failures: 0 };
                Next::Renew { at: now + rhythm.pause(ttl), lease }
            }
        };
    }

    /// The fetch failed; gives the pause and the number of failures in a row.
    pub(super) fn failed(&mut self, now: Instant, backoff: Backoff, jitter: f64) -> (Duration, u32) {
        let pause = backoff.pause(self.failures, jitter);
        self.failures += 1;
        self.next = Next::Fetch(now + pause);
        (pause, self.failures)
    }

    /// A renewal was answered, or not. When it cannot be extended it is fetched anew, at once: the old value
    /// serves until then.
    pub(super) fn renewed(&mut self, renewal: Renewal, now: Instant, jitter: f64) {
        let Next::Answer(Some(lease)) = &mut self.next else { return };
        let mut lease = lease.clone();
        if std::mem::take(&mut self.again) {
            self.next = Next::Fetch(now);
            return;
        }
        self.next = match renewal {
            Renewal::Extended(ttl) if lease.rhythm.worth_renewing(ttl) => {
                (lease.ttl, lease.granted_at, lease.failures) = (ttl, now, 0);
                Next::Renew { at: now + lease.rhythm.pause(ttl), lease }
            }
            Renewal::Extended(_) | Renewal::Ended => Next::Fetch(now),
            Renewal::Unanswered => {
                let remaining = (lease.granted_at + lease.ttl).saturating_duration_since(now);
                match Rhythm::pause_after_failure(lease.failures, lease.ttl, remaining, jitter) {
                    Some(pause) => {
                        lease.failures += 1;
                        Next::Renew { at: now + pause, lease }
                    }
                    None => Next::Fetch(now),
                }
            }
        };
    }

    /// Somebody waits for other content: look again at `at`, if that is sooner. A lease is left alone.
    pub(super) fn hurry(&mut self, at: Instant) {
        if let Next::Fetch(due) = &mut self.next {
            *due = at.min(*due);
        }
    }

    /// A lease of the old token is replaced; what failed with it is tried again.
    pub(super) fn new_token(&mut self, now: Instant) {
        match &self.next {
            Next::Answer(_) if self.leased => self.again = true,
            Next::Answer(_) => {}
            _ if self.leased || self.failures > 0 => self.next = Next::Fetch(now),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use vault::LeaseId;

    use super::*;

    fn lease(ttl: u64) -> Refresh {
        let ttl = Duration::from_secs(ttl);
        let what = Renewable::Lease(LeaseId::new("a/1").unwrap());
        Refresh::Renew { what, ttl, rhythm: Rhythm::new(ttl, 0.5) }
    }

    #[test]
    fn a_lease_is_renewed_then_replaced_and_never_in_a_loop() {
        let start = Instant::now();
        let mut dependent = Dependent::new(start);
        assert_eq!(dependent.take_due(start), Some(None));
        assert_eq!(dependent.take_due(start), None, "asked twice");
        dependent.fetched(lease(100), start, true);
        let at = dependent.due_at().unwrap();
        assert!(at > start + Duration::from_secs(70));
        assert!(dependent.take_due(at).unwrap().is_some());
        dependent.renewed(Renewal::Extended(Duration::from_secs(100)), at, 0.5);
        let later = dependent.due_at().unwrap();
        assert!(later > at + Duration::from_secs(70));
        dependent.take_due(later);
        dependent.renewed(Renewal::Ended, later, 0.5);
        assert_eq!(dependent.take_due(later), Some(None));
    }

    #[test]
    fn an_unanswered_renewal_is_tried_again_while_the_lease_lives() {
        let start = Instant::now();
        let mut dependent = Dependent::new(start);
        dependent.take_due(start);
        dependent.fetched(lease(100), start, true);
        let mut renewals = 0;
        loop {
            let at = dependent.due_at().unwrap();
            match dependent.take_due(at) {
                Some(Some(_)) => renewals += 1,
                _ => {
                    assert!(at >= start + Duration::from_secs(75) && at < start + Duration::from_secs(100));
                    break;
                }
            }
            dependent.renewed(Renewal::Unanswered, at, 0.5);
        }
        assert!((2..8).contains(&renewals), "{renewals}");
    }

    #[test]
    fn a_new_token_replaces_leases_and_leaves_the_rest() {
        let start = Instant::now();
        let mut leased = Dependent::new(start);
        leased.take_due(start);
        leased.fetched(lease(100), start, true);
        let mut still = Dependent::new(start);
        still.take_due(start);
        still.fetched(Refresh::ReadAfter(Duration::from_secs(300)), start, true);
        for dependent in [&mut leased, &mut still] {
            dependent.new_token(start);
        }
        assert_eq!(leased.due_at(), Some(start));
        // Asked for with the old token, answered when the new one is there.
        let mut late = Dependent::new(start);
        late.take_due(start);
        late.fetched(lease(100), start, false);
        assert_eq!(late.due_at(), Some(start));
        assert_eq!(still.due_at(), Some(start + Duration::from_secs(300)));
    }
}
