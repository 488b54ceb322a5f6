//! How long one call may compute: the engine looks at the clock between calls, not inside one.

use std::time::Duration;

use gotemplate::FuncError;
use rustix::time::{ClockId, clock_gettime};

/// Processor time of one call.
pub(crate) const MOST: Duration = Duration::from_secs(5);

/// Looks at the clock are about so far apart: asking for it costs a quarter of a microsecond.
const BETWEEN: Duration = Duration::from_millis(1);

/// To look at so many bytes takes about as long as a round.
const BYTES: usize = 4096;

/// The patience left for a call that goes round and round.
pub(crate) struct Patience {
    since: Duration,
    most: Duration,
    /// Rounds until the next look, and how many those were from the one before.
    left: u32,
    apart: u32,
    looked: Duration,
}

impl Patience {
    pub(crate) fn new() -> Self {
        let now = processor_time();
        Self {
            since: now,
            most: crate::surroundings::patience(now).min(MOST),
            left: 1,
            apart: 1,
            looked: now,
        }
    }

    /// One more round.
    ///
    /// # Errors
    /// When the call has taken too long.
    pub(crate) fn spend(&mut self) -> Result<(), FuncError> {
        self.spend_on(0)
    }

    /// One more round, in which so many bytes are looked at.
    ///
    /// # Errors
    /// When the call has taken too long.
    pub(crate) fn spend_on(&mut self, bytes: usize) -> Result<(), FuncError> {
        let rounds = u32::try_from(bytes / BYTES).unwrap_or(u32::MAX).saturating_add(1);
        self.left = self.left.saturating_sub(rounds);
        if self.left > 0 {
            return Ok(());
        }
        let now = processor_time();
        if now.saturating_sub(self.since) > self.most || self.most.is_zero() {
            let text = if self.most < MOST {
                "the template has computed for too long".to_owned()
            } else {
                format!("it takes more than {} seconds", MOST.as_secs())
            };
            return Err(FuncError::new(text));
        }
        // Rounds differ: one may be a comparison, another a search through a megabyte.
        let quick = now.saturating_sub(self.looked) < BETWEEN;
        self.apart = if quick { self.apart.saturating_mul(2).min(1 << 16) } else { (self.apart / 2).max(1) };
        (self.left, self.looked) = (self.apart, now);
        Ok(())
    }
}

/// What this thread has computed so far.
pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
