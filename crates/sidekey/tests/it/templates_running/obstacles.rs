//! Files that cannot be put in their places because of what the places are.

use std::path::{Path, PathBuf};

use testkit::{Program, eventually};

use super::{server, template};
use crate::{put, sidekey};

/// A program that is ours, in a mount namespace of its own after `mounts`; `None` where the system allows none.
/// What is mounted there is seen through `/proc/PID/root`.
#[expect(clippy::print_stdout, reason = "a test that tests nothing says so")]
pub(crate) fn among_mounts(folder: &Path, mounts: &str) -> Option<PathBuf> {
    let probe =
        std::process::Command::new("unshare").args(["-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("this machine allows no mounts: nothing is tested here");
        return None;
    }
    let wrapper = folder.join("among-mounts");
    let script =
        format!("#!/bin/sh\nexec unshare -Urm sh -ec '{mounts}\nexec \"$@\"' sh {:?} \"$@\"\n", sidekey());
    atomic_file::write(&wrapper, script.as_bytes(), &atomic_file::Attributes::new(0o700)).unwrap();
    Some(wrapper)
}

/// As `docker run -v FILE:FILE` and `subPath` make it: nothing can take its place. Written into it would be seen half.
#[tokio::test]
async fn a_file_that_is_mounted_by_itself_is_told_and_left_alone() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name);
    for name in ["plain", "sealed", "sink"] {
        put(&path(&format!("{name}-source")), "old");
        put(&path(name), "below");
    }
    atomic_file::create_folders(&path("sealed-folder")).unwrap();
    let here = folder.path().display();
    let mounts = format!(
        "cd {here}; mount --bind plain-source plain; mount --bind sink-source sink\n\
         mount -t tmpfs none sealed-folder; touch sealed-folder/out; mount --bind sealed-source sealed-folder/out\n\
         mount -o remount,ro sealed-folder"
    );
    let Some(program) = among_mounts(folder.path(), &mounts) else { return };
    let mut config = format!("vault {{ address = {:?} }}\n", server.address);
    let command = format!("command = \"touch {here}/ran\"");
    config += &template("s1", &path("plain"), &format!("{command}\n backup = true"));
    config += &template("s2", &path("sealed-folder/out"), "");
    config += &template("s3", &path("fine"), "");
    let program = Program::agent(&program, folder.path()).config(&config);
    let mut agent = program.approle(&("r".into(), "s".into()), &["sink", "token"]).unwrap().start().unwrap();
    const WHY: &str =
        "is mounted by itself, so it cannot be replaced; mount the folder that it lies in instead";
    for name in ["plain", "sealed-folder/out"] {
        let file = path(name);
        let told = format!("=> \\\"{}\\\": failed writing file: it {WHY}", file.display());
        agent.says(&told).await.unwrap();
    }
    agent.says(&format!("{} {WHY}", path("sink").display())).await.unwrap();
    eventually("the others", || async { (path("fine").exists() && path("token").exists()).then_some(()) })
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let seen = |name: &str| {
        let root = PathBuf::from(format!("/proc/{}/root", agent.pid().unwrap()));
        std::fs::read_to_string(root.join(path(name).strip_prefix("/").unwrap())).unwrap()
    };
    for name in ["plain", "sealed-folder/out", "sink"] {
        assert_eq!(seen(name), "old", "{name}");
    }
    assert!(!path("ran").exists() && !path("plain.bak").exists());
    let left = std::fs::read_dir(folder.path()).unwrap().flatten();
    let left: Vec<_> = left.filter(|entry| entry.file_name().to_string_lossy().ends_with(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
    agent.stop().await.unwrap();
}

/// Upstream takes it, so it goes on to work: the file holds what was written last, each is rendered when its own secrets
/// change, and a warning names them.
#[tokio::test]
async fn two_templates_with_one_destination_are_named_and_both_are_written() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name);
    put(&path("source"), "two");
    let command = |name: &str| format!("command = \"touch {}\"", path(name).display());
    let mut config = format!("vault {{ address = {:?} }}\n", server.address);
    config += &template("s1", &path("out"), &command("ran1"));
    config += &format!(
        "template {{\n source = {:?}\n destination = {:?}\n {}\n}}\n",
        path("source"),
        path("out"),
        command("ran2")
    );
    config += "exit_after_auth = true";
    let program = Program::agent(sidekey(), folder.path()).config(&config);
    let program = program.approle(&("r".into(), "s".into()), &["token"]).unwrap();
    let mut agent = program.start().unwrap();
    assert_eq!(agent.ended().await.unwrap().code(), Some(0), "{}", agent.output().join("\n"));
    let named = format!(
        "2 templates have the destination {}: it holds what was written last: number 1 (contents) and number 2 ({})",
        path("out").display(),
        path("source").display()
    );
    assert!(agent.has_said(&named), "{}", agent.output().join("\n"));
    assert!(["one", "two"].contains(&std::fs::read_to_string(path("out")).unwrap().as_str()));
    assert!(path("ran1").exists() && path("ran2").exists());
}
