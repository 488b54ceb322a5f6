//! A simulated server and clock around the state machine: what is asked when.

use proptest::prelude::*;

use super::*;

const BACKOFF: Backoff =
    Backoff { min: Duration::from_secs(1), max: Duration::from_secs(300), exit_on_err: false };

/// A server that caps every token at `max`, and what it was asked.
struct Server {
    start: Instant,
    now: Instant,
    ttl: u64,
    max: Option<u64>,
    renewable: bool,
    num_uses: i64,
    fresh: bool,
    issued_at: Instant,
    logins: Vec<f64>,
    renewals: Vec<f64>,
    renewal: fn(u64) -> Option<RenewFailure>,
    login_fails: bool,
}

impl Server {
    fn new(ttl: u64, max: Option<u64>) -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now,
            ttl,
            max,
            renewable: true,
            num_uses: 0,
            fresh: true,
            issued_at: now,
            logins: Vec::new(),
            renewals: Vec::new(),
            renewal: |_| None,
            login_fails: false,
        }
    }

    fn grant(&self) -> Grant {
        let left =
            self.max.map(|max| max.saturating_sub((self.now - self.issued_at).as_secs_f64().ceil() as u64));
        let ttl = left.map_or(self.ttl, |left| self.ttl.min(left));
        let ttl = if self.ttl == 0 { Ttl::Never } else { Ttl::from_seconds(ttl.max(1)) };
        Grant { ttl, renewable: self.renewable, num_uses: self.num_uses, fresh: self.fresh }
    }

    /// Runs for `seconds` and checks that the token never died unnoticed.
    fn run(&mut self, seconds: u64, jitter: f64) {
        let end = self.now + Duration::from_secs(seconds);
        let (mut phase, mut action) = Phase::start();
        for _ in 0..100_000 {
            let event = match action {
                Action::GiveUp | Action::Wait(None) => return,
                Action::Wait(Some(at)) if at > end => return,
                Action::Wait(Some(at)) => {
                    if let Phase::Live { held, .. } = phase {
                        assert!(
                            held.expires_at().is_none_or(|dies| at <= dies),
                            "slept past the token's end"
                        );
                    }
                    self.now = self.now.max(at);
                    Event::Timer
                }
                Action::Login => {
                    self.logins.push((self.now - self.start).as_secs_f64());
                    self.issued_at = self.now;
                    if self.login_fails {
                        Event::LoginFailed { retry_after: None }
                    } else {
                        Event::LoggedIn(self.grant())
                    }
                }
                Action::Renew => {
                    self.renewals.push((self.now - self.start).as_secs_f64());
                    match (self.renewal)(self.renewals.len() as u64) {
                        Some(failure) => Event::RenewFailed(failure),
                        None => Event::Renewed(self.grant()),
                    }
                }
            };
            (phase, action) = step(phase, event, self.now, jitter, BACKOFF);
        }
        panic!("no progress of time: {} logins, {} renewals", self.logins.len(), self.renewals.len());
    }
}

fn ratios(times: &[f64], ttl: f64) -> Vec<f64> {
    times.windows(2).map(|pair| (pair[1] - pair[0]) / ttl).collect()
}

#[test]
fn a_renewable_token_is_renewed_at_seven_tenths_and_never_at_once() {
    for jitter in [0.0, 0.5, 0.99] {
        let mut server = Server::new(60, None);
        server.run(600, jitter);
        assert_eq!(server.logins, [0.0]);
        assert!(server.renewals[0] >= 0.7 * 60.0);
        assert!(
            ratios(&server.renewals, 60.0).iter().all(|r| (0.699..=0.734).contains(r)),
            "{:?}",
            server.renewals
        );
    }
}

#[test]
fn a_new_token_is_there_before_the_maximum_ttl() {
    let mut server = Server::new(3, Some(10));
    server.run(100, 0.5);
    assert!(ratios(&server.logins, 1.0).iter().all(|gap| *gap < 10.0), "{:?}", server.logins);
    assert!(server.logins.len() <= 100 / 6, "{:?}", server.logins);
}

#[test]
fn batch_and_other_tokens_that_cannot_be_renewed_are_replaced() {
    let mut server = Server { renewable: false, ..Server::new(20, None) };
    server.run(200, 0.5);
    assert!(server.renewals.is_empty());
    assert!(ratios(&server.logins, 20.0).iter().all(|r| (0.699..=0.734).contains(r)), "{:?}", server.logins);
}

#[test]
fn root_tokens_are_left_alone() {
    let mut server = Server::new(0, None);
    server.run(1_000_000, 0.5);
    assert_eq!((server.logins.len(), server.renewals.len()), (1, 0));
}

#[test]
fn uses_are_not_spent_on_renewals() {
    let mut server = Server { num_uses: 3, ..Server::new(60, None) };
    server.run(600, 0.5);
    assert!(server.renewals.is_empty());
}

#[test]
fn a_found_token_is_renewed_at_once() {
    let mut server = Server { fresh: false, ..Server::new(60, None) };
    server.run(10, 0.5);
    assert_eq!((server.logins.as_slice(), server.renewals.as_slice()), (&[0.0][..], &[0.0][..]));
}

#[test]
fn an_outage_is_sat_out_until_a_tenth_of_the_life_is_left() {
    let mut server = Server { renewal: |_| Some(RenewFailure::Unavailable), ..Server::new(120, None) };
    server.run(119, 0.5);
    assert!(server.logins.len() == 2 && server.logins[1] >= 0.85 * 120.0, "{:?}", server.logins);
    assert!(server.renewals.len() <= 6, "{:?}", server.renewals);
}

#[test]
fn a_renewal_that_may_not_be_is_tried_once_a_life() {
    let mut server = Server { renewal: |_| Some(RenewFailure::Denied), ..Server::new(60, None) };
    server.run(600, 0.5);
    assert!(server.renewals.len() <= server.logins.len(), "{:?}", server.renewals);
    assert!(server.logins.len() <= 13, "{:?}", server.logins);
}

#[test]
fn a_dead_token_is_replaced_at_once() {
    let mut server = Server { renewal: |n| (n == 1).then_some(RenewFailure::Gone), ..Server::new(60, None) };
    server.run(100, 0.5);
    assert_eq!(server.logins.len(), 2);
    assert_eq!(server.logins[1], server.renewals[0]);
}

#[test]
fn exit_on_err_gives_up_at_the_first_failure() {
    let backoff = Backoff { exit_on_err: true, ..BACKOFF };
    let (phase, _) = Phase::start();
    let failed = step(phase, Event::LoginFailed { retry_after: None }, Instant::now(), 0.5, backoff);
    assert_eq!(failed, (Phase::GivenUp, Action::GiveUp));
}

#[test]
fn the_servers_wish_is_a_lower_bound() {
    let now = Instant::now();
    let wish = Event::LoginFailed { retry_after: Some(Duration::from_secs(30)) };
    let (_, action) = step(Phase::start().0, wish, now, 0.5, BACKOFF);
    assert_eq!(action, Action::Wait(Some(now + Duration::from_secs(30))));
}

#[test]
fn equal_bounds_of_the_backoff_are_fine() {
    let backoff = Backoff { min: Duration::from_secs(5), max: Duration::from_secs(5), exit_on_err: false };
    assert_eq!(next_wait(Duration::from_secs(5), backoff, 0.0), Duration::from_secs(5));
}

proptest! {
    /// Starts at the minimum, each next is 75 to 100 % of twice the last, never above the maximum.
    #[test]
    fn backoff_doubles_within_its_bounds(min in 1u64..20, factor in 1u64..100, jitters in proptest::collection::vec(0.0f64..1.0, 1..20)) {
        let backoff = Backoff { min: Duration::from_secs(min), max: Duration::from_secs(min * factor), exit_on_err: false };
        let mut last = Duration::ZERO;
        for jitter in jitters {
            let full = if last.is_zero() { backoff.min } else { (last * 2).min(backoff.max) };
            let wait = next_wait(last, backoff, jitter);
            prop_assert!(wait <= full && wait >= full.mul_f64(0.749));
            last = wait;
        }
    }

    /// Whatever the numbers: progress, no token slept to death, and not more than N7 allows of either call.
    #[test]
    fn any_life_is_gentle(ttl in 1u64..5000, max in proptest::option::of(1u64..10_000), jitter in 0.0f64..1.0, renewable: bool, login_fails: bool) {
        let seconds = ttl.max(60) * 10;
        let mut server = Server { renewable, login_fails, ..Server::new(ttl, max) };
        server.run(seconds, jitter);
        let rate = |count: usize| count as f64 / seconds as f64;
        prop_assert!(rate(server.renewals.len()) <= 2.0, "{} renewals", server.renewals.len());
        prop_assert!(rate(server.logins.len()) <= 2.1, "{} logins", server.logins.len());
    }
}
