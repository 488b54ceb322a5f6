//! Which command runs when: pure, time passed in.
//!
//! They run one after the other, in the order in which they were wanted. One that takes long is waited for by those of
//! the same round, which may need what it does, and by all others for a moment only, however many take long: whatever
//! hangs must not stop the rest. Equal commands of several templates are one command; one that is wanted again while it runs runs once more
//! afterwards, and never twice at once. One that fails is tried again after a pause that grows.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use config::Command;
use tokio::time::Instant;

/// First and longest pause after a command that failed.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// So long a command waits, from when it is due, for those that it has nothing to do with.
const PATIENCE: Duration = Duration::from_secs(5);

/// Commands under way at a time, when those before them take long.
const AT_ONCE: usize = 4;

/// All commands of all templates that were wanted so far.
#[derive(Default)]
pub(super) struct Commands {
    jobs: Vec<Job>,
    /// The latest. Those who are wanted in one round are run in order.
    round: u64,
}

struct Job {
    command: Arc<Command>,
    /// The templates that have it, by number, and how the first of them is called.
    users: Vec<usize>,
    source: String,
    next: Next,
    failures: u32,
}

#[derive(Clone, Copy)]
enum Next {
    /// Nobody wants it.
    Idle,
    /// To be run.
    Due(Turn),
    /// It runs; to be run again, perhaps.
    Running { since: Instant, round: u64, again: Option<Turn> },
}

/// When a command is to be run, and with whom.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Turn {
    at: Instant,
    round: u64,
}

/// A command to be run now.
pub(super) struct Start {
    /// Its number, for [`Commands::ended`].
    pub(super) id: usize,
    pub(super) command: Arc<Command>,
    /// The template it runs for, and its number, unless it is gone.
    pub(super) source: String,
    pub(super) user: Option<usize>,
}

/// What came of the end of one.
pub(super) struct Ended {
    /// The templates that have it, by number.
    pub(super) users: Vec<usize>,
    pub(super) source: String,
    pub(super) command: Arc<Command>,
    /// How often it has failed in a row.
    pub(super) failures: u32,
    /// The pause after a failure.
    pub(super) pause: Duration,
}

impl Commands {
    /// What is wanted from now on is of another round.
    pub(super) fn next_round(&mut self) {
        self.round += 1;
    }

    /// A template's file has changed. `share` of the command's splay is waited for, in 0..1.
    pub(super) fn changed(&mut self, user: usize, source: &str, command: &Command, now: Instant, share: f64) {
        let due = Turn { at: now + command.splay.mul_f64(share.clamp(0.0, 1.0)), round: self.round };
        let is_same = |job: &&mut Job| {
            job.command.arguments == command.arguments && job.command.environment == command.environment
        };
        let Some(job) = self.jobs.iter_mut().find(is_same) else {
            self.jobs.push(Job {
                command: Arc::new(command.clone()),
                users: vec![user],
                source: source.to_owned(),
                next: Next::Due(due),
                failures: 0,
            });
            return;
        };
        if !job.users.contains(&user) {
            job.users.push(user);
        }
        match &mut job.next {
            // What waits for a second try is run for the change as well.
            Next::Due(turn) | Next::Running { again: Some(turn), .. } => *turn = due.min(*turn),
            next @ Next::Idle => *next = Next::Due(due),
            Next::Running { again, .. } => *again = Some(due),
        }
    }

    /// These templates are gone. Gives the numbers of the commands that nobody has any more.
    pub(super) fn forget(&mut self, gone: &HashSet<usize>) -> Vec<usize> {
        let mut unused = Vec::new();
        for (id, job) in self.jobs.iter_mut().enumerate() {
            job.users.retain(|user| !gone.contains(user));
            if job.users.is_empty() {
                unused.push(id);
                match &mut job.next {
                    Next::Running { again, .. } => *again = None,
                    next => *next = Next::Idle,
                }
            }
        }
        unused
    }

    /// The one to run now: of those that may be, whoever waited longest.
    pub(super) fn start(&mut self, now: Instant) -> Option<Start> {
        let startable = |(id, job): (usize, &Job)| {
            let Next::Due(turn) = job.next else { return None };
            Some((turn, id)).filter(|_| self.startable_at(turn).is_some_and(|at| at <= now))
        };
        let (turn, id) = self.jobs.iter().enumerate().filter_map(startable).min()?;
        let job = self.jobs.get_mut(id)?;
        job.next = Next::Running { since: now, round: turn.round, again: None };
        let user = job.users.first().copied();
        Some(Start { id, command: Arc::clone(&job.command), source: job.source.clone(), user })
    }

    /// When a command may be started; `None` while only the end of another one helps.
    fn startable_at(&self, turn: Turn) -> Option<Instant> {
        // When the last of those that run has been waited for long enough.
        let mut patient = turn.at;
        let mut others = 0;
        for job in &self.jobs {
            let Next::Running { since, round, .. } = job.next else { continue };
            others += 1;
            if round == turn.round || others >= AT_ONCE {
                return None;
            }
            patient = patient.max(since + PATIENCE);
        }
        Some(patient.min(turn.at + PATIENCE))
    }

    /// One has ended, well or not. `retry` is whether it is tried again after a failure. `jitter` is in 0..1.
    pub(super) fn ended(
        &mut self,
        id: usize,
        well: bool,
        retry: impl FnOnce(u32) -> bool,
        now: Instant,
        jitter: f64,
    ) -> Option<Ended> {
        // A second try comes late for those it ran with: none of them waits for it.
        self.round += 1;
        let round = self.round;
        let job = self.jobs.get_mut(id)?;
        let again = match job.next {
            Next::Running { again, .. } => again,
            Next::Idle | Next::Due(_) => None,
        };
        let (first, longest) = PAUSE;
        let full = first.saturating_mul(1 << job.failures.min(20)).min(longest);
        let pause = if well { Duration::ZERO } else { full.mul_f64(0.75 + 0.25 * jitter) };
        job.failures = if well { 0 } else { job.failures.saturating_add(1) };
        let retried = (!well && retry(job.failures)).then_some(Turn { at: now + pause, round });
        job.next = match again.into_iter().chain(retried).min() {
            Some(turn) => Next::Due(turn),
            None => Next::Idle,
        };
        let (users, source, command) = (job.users.clone(), job.source.clone(), Arc::clone(&job.command));
        Some(Ended { users, source, command, failures: job.failures, pause })
    }

    /// When the next is to be started, unless the end of another comes first.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let due = |job: &Job| match job.next {
            Next::Due(turn) => self.startable_at(turn),
            Next::Idle | Next::Running { .. } => None,
        };
        self.jobs.iter().filter_map(due).min()
    }

    /// Whether none runs, and none waits to be run, second tries only counting if `with_retries`.
    pub(super) fn are_done(&self, with_retries: bool) -> bool {
        self.jobs.iter().all(|job| match job.next {
            Next::Idle => true,
            Next::Due(_) => job.failures > 0 && !with_retries,
            Next::Running { .. } => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn command(line: &str) -> Command {
        Command { arguments: vec![line.to_owned()], ..Command::default() }
    }

    fn start(commands: &mut Commands, now: Instant) -> Option<(usize, String)> {
        commands.start(now).map(|start| (start.id, start.command.arguments[0].clone()))
    }

    #[test]
    fn equal_commands_run_once_and_one_at_a_time() {
        let now = Instant::now();
        let mut all = Commands::default();
        assert!(all.are_done(true) && all.start(now).is_none());
        all.changed(0, "a", &command("x"), now, 0.0);
        all.changed(1, "b", &command("x"), now, 0.0);
        all.changed(2, "c", &command("y"), now, 0.0);
        let other = config::ChildEnvironment { pristine: true, ..Default::default() };
        all.changed(3, "d", &Command { environment: other, ..command("x") }, now, 0.0);
        assert_eq!(start(&mut all, now), Some((0, "x".into())));
        assert!(start(&mut all, now).is_none() && all.due_at().is_none(), "two ran at once");
        // Wanted while it runs: once more.
        all.changed(0, "a", &command("x"), now, 0.0);
        all.changed(1, "b", &command("x"), now, 0.0);
        let ended = all.ended(0, true, |_| true, now, 0.5).unwrap();
        assert_eq!((ended.users, ended.source.as_str()), (vec![0, 1], "a"));
        for (id, name) in [(0, "x"), (1, "y"), (2, "x")] {
            assert_eq!(start(&mut all, now), Some((id, name.into())));
            assert!(!all.are_done(false));
            all.ended(id, true, |_| true, now, 0.5);
        }
        assert!(all.are_done(true) && start(&mut all, now + seconds(9999)).is_none());
    }

    #[test]
    fn a_command_that_fails_is_tried_again_ever_more_rarely_and_a_change_is_not_kept_waiting() {
        let mut now = Instant::now();
        let mut all = Commands::default();
        all.changed(0, "a", &command("x"), now, 0.0);
        for want in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert!(start(&mut all, now).is_some());
            let ended = all.ended(0, false, |_| true, now, 1.0).unwrap();
            assert_eq!(ended.pause, seconds(want));
            assert!(all.are_done(false) && !all.are_done(true));
            assert_eq!(all.due_at(), Some(now + seconds(want)));
            assert!(start(&mut all, now + seconds(want) / 2).is_none());
            now += seconds(want);
        }
        assert!(start(&mut all, now).is_some());
        assert_eq!(all.ended(0, false, |_| true, now, 0.0).unwrap().pause, seconds(225));
        all.changed(0, "a", &command("x"), now, 0.0);
        assert_eq!(all.due_at(), Some(now));
        start(&mut all, now);
        assert_eq!(all.ended(0, true, |_| true, now, 0.0).unwrap().failures, 0);
        all.changed(0, "a", &command("x"), now, 0.0);
        start(&mut all, now);
        all.ended(0, false, |failures| failures < 1, now, 0.0);
        assert!(all.are_done(true), "it was to be given up");
    }

    #[test]
    fn one_that_hangs_is_waited_for_by_its_own_round_and_by_others_for_a_moment() {
        let now = Instant::now();
        let mut all = Commands::default();
        all.changed(0, "a", &command("slow"), now, 0.0);
        all.changed(1, "b", &command("behind"), now, 0.0);
        all.next_round();
        all.changed(2, "c", &command("other"), now, 0.0);
        assert_eq!(start(&mut all, now), Some((0, "slow".into())));
        assert_eq!(start(&mut all, now + seconds(4)), None);
        assert_eq!(all.due_at(), Some(now + PATIENCE));
        let later = now + PATIENCE;
        assert_eq!(start(&mut all, later), Some((2, "other".into())));
        all.ended(2, true, |_| true, later, 0.0);
        // However long it takes: who is of its round may need what it does, and itself it never meets.
        assert_eq!((start(&mut all, later + seconds(9999)), all.due_at()), (None, None));
        all.ended(0, false, |_| true, later, 1.0);
        assert_eq!(start(&mut all, later), Some((1, "behind".into())));
        // The second try is nobody's predecessor.
        all.changed(3, "d", &command("late"), later, 0.0);
        all.ended(1, true, |_| true, later, 0.0);
        assert_eq!(start(&mut all, later), Some((3, "late".into())));
    }

    #[test]
    fn the_whole_wait_has_a_bound_however_many_hang() {
        let began = Instant::now();
        let mut all = Commands::default();
        // Each begins when the one before it has hung for a while.
        for nth in 0..3 {
            all.changed(nth, "a", &command(&nth.to_string()), began + seconds(nth as u64 * 4), 0.0);
            all.next_round();
        }
        assert_eq!(start(&mut all, began), Some((0, "0".into())));
        // Due at 4 s, and patient until what began at 0 s has had its 5 s.
        assert_eq!((start(&mut all, began + seconds(4)), all.due_at()), (None, Some(began + PATIENCE)));
        assert_eq!(start(&mut all, began + PATIENCE), Some((1, "1".into())));
        // Due at 8 s: what began at 5 s has had its 5 s at 10 s.
        assert_eq!(all.due_at(), Some(began + seconds(10)));
        assert_eq!(start(&mut all, began + seconds(10)), Some((2, "2".into())));
        // Due at 11 s, as long as another begins at 14 s: no longer than until 16 s.
        all.ended(0, true, |_| true, began + seconds(11), 0.0);
        all.changed(3, "d", &command("3"), began + seconds(11), 0.0);
        all.next_round();
        all.changed(0, "a", &command("0"), began + seconds(9), 0.0);
        assert_eq!(start(&mut all, began + seconds(14)), Some((0, "0".into())));
        assert_eq!((start(&mut all, began + seconds(15)), all.due_at()), (None, Some(began + seconds(16))));
        assert_eq!(start(&mut all, began + seconds(16)), Some((3, "3".into())));
    }

    #[test]
    fn those_that_hang_are_few_at_a_time() {
        let mut now = Instant::now();
        let mut all = Commands::default();
        for nth in 0..9 {
            all.changed(nth, "a", &command(&nth.to_string()), now, 0.0);
            all.next_round();
        }
        assert_eq!(start(&mut all, now), Some((0, "0".into())));
        assert_eq!((start(&mut all, now), all.due_at()), (None, Some(now + PATIENCE)));
        now += PATIENCE;
        for nth in 1..AT_ONCE {
            assert_eq!(start(&mut all, now), Some((nth, nth.to_string())));
        }
        assert_eq!((start(&mut all, now + seconds(9999)), all.due_at()), (None, None));
        all.ended(1, true, |_| true, now, 0.0);
        assert_eq!(start(&mut all, now), Some((4, "4".into())));
    }

    #[test]
    fn a_splay_delays_the_start() {
        let now = Instant::now();
        let mut all = Commands::default();
        let slow = Command { splay: seconds(10), ..command("x") };
        all.changed(0, "a", &slow, now, 0.5);
        assert_eq!(all.due_at(), Some(now + seconds(5)));
        all.changed(0, "a", &slow, now, 0.2);
        assert_eq!(all.due_at(), Some(now + seconds(2)), "the earlier start counts");
    }
}
