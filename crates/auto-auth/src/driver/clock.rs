//! Time that goes on while the machine sleeps.
//!
//! Tokens age during a suspend, and tokio's clock stands still in it (`CLOCK_MONOTONIC`). Times of the state machine
//! are tokio's plus what was slept through; a timer of the system that counts sleep (`CLOCK_BOOTTIME`) ends a wait at
//! once when the machine wakes up late. The wall clock plays no part.

use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep};

/// How often a wait looks for a suspend where there is no timer that counts it.
const TICK: Duration = Duration::from_secs(10);

/// The two clocks are not read in the same instant; a shorter sleep than this is none.
const GRAIN: Duration = Duration::from_secs(1);

/// A clock that counts sleep.
pub(super) struct Clock {
    source: Source,
    /// What the source said at start.
    before: Duration,
}

enum Source {
    System,
    /// How long the machine slept, as a test says.
    #[cfg(test)]
    Test(tokio::sync::watch::Receiver<Duration>),
}

impl Clock {
    /// The system's.
    pub(super) fn system() -> Self {
        Self::new(Source::System)
    }

    fn new(source: Source) -> Self {
        let before = source.slept();
        Self { source, before }
    }

    #[cfg(test)]
    pub(super) fn test(slept: tokio::sync::watch::Receiver<Duration>) -> Self {
        Self::new(Source::Test(slept))
    }

    /// Now, sleep included.
    pub(super) fn now(&self) -> Instant {
        let slept = self.source.slept().saturating_sub(self.before);
        Instant::now() + if slept < GRAIN { Duration::ZERO } else { slept }
    }

    /// Waits until it is `until`, sleep included.
    pub(super) async fn sleep_until(&self, until: Instant) {
        loop {
            let left = until.saturating_duration_since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = sleep(left) => {}
                () = self.source.passed(left) => {}
            }
        }
    }
}

impl Source {
    /// Grows with each suspend.
    fn slept(&self) -> Duration {
        match self {
            Self::System => {
                let monotonic = since_boot(ClockId::Monotonic);
                since_boot(ClockId::Boottime).saturating_sub(monotonic)
            }
            #[cfg(test)]
            Self::Test(slept) => *slept.borrow(),
        }
    }

    /// Waits until `left` has passed, sleep included, or something changed.
    async fn passed(&self, left: Duration) {
        match self {
            Self::System => {
                let Ok(timer) = timer(left) else { return sleep(left.min(TICK)).await };
                // It fires once; an error ends the wait, and the caller looks at the clock.
                let _ = timer.readable().await;
            }
            #[cfg(test)]
            Self::Test(slept) => {
                let mut slept = slept.clone();
                slept.mark_unchanged();
                if slept.changed().await.is_err() {
                    std::future::pending().await
                }
            }
        }
    }
}

fn since_boot(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

#[expect(
    deprecated,
    reason = "an OwnedFd stays open for as long as it is held, which is all its unsafe successor asks for"
)]
fn timer(left: Duration) -> std::io::Result<AsyncFd<OwnedFd>> {
    let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let never = Timespec { tv_sec: 0, tv_nsec: 0 };
    let left = Timespec::try_from(left).map_err(|_| rustix::io::Errno::RANGE)?;
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: never, it_value: left })?;
    AsyncFd::new(timer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_systems_timer_fires() {
        let began = Instant::now();
        Source::System.passed(Duration::from_millis(20)).await;
        assert!((20..2000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_slept_through_counts() {
        let (slept, receiver) = tokio::sync::watch::channel(Duration::ZERO);
        let clock = Clock::test(receiver);
        let (began, until) = (Instant::now(), clock.now() + Duration::from_secs(3600));
        let waiting = tokio::spawn(async move { clock.sleep_until(until).await });
        sleep(Duration::from_secs(60)).await;
        slept.send_replace(Duration::from_secs(1800));
        sleep(Duration::from_secs(60)).await;
        assert!(!waiting.is_finished());
        slept.send_replace(Duration::from_secs(7200));
        waiting.await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 120);
    }
}
