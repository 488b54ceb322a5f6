//! A fleet of agents on virtual time: who asks the server how often when it is back after an outage.
//!
//! Compiled for tests, and once more by `examples/fleet.rs`, which draws docs/fleet.svg.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;
use vault::Ttl;

use crate::lifecycle::{Action, Backoff, Event, Grant, Phase, RenewFailure, step};

/// The defaults of all products.
const BACKOFF: Backoff =
    Backoff { min: Duration::from_secs(1), max: Duration::from_secs(300), exit_on_err: false };

/// What is simulated. Times are in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    pub(crate) agents: u64,
    pub(crate) ttl: f64,
    /// Tokens are renewed for ever, else each is replaced by a login.
    pub(crate) renewable: bool,
    /// How long the server is gone.
    pub(crate) outage: f64,
    pub(crate) waits: Waits,
}

/// How an agent waits after a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Waits {
    /// The state machine of this crate.
    Sidekey,
    /// Vault Agent's and OpenBao Agent's: logins after 1 s, doubling to 5 min, less up to a quarter; renewals after
    /// 10 s, doubling, give or take half, until 10 to 20 % of the life is left.
    Upstream,
    /// Anywhere in a quarter of the outage, at least 2 s, at most 5 min: the textbook's.
    FullJitter,
}

/// What came of it. Times are in seconds since the server's return, requests those that it answered.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Logins and renewals in a second, before the outage.
    pub(crate) steady: f64,
    /// When requests were answered, in order; before the outage, and after it.
    pub(crate) answered: Vec<f64>,
    /// Agents whose token had died when the server came back.
    pub(crate) stranded: usize,
    /// When the last of them had a token again.
    pub(crate) last_back: f64,
}

impl Outcome {
    /// The most requests in any window after the return that usually holds a hundred, as a rate in a second. (In
    /// shorter ones chance alone doubles the rate every few minutes.)
    pub(crate) fn peak(&self) -> f64 {
        let window = (100.0 / self.steady).max(1.0);
        let after: Vec<f64> = self.answered.iter().copied().filter(|at| *at >= 0.0).collect();
        let mut first = 0;
        let mut most = 0;
        for (last, at) in after.iter().enumerate() {
            while after[first] < at - window {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most as f64 / window
    }
}

impl Fleet {
    /// Two lives of a token before the outage, and one after it. The same seed gives the same numbers.
    pub(crate) fn run(&self, seed: u64) -> Outcome {
        let mut random = fastrand::Rng::with_seed(seed);
        let start = Instant::now();
        let gone = 2.0 * self.ttl;
        let back = gone + self.outage;
        let end = back + self.ttl.max(self.outage);
        let mut agents: Vec<Agent> = (0..self.agents).map(|_| Agent::new(self)).collect();
        let mut queue: BinaryHeap<Reverse<(Duration, usize)>> = (0..agents.len())
            // Logins were spread over a life once, and so they stay.
            .map(|nth| Reverse((Duration::from_secs_f64(random.f64() * self.ttl * 0.717), nth)))
            .collect();
        let mut answered = Vec::new();
        while let Some(Reverse((at, nth))) = queue.pop() {
            let now = at.as_secs_f64();
            if now > end {
                break;
            }
            let up = now < gone || now >= back;
            let (requests, next) = agents[nth].act(self, start + at, up, &mut random);
            if up {
                answered.extend(std::iter::repeat_n(now - back, requests));
            }
            let next = next.saturating_duration_since(start);
            queue.push(Reverse((next.max(at + Duration::from_millis(1)), nth)));
        }
        let calm = answered.iter().filter(|at| **at >= -back + self.ttl && **at < -self.outage).count();
        let stranded = agents.iter().filter_map(|agent| agent.recovered_at);
        let stranded: Vec<f64> = stranded.map(|at| (at - start).as_secs_f64() - back).collect();
        Outcome {
            steady: calm as f64 / (gone - self.ttl),
            answered,
            stranded: stranded.len(),
            last_back: stranded.iter().copied().fold(0.0, f64::max),
        }
    }
}

/// One agent.
struct Agent {
    ours: (Phase, Action),
    theirs: Theirs,
    expires_at: Option<Instant>,
    /// When it had a token again after its old one had died.
    recovered_at: Option<Instant>,
}

/// The state of the others, which need less.
#[derive(Default)]
struct Theirs {
    /// The wait before the last one, in seconds.
    login_wait: f64,
    renewal_wait: f64,
    failing_since: Option<Instant>,
    /// Share of the TTL that is too little for a renewal.
    grace: f64,
    logs_in: bool,
}

impl Agent {
    fn new(_: &Fleet) -> Self {
        Self {
            ours: Phase::start(),
            theirs: Theirs { logs_in: true, ..Theirs::default() },
            expires_at: None,
            recovered_at: None,
        }
    }

    /// Does what is due. Returns the requests it sent, and when it wakes up next.
    fn act(&mut self, fleet: &Fleet, now: Instant, up: bool, random: &mut fastrand::Rng) -> (usize, Instant) {
        if up {
            if self.expires_at.is_some_and(|dead| dead < now) {
                self.recovered_at = Some(now);
            }
            self.expires_at = Some(now + Duration::from_secs_f64(fleet.ttl));
        }
        match fleet.waits {
            Waits::Sidekey => self.act_ours(fleet, now, up, random),
            Waits::Upstream | Waits::FullJitter => {
                (1, now + self.theirs.act(self.expires_at, fleet, now, up, random))
            }
        }
    }

    fn act_ours(
        &mut self,
        fleet: &Fleet,
        now: Instant,
        up: bool,
        random: &mut fastrand::Rng,
    ) -> (usize, Instant) {
        let ttl = Ttl::from_seconds(fleet.ttl as u64);
        let grant = Grant { ttl, renewable: fleet.renewable, num_uses: 0, fresh: true };
        let mut requests = 0;
        loop {
            let (phase, action) = self.ours;
            let event = match action {
                Action::Wait(Some(at)) if at > now => return (requests, at),
                Action::Wait(_) | Action::GiveUp => Event::Timer,
                Action::Login if up => Event::LoggedIn(grant),
                Action::Login => Event::LoginFailed { retry_after: None, refused: false },
                Action::Renew if up => Event::Renewed(grant),
                Action::Renew => Event::RenewFailed(RenewFailure::Unavailable { retry_after: None }),
            };
            requests += usize::from(matches!(action, Action::Login | Action::Renew));
            self.ours = step(phase, event, now, random.f64(), BACKOFF);
        }
    }
}

impl Theirs {
    /// How long it waits after this try.
    fn act(
        &mut self,
        expires_at: Option<Instant>,
        fleet: &Fleet,
        now: Instant,
        up: bool,
        random: &mut fastrand::Rng,
    ) -> Duration {
        let seconds = Duration::from_secs_f64;
        if up {
            if self.logs_in {
                self.grace = 0.1 + 0.1 * random.f64();
            }
            (self.login_wait, self.renewal_wait, self.failing_since) = (0.0, 0.0, None);
            self.logs_in = !fleet.renewable;
            return seconds(fleet.ttl * (2.0 / 3.0 + self.grace / 3.0));
        }
        let since = *self.failing_since.get_or_insert(now);
        let (min, max) = (BACKOFF.min.as_secs_f64(), BACKOFF.max.as_secs_f64());
        if fleet.waits == Waits::FullJitter {
            let age = (now - since).as_secs_f64();
            return seconds((age / 4.0).clamp(2.0, max) * random.f64());
        }
        if !self.logs_in {
            let left = expires_at.map_or(0.0, |at| at.saturating_duration_since(now).as_secs_f64());
            self.renewal_wait =
                if self.renewal_wait == 0.0 { 10.0 } else { (self.renewal_wait * 2.0).min(300.0) };
            let wait = self.renewal_wait * (0.5 + random.f64());
            if left - wait > self.grace * fleet.ttl {
                return seconds(wait);
            }
            self.logs_in = true;
            return Duration::ZERO;
        }
        self.login_wait = match self.login_wait {
            0.0 => min,
            last => (last * 2.0).min(max) * (1.0 - 0.25 * random.f64()),
        };
        seconds(self.login_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 3600.0;

    fn fleet(ttl: f64, outage: f64, renewable: bool, waits: Waits) -> Outcome {
        Fleet { agents: 10_000, ttl, renewable, outage, waits }.run(7)
    }

    /// Where the tokens outlive the outage, the fleet's return is no event for the server.
    #[test]
    fn the_peak_after_an_outage_is_under_twice_the_usual_rate() {
        for renewable in [false, true] {
            for (ttl, outage) in [
                (HOUR, MINUTE),
                (HOUR, 5.0 * MINUTE),
                (6.0 * HOUR, 5.0 * MINUTE),
                (24.0 * HOUR, 5.0 * MINUTE),
                (24.0 * HOUR, 20.0 * MINUTE),
            ] {
                let ours = fleet(ttl, outage, renewable, Waits::Sidekey);
                let (peak, limit) = (ours.peak(), 2.0 * ours.steady);
                assert!(peak < limit, "ttl {ttl}, outage {outage}: {peak:.2} of {limit:.2} in a second");
                assert_eq!(ours.stranded, 0, "ttl {ttl}, outage {outage}: tokens died");
            }
        }
    }

    #[test]
    fn upstreams_waits_would_have_been_several_times_the_usual_rate() {
        let [upstream, full_jitter] = [Waits::Upstream, Waits::FullJitter].map(|waits| {
            let outcome = fleet(HOUR, 5.0 * MINUTE, false, waits);
            outcome.peak() / outcome.steady
        });
        assert!(upstream > 4.0 && full_jitter > 8.0, "{upstream} {full_jitter}");
    }

    /// Where they do not, whoever is without a token is back soon, and not all at once.
    #[test]
    fn whoever_is_without_a_token_is_back_within_a_third_of_the_outage() {
        for (ttl, outage) in
            [(MINUTE, MINUTE), (10.0 * MINUTE, 5.0 * MINUTE), (HOUR, 20.0 * MINUTE), (HOUR, 2.0 * HOUR)]
        {
            let ours = fleet(ttl, outage, false, Waits::Sidekey);
            assert!(ours.last_back <= (outage / 3.0).clamp(2.0, 300.0) + 1.0, "{}", ours.last_back);
            // Reliability N6 wants four agents for each second of outage, and the usual requests beside them.
            let limit = 7.0 * 10_000.0 / outage.min(900.0) + ours.steady;
            assert!(ours.peak() < limit, "{:.1} of {limit:.1}", ours.peak());
        }
    }
}
