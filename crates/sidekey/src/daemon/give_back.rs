//! Memory that a start or a burst of work needed and nobody uses any more goes back to the system.
//!
//! - glibc keeps what was freed and is not at the very end of its heap, for ever: one connection that outlives a burst
//!   is enough for that. `malloc_trim` returns all whole free pages; with ten thousand entries in the cache that takes
//!   less than a millisecond.
//! - Of our own code much runs once: reading the configuration, binding, the first login. What is mapped of it is let
//!   go of; it stays in the system's cache of files, where the next use finds it (some microseconds), and where the
//!   system may take it when memory is short.

use std::ops::Range;

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
#[derive(Debug)]
pub(crate) struct Spare {
    /// How often the thread has gone to sleep.
    slept: u64,
    /// Busy intervals in a row.
    busy: u32,
    /// Quiet intervals that are still to be used.
    left: u32,
}

/// A start is a burst of work.
impl Default for Spare {
    fn default() -> Self {
        Self { slept: 0, busy: 0, left: AFTERWARDS }
    }
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
            if self.busy == 0 {
                let_go_of_code();
            }
        }
    }
}

/// Where code of files is mapped: programs and libraries, which nobody ever writes to.
fn code(maps: &str) -> impl Iterator<Item = Range<usize>> {
    maps.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (range, mode, file) = (words.next()?, words.next()?, words.nth(3)?);
        if mode != "r-xp" || !file.starts_with('/') {
            return None;
        }
        let (begin, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(address(begin)?..address(end)?)
    })
}

#[expect(unsafe_code, reason = "the system call is about memory, whichever it is")]
fn let_go_of_code() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    for range in code(&maps) {
        // SAFETY: the range is a private mapping of a file that was never writable, so all its pages are those of the
        // file: whoever runs or reads them next gets the same bytes. Nothing is unmapped, and no library is unloaded
        // between the look and the call, for we load none.
        let done = unsafe {
            let begin = std::ptr::with_exposed_provenance_mut(range.start);
            rustix::mm::madvise(begin, range.len(), rustix::mm::Advice::LinuxDontNeed)
        };
        if done.is_err() {
            return;
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
        let after =
            |spare: &mut Spare, begun: u64| (1..=60).filter(|tick| spare.step(begun + tick * 10)).count();
        assert_eq!(after(&mut spare, 0), AFTERWARDS as usize, "after the start");
        assert!(!spare.step(10_000));
        assert!(!spare.step(20_000), "busy");
        assert_eq!(after(&mut spare, 20_000), AFTERWARDS as usize);
    }

    #[test]
    fn only_code_of_files() {
        let maps = "55d0-55d8 r--p 00000000 fe:00 17 /usr/bin/sidekey\n\
                    55d8-56d0 r-xp 00008000 fe:00 17 /usr/bin/sidekey\n\
                    56d0-56d8 rw-p 00010000 fe:00 17 /usr/bin/sidekey\n\
                    5700-5800 rw-p 00000000 00:00 0 [heap]\n\
                    7f00-7f10 r-xp 00000000 00:00 0 \n\
                    7f10-7f20 rwxp 00000000 fe:00 18 /lib/odd.so\n\
                    7f20-7f30 r-xp 00000000 00:00 0 [vdso]\nnonsense\n";
        assert!(code(maps).eq(std::iter::once(0x55d8..0x56d0)));
    }

    #[test]
    fn it_runs_on_afterwards() {
        let_go_of_code();
        give_back();
        let mapped = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(code(&mapped).any(|range| range.contains(&(let_go_of_code as fn() as usize))));
    }

    #[test]
    fn under_a_load_that_does_not_end_once_a_minute() {
        let mut spare = Spare::default();
        let due = (1..=60).filter(|tick| spare.step(tick * 10_000)).count();
        assert_eq!(due, 10);
    }
}
