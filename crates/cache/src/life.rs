//! How long an entry lives and what is to be done about it when. Pure: time is passed in.

use std::time::Duration;

use tokio::time::Instant;
use vault::{Rhythm, Ttl};

/// Timers count milliseconds and may fire that much early.
const TIMER_GRAIN: Duration = Duration::from_millis(2);

/// How long something lives and when it was last said so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// When the request whose answer said so was sent: never later than the server's own clock started.
    granted_at: Instant,
    ttl: Duration,
    rhythm: Rhythm,
    failures: u8,
    /// Renewals since somebody was given it.
    idle: u16,
    course: Course,
    /// When it is to be renewed, or when it ends.
    turn_at: Instant,
    /// When to look at it next; a timer that fires before was set for an earlier life.
    due_at: Instant,
    /// When its timer fires.
    armed: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Course {
    /// It is renewed.
    Renewed,
    /// It is not renewed any more, only served to its end.
    Fading,
    /// The same, because nobody wants it; a hit brings it back.
    Resting,
}

/// What is kept of a life between two runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) granted_at: Instant,
    pub(crate) ttl: Duration,
    pub(crate) fading: bool,
    pub(crate) idle: u16,
}

/// What comes next in an entry's life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// Look at it again at this time.
    At(Instant),
    /// Forget it now.
    Evict,
}

/// What an entry whose time has come needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    /// Nothing: it was renewed by somebody else meanwhile.
    Nothing,
    /// A renewal.
    Renewal,
    /// A look whether the server still knows it.
    Check,
    /// It has ended.
    End,
}

/// Whatever a server says, a moment so far away can still be reckoned with.
pub(crate) fn bounded(seconds: u64) -> Duration {
    Ttl::from_seconds(seconds).duration().unwrap_or_default()
}

impl Life {
    pub(crate) fn new(ttl: Duration, granted_at: Instant, jitter: f64) -> Self {
        let ttl = bounded(ttl.as_secs());
        let rhythm = Rhythm::new(ttl, jitter);
        let turn_at = granted_at + rhythm.pause(ttl);
        Self {
            granted_at,
            ttl,
            rhythm,
            failures: 0,
            idle: 0,
            course: Course::Renewed,
            turn_at,
            due_at: turn_at,
            armed: None,
        }
    }

    /// One that an earlier run began; `None` where it has ended.
    pub(crate) fn restored(stored: Stored, now: Instant, jitter: f64) -> Option<Self> {
        let Stored { granted_at, ttl, fading, idle } = stored;
        let mut life = Self { idle, ..Self::new(ttl, granted_at, jitter) };
        if life.served_until() <= now {
            return None;
        }
        if fading {
            life.fade(now);
        }
        Some(life)
    }

    /// What outlives the process. One that rests is looked at when its turn comes, and rests again.
    pub(crate) fn stored(&self) -> Stored {
        let (granted_at, ttl, idle) = (self.granted_at, self.ttl, self.idle);
        Stored { granted_at, ttl, fading: self.is_fading(), idle }
    }

    /// Whether a timer is wanted at `at`.
    pub(crate) fn arm(&mut self, at: Instant) -> bool {
        let wanted = self.armed.is_none_or(|armed| armed > at);
        if wanted {
            self.armed = Some(at);
        }
        wanted
    }

    /// A timer of `at` has fired. False when there is another one by now.
    pub(crate) fn fired(&mut self, at: Instant) -> bool {
        let last = self.armed == Some(at);
        if last {
            self.armed = None;
        }
        last
    }

    /// The end of it, if nobody renews it.
    pub(crate) fn end(&self) -> Instant {
        self.granted_at + self.ttl
    }

    /// No hit from here on: a client needs a moment to use what it gets.
    pub(crate) fn served_until(&self) -> Instant {
        self.end() - (self.ttl / 10).min(Duration::from_secs(1))
    }

    pub(crate) fn due_at(&self) -> Instant {
        self.due_at
    }

    /// Somebody was given it. Says when to look at it, if it is to be renewed again.
    pub(crate) fn used(&mut self, now: Instant) -> Option<Instant> {
        self.idle = 0;
        if self.course != Course::Resting {
            return None;
        }
        self.course = Course::Renewed;
        (self.turn_at, self.due_at) = (now, now);
        Some(now)
    }

    /// Whether anybody was given it since it was renewed last.
    pub(crate) fn is_wanted(&self) -> bool {
        self.idle == 0
    }

    /// Whether it is only served to its end.
    pub(crate) fn is_fading(&self) -> bool {
        self.course == Course::Fading
    }

    /// What to do now. `most_idle` of 0 is no bound.
    pub(crate) fn due(&mut self, now: Instant, most_idle: u16) -> Due {
        let reached = |at: Instant| at <= now + TIMER_GRAIN;
        if !reached(self.due_at) {
            return Due::Nothing;
        }
        match self.course {
            _ if now >= self.end() => Due::End,
            _ if !reached(self.turn_at) => Due::Check,
            Course::Fading | Course::Resting => Due::End,
            Course::Renewed if most_idle > 0 && self.idle >= most_idle => {
                self.course = Course::Resting;
                match self.until_its_end(now) {
                    Next::At(_) => Due::Nothing,
                    Next::Evict => Due::End,
                }
            }
            Course::Renewed => Due::Renewal,
        }
    }

    /// Looks at it earlier than its turn comes, at `at`.
    pub(crate) fn check_at(&mut self, at: Instant) -> Instant {
        self.due_at = self.turn_at.min(at);
        self.due_at
    }

    fn at(&mut self, at: Instant) -> Next {
        (self.turn_at, self.due_at) = (at, at);
        Next::At(at)
    }

    /// It was renewed. `ours` says that we did it, not a client; `again` that it can be renewed once more.
    pub(crate) fn renewed(&mut self, ttl: Duration, sent_at: Instant, ours: bool, again: bool) -> Next {
        let ttl = bounded(ttl.as_secs());
        (self.granted_at, self.ttl, self.failures) = (sent_at, ttl, 0);
        self.course = Course::Renewed;
        self.idle = if ours { self.idle.saturating_add(1) } else { 0 };
        if !again {
            return self.fade(sent_at);
        }
        // Near its maximum TTL it is let go, so that the next to ask gets a fresh one. A client may have wished for less
        // than there is: our own renewal, which wishes for nothing, tells.
        if !self.rhythm.worth_renewing(ttl) {
            return if ours { Next::Evict } else { self.at(sent_at + ttl / 2) };
        }
        // What lives longer now than at first has a longer rhythm.
        self.at(sent_at + self.rhythm.pause(ttl))
    }

    /// A renewal failed; the server may have said when it wants to be asked again.
    pub(crate) fn failed(&mut self, now: Instant, jitter: f64, retry_after: Duration) -> Next {
        let remaining = self.end().saturating_duration_since(now);
        let pause = Rhythm::pause_after_failure(u32::from(self.failures), self.ttl, remaining, jitter);
        match pause.map(|pause| pause.max(retry_after)).filter(|pause| *pause < remaining) {
            Some(pause) => {
                self.failures = self.failures.saturating_add(1);
                self.at(now + pause)
            }
            None => self.fade(now),
        }
    }

    /// It cannot be renewed: it is served to its end.
    pub(crate) fn fade(&mut self, now: Instant) -> Next {
        self.course = Course::Fading;
        self.until_its_end(now)
    }

    fn until_its_end(&mut self, now: Instant) -> Next {
        let end = self.served_until();
        if end <= now { Next::Evict } else { self.at(end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn enormous_lives_can_be_reckoned_with() {
        let now = Instant::now();
        for seconds in [u64::MAX, i64::MAX as u64, 1 << 40, 1] {
            let mut life = Life::new(Duration::from_secs(seconds), now, 0.99);
            assert!(life.served_until() > now && life.due_at() > now, "{seconds}");
            life.renewed(Duration::from_secs(seconds), now, true, true);
            life.failed(now, 0.99, Duration::MAX);
            assert!(life.end() > now, "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_wants_rests_until_somebody_does() {
        let mut now = Instant::now();
        let mut life = Life::new(HOUR, now, 0.5);
        for _ in 0..2 {
            now = life.due_at();
            assert_eq!(life.due(now, 2), Due::Renewal);
            life.renewed(HOUR, now, true, true);
        }
        assert_eq!(life.due(life.due_at(), 2), Due::Nothing);
        assert_eq!(life.due_at(), life.served_until());
        let now = life.served_until() - Duration::from_secs(60);
        assert_eq!(life.used(now), Some(now));
        assert_eq!(life.due(now, 2), Due::Renewal);
        assert_eq!(life.used(now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_says_when_it_wants_to_be_asked_again() {
        let now = Instant::now();
        let mut life = Life::new(HOUR, now, 0.5);
        let minute = Duration::from_secs(60);
        assert_eq!(life.failed(now, 0.5, minute), Next::At(now + minute));
        // Later than its end: it is left alone.
        assert_eq!(life.failed(now, 0.5, 2 * HOUR), Next::At(life.served_until()));
        assert_eq!(life.due(life.served_until(), 0), Due::End);
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_be_renewed_no_more_is_served_to_its_end() {
        let now = Instant::now();
        let mut life = Life::new(HOUR, now, 0.5);
        assert_eq!(life.renewed(HOUR, now, true, false), Next::At(now + HOUR - Duration::from_secs(1)));
        assert_eq!(life.due(now + HOUR - Duration::from_secs(1), 0), Due::End);
    }

    /// Others may live by it.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_wishes_for_less_ends_nothing() {
        let now = Instant::now();
        let mut life = Life::new(HOUR, now, 0.5);
        let minute = Duration::from_secs(60);
        let Next::At(at) = life.renewed(minute, now, false, true) else { panic!("it was let go") };
        assert!(at < now + minute && life.due(at, 0) == Due::Renewal);
        assert!(matches!(life.clone().renewed(HOUR, at, true, true), Next::At(next) if next > at + HOUR / 2));
        assert_eq!(life.renewed(minute, at, true, true), Next::Evict);
    }

    #[tokio::test(start_paused = true)]
    async fn a_life_goes_on_where_it_was() {
        let now = Instant::now();
        let mut life = Life::new(HOUR, now, 0.5);
        let back = Life::restored(life.stored(), now + HOUR / 2, 0.5).unwrap();
        assert_eq!((back.due_at(), back.end()), (life.due_at(), life.end()));
        // Wanted by nobody for two renewals: it is not renewed a third time for a restart.
        life.renewed(HOUR, now, true, true);
        life.renewed(HOUR, now, true, true);
        assert_eq!(life.due(life.due_at(), 2), Due::Nothing);
        let mut back = Life::restored(life.stored(), now, 0.5).unwrap();
        assert_eq!(back.due(back.due_at(), 2), Due::Nothing);
        assert!(back.used(now).is_some());
        life.fade(now);
        let back = Life::restored(life.stored(), now, 0.5).unwrap();
        assert!(back.is_fading() && back.due_at() == back.served_until());
        assert!(Life::restored(life.stored(), life.served_until(), 0.5).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_comes_before_the_turn() {
        let now = Instant::now();
        let mut life = Life::new(HOUR, now, 0.5);
        let soon = now + Duration::from_secs(30);
        assert_eq!(life.check_at(soon), soon);
        assert_eq!(life.due(soon, 0), Due::Check);
        assert_eq!(life.check_at(now + 2 * HOUR), life.due_at());
        assert_eq!(life.due(life.due_at(), 0), Due::Renewal);
    }
}
