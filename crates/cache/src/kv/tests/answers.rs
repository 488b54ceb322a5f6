//! What is answered, how old it is, and what is kept.

use super::*;

#[tokio::test(start_paused = true)]
async fn bounds_of_bytes_hold() {
    let door = door(&StaticSecrets { max_entry_bytes: 10, ..settings() });
    door.word("s.a", A).await;
    assert_eq!((door.word("s.a", A).await, door.cache.numbers().static_secrets.entries), ("MISS", 0));
    let door = super::door(&StaticSecrets { max_bytes: 400, ..settings() });
    let paths: Vec<String> = (0..20).map(|n| format!("secret/data/p{n}")).collect();
    let all: Vec<&str> = paths.iter().map(String::as_str).collect();
    door.server.token("s.a", &all);
    for (n, path) in paths.iter().enumerate() {
        door.server.write(path.trim_start_matches("secret/data/"), n as u64);
        door.word("s.a", path).await;
        door.word("s.a", path).await;
        let held = door.cache.numbers().static_secrets;
        assert!(held.bytes <= 400 && held.entries >= 1, "{held:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_again_while_it_is_looked_up_is_not_looked_up_again() {
    let door = door(&settings());
    door.server.write("b", 2);
    door.server.token("s.new", &[A, "secret/data/b"]);
    *door.server.delay.lock().unwrap() = Duration::from_millis(20);
    for path in [A, "secret/data/b", A, A] {
        assert_eq!(door.status("s.new", path).await, 200);
    }
    seconds(1).await;
    assert_eq!(door.server.count("GET auth/token/lookup-self"), 1, "{:?}", door.server.world().asked);
    let mounts = |asked: &&String| asked.starts_with("GET sys/internal/ui/mounts/");
    assert_eq!(door.server.world().asked.iter().filter(mounts).count(), 1);
    assert_eq!((door.word("s.new", A).await, door.word("s.new", "secret/data/b").await), ("HIT", "HIT"));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_equal_reads_are_one_and_a_thousand_tokens_read_once_each() {
    for kept in [None, Some(settings())] {
        let server = Arc::new(FakeServer::default());
        *server.delay.lock().unwrap() = Duration::from_millis(100);
        let upstream: Arc<dyn Upstream> = Arc::clone(&server) as _;
        let (cache, keep_alive) =
            Cache::new(Mode::Remember, upstream, Caller::default(), CancellationToken::new());
        tokio::spawn(keep_alive);
        if let Some(kept) = &kept {
            tokio::spawn(cache.keep_static_secrets(kept, Caller::default(), CancellationToken::new()));
        }
        let door = Door { server, cache };
        door.server.write("a", 1);
        door.server.token("s.a", &[A]);
        let answers = futures_util::future::join_all((0..1000).map(|_| door.ask(get("s.a", A)))).await;
        assert!(answers.iter().all(|answer| answer.1 == 200 && answer.2 == 1));
        assert_eq!(door.server.count(READ_A), 1);
        if kept.is_none() {
            continue;
        }
        let tokens: Vec<String> = (0..1000).map(|n| format!("s.{n}")).collect();
        for token in &tokens {
            door.server.token(token, &[A]);
        }
        for round in ["MISS", "HIT"] {
            let asking = tokens.iter().map(|token| door.ask(get(token, A)));
            let answers = futures_util::future::join_all(asking).await;
            assert!(answers.iter().all(|answer| answer.0 == round), "{round}");
            assert_eq!(door.server.count(READ_A), 1001);
            // Until all those tokens are known, and within the permission's time.
            *door.server.delay.lock().unwrap() = Duration::ZERO;
            seconds(3).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn versions_never_go_backwards() {
    for revalidate in [Revalidate::None, Revalidate::Metadata] {
        let door = door(&StaticSecrets { ttl: Duration::from_secs(10), revalidate, ..settings() });
        door.server.write("a", 2);
        assert_eq!(door.ask(get("s.a", A)).await.2, 2);
        // A standby that has not heard of it answers.
        door.server.world().behind = Some(1);
        assert_eq!(door.ask(get("s.b", A)).await.2, 2, "{revalidate:?}");
        for _ in 0..12 {
            seconds(1).await;
            assert_eq!(door.ask(get("s.a", A)).await.2, 2, "{revalidate:?}");
        }
        // Not for ever: the server may have been restored from a copy.
        seconds(30).await;
        assert_eq!(door.ask(get("s.a", A)).await.2, 1);
    }
    // After a write through here, a read from a standby that is behind is handed on and not kept.
    let door = door(&settings());
    door.ask(post("s.a", A)).await;
    door.server.world().behind = Some(1);
    assert_eq!(door.ask(get("s.a", A)).await.2, 1);
    door.server.world().behind = None;
    let newest = door.ask(get("s.a", A)).await;
    assert_eq!((newest.0, newest.2), ("MISS", json!("written")));
    assert_eq!(door.word("s.a", A).await, "HIT");
}

#[tokio::test(start_paused = true)]
async fn metadata_and_full_reads_confirm_what_is_kept() {
    let kept = StaticSecrets { revalidate: Revalidate::Metadata, ttl: Duration::from_secs(10), ..settings() };
    let door = door(&kept);
    door.word("s.a", A).await;
    seconds(3).await;
    // Its use keeps the permission, once is too seldom to read it again ahead of time.
    assert_eq!(door.word("s.a", A).await, "HIT");
    seconds(8).await;
    assert_eq!(door.word("s.a", A).await, "REVALIDATED");
    assert_eq!(door.cache.numbers().static_secrets.revalidated, 1);
    let reads = door.server.count(READ_A);
    assert_eq!(reads, 1);
    door.server.write("a", 2);
    seconds(11).await;
    let changed = door.ask(get("s.a", A)).await;
    assert_eq!((changed.0, changed.2), ("MISS", json!(2)));
    let full = super::door(&StaticSecrets { revalidate: Revalidate::Full, ..kept });
    full.word("s.a", A).await;
    seconds(11).await;
    assert_eq!(full.word("s.a", A).await, "REVALIDATED");
    full.server.write("a", 2);
    seconds(11).await;
    assert_eq!(full.word("s.a", A).await, "MISS");
    assert_eq!(full.cache.numbers().static_secrets.revalidated, 1);
    assert_eq!(door.server.count(READ_A), reads + 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_is_read_again_ahead_of_time() {
    for (revalidate, asked) in [(Revalidate::None, READ_A), (Revalidate::Metadata, "GET secret/metadata/a")] {
        let door = door(&StaticSecrets { revalidate, ..settings() });
        door.word("s.a", A).await;
        let before = door.server.count(asked);
        for _ in 0..120 {
            seconds(1).await;
            assert_eq!(door.word("s.a", A).await, "HIT", "{revalidate:?}");
        }
        let refreshed = door.server.count(asked) - before;
        assert!((3..=6).contains(&refreshed), "{revalidate:?} {refreshed}");
        // A change made elsewhere is seen within ttl.
        door.server.write("a", 7);
        seconds(30).await;
        assert_eq!(door.ask(get("s.a", A)).await.2, 7, "{revalidate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn absences_are_kept_only_when_asked_for_and_for_one_token() {
    let door = door(&settings());
    let path = "secret/data/none";
    let asked = "GET secret/data/none";
    for token in ["s.a", "s.b"] {
        door.server.allow(token, &[A, path]);
        door.word(token, A).await;
    }
    for _ in 0..2 {
        assert_eq!(door.status("s.a", path).await, 404);
    }
    assert_eq!(door.server.count(asked), 2);
    let door = super::door(&StaticSecrets { negative_ttl: Duration::from_secs(5), ..settings() });
    for token in ["s.a", "s.b"] {
        door.server.allow(token, &[A, path]);
        door.word(token, A).await;
    }
    for _ in 0..3 {
        assert_eq!(door.status("s.a", path).await, 404);
    }
    assert_eq!(door.server.count(asked), 1);
    assert_eq!(door.status("s.b", path).await, 404);
    assert_eq!(door.server.count(asked), 2);
    // Made through here, it is there at once.
    door.ask(post("s.b", path)).await;
    assert_eq!(door.status("s.a", path).await, 200);
    // And its time is short.
    door.server.world().versions.remove("none");
    seconds(31).await;
    door.word("s.a", A).await;
    assert_eq!(door.status("s.a", path).await, 404);
    seconds(5).await;
    door.server.write("none", 1);
    assert_eq!(door.status("s.a", path).await, 200);
}

#[tokio::test(start_paused = true)]
async fn kv_version_1_is_kept_as_long_as_the_server_says_and_other_engines_are_not() {
    let door = door(&settings());
    door.server.world().plain.insert("kv/a".to_owned(), 5);
    door.server.token("s.a", &["kv/a", "pki/a"]);
    door.word("s.a", "kv/a").await;
    assert_eq!(door.word("s.a", "kv/a").await, "HIT");
    door.ask(post("s.a", "kv/a")).await;
    assert_eq!(door.word("s.a", "kv/a").await, "MISS");
    assert_eq!(door.word("s.a", "kv/a").await, "HIT");
    seconds(5).await;
    assert_eq!(door.word("s.a", "kv/a").await, "MISS");
    for _ in 0..3 {
        assert_eq!(door.word("s.a", "pki/a").await, "MISS");
    }
    assert_eq!(door.server.count("GET sys/internal/ui/mounts/pki/a"), 1);
    let fixed = super::door(&StaticSecrets { kv_version: KvVersion::Two, ..settings() });
    fixed.word("s.a", A).await;
    assert_eq!(fixed.word("s.a", A).await, "HIT");
    assert_eq!(fixed.server.world().asked.iter().filter(|asked| asked.contains("internal")).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn clearing_forgets_secrets_too() {
    let door = door(&settings());
    for clear in [
        Clear::All,
        Clear::Token("s.a".to_owned()),
        Clear::TokenAccessor("a.s.a".to_owned()),
        Clear::RequestPath { path: "/v1/secret/da".to_owned(), namespace: "root/".to_owned() },
    ] {
        door.word("s.a", A).await;
        door.word("s.a", A).await;
        assert_eq!(door.word("s.a", A).await, "HIT");
        door.cache.clear(&clear);
        assert_eq!(door.word("s.a", A).await, "MISS", "{clear:?}");
    }
    // Wishes of the client.
    door.word("s.a", A).await;
    assert_eq!(door.word("s.a", A).await, "HIT");
    for wish in ["no-cache", "no-store"] {
        assert_eq!(door.ask(get("s.a", A).header(http::header::CACHE_CONTROL, wish)).await.0, "MISS");
    }
    let wrapped = get("s.a", A).header(headers::WRAP_TTL, "60");
    assert_eq!(door.ask(wrapped).await.0, "MISS");
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_is_answered_from_memory_or_not_at_all() {
    let door = door(&StaticSecrets {
        stale_if_error: Duration::from_secs(300),
        revalidate: Revalidate::Metadata,
        ..settings()
    });
    let only = || get("s.a", A).header(header::CACHE_CONTROL, "only-if-cached");
    assert_eq!(door.ask(only()).await.1, 504);
    assert_eq!(door.word("s.a", A).await, "MISS");
    let answer = door.ask(only()).await;
    assert_eq!((answer.0, answer.1), ("HIT", 200));
    // Of another token nothing is known.
    assert_eq!(door.ask(get("s.b", A).header(header::CACHE_CONTROL, "only-if-cached")).await.1, 504);
    seconds(60).await;
    let asked = door.server.world().asked.len();
    assert_eq!(door.ask(only()).await.1, 504);
    assert_eq!(door.server.world().asked.len(), asked, "the server was asked");
    // It was nobody's failure: the next one asks.
    assert_ne!(door.word("s.a", A).await, "STALE");
}

#[tokio::test(start_paused = true)]
async fn clients_that_may_not_control_the_cache_do_not() {
    let door = door_with(&settings(), Options { client_control: false, ..Options::default() });
    assert_eq!(door.word("s.a", A).await, "MISS");
    for wish in ["no-cache", "no-store", "only-if-cached"] {
        let request = get("s.a", A).header(header::CACHE_CONTROL, wish);
        assert_eq!(door.ask(request).await.0, "HIT", "{wish}");
    }
    assert_eq!(door.server.count(READ_A), 1);
    assert_eq!(door.ask(get("s.b", A).header(header::CACHE_CONTROL, "only-if-cached")).await.1, 200);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_told_without_what_it_says() {
    let door = door(&StaticSecrets { stale_if_error: Duration::from_secs(60), ..settings() });
    door.server.token("s.a", &[A, "secret/data/a?version=1", "secret/data/canary"]);
    door.server.write("canary", 7);
    door.word("s.a", A).await;
    door.word("s.b", A).await;
    door.word("s.a", "secret/data/a?version=1").await;
    seconds(3).await;
    door.word("s.a", "secret/data/canary").await;
    // A page at a time, leases and tokens first.
    let (mut from, mut all) = (Some(0), Vec::new());
    while let Some(place) = from {
        let wanted = crate::HoldingsWanted { from: place, most: 1, path: String::new() };
        let told = door.cache.holdings(&wanted);
        assert!(told.entries.len() <= 1 && told.next.is_none_or(|next| next > place));
        from = told.next;
        all.extend(told.entries);
    }
    let told: Vec<_> = all.iter().map(|one| (one.kind.word(), one.path.as_str())).collect();
    let path = |path| ("secret", path);
    assert_eq!(
        told,
        [path("/v1/secret/data/a"), path("/v1/secret/data/a?version=1"), path("/v1/secret/data/canary")]
    );
    let secret = |at: usize| all[at].secret.unwrap();
    assert_eq!((secret(0).version, secret(0).readers, secret(0).state.word()), (Some(1), 2, "fresh"));
    assert_eq!((secret(1).version, secret(1).readers), (Some(1), 1));
    assert!(all[0].age.unwrap() >= Duration::from_secs(3) && all[2].age.unwrap() < Duration::from_secs(1));
    assert!(all[0].bytes.unwrap() > 50 && all[0].left.unwrap() < Duration::from_secs(28));
    let some = crate::HoldingsWanted { from: 0, most: 9, path: "/v1/secret/data/c".to_owned() };
    assert_eq!(door.cache.holdings(&some).entries.len(), 1);
    seconds(31).await;
    assert_eq!(door.cache.holdings(&some).entries[0].secret.unwrap().state.word(), "stale");
    assert_eq!(door.cache.numbers().static_secrets.entries, 3);
}
