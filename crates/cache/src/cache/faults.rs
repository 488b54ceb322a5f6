//! Renewals that grant less and less, answers to renewals that make no sense, and clocks that jump.

use std::sync::atomic::Ordering::Relaxed;

use tokio::time::{Instant, sleep};

use super::tests::{Door, door, door_with, get};
use super::*;

const RENEW: &str = "sys/leases/renew";

fn creds() -> Request {
    get("database/creds/app")
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What the server answers to the renewal of any lease from now on.
fn grant(door: &Door, body: String) {
    door.server.says.lock().unwrap().insert(RENEW.into(), (200, "application/json", body));
}

fn granted(duration: &str) -> String {
    format!(r#"{{"lease_id":"x","lease_duration":{duration},"renewable":true}}"#)
}

/// F25: leases of 100 s that live for 250 at most. Each is handed out while it lives, and replaced before its end,
/// once.
#[tokio::test(start_paused = true)]
async fn f25_renewals_that_grant_less_and_less() {
    const MOST: Duration = seconds(250);
    let door = door_with(100, Options::default());
    let mut ids = Vec::new();
    let (began, mut since) = (Instant::now(), Instant::now());
    while began.elapsed() < seconds(1000) {
        let left = MOST.saturating_sub(since.elapsed()).as_secs().min(100);
        grant(&door, granted(&left.to_string()));
        let (origin, answer) = door.ask(creds()).await;
        match origin {
            "MISS" => {
                if !ids.is_empty() {
                    let age = since.elapsed();
                    assert!(age > MOST / 2 && age < MOST, "replaced after {age:?}");
                }
                since = Instant::now();
                ids.push(answer["lease_id"].clone());
            }
            _ => {
                assert_eq!(Some(&answer["lease_id"]), ids.last());
                let told = answer["lease_duration"].as_u64().unwrap();
                assert!(
                    since.elapsed() + seconds(told) <= MOST + seconds(2),
                    "{told} s after {:?}",
                    since.elapsed()
                );
            }
        }
        sleep(seconds(1)).await;
    }
    assert!((4..=7).contains(&ids.len()), "{}", ids.len());
    // Some three for each.
    assert!(door.server.count(RENEW) <= 5 * ids.len(), "{} renewals", door.server.count(RENEW));
}

/// F25: the first renewal grants a fiftieth of what there was.
#[tokio::test(start_paused = true)]
async fn f25_a_renewal_that_grants_much_less_than_before() {
    let door = door_with(1000, Options::default());
    let (_, first) = door.ask(creds()).await;
    grant(&door, granted("20"));
    sleep(seconds(690)).await;
    let mut renewed = None;
    while renewed.is_none_or(|at: Instant| at.elapsed() < seconds(40)) {
        sleep(seconds(1)).await;
        if renewed.is_none() && door.server.count(RENEW) == 1 {
            renewed = Some(Instant::now());
        }
        let (_, answer) = door.ask(creds()).await;
        let old = answer["lease_id"] == first["lease_id"];
        assert!(
            !old || renewed.is_none_or(|at| at.elapsed() < seconds(18)),
            "handed out after 90 % of its time"
        );
    }
    assert_eq!((door.server.count("database/creds/app"), door.server.count(RENEW)), (2, 1));
}

/// A renewal's answer that cannot be true prolongs nothing, fails nobody and begins no storm.
#[tokio::test(start_paused = true)]
async fn f25_renewals_whose_answers_make_no_sense() {
    for said in [
        granted("0"),
        granted("-5"),
        granted("1.5"),
        granted("\"soon\""),
        granted("99999999999999999999"),
        "{}".into(),
        "null".into(),
        "[]".into(),
        "<html>".into(),
        String::new(),
        "[".repeat(10_000),
        format!("{}{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)),
    ] {
        let shown = &said[..said.len().min(80)];
        let door = door_with(100, Options::default());
        let (_, first) = door.ask(creds()).await;
        grant(&door, said.clone());
        sleep(seconds(60)).await;
        assert_eq!(door.origin(creds()).await, "HIT", "{shown}");
        sleep(seconds(40)).await;
        let (origin, second) = door.ask(creds()).await;
        assert_eq!(origin, "MISS", "{shown}");
        assert_ne!(first["lease_id"], second["lease_id"], "{shown}");
        assert!(door.server.count(RENEW) <= 10, "{shown}: {}", door.server.count(RENEW));
    }
    // As long as can be is a long time, and no overflow.
    for long in ["9223372036854775807", "4000000000"] {
        let door = door_with(100, Options::default());
        door.ask(creds()).await;
        grant(&door, granted(long));
        sleep(seconds(1000)).await;
        assert_eq!((door.origin(creds()).await, door.server.count(RENEW)), ("HIT", 1), "{long}");
    }
}

/// F24: after a suspend everything is overdue at once. It is renewed at the rate, and served meanwhile.
#[tokio::test(start_paused = true)]
async fn f24_what_is_overdue_after_a_suspend_is_renewed_without_a_burst() {
    let door = door_with(3600, Options { renewals_per_second: 50, ..Options::default() });
    let asks = (0..500).map(|n| door.ask(get(&format!("database/creds/{n}"))));
    futures_util::future::join_all(asks.collect::<Vec<_>>()).await;
    door.slept.store(2_800_000, Relaxed);
    let (mut last, woke, mut done) = (0, Instant::now(), None);
    for _ in 0..40 {
        sleep(seconds(1)).await;
        let now = door.server.count(RENEW);
        assert!(now - last <= 50 + 16, "{} in a second", now - last);
        last = now;
        if now >= 500 {
            done.get_or_insert_with(|| woke.elapsed());
        }
    }
    // The sleep is noticed within ten seconds; ten more at this rate.
    assert!(done.is_some_and(|took| took <= seconds(22)), "{done:?}, {last} renewals");
    assert_eq!(last, 500);
    for n in [0, 250, 499] {
        assert_eq!(door.origin(get(&format!("database/creds/{n}"))).await, "HIT");
    }
}

/// F24: whatever clock is set forward counts as slept, and no clock that goes back gives anything a longer life.
#[tokio::test(start_paused = true)]
async fn f24_a_clock_that_goes_back_prolongs_nothing() {
    let door = door_with(3600, Options::default());
    door.server.refuse(RENEW, 500);
    door.ask(creds()).await;
    door.slept.store(3_000_000, Relaxed);
    assert_eq!(door.origin(creds()).await, "HIT");
    door.slept.store(0, Relaxed);
    sleep(seconds(590)).await;
    assert_eq!(door.origin(creds()).await, "HIT");
    sleep(seconds(20)).await;
    assert_eq!(door.origin(creds()).await, "MISS", "an hour has passed in all");
    // From then to now and back again: the next one lives its own time.
    let (_, second) = door.ask(creds()).await;
    door.slept.store(1_000_000, Relaxed);
    sleep(seconds(3500)).await;
    assert_eq!(door.ask(creds()).await.1["lease_id"], second["lease_id"]);
}

/// Nobody is told that something lives for 0 seconds: that reads like for ever.
#[tokio::test(start_paused = true)]
async fn the_last_second_is_told_as_one() {
    for (ttl, asked) in [(1, [(300, 1), (700, 1)]), (3, [(500, 2), (2500, 1)])] {
        let door = door(ttl);
        door.server.refuse("sys/leases/renew", 500);
        let began = Instant::now();
        door.ask(get("database/creds/app")).await;
        for (at, told) in asked {
            tokio::time::sleep_until(began + Duration::from_millis(at)).await;
            let (origin, lease) = door.ask(get("database/creds/app")).await;
            assert_eq!((origin, lease["lease_duration"].as_u64()), ("HIT", Some(told)), "{ttl} {at}");
        }
    }
}
