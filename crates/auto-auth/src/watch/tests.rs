//! Against the real file system and in real time: the kernel does not know of a paused clock.

use std::os::unix::fs::symlink;
use std::path::Path;

use tokio::time::timeout;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn put(path: &Path, text: &str) {
    atomic_file::write(path, text.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
}

/// Watches a file, lets something happen, and says whether it was noticed at once.
async fn notices(file: &Path, happens: impl FnOnce()) -> bool {
    let watch = Watch { every: HOUR, files: vec![file.to_owned()] };
    let mut lookout = Lookout::default();
    // The first look comes at once: what was before could not be seen.
    timeout(Duration::from_secs(2), lookout.look_again(&watch)).await.unwrap();
    lookout.last = None;
    happens();
    timeout(SETTLE * 6, lookout.look_again(&watch)).await.is_ok()
}

#[tokio::test]
async fn every_way_to_replace_a_file_is_seen_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let file = root.join("token");
    assert!(!notices(&file, || ()).await);
    assert!(notices(&file, || put(&file, "new")).await);
    assert!(notices(&file, || put(&file, "renamed over")).await);
    let plain = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    assert!(
        notices(&file, || {
            use std::io::Write as _;
            (&plain).write_all(b"in place").unwrap();
            drop(plain);
        })
        .await
    );
    assert!(!notices(&file, || put(&root.join("neighbour"), "x")).await);
    assert!(
        !notices(&file, || drop(std::fs::read(&file).unwrap())).await,
        "a mere look was taken for a change"
    );
    assert!(
        !notices(&file, || atomic_file::remove(&file).unwrap()).await,
        "our own removal was taken for a change"
    );
}

#[tokio::test]
async fn links_swapped_on_the_way_are_seen_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for version in ["..1", "..2", "..3"] {
        atomic_file::create_folders(&root.join(version)).unwrap();
        put(&root.join(version).join("token"), version);
    }
    let data = root.join("..data");
    symlink("..1", &data).unwrap();
    symlink("..data/token", root.join("token")).unwrap();
    let file = root.join("token");
    let swap = |to: &str| {
        symlink(to, root.join("..data_tmp")).unwrap();
        rustix::fs::rename(root.join("..data_tmp"), &data).unwrap();
    };
    assert!(notices(&file, || swap("..2")).await);
    // The same watch follows to where the link leads now.
    let watch = Watch { every: HOUR, files: vec![file.clone()] };
    let mut lookout = Lookout::default();
    lookout.look_again(&watch).await;
    swap("..3");
    lookout.last = None;
    timeout(SETTLE * 6, lookout.look_again(&watch)).await.unwrap();
    put(&root.join("..3/token"), "again");
    lookout.last = None;
    timeout(SETTLE * 6, lookout.look_again(&watch)).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_not_there_yet_or_comes_anew() {
    let folder = tempfile::tempdir().unwrap();
    let sub = folder.path().join("sub");
    let file = sub.join("token");
    let make = || {
        atomic_file::create_folders(&sub).unwrap();
        put(&file, "x");
    };
    assert!(notices(&file, make).await);
    let watch = Watch { every: HOUR, files: vec![file.clone()] };
    let mut lookout = Lookout::default();
    lookout.look_again(&watch).await;
    std::fs::remove_dir_all(&sub).unwrap();
    lookout.last = None;
    timeout(SETTLE * 6, lookout.look_again(&watch)).await.unwrap();
    lookout.last = None;
    make();
    timeout(SETTLE * 6, lookout.look_again(&watch)).await.unwrap();
}

#[tokio::test]
async fn what_happens_while_nobody_waits_is_not_lost_and_a_storm_leads_to_few_looks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let watch = Watch { every: HOUR, files: vec![file.clone()] };
    let mut lookout = Lookout::default();
    lookout.look_again(&watch).await;
    for _ in 0..2000 {
        drop(std::fs::OpenOptions::new().create(true).append(true).open(&file).unwrap());
    }
    // Dropped in the middle.
    assert!(timeout(SETTLE / 2, lookout.look_again(&watch)).await.is_err());
    let began = Instant::now();
    timeout(GAP * 2, lookout.look_again(&watch)).await.unwrap();
    assert!(began.elapsed() > GAP / 2, "looked twice within {:?}", began.elapsed());
    assert!(
        timeout(SETTLE * 6, lookout.look_again(&watch)).await.is_err(),
        "one look was not enough for all"
    );
}

#[tokio::test(start_paused = true)]
async fn the_period_runs_on_while_something_else_is_done() {
    let mut lookout = Lookout::default();
    let watch = Watch { every: Duration::from_secs(60), files: Vec::new() };
    let began = Instant::now();
    for _ in 0..5 {
        assert!(timeout(Duration::from_secs(11), lookout.look_again(&watch)).await.is_err());
    }
    lookout.look_again(&watch).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    lookout.look_again(&watch).await;
    assert_eq!(began.elapsed().as_secs(), 120);
    // A period of nothing is no spin.
    let began = Instant::now();
    for _ in 0..10 {
        lookout.look_again(&Watch::default()).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(1));
}
