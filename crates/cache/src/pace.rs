//! How fast we may ask the server on our own account. Pure: time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// So many a second, a few at once, none for a while when the server says so.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: f64,
    most: f64,
    allowance: f64,
    since: Instant,
    held_until: Instant,
}

/// The server may ask for a pause no longer than this; leases would end meanwhile.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

impl Pace {
    /// `most` at once.
    pub(crate) fn new(per_second: u32, most: usize, now: Instant) -> Self {
        let per_second = f64::from(per_second.max(1));
        let most = (most as f64).min(per_second);
        Self { per_second, most, allowance: most, since: now, held_until: now }
    }

    /// Another rate from now on.
    pub(crate) fn set(&mut self, per_second: u32, most: usize) {
        self.per_second = f64::from(per_second.max(1));
        self.most = (most as f64).min(self.per_second);
    }

    /// Whether one more may be asked now.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.since).as_secs_f64() * self.per_second;
        (self.allowance, self.since) = ((self.allowance + gained).min(self.most), now);
        self.allowance >= 1.0 && now >= self.held_until
    }

    /// One was asked.
    pub(crate) fn spend(&mut self) {
        self.allowance -= 1.0;
    }

    /// When the next may be asked.
    pub(crate) fn next(&self, now: Instant) -> Instant {
        let missing = (1.0 - self.allowance).max(0.0) / self.per_second;
        // Timers count milliseconds.
        (now + Duration::from_secs_f64(missing).max(Duration::from_millis(1))).max(self.held_until)
    }

    /// The server wants to be left alone for a while.
    pub(crate) fn hold(&mut self, now: Instant, pause: Duration) {
        self.held_until = self.held_until.max(now + pause.min(LONGEST_HOLD));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn never_more_than_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(200, 16, start);
        let (mut now, mut asked) = (start, 0);
        while now < start + Duration::from_secs(10) {
            while pace.allows(now) {
                pace.spend();
                asked += 1;
            }
            now = pace.next(now);
        }
        assert!((1990..=2016).contains(&asked), "{asked}");
        pace.hold(now, Duration::from_secs(7));
        assert!(!pace.allows(now + Duration::from_secs(6)));
        assert!(pace.allows(now + Duration::from_secs(7)));
        pace.hold(now, Duration::MAX);
        assert!(pace.allows(now + LONGEST_HOLD));
    }
}
