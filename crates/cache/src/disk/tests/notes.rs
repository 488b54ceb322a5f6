//! Each change that has to be noted for the disk, where nothing else would have it written.

use super::*;

fn records(folder: &Path) -> Vec<Record> {
    open(&settings(folder)).unwrap().records
}

#[tokio::test(start_paused = true)]
async fn a_new_entry_does_not_wait_as_long_as_renewals_do() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Arc::<Server>::default());
    let run = Run::start(&settings(folder.path()), &server);
    run.cache.write_now().await;
    run.ask("database/creds/app").await;
    sleep(Duration::from_millis(200)).await;
    run.crash().await;
    assert_eq!(records(folder.path()).len(), 2, "our token and the lease");
}

#[tokio::test(start_paused = true)]
async fn a_former_token_of_ours_is_nobodys_on_the_disk() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Arc::<Server>::default());
    let run = Run::start(&settings(folder.path()), &server);
    run.ask("database/creds/app").await;
    run.cache.write_now().await;
    run.cache.set_own_token(0, Arc::new(Token::new("s.second").unwrap()));
    run.stop().await;
    let mut own: Vec<_> = records(folder.path())
        .iter()
        .filter_map(|record| match &record.subject {
            StoredSubject::Own { token, whose } => Some((token.expose().to_owned(), *whose)),
            _ => None,
        })
        .collect();
    own.sort();
    assert_eq!(own, [(OWN.to_owned(), None), ("s.second".to_owned(), Some(0))]);
}

/// Its answer was replaced before; now its parent goes.
#[tokio::test(start_paused = true)]
async fn a_child_that_nobody_is_handed_any_more_outlives_its_parent_on_the_disk() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Arc::<Server>::default());
    let run = Run::start(&settings(folder.path()), &server);
    run.ask_with("auth/approle/login", "x").await;
    run.ask_with("auth/token/create", "s.canary-login").await;
    run.ask_with("database/creds/below", "s.child").await;
    let mut again =
        Request::new(Method::PUT, "auth/token/create").token(&Token::new("s.canary-login").unwrap());
    again.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    run.cache.send(again).await.unwrap();
    run.cache.write_now().await;
    run.ask("auth/token/revoke-orphan/s.canary-login").await;
    run.crash().await;
    let run = Run::start(&settings(folder.path()), &server);
    assert!(run.ask_with("database/creds/below", "s.child").await.0);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_meanwhile_is_removed_from_the_disk() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Arc::<Server>::default());
    let run = Run::start(&settings(folder.path()), &server);
    run.ask("database/creds/app").await;
    run.stop().await;
    assert_eq!(records(folder.path()).len(), 2);
    sleep(Duration::from_secs(7200)).await;
    let run = Run::start(&settings(folder.path()), &server);
    run.cache.write_now().await;
    run.crash().await;
    let left = records(folder.path());
    assert!(left.iter().all(|record| matches!(record.subject, StoredSubject::Own { .. })), "{}", left.len());
}

#[tokio::test(start_paused = true)]
async fn what_is_new_after_a_restart_takes_no_place_of_what_was_there() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Arc::<Server>::default());
    for name in ["one", "two", "three"] {
        let run = Run::start(&settings(folder.path()), &server);
        run.ask(&format!("database/creds/{name}")).await;
        run.stop().await;
    }
    assert_eq!(records(folder.path()).len(), 4, "our token and three leases");
}
