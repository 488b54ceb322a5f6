//! When a token or a lease is renewed: arithmetic that auto-auth, cache and templates share.

use std::time::Duration;

/// Shortest pause between two renewals of one thing.
const SHORTEST: Duration = Duration::from_secs(1);

/// First and longest pause after a failed renewal.
const FAILURE_PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// Upstream's rhythm for one token or lease: a renewal after 0.70 to 0.73 of what remains, until a renewal
/// no longer extends it enough. Randomness comes in as a value in 0..1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rhythm {
    /// 10 to 20 % of the first TTL: too little left to be worth a renewal.
    grace: Duration,
}

impl Rhythm {
    /// For something that lives `ttl` at first.
    pub fn new(ttl: Duration, jitter: f64) -> Self {
        Self { grace: ttl.mul_f64(0.1 + 0.1 * jitter) }
    }

    /// How long to wait before the next renewal, or, for what cannot be renewed, before its replacement:
    /// two thirds of what remains and a third of the grace.
    pub fn pause(&self, remaining: Duration) -> Duration {
        let pause = remaining.mul_f64(2.0 / 3.0) + self.grace / 3;
        pause.max(SHORTEST.min(remaining / 2)).min(remaining)
    }

    /// Whether another renewal after [`Rhythm::pause`] would come in time. When not, the maximum TTL is near.
    pub fn worth_renewing(&self, remaining: Duration) -> bool {
        remaining.saturating_sub(self.pause(remaining)) > self.grace
    }

    /// How long to wait after the `failures`-th failed renewal in a row (from 0) of something that lives
    /// `ttl` in all and `remaining` now; `None` when a tenth of its life or less would be left then.
    pub fn pause_after_failure(
        failures: u32,
        ttl: Duration,
        remaining: Duration,
        jitter: f64,
    ) -> Option<Duration> {
        let (first, longest) = FAILURE_PAUSE;
        let full = first.saturating_mul(1 << failures.min(5)).min(longest).min(ttl / 10);
        let pause = full.mul_f64(0.5 + 0.5 * jitter).max(SHORTEST);
        (remaining.saturating_sub(pause) > ttl / 10).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals_come_at_seven_tenths() {
        let ttl = Duration::from_secs(100);
        for jitter in [0.0, 0.5, 0.999] {
            let share = Rhythm::new(ttl, jitter).pause(ttl).as_secs_f64() / 100.0;
            assert!((0.7..0.734).contains(&share), "{share}");
        }
    }

    #[test]
    fn near_the_maximum_ttl_a_renewal_is_not_worth_it() {
        let rhythm = Rhythm::new(Duration::from_secs(100), 0.5);
        assert!(rhythm.worth_renewing(Duration::from_secs(100)));
        assert!(!rhythm.worth_renewing(Duration::from_secs(50)));
    }
}
