//! How long one call may compute: the engine looks at the clock between calls, not inside one.

use std::time::Duration;

use gotemplate::FuncError;
use rustix::time::{ClockId, clock_gettime};

/// Processor time of one call.
const MOST: Duration = Duration::from_secs(5);

/// Looks at the clock are this many rounds apart.
const ROUNDS: u32 = 64;

/// The patience left for a call that goes round and round.
pub(crate) struct Patience {
    since: Duration,
    rounds: u32,
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
        self.rounds = self.rounds.wrapping_add(1);
        if self.rounds.is_multiple_of(ROUNDS) && processor_time().saturating_sub(self.since) > MOST {
            return Err(FuncError::new(format!("it takes more than {} seconds", MOST.as_secs())));
        }
        Ok(())
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
