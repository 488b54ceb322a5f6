//! Killed at any moment, and a disk without room: the test program starts itself again and works as the writer.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use super::*;

/// So many writers at once, each with its own file, and so many kills of each.
const WRITERS: usize = 4;
const KILLS: usize = 130;

/// Where the writer writes, and its first number.
const FOLDER: &str = "SIDEKEY_TEST_FOLDER";
const FIRST: &str = "SIDEKEY_TEST_FIRST";

/// Remembers leases, revokes some of them, and says so: `kept N` once N is on the disk, `revoking N` before it asks and
/// `revoked N` when the answer is there.
async fn write(folder: &Path, numbers: impl Iterator<Item = usize>, mut say: impl FnMut(&str, usize)) {
    let server = Arc::<Server>::default();
    let run = Run::start(&settings(folder), &server);
    for nth in numbers {
        run.ask(&format!("database/creds/{nth}")).await;
        if nth % 3 == 0 {
            run.cache.write_now().await;
            say("kept", nth);
        } else {
            tokio::task::yield_now().await;
        }
        if nth % 2 == 0 {
            let old = nth - fastrand::usize(..4).min(nth);
            say("revoking", old);
            run.ask(&format!("sys/leases/revoke/database/creds/{old}/id")).await;
            say("revoked", old);
        }
    }
    run.stop().await;
}

/// With a folder in its environment it is the writer whom the other tests kill, and never ends. Without, it shows that
/// what the writer says is true when nobody kills it.
#[tokio::test]
async fn writer() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let first: usize = std::env::var(FIRST).unwrap().parse().unwrap();
        let say = |what: &str, nth: usize| {
            let _ = writeln!(std::io::stdout(), "\n@{what} {nth}");
        };
        return write(Path::new(&folder), first.., say).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut heard = Heard::default();
    write(folder.path(), 0..60, |what, nth| {
        // One may be revoked twice.
        heard.line(&format!("@{what} {nth}"));
    })
    .await;
    assert_eq!(heard.kept.len(), 20);
    assert!(heard.revoked.len() > 5, "{:?}", heard.revoked);
    let there = on_disk(&open(&settings(folder.path())).unwrap());
    assert!(heard.revoked.is_disjoint(&there), "{:?} of {there:?} were revoked", heard.revoked);
    assert_eq!(there, (0..60).filter(|nth| !heard.revoked.contains(nth)).collect());
}

fn start(folder: &Path, first: usize, before: &str) -> Child {
    let exe = std::env::current_exe().unwrap();
    Command::new("sh")
        .args(["-c", &format!("{before} exec \"$0\" \"$@\"")])
        .arg(exe)
        .args(["--exact", "disk::tests::crash::writer", "--nocapture"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the writer said.
#[derive(Default)]
struct Heard {
    kept: BTreeSet<usize>,
    revoking: BTreeSet<usize>,
    revoked: BTreeSet<usize>,
    last: usize,
}

impl Heard {
    fn line(&mut self, line: &str) -> bool {
        let Some((what, nth)) = line.strip_prefix('@').and_then(|line| line.split_once(' ')) else {
            return false;
        };
        let Ok(nth) = nth.parse() else { return false };
        self.last = self.last.max(nth);
        match what {
            "kept" => self.kept.insert(nth),
            "revoking" => self.revoking.insert(nth),
            _ => self.revoked.insert(nth),
        }
    }
}

fn on_disk(opened: &Opened) -> BTreeSet<usize> {
    let lease = |record: &Record| match &record.subject {
        StoredSubject::Lease { lease } => {
            let nth: usize = lease.split('/').nth(2)?.parse().ok()?;
            let body = String::from_utf8(record.answer.as_ref()?.body.to_vec()).unwrap();
            assert!(body.contains(&format!("canary for database/creds/{nth}\"")), "{lease} holds {body}");
            Some(nth)
        }
        _ => None,
    };
    opened.records.iter().filter_map(lease).collect()
}

#[test]
fn killed_again_and_again_nothing_revoked_returns_and_nothing_kept_is_lost() {
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(kill_again_and_again);
        }
    });
}

fn kill_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut heard = Heard::default();
    let mut seen = 0;
    for round in 0..KILLS {
        let mut child = start(folder.path(), heard.last + 1000, "");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Now and then before it has said anything.
        for _ in 0..fastrand::usize(..12) {
            while lines.next().is_some_and(|line| !heard.line(&line.unwrap())) {}
        }
        for _ in 0..fastrand::usize(..20_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            heard.line(&line.unwrap());
        }
        let opened = open(&DiskSettings { strict: true, ..settings(folder.path()) }).unwrap();
        assert_eq!(opened.damaged, 0, "round {round}");
        let found = on_disk(&opened);
        let back: Vec<_> = found.intersection(&heard.revoked).collect();
        assert!(back.is_empty(), "round {round}: revoked, and there again: {back:?}");
        let lost: Vec<_> =
            heard.kept.difference(&heard.revoking).filter(|nth| !found.contains(nth)).collect();
        assert!(lost.is_empty(), "round {round}: kept, and lost: {lost:?}");
        seen = found.len();
    }
    assert!(
        heard.revoked.len() > KILLS && seen > KILLS,
        "{} revoked, {seen} at the end",
        heard.revoked.len()
    );
}

/// The file may not grow: the writer goes on, and what it says it has revoked is gone.
#[test]
fn without_room_the_cache_goes_on_and_revocations_hold() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&settings(folder.path())).unwrap());
    let room = std::fs::metadata(folder.path().join(FILE_NAME)).unwrap().len() / 512 + 64;
    let mut child = start(
        folder.path(),
        1000,
        &format!("trap '' XFSZ; ulimit -f {room}; export SIDEKEY_TEST_PAD=$(printf %060000d 0);"),
    );
    let mut heard = Heard::default();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Far more than there is room for.
    while heard.revoked.len() < 50 {
        let line = lines.next().expect("the writer ended").unwrap();
        heard.line(&line);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines {
        heard.line(&line.unwrap());
    }
    let opened = open(&settings(folder.path())).unwrap();
    let found = on_disk(&opened);
    assert!(heard.kept.difference(&heard.revoking).any(|nth| !found.contains(nth)), "there was room for all");
    let back: Vec<_> = found.intersection(&heard.revoked).copied().collect();
    assert!(back.is_empty(), "revoked, and there again: {back:?}");
}
