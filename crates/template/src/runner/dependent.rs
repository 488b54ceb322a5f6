//! The state of one secret that templates ask for: pure, time passed in.

use std::time::Duration;

use tokio::time::Instant;
use vault::Rhythm;

use super::backoff::{Backoff, FailureClass};
use crate::refresh::{Refresh, Renewable};

/// What a renewal led to.
pub(super) enum Renewal {
    /// It lives this long from now.
    Extended(Duration),
    /// It cannot be extended any more.
    Ended,
    /// The server could not be asked.
    Unanswered,
}

/// What became of a token that was replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum OldToken {
    /// It is dead, or nobody knows. What it leased is dead, too.
    Gone,
    /// It lives this long from now, and so does what it leased.
    Lives(Duration),
    /// It has no end.
    Endless,
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

/// Of the rest of an old token's life, what its leases are used for: nine tenths, less up to one by jitter, so that
/// they are not all replaced at one moment.
const OF_THE_REST: (f64, f64) = (0.8, 0.1);

/// A dependency and how it stands.
pub(super) struct Dependent {
    /// The templates that ask for it, by number.
    pub(super) users: Vec<usize>,
    next: Next,
    failures: u32,
    /// The token whose end is its end, by its generation: it has a lease, or is a token.
    bound_to: Option<u64>,
    /// When that token's end comes too near.
    replace_at: Option<Instant>,
}

impl Dependent {
    pub(super) fn new(now: Instant) -> Self {
        Self { users: Vec::new(), next: Next::Fetch(now), failures: 0, bound_to: None, replace_at: None }
    }

    /// Whether the last fetch failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        match &self.next {
            Next::Fetch(at) if self.failures > 0 => Some(*at),
            Next::Fetch(at) | Next::Renew { at, .. } => Some(self.replace_at.map_or(*at, |end| end.min(*at))),
            Next::Answer(_) => None,
        }
    }

    /// If its time has come: `Some(None)` to fetch it, `Some(Some(lease))` to renew it. It waits for the answer
    /// from then on.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Option<Renewable>> {
        let ends = self.replace_at.is_some_and(|end| end <= now);
        let lease = match &self.next {
            Next::Answer(_) => return None,
            // A failed fetch keeps its pauses.
            Next::Fetch(at) if *at > now && !(ends && self.failures == 0) => return None,
            Next::Renew { at, .. } if *at > now && !ends => return None,
            Next::Renew { lease, .. } if !ends => Some(lease.clone()),
            Next::Fetch(_) | Next::Renew { .. } => None,
        };
        let what = lease.as_ref().map(|lease| lease.what.clone());
        self.next = Next::Answer(lease);
        Some(what)
    }

    /// It was fetched and is good until `refresh` says. `bound_to` is the token whose end is its end, if there is one;
    /// `current` is whether that token, or none, is in use still.
    pub(super) fn fetched(&mut self, refresh: Refresh, bound_to: Option<u64>, now: Instant, current: bool) {
        (self.failures, self.bound_to, self.replace_at) = (0, bound_to, None);
        self.next = match refresh {
            // Asked for with the old token, answered when there was a new one: nobody asks how long the old one lives.
            _ if bound_to.is_some() && !current => Next::Fetch(now),
            Refresh::ReadAfter(wait) => Next::Fetch(now + wait),
            Refresh::Renew { what, ttl, rhythm } => {
                let lease = Lease { what, rhythm, ttl, granted_at: now, failures: 0 };
                Next::Renew { at: now + rhythm.pause(ttl), lease }
            }
        };
    }

    /// The fetch failed; gives the pause and the number of failures in a row. The server may have asked for a pause
    /// of `at_least`.
    pub(super) fn failed(
        &mut self,
        class: FailureClass,
        at_least: Duration,
        now: Instant,
        backoff: Backoff,
        jitter: f64,
    ) -> (Duration, u32) {
        let pause = backoff.pause(class, self.failures, jitter).max(at_least);
        self.failures = self.failures.saturating_add(1);
        self.next = Next::Fetch(now + pause);
        (pause, self.failures)
    }

    /// A renewal was answered, or not. When it cannot be extended it is fetched anew, at once: the old value
    /// serves until then.
    pub(super) fn renewed(&mut self, renewal: Renewal, now: Instant, jitter: f64) {
        let Next::Answer(Some(lease)) = &mut self.next else { return };
        let mut lease = lease.clone();
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

    /// There is a new token: what failed with the old one is tried again.
    pub(super) fn new_token(&mut self, now: Instant) {
        if self.failures > 0 && matches!(self.next, Next::Fetch(_)) {
            self.next = Next::Fetch(now);
        }
    }

    /// The token whose end is its end, by its generation.
    pub(super) fn bound_to(&self) -> Option<u64> {
        self.bound_to
    }

    /// The token of that generation was replaced, and this became of it. What still lives is kept, and replaced
    /// before it dies.
    pub(super) fn old_token(&mut self, generation: u64, old: OldToken, now: Instant, jitter: f64) {
        if self.bound_to != Some(generation) {
            return;
        }
        let (least, more) = OF_THE_REST;
        let end = match old {
            OldToken::Endless => return,
            OldToken::Gone => now,
            OldToken::Lives(rest) => now + rest.mul_f64(least + more * jitter),
        };
        self.replace_at = Some(self.replace_at.map_or(end, |sooner| sooner.min(end)));
    }
}

#[cfg(test)]
mod tests {
    use vault::LeaseId;

    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn lease(ttl: u64) -> Refresh {
        let what = Renewable::Lease(LeaseId::new("a/1").unwrap());
        Refresh::Renew { what, ttl: seconds(ttl), rhythm: Rhythm::new(seconds(ttl), 0.5) }
    }

    fn fetched(refresh: Refresh, bound_to: Option<u64>, now: Instant) -> Dependent {
        let mut dependent = Dependent::new(now);
        dependent.take_due(now);
        dependent.fetched(refresh, bound_to, now, true);
        dependent
    }

    #[test]
    fn a_lease_is_renewed_then_replaced_and_never_in_a_loop() {
        let start = Instant::now();
        let mut dependent = Dependent::new(start);
        assert_eq!(dependent.take_due(start), Some(None));
        assert_eq!(dependent.take_due(start), None, "asked twice");
        dependent.fetched(lease(100), Some(1), start, true);
        let at = dependent.due_at().unwrap();
        assert!(at > start + seconds(70));
        assert!(dependent.take_due(at).unwrap().is_some());
        dependent.renewed(Renewal::Extended(seconds(100)), at, 0.5);
        let later = dependent.due_at().unwrap();
        assert!(later > at + seconds(70));
        dependent.take_due(later);
        dependent.renewed(Renewal::Ended, later, 0.5);
        assert_eq!(dependent.take_due(later), Some(None));
    }

    #[test]
    fn an_unanswered_renewal_is_tried_again_while_the_lease_lives() {
        let start = Instant::now();
        let mut dependent = fetched(lease(100), Some(1), start);
        let mut renewals = 0;
        loop {
            let at = dependent.due_at().unwrap();
            match dependent.take_due(at) {
                Some(Some(_)) => renewals += 1,
                _ => {
                    assert!(at >= start + seconds(75) && at < start + seconds(100));
                    break;
                }
            }
            dependent.renewed(Renewal::Unanswered, at, 0.5);
        }
        assert!((2..8).contains(&renewals), "{renewals}");
    }

    #[test]
    fn a_new_token_changes_nothing_for_what_is_not_leased() {
        let start = Instant::now();
        let mut still = fetched(Refresh::ReadAfter(seconds(300)), None, start);
        still.new_token(start);
        still.old_token(1, OldToken::Gone, start, 0.5);
        assert_eq!(still.due_at(), Some(start + seconds(300)));
        let mut failing = Dependent::new(start);
        failing.take_due(start);
        let backoff = Backoff { first: seconds(9), longest: seconds(9), attempts: 1 };
        failing.failed(FailureClass::Absent, Duration::ZERO, start, backoff, 1.0);
        assert_eq!(failing.due_at(), Some(start + seconds(9)));
        failing.new_token(start);
        assert_eq!(failing.due_at(), Some(start), "what failed is tried with the new token");
    }

    #[test]
    fn what_an_old_token_leased_lives_on_and_is_replaced_before_it_dies() {
        let start = Instant::now();
        // Leases that can be renewed, and such that cannot.
        for refresh in [lease(1000), Refresh::ReadAfter(seconds(900))] {
            let of = |old, jitter| {
                let mut dependent = fetched(refresh.clone(), Some(1), start);
                let before = dependent.due_at().unwrap();
                dependent.new_token(start);
                dependent.old_token(1, old, start, jitter);
                let due = dependent.due_at().unwrap();
                let is_fetch = dependent.take_due(due) == Some(None);
                (due == before, (due - start).as_secs(), is_fetch || due == before)
            };
            assert!(of(OldToken::Endless, 0.5).0, "a token without an end ends no lease");
            assert_eq!(of(OldToken::Gone, 0.5), (false, 0, true));
            assert_eq!(of(OldToken::Lives(seconds(100)), 0.0), (false, 80, true));
            assert_eq!(of(OldToken::Lives(seconds(100)), 1.0), (false, 90, true));
            assert!(of(OldToken::Lives(seconds(9999)), 0.0).0);
        }
        // A lease of another token.
        let mut younger = fetched(lease(1000), Some(2), start);
        let due = younger.due_at();
        younger.old_token(1, OldToken::Gone, start, 0.5);
        assert_eq!(younger.due_at(), due);
        // While a renewal is under way.
        let mut late = fetched(lease(1000), Some(1), start);
        late.take_due(late.due_at().unwrap());
        late.old_token(1, OldToken::Gone, start, 0.5);
        assert_eq!(late.due_at(), None);
        late.renewed(Renewal::Extended(seconds(1000)), start, 0.5);
        assert_eq!((late.due_at(), late.take_due(start)), (Some(start), Some(None)));
        // Asked for with the old token, answered when the new one is there.
        let mut late = Dependent::new(start);
        late.take_due(start);
        late.fetched(lease(100), Some(1), start, false);
        assert_eq!(late.due_at(), Some(start));
    }

    #[test]
    fn a_replacement_that_fails_keeps_its_pauses() {
        let start = Instant::now();
        let mut dependent = fetched(lease(1000), Some(1), start);
        dependent.old_token(1, OldToken::Gone, start, 0.5);
        assert_eq!(dependent.take_due(start), Some(None));
        let backoff = Backoff { first: seconds(2), longest: seconds(60), attempts: 12 };
        dependent.failed(FailureClass::Unreachable, Duration::ZERO, start, backoff, 1.0);
        assert_eq!(dependent.take_due(start + seconds(1)), None);
        assert_eq!(dependent.take_due(start + seconds(2)), Some(None));
        let (pause, _) = dependent.failed(FailureClass::Unreachable, seconds(7), start, backoff, 1.0);
        assert_eq!(pause, seconds(7), "the server asked for it");
    }
}
