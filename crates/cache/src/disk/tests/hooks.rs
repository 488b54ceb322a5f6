//! What changes in memory changes on the disk, and comes back under the rules of the day.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn records(folder: &Path) -> Vec<Record> {
    open(&settings(folder)).unwrap().records
}

/// Settings, and a server that knows nobody yet.
fn fresh() -> (tempfile::TempDir, Arc<Server>) {
    (tempfile::tempdir().unwrap(), Arc::default())
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_on_the_disk() {
    let (folder, server) = fresh();
    let run = Run::start(&settings(folder.path()), &server);
    run.ask("database/creds/app").await;
    sleep(HOUR - Duration::from_secs(300)).await;
    assert_eq!(server.count("sys/leases/renew"), 1);
    // Written while it runs, not only at its end.
    run.crash().await;
    server.away.store(true, Relaxed);
    let run = Run::start(&settings(folder.path()), &server);
    sleep(Duration::from_secs(600)).await;
    assert!(run.ask("database/creds/app").await.0, "its first life is over, its second is not");
}

/// `sys/auth/token/revoke-orphan` and its like: the child lives on, and what it was asked for with is dead.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_withheld_does_not_come_back_and_what_it_was_about_lives_on() {
    let (folder, server) = fresh();
    let run = Run::start(&settings(folder.path()), &server);
    // Asked for with a token that nobody keeps: only its hash is known.
    run.ask_with("auth/approle/login", "s.asker").await;
    run.cache.write_now().await;
    run.stop().await;
    let run = Run::start(&settings(folder.path()), &server);
    assert!(run.ask_with("auth/approle/login", "s.asker").await.0);
    run.ask("auth/token/revoke/s.asker").await;
    // Without another word to the disk.
    run.crash().await;
    let run = Run::start(&settings(folder.path()), &server);
    let (_, _, body) = run.ask_with("database/creds/below", "s.canary-login").await;
    assert!(body.contains("canary"));
    let logins = server.count("auth/approle/login");
    assert!(!run.ask_with("auth/approle/login", "s.asker").await.0, "a dead token's login came back");
    assert_eq!(server.count("auth/approle/login"), logins + 1);
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_goes_alone_leaves_its_children_on_the_disk() {
    let (folder, server) = fresh();
    let run = Run::start(&settings(folder.path()), &server);
    run.ask_with("auth/approle/login", "x").await;
    run.ask_with("auth/token/create", "s.canary-login").await;
    run.ask_with("database/creds/below", "s.child").await;
    run.cache.write_now().await;
    run.ask("auth/token/revoke-orphan/s.canary-login").await;
    run.crash().await;
    let run = Run::start(&settings(folder.path()), &server);
    assert!(!run.ask_with("auth/token/create", "s.canary-login").await.0, "asked for with a dead token");
    assert!(run.ask_with("database/creds/below", "s.child").await.0);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_let_go_for_want_of_room_leaves_the_disk_and_what_is_too_much_is_not_taken_in() {
    let (folder, server) = fresh();
    let small = |max_entries| Options { max_entries, ..Options::default() };
    let run = Run::start_with(&settings(folder.path()), &server, small(31));
    for nth in 0..40 {
        run.ask(&format!("database/creds/{nth}")).await;
        run.cache.write_now().await;
    }
    run.stop().await;
    assert_eq!(records(folder.path()).len(), 31);
    let run = Run::start_with(&settings(folder.path()), &server, small(11));
    assert_eq!(run.cache.numbers().entries, 10);
    run.cache.write_now().await;
    run.stop().await;
    assert_eq!(records(folder.path()).len(), 11);
    let little = Options { max_bytes: 3000, ..Options::default() };
    let run = Run::start_with(&settings(folder.path()), &server, little);
    let numbers = run.cache.numbers();
    assert!(numbers.bytes <= 3000 && (1..10).contains(&numbers.entries), "{numbers:?}");
}

#[tokio::test(start_paused = true)]
async fn under_other_rules_nothing_is_found_and_all_is_kept_alive() {
    let (folder, server) = fresh();
    let run = Run::start(&settings(folder.path()), &server);
    run.ask("database/creds/app").await;
    run.stop().await;
    let extra = vec![HeaderName::from_static("x-extra")];
    for options in [
        Options { strict_keys: true, ..Options::default() },
        Options { key_extra_headers: extra, ..Options::default() },
    ] {
        let opened = open(&settings(folder.path())).unwrap();
        let (plain, other) = (Options::default(), options);
        let secret = |options: &Options| {
            let keys = crate::key::Keys::new(options, Some(&opened.root));
            keys.key(&Request::new(Method::GET, "a")).to_bytes()
        };
        assert_eq!(secret(&plain), secret(&plain));
        assert_ne!(secret(&plain), secret(&other));
        drop(opened);
        let run = Run::start_with(&settings(folder.path()), &server, other);
        assert_eq!(run.cache.numbers().held.leases, 1);
        assert!(!run.ask("database/creds/app").await.0);
        run.crash().await;
    }
}

/// `disable_caching_dynamic_secrets` after a time without it.
#[tokio::test(start_paused = true)]
async fn who_wants_no_leases_any_more_has_none_left_on_the_disk() {
    let (folder, server) = fresh();
    let run = Run::start(&settings(folder.path()), &server);
    run.ask("database/creds/app").await;
    run.ask_with("auth/approle/login", "x").await;
    run.stop().await;
    assert_eq!(records(folder.path()).len(), 3);
    let run =
        Run::start_with(&settings(folder.path()), &server, Options { leases: false, ..Options::default() });
    assert!(!run.ask("database/creds/app").await.0);
    assert!(!run.ask_with("auth/approle/login", "x").await.0);
    assert_eq!(run.cache.len(), 0);
    run.cache.write_now().await;
    run.crash().await;
    let left = records(folder.path());
    assert!(left.iter().all(|record| matches!(record.subject, StoredSubject::Own { .. })), "{}", left.len());
}

#[tokio::test(start_paused = true)]
async fn the_seconds_left_are_told_after_a_restart() {
    let (folder, server) = fresh();
    let run = Run::start(&settings(folder.path()), &server);
    run.ask("database/creds/app").await;
    sleep(Duration::from_secs(600)).await;
    run.stop().await;
    let run = Run::start_with(&settings(folder.path()), &server, Options::default());
    let (hit, headers, body) = run.ask("database/creds/app").await;
    let left: u64 = headers["x-cache-lease-remaining"].to_str().unwrap().parse().unwrap();
    assert!(hit && (2990..=3000).contains(&left), "{left}");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["lease_duration"], left);
}

#[tokio::test(start_paused = true)]
async fn each_of_our_identities_has_one_token_on_the_disk() {
    let (folder, server) = fresh();
    let run = Run::start(&settings(folder.path()), &server);
    run.ask("database/creds/app").await;
    run.cache.set_own_token(0, Arc::new(Token::new("s.second").unwrap()));
    run.cache.set_own_token(0, Arc::new(Token::new("s.third").unwrap()));
    run.stop().await;
    let own = |records: Vec<Record>| {
        let whose = |record: &Record| match &record.subject {
            StoredSubject::Own { token, whose } => Some((token.expose().to_owned(), *whose)),
            _ => None,
        };
        records.iter().filter_map(whose).collect::<Vec<_>>()
    };
    // The first one has a lease still.
    let mut found = own(records(folder.path()));
    found.sort();
    assert_eq!(found, [(OWN.to_owned(), None), ("s.third".to_owned(), Some(0))]);
}
