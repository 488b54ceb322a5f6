//! Memory that a burst of work needed and nobody uses any more goes back to the system.
//!
//! glibc keeps what was freed and is not at the very end of its heap, for ever: one connection that outlives a burst
//! is enough for that. `malloc_trim` returns all whole free pages; with ten thousand entries in the cache that takes
//! less than a millisecond.

use tokio::runtime::Handle;

/// An interval is quiet when its thread went to sleep less often than this: clients sleep between two requests, and so
/// do we. Three a second are renewals, probes and our own clockwork.
const QUIET: u64 = 30;

/// In a busy time it is done once in so many intervals: once a minute with ten-second ones.
const WHILE_BUSY: u32 = 6;

/// So many quiet intervals after a busy one it is done at the end of each: idle connections to the server, and what
/// else a burst leaves, go within the minute that follows.
const AFTERWARDS: u32 = 8;

/// What was done, and what may have been freed since.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    /// How often the thread has gone to sleep.
    slept: u64,
    /// Busy intervals in a row.
    busy: u32,
    /// Quiet intervals that are still to be used.
    left: u32,
}

impl Spare {
    /// An interval ends; the thread has gone to sleep `slept` times since its beginning. Says whether to give memory
    /// back now.
    fn step(&mut self, slept: u64) -> bool {
        let quiet = slept.saturating_sub(self.slept) < QUIET;
        self.slept = slept;
        if quiet {
            self.busy = 0;
            let due = self.left > 0;
            self.left = self.left.saturating_sub(1);
            return due;
        }
        self.left = AFTERWARDS;
        self.busy += 1;
        self.busy.is_multiple_of(WHILE_BUSY)
    }

    /// An interval ends: gives memory back if it is time.
    pub(crate) fn interval_ends(&mut self) {
        if self.step(Handle::current().metrics().worker_park_count(0)) {
            give_back();
        }
    }
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "no library offers it; it takes a number and touches only what nobody holds")]
fn give_back() {
    // SAFETY: `malloc_trim` may be called at any time from any thread, with any padding.
    unsafe { libc::malloc_trim(0) };
}

/// Other libraries give back by themselves.
#[cfg(not(target_env = "gnu"))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_it_gets_quiet_after_work_and_not_for_ever() {
        let mut spare = Spare::default();
        assert!(!spare.step(5), "nothing was done yet");
        assert!(!spare.step(10_000));
        assert!(!spare.step(20_000), "busy");
        let due = (1..=60).filter(|tick| spare.step(20_000 + tick * 10)).count();
        assert_eq!(due, AFTERWARDS as usize);
    }

    #[test]
    fn under_a_load_that_does_not_end_once_a_minute() {
        let mut spare = Spare::default();
        let due = (1..=60).filter(|tick| spare.step(tick * 10_000)).count();
        assert_eq!(due, 10);
    }
}
