//! A full disk, and an agent that is killed while it writes.

use std::path::Path;
use std::time::{Duration, SystemTime};

use testkit::{Process, Program, eventually};
use tokio::time::{Instant, sleep};

use crate::scripted::{Do, Scripted};
use crate::templates_running::obstacles::among_mounts;
use crate::{put, sidekey};

/// A server that logs everybody in.
async fn server() -> Scripted {
    Scripted::start(|line, _| match line {
        _ if line.ends_with("lookup-self") => Do::Answer(200, r#"{"data":{"ttl":3600}}"#),
        _ => Do::Answer(
            200,
            r#"{"auth":{"client_token":"s.token","accessor":"a","lease_duration":3600,"renewable":true}}"#,
        ),
    })
    .await
}

fn agent(server: &Scripted, binary: &Path, folder: &Path) -> Program {
    let program =
        Program::agent(binary, folder).config(&format!("vault {{ address = {:?} }}", server.address));
    program.approle(&("r".into(), "s".into()), &[]).unwrap()
}

/// 256 KiB, all of them taken.
#[tokio::test]
async fn f05_a_full_disk_costs_no_file_and_nothing_is_left() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let disk = folder.path().join("disk");
    atomic_file::create_folders(&disk).unwrap();
    let mounts = format!(
        "mount -t tmpfs -o size=256k none {0}; printf old > {0}/out; dd if=/dev/zero of={0}/fill bs=1k 2>/dev/null || true",
        disk.display()
    );
    let Some(binary) = among_mounts(folder.path(), &mounts) else { return };
    let long = "x".repeat(20_000);
    let text = format!("template {{\n contents = \"{long}\"\n destination = {:?}\n}}", disk.join("out"));
    let program = agent(&server, &binary, folder.path()).config(&text).config("telemetry {}").listener("");
    let (mut agent, listener) = program.start_listening().await.unwrap();
    agent.says("no space left on device").await.unwrap();
    sleep(Duration::from_millis(2500)).await;
    let seen =
        Path::new(&format!("/proc/{}/root", agent.pid().unwrap())).join(disk.strip_prefix("/").unwrap());
    let read = || std::fs::read_to_string(seen.join("out")).unwrap();
    assert_eq!(read(), "old");
    let metrics = listener.send("GET", "/agent/v1/metrics?format=prometheus", &[], "").await.unwrap().body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let failing =
        metrics.lines().find(|line| line.starts_with("sidekey_template_failing{")).unwrap_or_default();
    assert!(failing.ends_with(" 1"), "{metrics}");
    atomic_file::remove(&seen.join("fill")).unwrap();
    let since = Instant::now();
    eventually("the file", || async { (read() == long).then_some(()) }).await.unwrap();
    let took = since.elapsed();
    println!("F05: written {took:.1?} after there was room");
    assert!(took < Duration::from_secs(3), "{took:?}");
    let names: Vec<_> = std::fs::read_dir(&seen).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["out"]);
    agent.stop().await.unwrap();
}

const KILLS: usize = 200;
const FILES: usize = 12;
const LENGTH: usize = 20_000;

/// Files of one character each, another each time they are rendered: whole if they are long enough and of one character.
#[tokio::test]
async fn f13_whoever_is_killed_while_it_writes_leaves_whole_files() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let files = folder.path().join("files");
    atomic_file::create_folders(&files).unwrap();
    // A umask of nothing, as bad as it gets.
    let binary = folder.path().join("careless");
    let script = format!("#!/bin/sh\numask 0\nexec {:?} \"$@\"\n", sidekey());
    atomic_file::write(&binary, script.as_bytes(), &atomic_file::Attributes::new(0o700)).unwrap();
    let mut config = "template_config { profile = \"openbao\" }\n".to_owned();
    for nth in 0..FILES {
        config += &format!(
            "template {{\n contents = \"{{{{ sprig_randAlphaNum 1 | sprig_repeat {LENGTH} }}}}\"\n destination = {:?}\n perms = \"0640\"\n}}\n",
            files.join(format!("out{nth}"))
        );
    }
    let program = agent(&server, &binary, folder.path()).config(&config);
    let victim = folder.path().join("victim");
    put(&victim, "precious");
    let first = files.join("out0");
    let written = |agent: &Process| agent.output().iter().filter(|line| line.contains("rendered")).count();
    let began = Instant::now();
    let mut whole = program.start().unwrap();
    eventually("all files", || async { (written(&whole) == FILES).then_some(()) }).await.unwrap();
    let takes = began.elapsed();
    whole.kill().await;

    let left = || {
        let names = std::fs::read_dir(&files).unwrap().flatten().map(|entry| entry.path());
        names.filter(|path| path.extension().is_some_and(|end| end == "tmp")).collect::<Vec<_>>()
    };
    let (mut changed, mut before) = (0, Vec::new());
    for kill in 0..KILLS {
        if kill % 10 == 0 {
            // Planted: what they point to must stay as it is.
            let _ = atomic_file::remove(&first);
            if kill % 20 == 0 {
                std::os::unix::fs::symlink(&victim, &first).unwrap();
            } else {
                rustix::fs::link(&victim, &first).unwrap();
            }
        }
        let mut agent = program.start().unwrap();
        // Most of them while the files are written, which is at the end of the start.
        sleep(takes.mul_f64(0.5 + 0.7 * (kill % 50) as f64 / 50.0)).await;
        agent.kill().await;
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious", "kill {kill}");
        let mut now = Vec::new();
        for nth in 0..FILES {
            let text = std::fs::read(files.join(format!("out{nth}"))).unwrap();
            let is_planted = nth == 0 && text == b"precious";
            let is_whole = text.len() == LENGTH && text.iter().all(|byte| *byte == text[0]);
            assert!(is_whole || is_planted, "kill {kill}: file {nth} has {} bytes", text.len());
            now.push(text[0]);
        }
        changed += usize::from(now != before);
        before = now;
    }
    let leftovers = left();
    println!(
        "F13: {KILLS} kills, {changed} of them after a write; {} temporary files left behind, 0 files damaged",
        leftovers.len()
    );
    assert!(changed > KILLS / 10, "{changed}: they came too early to prove anything");
    // A restart a minute later removes them; a younger one could be another agent's.
    let past = SystemTime::now() - Duration::from_secs(120);
    for path in &leftovers {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(past).unwrap();
    }
    // Some would be the same by chance, and need no writing.
    for nth in 0..FILES {
        atomic_file::remove(&files.join(format!("out{nth}"))).unwrap();
    }
    let mut last = program.start().unwrap();
    eventually("all files", || async { (written(&last) == FILES).then_some(()) }).await.unwrap();
    assert_eq!(left(), Vec::<std::path::PathBuf>::new());
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&first).unwrap().permissions().mode() & 0o7777, 0o640);
    last.stop().await.unwrap();
}
