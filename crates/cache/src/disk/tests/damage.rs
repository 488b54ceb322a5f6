//! Files that are of no use, or partly.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::*;
use crate::clock::Clock;

/// A file with ten leases.
async fn filled(folder: &Path) -> PathBuf {
    let run = Run::start(&settings(folder), &Arc::default());
    for nth in 0..10 {
        run.ask(&format!("database/creds/{nth}")).await;
    }
    run.stop().await;
    folder.join(FILE_NAME)
}

fn put(path: &Path, bytes: &[u8]) {
    atomic_file::write(path, bytes, &atomic_file::Attributes::new(0o600)).unwrap();
}

fn bodies(opened: &Opened) -> Vec<String> {
    let body =
        |record: &Record| format!("{:?} {:?}", record.id, record.answer.as_ref().map(|answer| &answer.body));
    opened.records.iter().map(body).collect()
}

#[tokio::test]
async fn a_damaged_record_is_one_record_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    let file = File::open(&path).unwrap();
    let mut sealed = Vec::new();
    file.for_each(|kind, id, bytes| sealed.push((kind, id, bytes.to_vec()))).unwrap();
    let (kind, id, mut bytes) = sealed.iter().find(|record| record.0 == Kind::Lease as u8).unwrap().clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // A record in another's place is damaged as well, and so is one of no kind.
    let other = sealed.iter().rev().find(|record| record.0 == Kind::Lease as u8).unwrap();
    let moved = Sealed { kind, id: 999, bytes: other.2.clone() };
    let unknown = Sealed { kind: 200, id: 1, bytes: vec![1; 64] };
    file.commit(&[], &[Sealed { kind, id, bytes }, moved, unknown]).unwrap();
    drop(file);
    let opened = open(&settings(folder.path())).unwrap();
    assert_eq!((opened.records.len(), opened.damaged), (10, 3));
    drop(opened);
    // They are told once.
    assert_eq!(open(&settings(folder.path())).unwrap().damaged, 0);
}

/// Whatever bit flips: what opens is what was written, and nothing panics or ends the program.
#[tokio::test]
async fn a_flipped_bit_anywhere_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    let good = std::fs::read(&path).unwrap();
    let whole = bodies(&open(&settings(folder.path())).unwrap());
    // Most of the file is empty: the parts in use, and some of the rest.
    let used: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0).collect();
    let (mut lost, mut aside) = (0, 0);
    for round in 0..400 {
        let at =
            if round % 4 == 0 { fastrand::usize(..good.len()) } else { used[fastrand::usize(..used.len())] };
        let mut bad = good.clone();
        bad[at] ^= 1 << fastrand::u8(..8);
        put(&path, &bad);
        let _ = std::fs::metadata(&path);
        let opened = open(&settings(folder.path())).unwrap();
        for body in bodies(&opened) {
            assert!(whole.contains(&body), "at {at}: something that was never written");
        }
        lost += usize::from(opened.records.len() < whole.len());
        drop(opened);
        let moved = folder.path().join(format!("{FILE_NAME}.damaged"));
        aside += usize::from(moved.exists() && atomic_file::remove(&moved).is_ok());
    }
    assert!(lost > 0 && aside > 0 && aside < 400, "{lost} lost something, {aside} were moved aside");
}

#[tokio::test]
async fn any_bytes_are_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    let good = std::fs::read(&path).unwrap();
    for bad in [&b"x"[..], &good[..good.len() / 2], &good[..4096], &[0xff; 70_000]] {
        put(&path, bad);
        assert!(open(&settings(folder.path())).unwrap().records.is_empty());
        assert_eq!(
            std::fs::read(folder.path().join(format!("{FILE_NAME}.damaged"))).unwrap().len(),
            bad.len()
        );
        put(&path, bad);
        let strict = DiskSettings { strict: true, ..settings(folder.path()) };
        let said = open(&strict).unwrap_err().to_string();
        assert!(said.starts_with("exiting with error as exit_on_err is set to true: "), "{said}");
        assert_eq!(std::fs::read(&path).unwrap(), bad, "touched");
    }
}

#[tokio::test]
async fn another_key_server_or_machine_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    let good = std::fs::read(&path).unwrap();
    let plain = || settings(folder.path());
    let home = |server: &str, machine: &str| Home { server: server.into(), machine: machine.into() };
    for (other, why) in [
        (DiskSettings { key: KeyMaterial::key(vec![8; 32]), ..plain() }, "it was sealed with another key"),
        (
            DiskSettings { home: home("https://other", "machine"), ..plain() },
            "it holds answers of another server (vault.address has changed)",
        ),
        (
            DiskSettings { home: home("https://server", "other"), ..plain() },
            "it was written on another machine",
        ),
    ] {
        put(&path, &good);
        let said = open(&DiskSettings { strict: true, ..other }).unwrap_err().to_string();
        assert!(said.ends_with(why), "{said}");
    }
    put(&path, &good);
    let other = DiskSettings { key: KeyMaterial::key(vec![8; 32]), ..plain() };
    assert!(open(&other).unwrap().records.is_empty());
    assert!(folder.path().join(format!("{FILE_NAME}.damaged")).exists());
    // The new file is the new key's.
    assert!(open(&DiskSettings { strict: true, ..other }).is_ok());
}

#[tokio::test]
async fn two_processes_do_not_share_a_file_nor_does_anybody_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("new/folder");
    let settings = settings(&below);
    let first = open(&settings).unwrap();
    assert_eq!(std::fs::metadata(&below).unwrap().permissions().mode() & 0o777, 0o700);
    let path = below.join(FILE_NAME);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let said = open(&settings).unwrap_err().to_string();
    assert!(said.ends_with("is in use by another process: give each its own path"), "{said}");
    drop(first);
    let bytes = std::fs::read(&path).unwrap();
    atomic_file::write(&path, &bytes, &atomic_file::Attributes::new(0o644)).unwrap();
    assert!(open(&settings).unwrap_err().to_string().contains("has mode 0644"));
}

#[tokio::test]
async fn a_clock_that_went_backwards_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    let file = File::open(&path).unwrap();
    let header = file.header().unwrap().unwrap();
    let key =
        super::super::header::open(&header, &settings(folder.path()).key, &settings(folder.path()).home);
    let sealer = Sealer::new(&key.ok().unwrap()).unwrap();
    let later = wall_now() + 3_600_000;
    let bytes = sealer.seal(Kind::Stamp, 0, later.to_le_bytes().to_vec()).unwrap();
    file.commit(&[], &[Sealed { kind: Kind::Stamp as u8, id: 0, bytes }]).unwrap();
    drop(file);
    assert!(open(&settings(folder.path())).unwrap().records.is_empty());
    // An entry from the future alone goes alone.
    let entries = |granted: Wall| {
        let mut record = super::super::record::tests::lease(1, 0);
        record.parent = None;
        record.life = Some(StoredLife { granted, ttl: 60_000, fading: false, idle: 0 });
        if let Some(answer) = &mut record.answer {
            answer.since = granted;
        }
        crate::store::Store::default().restore(vec![record], Clocks::read(&Clock::default()), || 0.5).entries
    };
    assert_eq!(entries(wall_now() - 10_000), 1);
    assert_eq!(entries(wall_now() + 10_000), 0);
    assert_eq!(entries(wall_now() - 60_000), 0, "it has ended");
    assert_eq!((entries(0), entries(u64::MAX)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_taken_away_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::<Server>::default();
    let run = Run::start(&settings(folder.path()), &server);
    run.ask("database/creds/a").await;
    run.cache.write_now().await;
    let path = folder.path().join(FILE_NAME);
    atomic_file::remove(&path).unwrap();
    run.ask("database/creds/b").await;
    run.stop().await;
    let opened = open(&settings(folder.path())).unwrap();
    assert_eq!(opened.records.len(), 3);
}

/// A writer of a new file tells the store afterwards; meanwhile somebody may have revoked what it has just written.
#[tokio::test(start_paused = true)]
async fn what_was_revoked_while_a_file_was_made_anew_leaves_it() {
    let mut record = super::super::record::tests::lease(1, 0);
    record.parent = None;
    record.life = Some(StoredLife { granted: wall_now(), ttl: 60_000, fading: false, idle: 0 });
    let mut store = crate::store::Store::default();
    store.keep_journal();
    let clocks = || Clocks::read(&Clock::default());
    let id = store.restore(vec![record], clocks(), || 0.5).due.first().unwrap().0;
    store.evict(id);
    store.nothing_is_written();
    let changes = store.take_changes(true, clocks());
    assert_eq!((changes.gone, changes.records.len()), (vec![(Kind::Lease, 1)], 0));
}
