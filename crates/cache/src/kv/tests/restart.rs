//! Secrets on disk: what comes back after a restart, for whom, for how long, and what never does.

use std::path::Path;

use tokio::task::JoinHandle;

use super::*;
use crate::disk::{DiskSettings, FILE_NAME, Home, KeyMaterial, Opened, Room, SecretRoom, open};

/// Longest permission: 40 s; longest secret: 630 s.
fn lasting() -> StaticSecrets {
    StaticSecrets { stale_if_error: Duration::from_secs(600), ..settings() }
}

fn opened_for(folder: &Path, secrets: Option<SecretRoom>) -> Opened {
    let settings = DiskSettings {
        folder: folder.to_owned(),
        key: KeyMaterial::key(vec![7; 32]),
        home: Home { server: "https://server".into(), machine: "machine".into() },
        keep_after_import: true,
        strict: true,
        room: Room::from(&Options::default()),
        secrets,
    };
    open(&settings).unwrap()
}

fn opened(folder: &Path, kept: &StaticSecrets) -> Opened {
    opened_for(folder, Some(kept.into()))
}

/// One life of the program.
struct Run {
    door: Door,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Run {
    fn start(folder: &Path, kept: &StaticSecrets, server: &Arc<FakeServer>) -> Self {
        let stop = CancellationToken::new();
        let upstream: Arc<dyn Upstream> = Arc::clone(server) as _;
        let (cache, keep_alive) = Cache::with_options(
            Mode::Remember,
            Options::default(),
            Some(opened(folder, kept)),
            upstream,
            Caller::default(),
            stop.clone(),
        );
        let keeping = tokio::spawn(keep_alive);
        let reading = tokio::spawn(cache.keep_static_secrets(kept, Caller::default(), stop.clone()));
        Self { door: Door { server: Arc::clone(server), cache }, stop, tasks: vec![keeping, reading] }
    }

    /// Ends as the program does.
    async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }

    /// Ends without another word to the disk.
    async fn crash(self) {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

fn fresh() -> (tempfile::TempDir, Arc<FakeServer>) {
    let server = Arc::new(FakeServer::default());
    server.write("a", 1);
    for token in ["s.a", "s.b", "s.canary"] {
        server.token(token, &[A]);
    }
    (tempfile::tempdir().unwrap(), server)
}

/// A run in which these tokens have read the secret; it is on the disk.
async fn read_by(tokens: &[&str], folder: &Path, kept: &StaticSecrets, server: &Arc<FakeServer>) -> Run {
    let run = Run::start(folder, kept, server);
    for token in tokens {
        run.door.word(token, A).await;
        assert_eq!(run.door.word(token, A).await, "HIT");
    }
    run.door.cache.write_now().await;
    run
}

#[tokio::test(start_paused = true)]
async fn with_the_server_away_a_reader_is_answered_within_its_bounds_and_nobody_else() {
    let (folder, server) = fresh();
    let run = read_by(&["s.canary"], folder.path(), &lasting(), &server).await;
    run.stop().await;
    let file = std::fs::read(folder.path().join(FILE_NAME)).unwrap();
    for open in ["canary", "secret/data", "\"n\":1", "created_time"] {
        assert!(!file.windows(open.len()).any(|part| part == open.as_bytes()), "{open} lies open");
    }
    server.world().failing = Some(503);
    seconds(5).await;
    let run = Run::start(folder.path(), &lasting(), &server);
    let answer = run.door.cache.send(get("s.canary", A)).await.unwrap();
    assert_eq!((answer.origin.word(), answer.response.status.as_u16()), ("STALE", 200));
    assert!((5..10).contains(&answer.origin.age().unwrap().as_secs()), "{:?}", answer.origin);
    let warnings: Vec<_> = answer.response.headers.get_all(header::WARNING).iter().collect();
    assert!(warnings[0].to_str().unwrap().starts_with("110 ") && warnings.len() == 2, "{warnings:?}");
    assert!(warnings[1].to_str().unwrap().starts_with("111 "), "{warnings:?}");
    assert_eq!(answer.response.headers["content-type"], "application/json");
    assert_eq!(run.door.ask(get("s.canary", A)).await.2, 1);
    // Neither another token, nor another secret, nor another version of this one.
    assert_eq!(run.door.status("s.b", A).await, 503);
    assert_eq!(run.door.status("s.canary", "secret/data/a?version=1").await, 503);
    // Until nobody vouches for the permission any longer: ttl and capability_ttl after it was seen, in whichever run.
    seconds(30).await;
    assert_eq!(run.door.word("s.canary", A).await, "STALE");
    seconds(5).await;
    assert_eq!(run.door.status("s.canary", A).await, 503);
    run.stop().await;
    // What is over is not taken in, and leaves the disk.
    seconds(600).await;
    let run = Run::start(folder.path(), &lasting(), &server);
    assert_eq!(run.door.cache.numbers().static_secrets.entries, 0);
    run.stop().await;
    let left = opened(folder.path(), &lasting());
    assert!(left.secrets.bodies.is_empty() && left.secrets.readers.is_empty() && left.left_out.ended == 0);
}

#[tokio::test(start_paused = true)]
async fn a_permission_or_a_token_that_is_over_is_not_taken_in() {
    let (folder, server) = fresh();
    server.look("s.b", "ttl", json!(20));
    let run = read_by(&["s.a", "s.b"], folder.path(), &lasting(), &server).await;
    seconds(25).await;
    // Read again by another token: the secret is young, the permission of the first is not.
    run.door.server.token("s.c", &[A]);
    run.door.word("s.c", A).await;
    run.stop().await;
    // In use, it was looked at once more.
    seconds(24).await;
    server.world().failing = Some(503);
    let run = Run::start(folder.path(), &lasting(), &server);
    assert_eq!(run.door.status("s.a", A).await, 503);
    assert_eq!(run.door.status("s.b", A).await, 503);
    assert_eq!(run.door.word("s.c", A).await, "STALE");
    run.stop().await;
    // A token is not answered past its end.
    let (folder, server) = fresh();
    server.look("s.b", "ttl", json!(20));
    let run = read_by(&["s.b"], folder.path(), &lasting(), &server).await;
    run.stop().await;
    server.world().failing = Some(503);
    let run = Run::start(folder.path(), &lasting(), &server);
    assert_eq!(run.door.word("s.b", A).await, "STALE");
    seconds(20).await;
    assert_eq!(run.door.status("s.b", A).await, 503);
}

#[tokio::test(start_paused = true)]
async fn while_the_server_answers_nothing_from_the_disk_is_served() {
    let (folder, server) = fresh();
    let run = read_by(&["s.a", "s.b"], folder.path(), &lasting(), &server).await;
    run.stop().await;
    server.write("a", 2);
    let run =
        Run::start(folder.path(), &StaticSecrets { revalidate: Revalidate::Metadata, ..lasting() }, &server);
    assert_eq!(run.door.cache.numbers().static_secrets.entries, 1);
    let reads = server.count(READ_A);
    let first = run.door.ask(get("s.a", A)).await;
    assert_eq!((first.0, first.2, server.count(READ_A)), ("MISS", json!(2), reads + 1));
    assert_eq!(run.door.word("s.a", A).await, "HIT");
    // The body is checked; the other reader is not.
    assert_eq!((run.door.word("s.b", A).await, server.count(READ_A)), ("MISS", reads + 2));
    // Nor does an older answer of a standby give way to it.
    run.stop().await;
    server.world().behind = Some(1);
    let run = Run::start(folder.path(), &lasting(), &server);
    assert_eq!(run.door.ask(get("s.a", A)).await.2, 1);
    run.stop().await;
    server.world().behind = None;
    // A refusal ends it, for the outage that follows and for the next run.
    let run = Run::start(folder.path(), &lasting(), &server);
    server.allow("s.a", &[]);
    assert_eq!(run.door.status("s.a", A).await, 403);
    server.world().failing = Some(500);
    assert_eq!(run.door.status("s.a", A).await, 500);
    assert_eq!(run.door.word("s.b", A).await, "STALE");
    run.crash().await;
    let run = Run::start(folder.path(), &lasting(), &server);
    assert_eq!(run.door.status("s.a", A).await, 500);
    assert_eq!(run.door.word("s.b", A).await, "STALE");
    // It cannot be asked whether it lives, so any refusal will do.
    run.crash().await;
    server.world().failing = None;
    let run = Run::start(folder.path(), &lasting(), &server);
    assert_eq!(run.door.status("s.b", "secret/data/other").await, 403);
    server.world().failing = Some(500);
    assert_eq!(run.door.status("s.b", A).await, 500);
}

/// Each of what makes a secret or a permission wrong, and a crash right after its answer.
#[tokio::test(start_paused = true)]
async fn what_was_forgotten_is_off_the_disk_before_the_answer() {
    let put = |path: &str, body: Value| Request { method: Method::PUT, ..post("s.b", path).json(&body) };
    let all: Vec<(&str, Request)> = vec![
        ("a write", put("secret/data/a", json!({}))),
        ("a deletion", Request { method: Method::DELETE, ..post("s.b", "secret/metadata/a") }),
        ("a policy", put("sys/policies/acl/app", json!({}))),
        ("a mount", put("sys/mounts/secret/tune", json!({}))),
        ("its token's revocation", put("auth/token/revoke", json!({"token": "s.a"}))),
        ("the same, by accessor", put("auth/token/revoke-accessor", json!({"accessor": "a.s.a"}))),
        ("its login's lease", put("sys/leases/revoke", json!({"lease_id": "auth/approle/login/1"}))),
        ("a refusal", get("s.a", A).header(header::CACHE_CONTROL, "no-cache")),
        ("an absence", get("s.a", A).header(header::CACHE_CONTROL, "no-cache")),
    ];
    for (what, request) in all {
        for in_this_run in [true, false] {
            let (folder, server) = fresh();
            let mut run = read_by(&["s.a", "s.b"], folder.path(), &lasting(), &server).await;
            if !in_this_run {
                run.stop().await;
                run = Run::start(folder.path(), &lasting(), &server);
            }
            match what {
                "a refusal" => server.allow("s.a", &[]),
                "an absence" => server.world().versions.clear(),
                _ => {}
            }
            run.door.cache.send(request.clone()).await.unwrap();
            run.crash().await;
            server.world().failing = Some(503);
            let run = Run::start(folder.path(), &lasting(), &server);
            assert_eq!(run.door.status("s.a", A).await, 503, "{what}, {in_this_run}");
        }
    }
    // Whatever became of a write that had no answer.
    let (folder, server) = fresh();
    let run = read_by(&["s.a"], folder.path(), &lasting(), &server).await;
    server.world().failing = Some(502);
    run.door.cache.send(put("secret/data/a", json!({}))).await.unwrap();
    run.crash().await;
    let run = Run::start(folder.path(), &lasting(), &server);
    assert_eq!(run.door.status("s.a", A).await, 502);
    // A cache-clear.
    for clear in [Clear::All, Clear::Token("s.a".to_owned()), Clear::TokenAccessor("a.s.a".to_owned())] {
        let (folder, server) = fresh();
        let run = read_by(&["s.a"], folder.path(), &lasting(), &server).await;
        run.door.cache.clear(&clear);
        run.door.cache.settle().await;
        run.crash().await;
        server.world().failing = Some(503);
        let run = Run::start(folder.path(), &lasting(), &server);
        assert_eq!(run.door.status("s.a", A).await, 503, "{clear:?}");
    }
    // A refused write changes nothing.
    let (folder, server) = fresh();
    let run = read_by(&["s.a"], folder.path(), &lasting(), &server).await;
    assert_eq!(run.door.ask(post("s.unknown", A)).await.1, 403);
    run.crash().await;
    server.world().failing = Some(503);
    let run = Run::start(folder.path(), &lasting(), &server);
    assert_eq!(run.door.word("s.a", A).await, "STALE");
}

/// A grant that was taken away while its secret was not in memory does not come back with it.
#[tokio::test(start_paused = true)]
async fn a_permission_without_its_secret_is_forgotten_too() {
    let (folder, server) = fresh();
    let run = read_by(&["s.a", "s.b"], folder.path(), &lasting(), &server).await;
    run.door.ask(post("s.b", A)).await;
    run.crash().await;
    let run = Run::start(folder.path(), &lasting(), &server);
    server.allow("s.a", &[]);
    assert_eq!(run.door.status("s.a", A).await, 403);
    run.door.word("s.b", A).await;
    run.door.cache.write_now().await;
    run.crash().await;
    server.world().failing = Some(503);
    let run = Run::start(folder.path(), &lasting(), &server);
    assert_eq!(run.door.status("s.a", A).await, 503);
    assert_eq!(run.door.word("s.b", A).await, "STALE");
}

#[tokio::test(start_paused = true)]
async fn bounds_hold_while_it_is_read() {
    let (folder, server) = fresh();
    let paths: Vec<String> = (0..20).map(|n| format!("secret/data/p{n}")).collect();
    server.token("s.a", &paths.iter().map(String::as_str).collect::<Vec<_>>());
    let run = Run::start(folder.path(), &lasting(), &server);
    for path in &paths {
        server.write(path.trim_start_matches("secret/data/"), 1);
        run.door.word("s.a", path).await;
    }
    let bytes = run.door.cache.numbers().static_secrets.bytes;
    run.stop().await;
    for (kept, at_most) in [
        (StaticSecrets { max_entries: 5, ..lasting() }, 5),
        (StaticSecrets { max_bytes: bytes / 4, ..lasting() }, 5),
        (StaticSecrets { max_entry_bytes: 10, ..lasting() }, 0),
        (StaticSecrets { paths: vec!["secret/data/p1*".to_owned()], ..lasting() }, 20),
    ] {
        let opened = opened(folder.path(), &kept);
        let found = opened.secrets.bodies.len();
        assert_eq!((found, opened.left_out.too_many), (at_most, 20 - at_most));
    }
    let narrow = StaticSecrets { paths: vec!["secret/data/p1*".to_owned()], ..lasting() };
    let run = Run::start(folder.path(), &narrow, &server);
    assert_eq!(run.door.cache.numbers().static_secrets.entries, 11);
    run.stop().await;
    assert_eq!(opened(folder.path(), &lasting()).secrets.bodies.len(), 11);
    // Where they are not wanted any more they leave the disk.
    let stop = CancellationToken::new();
    let opened_without = opened_for(folder.path(), None);
    assert_eq!((opened_without.secrets.bodies.len(), opened_without.left_out.ended), (0, 12));
    let upstream: Arc<dyn Upstream> = Arc::clone(&server) as _;
    let options = Options::default();
    let (_cache, keep_alive) = Cache::with_options(
        Mode::Remember,
        options,
        Some(opened_without),
        upstream,
        Caller::default(),
        stop.clone(),
    );
    stop.cancel();
    keep_alive.await;
    drop(_cache);
    assert!(opened(folder.path(), &lasting()).secrets.bodies.is_empty());
}

#[tokio::test(start_paused = true)]
async fn refreshes_are_seldom_written_and_take_no_more_room() {
    let (folder, server) = fresh();
    let run = read_by(&["s.a", "s.b"], folder.path(), &lasting(), &server).await;
    let before = run.door.cache.write_now().await;
    for _ in 0..300 {
        seconds(1).await;
        assert_eq!(run.door.word("s.a", A).await, "HIT");
    }
    let commits = run.door.cache.write_now().await - before;
    assert!(server.count(READ_A) > 10);
    // The permission's time, every seven seconds at most.
    assert!((10..=60).contains(&commits), "{commits}");
    run.stop().await;
    let left = opened(folder.path(), &lasting());
    assert_eq!((left.secrets.bodies.len(), left.secrets.readers.len()), (1, 1));
    drop(left);
    // What was confirmed last is what counts, to the second.
    server.world().failing = Some(503);
    let run = Run::start(folder.path(), &lasting(), &server);
    seconds(29).await;
    assert_eq!(run.door.word("s.a", A).await, "STALE");
}

/// Until it is on the disk with its new content, a secret is not there at all.
#[tokio::test(start_paused = true)]
async fn an_old_version_does_not_come_back() {
    let (folder, server) = fresh();
    let run = read_by(&["s.a"], folder.path(), &lasting(), &server).await;
    server.write("a", 2);
    assert_eq!(run.door.ask(get("s.a", A).header(header::CACHE_CONTROL, "no-cache")).await.2, 2);
    run.door.cache.settle().await;
    run.crash().await;
    server.world().failing = Some(503);
    let run = Run::start(folder.path(), &lasting(), &server);
    assert_ne!(run.door.ask(get("s.a", A)).await.2, 1);
}
