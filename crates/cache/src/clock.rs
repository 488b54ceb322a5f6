//! What time it is: tokio's clock, which tests can pause, and what the machine slept through, in which that one
//! stands still. Leases age during a suspend.

#[cfg(test)]
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// The clock that all entries live by.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Most milliseconds of sleep seen: two clocks that are read one after the other differ by what comes between.
    most: AtomicU64,
    #[cfg(test)]
    test: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// A clock of a machine that sleeps as a test says, in milliseconds.
    #[cfg(test)]
    pub(crate) fn tested(slept: &Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self { test: Some(Arc::clone(slept)), ..Self::default() })
    }

    /// Now, with what was slept through.
    pub(crate) fn now(&self) -> Instant {
        Instant::now() + self.slept()
    }

    /// Grows with each suspend.
    pub(crate) fn slept(&self) -> Duration {
        let slept = self.source();
        Duration::from_millis(self.most.fetch_max(slept, Relaxed).max(slept))
    }

    /// A time of this clock as tokio's, for a timer.
    pub(crate) fn timer(&self, at: Instant) -> Instant {
        at.checked_sub(self.slept()).unwrap_or_else(Instant::now)
    }

    fn source(&self) -> u64 {
        #[cfg(test)]
        if let Some(test) = &self.test {
            let slept = test.load(Relaxed);
            SLEPT.set(Duration::from_millis(slept));
            return slept;
        }
        slept()
    }
}

#[cfg(test)]
thread_local! {
    /// What the machine of the test has slept through, for its wall clock.
    pub(crate) static SLEPT: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) };
}

/// Whole milliseconds, and none for a second or less: less than that is no suspend.
#[cfg(target_os = "linux")]
fn slept() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let since_boot = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    // In this order, so that a pause between the two makes the difference smaller, not larger.
    let with_sleep = since_boot(ClockId::Boottime);
    let slept = with_sleep.saturating_sub(since_boot(ClockId::Monotonic)).as_millis();
    if slept <= 1000 { 0 } else { u64::try_from(slept).unwrap_or(u64::MAX) }
}

#[cfg(not(target_os = "linux"))]
fn slept() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_slept_through_has_passed() {
        let test = Arc::new(AtomicU64::new(0));
        let clock = Clock::tested(&test);
        let before = clock.now();
        test.store(600_000, Relaxed);
        assert_eq!(clock.now() - before, Duration::from_secs(600));
        assert_eq!(clock.timer(clock.now()), Instant::now());
        // It never goes back.
        test.store(0, Relaxed);
        assert_eq!(clock.now() - before, Duration::from_secs(600));
        assert!(Clock::default().slept() < Duration::from_secs(10 * 365 * 24 * 3600));
    }
}
