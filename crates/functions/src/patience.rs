//! How long one call may compute: the engine looks at the clock between calls, not inside one.

use std::time::Duration;

use gotemplate::FuncError;
use rustix::time::{ClockId, clock_gettime};

/// Processor time of one call.
const MOST: Duration = Duration::from_secs(5);

/// Looks at the clock are this many rounds apart.
const ROUNDS: usize = 64;

/// To look at so many bytes takes about as long as a round.
const BYTES: usize = 4096;

/// The patience left for a call that goes round and round.
pub(crate) struct Patience {
    since: Duration,
    rounds: usize,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { since: processor_time(), rounds: 0 }
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
        self.rounds = self.rounds.saturating_add(1 + bytes / BYTES);
        if self.rounds >= ROUNDS {
            self.rounds = 0;
            if processor_time().saturating_sub(self.since) > MOST {
                return Err(FuncError::new(format!("it takes more than {} seconds", MOST.as_secs())));
            }
        }
        Ok(())
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
