//! The conditions under which an answer may come from memory, each by its name.

use super::*;

#[tokio::test(start_paused = true)]
async fn condition_1_only_what_this_very_token_has_read() {
    let door = door(&settings());
    assert_eq!((door.word("s.a", A).await, door.word("s.a", A).await), ("MISS", "HIT"));
    // Another token reads for itself once, whatever its policies are.
    assert_eq!((door.word("s.b", A).await, door.word("s.b", A).await), ("MISS", "HIT"));
    assert_eq!(door.server.count(READ_A), 2);
    // One without the right is refused by the server, every time.
    for asked in 3..6 {
        assert_eq!(door.status("s.none", A).await, 403);
        assert_eq!(door.server.count(READ_A), asked);
    }
    // Another version is another grant.
    assert_eq!(door.word("s.a", "secret/data/a?version=1").await, "MISS");
    assert_eq!(door.word("s.a", "secret/data/a?version=1").await, "HIT");
    assert_eq!(door.word("s.a", "secret/data/a?version=0").await, "HIT");
}

#[tokio::test(start_paused = true)]
async fn condition_1_a_right_that_was_taken_away_ends_within_capability_ttl() {
    let door = door(&settings());
    door.word("s.a", A).await;
    door.server.allow("s.a", &[]);
    let mut served = 0;
    while door.status("s.a", A).await == 200 {
        seconds(1).await;
        served += 1;
        assert!(served <= 10, "longer than capability_ttl");
    }
    // In use it is kept by asking for capabilities, without reading.
    door.server.allow("s.a", &[A]);
    door.word("s.a", A).await;
    let before = door.server.count(READ_A);
    for _ in 0..18 {
        seconds(1).await;
        assert_eq!(door.word("s.a", A).await, "HIT");
    }
    assert_eq!(door.server.count(READ_A), before);
    assert!(door.server.count("POST sys/capabilities-self") >= 2);
}

#[tokio::test(start_paused = true)]
async fn condition_1_an_unused_grant_is_not_renewed() {
    let door = door(&settings());
    door.word("s.a", A).await;
    seconds(11).await;
    assert_eq!(door.server.count("POST sys/capabilities-self"), 0);
    assert_eq!(door.word("s.a", A).await, "MISS");
}

#[tokio::test(start_paused = true)]
async fn condition_2_the_token_lives_and_has_no_bounds() {
    let door = door(&settings());
    door.server.look("s.a", "ttl", json!(5));
    door.word("s.a", A).await;
    assert_eq!(door.word("s.a", A).await, "HIT");
    seconds(5).await;
    assert_eq!(door.word("s.a", A).await, "MISS");
    for (name, value) in
        [("num_uses", json!(5)), ("type", json!("batch")), ("bound_cidrs", json!(["127.0.0.1/32"]))]
    {
        door.server.token("s.bound", &[A]);
        door.server.look("s.bound", name, value);
        for _ in 0..3 {
            assert_eq!(door.word("s.bound", A).await, "MISS", "{name}");
        }
        door.cache.clear(&Clear::Token("s.bound".to_owned()));
    }
    // A token whose end we cannot learn is not served from memory.
    door.server.look("s.b", "ttl", Value::Null);
    for _ in 0..3 {
        assert_eq!(door.word("s.b", A).await, "MISS");
    }
}

#[tokio::test(start_paused = true)]
async fn condition_4_unknown_tokens_are_always_the_servers_to_refuse() {
    let door = door(&StaticSecrets { negative_ttl: Duration::from_secs(5), ..settings() });
    door.word("s.a", A).await;
    for asked in 2..5 {
        assert_eq!(door.status("s.unknown", A).await, 403);
        assert_eq!(door.server.count(READ_A), asked);
    }
    assert_eq!(door.cache.send(Request::new(Method::GET, A)).await.unwrap().response.status, 403);
    assert_eq!(door.server.count(READ_A), 5);
}

#[tokio::test(start_paused = true)]
async fn condition_5_refusals_and_absences_and_writes_take_effect_at_once() {
    let door = door(&settings());
    // A 403 on a read that went to the server.
    door.word("s.a", A).await;
    door.server.allow("s.a", &[]);
    assert_eq!(door.ask(get("s.a", A).header(http::header::CACHE_CONTROL, "no-cache")).await.1, 403);
    door.server.allow("s.a", &[A]);
    assert_eq!(door.word("s.a", A).await, "MISS");
    // A 404 takes the body away from everybody.
    door.word("s.b", A).await;
    let versions = door.server.world().versions.remove("a").unwrap();
    assert_eq!(door.ask(get("s.a", A).header(http::header::CACHE_CONTROL, "no-cache")).await.1, 404);
    assert_eq!(door.status("s.b", A).await, 404);
    door.server.world().versions.insert("a".to_owned(), versions);
    // Every way to change a secret, with any token.
    for (method, path) in [
        ("POST", "secret/data/a"),
        ("PATCH", "secret/data/a"),
        ("DELETE", "secret/data/a"),
        ("POST", "secret/delete/a"),
        ("POST", "secret/undelete/a"),
        ("PUT", "secret/destroy/a"),
        ("DELETE", "secret/metadata/a"),
        ("POST", "sys/mounts/secret/tune"),
    ] {
        door.word("s.a", A).await;
        door.word("s.a", A).await;
        assert_eq!(door.word("s.a", A).await, "HIT", "{method} {path}");
        let method_value = Method::from_bytes(method.as_bytes()).unwrap();
        door.ask(Request { method: method_value, ..post("s.b", path) }).await;
        assert_eq!(door.word("s.a", A).await, "MISS", "{method} {path}");
    }
    // One that was refused changes nothing; one that failed may have.
    door.word("s.a", A).await;
    assert_eq!(door.ask(post("s.unknown", A)).await.1, 403);
    assert_eq!(door.word("s.a", A).await, "HIT");
    door.server.world().failing = Some(500);
    door.ask(post("s.b", A)).await;
    door.server.world().failing = None;
    assert_eq!(door.word("s.a", A).await, "MISS");
}

#[tokio::test(start_paused = true)]
async fn condition_5_a_read_that_a_write_overtakes_is_not_kept() {
    let door = door(&settings());
    door.word("s.a", A).await;
    for path in [A, "secret/destroy/a"] {
        for read_after in [true, false] {
            door.ask(post("s.b", "secret/delete/a")).await;
            let before = door.server.count(READ_A);
            *door.server.delay.lock().unwrap() = Duration::from_secs(1);
            let write = async {
                sleep(Duration::from_millis(500)).await;
                *door.server.delay.lock().unwrap() = Duration::ZERO;
                door.ask(post("s.b", path)).await;
                // One that comes after the write does not join the read from before.
                if read_after {
                    assert_eq!(door.ask(get("s.a", A)).await.0, "MISS");
                    assert_eq!(door.server.count(READ_A), before + 2, "{path}");
                }
            };
            tokio::join!(door.ask(get("s.a", A)), write);
            let wanted = if read_after { "HIT" } else { "MISS" };
            assert_eq!(door.word("s.a", A).await, wanted, "{path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn condition_6_a_read_that_a_change_of_permission_overtakes_grants_nothing() {
    let door = door(&settings());
    door.word("s.a", A).await;
    *door.server.delay.lock().unwrap() = Duration::from_secs(1);
    let change = async {
        sleep(Duration::from_millis(500)).await;
        *door.server.delay.lock().unwrap() = Duration::ZERO;
        door.ask(post("s.b", "sys/policies/acl/app")).await;
    };
    let read = get("s.a", A).header(http::header::CACHE_CONTROL, "no-cache");
    assert_eq!(tokio::join!(door.ask(read), change).0.1, 200);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(door.word("s.a", A).await, "MISS");
    assert_eq!(door.word("s.a", A).await, "HIT");
}

#[tokio::test(start_paused = true)]
async fn condition_5_a_client_that_leaves_its_write_behind() {
    let door = door(&settings());
    door.word("s.a", A).await;
    *door.server.delay.lock().unwrap() = Duration::from_secs(2);
    let left = tokio::time::timeout(Duration::from_secs(1), door.ask(post("s.b", A))).await;
    assert!(left.is_err());
    *door.server.delay.lock().unwrap() = Duration::ZERO;
    seconds(2).await;
    assert_eq!(door.ask(get("s.a", A)).await.2, "written");
}

/// How a request can end that has been sent: its client leaves, or somebody on the way gives up. Without its client
/// goes on what may hand out a lease; nothing does at a path that was asked before.
async fn without_an_answer(door: &Door, request: Request, left: bool) {
    if left {
        *door.server.delay.lock().unwrap() = Duration::from_secs(2);
        assert!(tokio::time::timeout(Duration::from_secs(1), door.ask(request)).await.is_err());
        *door.server.delay.lock().unwrap() = Duration::ZERO;
    } else {
        door.server.world().failing = Some(504);
        assert_eq!(door.ask(request).await.1, 504);
        door.server.world().failing = None;
    }
}

#[tokio::test(start_paused = true)]
async fn condition_5_a_write_without_an_answer_may_be_done_much_later() {
    for (left, path, revalidate) in [
        (true, A, Revalidate::None),
        (false, A, Revalidate::Metadata),
        (true, A, Revalidate::Full),
        (false, "secret/destroy/a", Revalidate::None),
        (false, "secret/metadata/a", Revalidate::None),
    ] {
        let door = door(&StaticSecrets { ttl: Duration::from_secs(600), revalidate, ..settings() });
        door.server.write("b", 1);
        door.server.allow("s.a", &[A, "secret/data/b"]);
        door.ask(post("s.b", path)).await;
        for path in [A, "secret/data/b"] {
            door.word("s.a", path).await;
            assert_eq!(door.word("s.a", path).await, "HIT");
        }
        without_an_answer(&door, post("s.b", path), left).await;
        for _ in 0..3 {
            assert_ne!(door.word("s.a", A).await, "HIT", "{path}");
            seconds(20).await;
        }
        // Its permission is over.
        door.word("s.a", "secret/data/b").await;
        assert_eq!(door.word("s.a", "secret/data/b").await, "HIT", "another secret");
        // A write that is answered meanwhile says nothing of the other.
        door.ask(post("s.b", A)).await;
        door.word("s.a", A).await;
        door.server.write("a", 77);
        assert_eq!(door.ask(get("s.a", A)).await.2, 77, "{path}");
        seconds(35).await;
        door.word("s.a", A).await;
        assert_eq!(door.word("s.a", A).await, "HIT", "{path}: for ever in doubt");
    }
}

#[tokio::test(start_paused = true)]
async fn condition_5_a_write_that_never_went_out_changes_nothing() {
    let door = door(&settings());
    door.word("s.a", A).await;
    for path in [A, "auth/token/revoke-self", "sys/policies/acl/app", "sys/mounts/secret"] {
        door.server.world().unreachable = true;
        assert!(door.cache.send(post("s.a", path)).await.is_err());
        assert_eq!(door.word("s.a", A).await, "HIT", "{path}");
        door.server.world().unreachable = false;
        assert_eq!(door.word("s.a", A).await, "HIT", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn condition_6_what_takes_permissions_away_may_be_done_much_later() {
    let own = |path: &str, body: Value| (path.to_owned(), body);
    for ((path, body), others) in [
        (own("auth/token/revoke-self", json!({})), true),
        (own("auth/token/revoke", json!({"token": "s.a"})), true),
        (own("auth/token/revoke-accessor", json!({"accessor": "a.s.a"})), false),
        (own("sys/leases/revoke", json!({"lease_id": "auth/approle/login/1"})), false),
        (own("sys/policies/acl/app", json!({})), false),
        (own("sys/mounts/secret/tune", json!({})), false),
    ] {
        let door = door(&StaticSecrets { capability_ttl: Duration::from_secs(30), ..settings() });
        for token in ["s.a", "s.b"] {
            door.word(token, A).await;
            assert_eq!(door.word(token, A).await, "HIT");
        }
        without_an_answer(&door, post("s.a", &path).json(&body), false).await;
        for _ in 0..4 {
            assert_eq!(door.word("s.a", A).await, "MISS", "{path}");
            // Nor is it looked at each time what may change any time.
            let asked = door.server.count("GET auth/token/lookup-self");
            assert_eq!(door.word("s.a", A).await, "MISS", "{path}");
            assert_eq!(door.server.count("GET auth/token/lookup-self"), asked, "{path}");
            door.word("s.b", A).await;
            let word = door.word("s.b", A).await;
            assert!(!others || word == "HIT", "{path}: {word}");
            seconds(20).await;
        }
        seconds(12).await;
        for token in ["s.a", "s.b"] {
            door.word(token, A).await;
            assert_eq!(door.word(token, A).await, "HIT", "{path}: {token} for ever in doubt");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn condition_6_revocations_and_changes_of_permission_take_grants_away() {
    let door = door(&settings());
    let ready = async || {
        for token in ["s.a", "s.b"] {
            door.word(token, A).await;
            door.word(token, A).await;
            assert_eq!(door.word(token, A).await, "HIT");
        }
    };
    let own = |path: &str, body: Value| (path.to_owned(), body);
    for ((path, body), others) in [
        (own("auth/token/revoke-self", json!({})), "HIT"),
        (own("auth/token/revoke", json!({"token": "s.a"})), "HIT"),
        (own("auth/token/revoke-orphan", json!({"token": "s.a"})), "HIT"),
        (own("auth/token/revoke-accessor", json!({"accessor": "a.s.a"})), "HIT"),
        (own("sys/leases/revoke", json!({"lease_id": "auth/approle/login/1"})), "MISS"),
        (own("sys/leases/revoke-prefix/auth/approle", json!({})), "MISS"),
        (own("sys/policies/acl/app", json!({})), "MISS"),
        (own("identity/entity/id/1", json!({})), "MISS"),
        (own("auth/approle/role/app", json!({})), "MISS"),
        (own("sys/mounts/secret/tune", json!({})), "MISS"),
    ] {
        ready().await;
        door.ask(Request { method: Method::PUT, ..post("s.a", &path).json(&body) }).await;
        assert_eq!(door.word("s.a", A).await, "MISS", "{path}");
        assert_eq!(door.word("s.b", A).await, others, "{path}");
    }
    // A login, and what only reads, takes nothing away.
    ready().await;
    door.ask(post("s.a", "auth/approle/login")).await;
    assert_eq!(door.word("s.b", A).await, "HIT");
    // A child may have died with its parent.
    door.server.look("s.b", "orphan", json!(false));
    door.cache.clear(&Clear::All);
    ready().await;
    door.ask(post("s.a", "auth/token/revoke-self")).await;
    assert_eq!(door.word("s.b", A).await, "MISS");
}

#[tokio::test(start_paused = true)]
async fn condition_6_a_token_that_died_elsewhere_is_noticed_by_its_first_refusal() {
    let door = door(&settings());
    door.word("s.a", A).await;
    assert_eq!(door.word("s.a", A).await, "HIT");
    seconds(6).await;
    door.server.world().tokens.remove("s.a");
    assert_eq!(door.status("s.a", "secret/data/other").await, 403);
    assert_eq!(door.status("s.a", A).await, 403);
}

#[tokio::test(start_paused = true)]
async fn condition_7_stale_answers_have_their_bounds() {
    let kept = StaticSecrets { stale_if_error: Duration::from_secs(60), ..settings() };
    for failing in [500, 503, 429] {
        let door = door(&kept);
        door.word("s.a", A).await;
        // In use, so that the permission is young when the server fails.
        for _ in 0..18 {
            seconds(1).await;
            door.word("s.a", A).await;
        }
        door.server.world().failing = Some(failing);
        let (mut stale, mut last) = (0, "");
        for _ in 0..90 {
            seconds(1).await;
            let answer = door.cache.send(get("s.a", A)).await.unwrap();
            last = answer.origin.word();
            if last == "STALE" {
                stale += 1;
                assert_eq!(answer.response.headers["warning"], "110 - \"Response is Stale\"");
                assert!(answer.origin.age().unwrap() >= Duration::from_secs(8));
            }
            // No other token is given it.
            assert_eq!(door.status("s.b", A).await, failing);
        }
        // No longer than ttl and capability_ttl after the last time that the permission was seen.
        assert!((10..=40).contains(&stale), "{stale}");
        assert_eq!(last, "MISS");
    }
    // Never for a refusal, and not unless asked for.
    for (status, stale_if_error) in [(403, 60), (400, 60), (500, 0)] {
        let door = door(&StaticSecrets { stale_if_error: Duration::from_secs(stale_if_error), ..settings() });
        door.word("s.a", A).await;
        seconds(11).await;
        door.server.world().failing = Some(status);
        assert_eq!(door.status("s.a", A).await, status);
    }
    // Never past the token's end.
    let door = door(&kept);
    door.server.look("s.a", "ttl", json!(20));
    door.word("s.a", A).await;
    seconds(15).await;
    door.server.world().failing = Some(500);
    assert_eq!(door.word("s.a", A).await, "STALE");
    seconds(5).await;
    assert_eq!(door.status("s.a", A).await, 500);
}

/// Who asks for it bridges an outage with permissions as well: never for a refusal, never past the token's end, never
/// longer than the secret.
#[tokio::test(start_paused = true)]
async fn condition_7_permissions_outlast_an_outage_only_where_somebody_said_so() {
    let second = Duration::from_secs;
    let kept = StaticSecrets { stale_if_error: second(600), ..settings() };
    // ttl and capability_ttl are 40 s; the secret may be 630 s old.
    for (more, until) in [(0, 40), (100, 140), (600, 630)] {
        let kept = StaticSecrets { capability_stale_if_error: second(more), ..kept.clone() };
        let door = door(&kept);
        door.word("s.a", A).await;
        door.server.world().failing = Some(503);
        let mut last = 0;
        for after in 1..700 {
            seconds(1).await;
            if door.word("s.a", A).await != "MISS" {
                last = after;
            }
            assert_eq!(door.status("s.b", A).await, 503);
        }
        assert!((until - 2..=until).contains(&last), "{more}: {last}");
    }
    let kept = StaticSecrets { capability_stale_if_error: second(600), ..kept };
    let door = door(&kept);
    door.server.look("s.b", "ttl", json!(60));
    for token in ["s.a", "s.b"] {
        door.word(token, A).await;
    }
    seconds(50).await;
    // It is no longer than capability_ttl while the server answers.
    door.server.allow("s.a", &[]);
    assert_eq!(door.status("s.a", A).await, 403);
    door.server.world().failing = Some(503);
    assert_eq!(door.status("s.a", A).await, 503);
    assert_eq!(door.word("s.b", A).await, "STALE");
    seconds(10).await;
    assert_eq!(door.status("s.b", A).await, 503);
}

#[tokio::test(start_paused = true)]
async fn condition_8_bodies_are_wiped_when_they_go_and_are_never_shown() {
    let text = crate::kv::bodies::Wiped::new(b"canary");
    let bytes = text.bytes();
    assert_eq!(&bytes[..], b"canary");
    // One memory, wiped by its owner: a copy would be left behind.
    assert_eq!(bytes.as_ptr(), text.as_ref().as_ptr());
    drop(text);
    assert_eq!(&bytes[..], b"canary");
    let door = door(&StaticSecrets { max_entries: 1, ..settings() });
    door.server.token("s.a", &[A, "secret/data/b"]);
    door.server.write("b", 2);
    door.word("s.a", A).await;
    assert_eq!(door.word("s.a", A).await, "HIT");
    door.word("s.a", "secret/data/b").await;
    assert_eq!(door.cache.numbers().static_secrets.entries, 1);
    assert_eq!(door.word("s.a", A).await, "MISS");
    // Nothing is left when nobody asks any more.
    seconds(120).await;
    let left = door.cache.numbers().static_secrets;
    assert_eq!((left.entries, left.bytes), (0, 0));
}
