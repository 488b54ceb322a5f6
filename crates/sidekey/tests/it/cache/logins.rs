//! Equal logins are one, one after the other and at the same time.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use testkit::eventually;
use tokio::time::sleep;

use super::{log_in, token};
use crate::Stage;

#[tokio::test]
async fn three_logins_are_one_and_twenty_at_once_are_one() {
    let stage = Stage::new().await;
    // Upstream's clock on a hit is local time that says it is GMT.
    let front = stage.front().env("TZ", "Asia/Tokyo");
    let (mut agent, listener) = front.start_listening().await.unwrap();
    eventually("our own login", async || (!stage.read("token").is_empty()).then_some(())).await.unwrap();
    let before = stage.tokens().await;

    let first = log_in(&listener, &stage.credentials, 1).await;
    assert_eq!((first.status.as_u16(), first.cache(), first.header("age")), (200, "MISS", ""));
    sleep(Duration::from_millis(2200)).await;
    let second = log_in(&listener, &stage.credentials, 1).await;
    sleep(Duration::from_secs(1)).await;
    // Written otherwise and by somebody else, it is the same.
    let body = format!(
        "{{ \"n\" : 1,\n \"secret_id\": \"{}\", \"role_id\": \"{}\" }}",
        stage.credentials.1, stage.credentials.0
    );
    let headers =
        [("user-agent", "another/2"), ("traceparent", "00-1-2-01"), ("content-type", "application/json")];
    let third = listener.send("PUT", "/v1/auth/approle/login", &headers, &body).await.unwrap();
    for (hit, ages) in [(&second, 2..=4), (&third, 3..=6)] {
        assert_eq!((hit.status.as_u16(), hit.cache()), (200, "HIT"));
        let age: u64 = hit.header("age").parse().unwrap();
        assert!(ages.contains(&age), "{age}");
        let date = httpdate(hit.header("date"));
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        assert!(now.abs_diff(date) <= 2, "Date is {} at {now}", hit.header("date"));
        assert_eq!(token(hit), token(&first));
        for same in ["request_id", "warnings", "auth"] {
            let (ours, theirs) = (&hit.json[same], &first.json[same]);
            // The time that is left may be told anew.
            let without = |value: &serde_json::Value| {
                let mut value = value.clone();
                value.as_object_mut().map(|fields| fields.remove("lease_duration"));
                value
            };
            assert_eq!(without(ours), without(theirs), "{same}");
        }
        for name in ["content-type", "cache-control", "strict-transport-security"] {
            assert_eq!(hit.header(name), first.header(name), "{name}");
        }
        assert_eq!(hit.header("content-length"), hit.body.len().to_string());
        assert_eq!(hit.header("connection"), "");
    }
    assert_eq!(stage.tokens().await, before + 1, "three logins made one token");

    let at_once = join_all((0..20).map(|_| log_in(&listener, &stage.credentials, 2))).await;
    assert!(at_once.iter().all(|answer| answer.status == 200 && token(answer) == token(&at_once[0])));
    assert_eq!(stage.tokens().await, before + 2, "twenty logins at once made one token");
    assert_eq!(at_once.iter().filter(|answer| answer.cache() == "MISS").count(), 1);
    // A client that leaves cancels nobody's login, and its own is remembered.
    let leaving = tokio::time::timeout(Duration::from_millis(1), log_in(&listener, &stage.credentials, 3));
    let left = leaving.await.is_err();
    let after = async || {
        let answer = log_in(&listener, &stage.credentials, 3).await;
        (answer.cache() == "HIT").then_some(())
    };
    eventually("the answer of one that left", after).await.unwrap();
    assert_eq!(stage.tokens().await, before + 3, "a client left: {left}");
    agent.stop().await.unwrap();
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`.
fn httpdate(text: &str) -> u64 {
    let text = text.strip_suffix(" GMT").unwrap();
    let date = jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S", text).unwrap();
    u64::try_from(date.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second()).unwrap()
}
