//! A simulated server and clock around the state machine: what is asked when.

use proptest::prelude::*;

use super::*;

const BACKOFF: Backoff =
    Backoff { min: Duration::from_secs(1), max: Duration::from_secs(300), exit_on_err: false };

const UNAVAILABLE: RenewFailure = RenewFailure::Unavailable { retry_after: None };

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
    /// When the token really dies.
    dies_at: Instant,
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
            dies_at: now,
            logins: Vec::new(),
            renewals: Vec::new(),
            renewal: |_| None,
            login_fails: false,
        }
    }

    fn grant(&mut self) -> Grant {
        let ttl = Duration::from_secs(self.ttl);
        let left = self.max.map(|max| (self.issued_at + seconds(max)).saturating_duration_since(self.now));
        let ttl = left.map_or(ttl, |left| ttl.min(left));
        self.dies_at = self.now + ttl;
        // Rounded up, as the real ones do.
        let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let ttl = if self.ttl == 0 { Ttl::Never } else { Ttl::from_seconds(whole.max(1)) };
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
                    if let Phase::Live { held, since, .. } = phase {
                        assert!(held.expires_at.is_none_or(|dies| at <= dies), "slept past the token's end");
                        // Who fails may lose it; who does not never holds a dead one. Lives of a second are a gamble.
                        let early = self.ttl < 2 || since.is_some() || held.expires_at.is_none();
                        assert!(early || at < self.dies_at, "it was dead for {:?}", at - self.dies_at);
                    }
                    self.now = self.now.max(at);
                    Event::Timer
                }
                Action::Login => {
                    self.logins.push((self.now - self.start).as_secs_f64());
                    self.issued_at = self.now;
                    if self.login_fails {
                        Event::LoginFailed { retry_after: None, refused: false }
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
fn a_new_token_is_there_before_the_maximum_ttl_however_the_server_rounds() {
    for (ttl, max) in (2..40).flat_map(|ttl| (0..50).map(move |more| (ttl, ttl + more))) {
        for jitter in [0.0, 0.3, 0.7, 0.999] {
            Server::new(ttl, Some(max)).run(3 * max, jitter);
        }
    }
    for jitter in [0.0, 0.3, 0.5, 0.7, 0.999] {
        let mut server = Server::new(3, Some(10));
        server.run(100, jitter);
        assert!(ratios(&server.logins, 1.0).iter().all(|gap| *gap < 10.0), "{:?}", server.logins);
        assert!(server.logins.len() <= 100 / 6, "{jitter}: {:?}", server.logins);
    }
}

#[test]
fn a_token_that_every_renewal_makes_whole_again_is_never_replaced() {
    for ttl in 1..120 {
        for jitter in [0.0, 0.25, 0.5, 0.75, 0.999] {
            let mut server = Server::new(ttl, None);
            server.run(20 * ttl, jitter);
            assert_eq!(server.logins, [0.0], "TTL {ttl} s, jitter {jitter}");
        }
    }
}

#[test]
fn batch_and_other_tokens_that_cannot_be_renewed_are_replaced() {
    let mut server = Server { renewable: false, ..Server::new(20, None) };
    server.run(200, 0.5);
    assert!(server.renewals.is_empty());
    assert!(ratios(&server.logins, 20.0).iter().all(|r| (0.699..=0.734).contains(r)), "{:?}", server.logins);
}

#[test]
fn a_life_of_more_years_than_there_are_is_a_long_one() {
    let now = Instant::now();
    for renewable in [false, true] {
        let mut state = (live(u64::MAX, renewable, now), Action::Wait(None));
        for event in [Event::Timer, LOGIN_FAILED, Event::RenewFailed(UNAVAILABLE), Event::Timer] {
            assert!(state.0.action() != Action::GiveUp);
            state = step(state.0, event, now, 0.5, BACKOFF);
        }
    }
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
    let mut server = Server { renewal: |_| Some(UNAVAILABLE), ..Server::new(120, None) };
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
    let failed =
        step(phase, Event::LoginFailed { retry_after: None, refused: false }, Instant::now(), 0.5, backoff);
    assert_eq!(failed, (Phase::GivenUp, Action::GiveUp));
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Logged in with `ttl` at `now`.
fn live(ttl: u64, renewable: bool, now: Instant) -> Phase {
    let grant = Grant { ttl: Ttl::from_seconds(ttl), renewable, num_uses: 0, fresh: true };
    step(Phase::start().0, Event::LoggedIn(grant), now, 0.5, BACKOFF).0
}

const LOGIN_FAILED: Event = Event::LoginFailed { retry_after: None, refused: false };

#[test]
fn the_servers_wish_comes_first_and_the_wait_behind_it() {
    let now = Instant::now();
    for (wish, least) in [(30, 30), (100_000, 300)] {
        let wish = Event::LoginFailed { retry_after: Some(seconds(wish)), refused: false };
        let (_, action) = step(Phase::start().0, wish, now, 0.5, BACKOFF);
        let Action::Wait(Some(at)) = action else { panic!("{action:?}") };
        assert!(at > now + seconds(least) && at <= now + seconds(least + 2), "{:?}", at - now);
    }
}

#[test]
fn equal_bounds_of_the_backoff_are_fine() {
    let backoff = Backoff { min: seconds(5), max: seconds(5), exit_on_err: false };
    for outage in [0, 10, 10_000] {
        assert_eq!(urgent_wait(seconds(outage), 0.3, backoff), seconds(5));
    }
}

/// What each event leads to in each phase: the rows of the specification's tables.
#[test]
fn the_table_of_failures() {
    let start = Instant::now();
    let later = start + seconds(44);
    let renewing = || step(live(60, true, start), Event::Timer, later, 0.5, BACKOFF).0;
    let failed = |failure| step(renewing(), Event::RenewFailed(failure), later, 0.5, BACKOFF);
    let then = |(phase, _): (Phase, Action)| match phase {
        Phase::Live { then, since, .. } => (Some(then), since.is_some()),
        _ => (None, false),
    };

    // A login that fails while the old token lives keeps it, and tries whatever may help next.
    let relogin = step(live(60, false, start), Event::Timer, later, 0.5, BACKOFF).0;
    let waiting = step(relogin, LOGIN_FAILED, later, 0.5, BACKOFF);
    assert_eq!(then(waiting), (Some(Then::Login), true));
    // A server that cannot be asked takes nothing away.
    assert_eq!(then(failed(UNAVAILABLE)), (Some(Then::Renew), true));
    // Nor does one that will not renew.
    assert_eq!(then(failed(RenewFailure::Denied)), (Some(Then::Login), false));
    // What is gone is gone.
    assert_eq!(failed(RenewFailure::Gone).1, Action::Login);
    assert!(matches!(failed(RenewFailure::Gone).0, Phase::LoggingIn { old: None, .. }));
    // New credentials, in whatever phase there is a wait.
    for phase in [live(60, true, start), step(Phase::start().0, LOGIN_FAILED, start, 0.5, BACKOFF).0] {
        assert_eq!(step(phase, Event::NewCredentials, later, 0.5, BACKOFF).1, Action::Login);
    }
    // Events of another phase change nothing.
    for phase in [live(60, true, start), renewing(), Phase::start().0, Phase::GivenUp] {
        for event in [LOGIN_FAILED, Event::RenewFailed(UNAVAILABLE)] {
            let fits = matches!(
                (phase, event),
                (Phase::LoggingIn { .. }, Event::LoginFailed { .. })
                    | (Phase::Renewing { .. }, Event::RenewFailed(_))
            );
            if !fits {
                assert_eq!(step(phase, event, later, 0.5, BACKOFF), (phase, phase.action()));
            }
        }
    }
}

#[test]
fn in_its_last_tenth_a_token_is_both_renewed_and_replaced() {
    let start = Instant::now();
    let late = start + seconds(56);
    let (renewing, _) = step(live(60, true, start), Event::Timer, late, 0.5, BACKOFF);
    let (logging_in, action) = step(renewing, Event::RenewFailed(UNAVAILABLE), late, 0.5, BACKOFF);
    assert_eq!(action, Action::Login, "too late to wait for another renewal");
    let (waiting, _) = step(logging_in, LOGIN_FAILED, late, 0.5, BACKOFF);
    assert_eq!(step(waiting, Event::Timer, late, 0.5, BACKOFF).1, Action::Renew);
}

#[test]
fn a_token_that_dies_while_logins_fail_is_given_up_at_its_end_and_not_before() {
    let start = Instant::now();
    let mut state = live(60, false, start);
    let mut tries = Vec::new();
    for _ in 0..20 {
        let Action::Wait(Some(at)) = state.action() else { panic!("{state:?}") };
        tries.push((at - start).as_secs_f64());
        state = step(state, Event::Timer, at, 0.5, BACKOFF).0;
        state = step(state, LOGIN_FAILED, at, 0.5, BACKOFF).0;
        assert_eq!(state.is_live(), at < start + seconds(60), "{tries:?}");
    }
    // Never faster than once a second, but for the last try before the end.
    assert!(tries.windows(2).all(|pair| pair[1] - pair[0] >= 0.9 || pair[1] == 60.0), "{tries:?}");
    assert!(tries.iter().filter(|at| **at <= 60.0).count() <= 8, "{tries:?}");
}

#[test]
fn tokens_that_are_dead_on_arrival_are_not_asked_for_without_end() {
    let mut now = Instant::now();
    let start = now;
    let mut logins = 0;
    let mut state = Phase::start();
    while now < start + seconds(60) {
        let event = match state.1 {
            Action::Login => {
                logins += 1;
                Event::LoggedIn(Grant {
                    ttl: Ttl::from_seconds(3600),
                    renewable: true,
                    num_uses: 0,
                    fresh: true,
                })
            }
            _ if state.0.is_live() => Event::TokenDead,
            Action::Wait(Some(at)) => {
                now = at;
                Event::Timer
            }
            action => panic!("{action:?}"),
        };
        state = step(state.0, event, now, 0.5, BACKOFF);
    }
    assert!(logins <= 61, "{logins}");
}

proptest! {
    /// Never below the minimum nor above the maximum, and never longer than a third of the outage needs.
    #[test]
    fn waits_without_a_token_keep_their_bounds(min in 1u64..20, factor in 1u64..100, outage in 0u64..100_000, jitter in 0.0f64..1.0) {
        let backoff = Backoff { min: seconds(min), max: seconds(min * factor), exit_on_err: false };
        let wait = urgent_wait(seconds(outage), jitter, backoff);
        prop_assert!(wait >= backoff.min && wait <= backoff.max);
        prop_assert!(wait <= (seconds(outage) / 3).max(backoff.min * 2));
    }

    /// While the token lives the next try comes before its end, whatever the numbers.
    #[test]
    fn waits_with_a_token_end_before_it_does(left in 1u64..10_000_000, shortest in 0u64..100_000, outage in 0u64..10_000_000, jitter in 0.0f64..1.0) {
        let wait = patient_wait(Duration::from_millis(left), Duration::from_millis(shortest), seconds(outage), jitter);
        prop_assert!(wait <= Duration::from_millis(left));
    }

    /// Any events at any times: never an action that does not belong to the phase, never two logins in a second
    /// because of tokens that die.
    #[test]
    fn any_story_is_survived(story in proptest::collection::vec((0u8..9, 0u64..100_000, 0u64..4000, 0.0f64..1.0), 1..200)) {
        let mut now = Instant::now();
        let (mut phase, mut action) = Phase::start();
        for (event, pause, ttl, jitter) in story {
            now += Duration::from_millis(pause);
            let grant = Grant { ttl: Ttl::from_seconds(ttl), renewable: jitter > 0.3, num_uses: 0, fresh: jitter > 0.1 };
            let event = match event {
                0 => Event::LoggedIn(grant),
                1 => Event::LoginFailed { retry_after: Some(seconds(ttl)), refused: ttl % 2 == 0 },
                2 => LOGIN_FAILED,
                3 => Event::Renewed(grant),
                4 => Event::RenewFailed(UNAVAILABLE),
                5 => Event::RenewFailed(RenewFailure::Denied),
                6 => Event::RenewFailed(RenewFailure::Gone),
                7 => Event::TokenDead,
                _ => Event::Timer,
            };
            let before = (phase, now);
            (phase, action) = step(phase, event, now, jitter, BACKOFF);
            prop_assert_eq!(action, phase.action());
            prop_assert!(!matches!(phase, Phase::GivenUp));
            // A live token is only ever given up for a reason.
            let lived = matches!(before.0, Phase::Live { held, .. } | Phase::Renewing { held, .. } if held.lives(now));
            let dies = matches!(event, Event::TokenDead | Event::RenewFailed(RenewFailure::Gone));
            if lived && !dies {
                prop_assert!(!matches!(phase, Phase::BackingOff { .. } | Phase::LoggingIn { old: None, .. }), "{:?} {:?}", before, event);
            }
        }
        let _ = action;
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

#[test]
fn who_is_refused_with_new_credentials_tries_again_soon_and_keeps_the_old_token() {
    let start = Instant::now();
    let backoff = Backoff { min: seconds(1), max: seconds(300), exit_on_err: false };
    let grant = Grant { ttl: Ttl::from_seconds(36_000), renewable: true, num_uses: 0, fresh: true };
    let (phase, _) = step(Phase::start().0, Event::LoggedIn(grant), start, 0.5, backoff);
    let (phase, action) = step(phase, Event::NewCredentials, start + seconds(60), 0.5, backoff);
    assert_eq!(action, Action::Login);
    let refused = Event::LoginFailed { retry_after: None, refused: true };
    let (phase, action) = step(phase, refused, start + seconds(60), 0.5, backoff);
    assert!(matches!(action, Action::Wait(Some(until)) if until < start + seconds(63)), "{action:?}");
    assert!(phase.is_live());
    let (_, action) = step(phase, Event::Timer, start + seconds(63), 0.5, backoff);
    assert_eq!(action, Action::Login);
}

#[test]
fn who_is_refused_saves_the_old_token_by_a_renewal_once_half_of_its_life_is_gone() {
    for (at, then) in [(40, Action::Login), (60, Action::Renew)] {
        let start = Instant::now();
        let (phase, action) =
            step(live(100, true, start), Event::NewCredentials, start + seconds(at), 0.5, BACKOFF);
        assert_eq!(action, Action::Login);
        let refused = Event::LoginFailed { retry_after: None, refused: true };
        let (phase, _) = step(phase, refused, start + seconds(at), 0.5, BACKOFF);
        let (_, action) = step(phase, Event::Timer, start + seconds(at + 2), 0.5, BACKOFF);
        assert_eq!(action, then, "after {at} s of 100");
    }
}

#[test]
fn waits_grow_with_an_outage_as_far_as_the_life_of_the_token_allows() {
    let longest = |left: u64, outage: u64| patient_wait(seconds(left), seconds(1), seconds(outage), 1.0);
    assert_eq!(longest(100_000, 0), PATIENCE);
    assert_eq!(longest(100_000, 10_000), seconds(20_000));
    assert_eq!(longest(100, 10_000), seconds(90));
}

#[test]
fn a_wish_for_longer_than_the_token_lives_does_not_cost_the_token() {
    let start = Instant::now();
    for wish in [1, 20, 29, 31, 300, 100_000] {
        for jitter in [0.0, 0.5, 1.0] {
            let failed = Event::RenewFailed(RenewFailure::Unavailable { retry_after: Some(seconds(wish)) });
            let (phase, action) =
                step(live(100, true, start), Event::Timer, start + seconds(70), jitter, BACKOFF);
            assert_eq!(action, Action::Renew);
            let (_, action) = step(phase, failed, start + seconds(70), jitter, BACKOFF);
            let Action::Wait(Some(at)) = action else { panic!("{action:?}") };
            let heard = seconds(wish).min(seconds(27));
            assert!(at > start + seconds(70) + heard, "{wish}: {:?}", at - start);
            assert!(at < start + seconds(100), "{wish}: {:?}", at - start);
        }
    }
}
