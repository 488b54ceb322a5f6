//! Files as they should not be, and their removal.

use std::os::unix::fs::symlink;

use super::*;

fn put(path: &Path, text: &str) {
    atomic_file::write(path, text.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
}

#[test]
fn what_cannot_be_used_is_one_clear_error_and_what_was_read_before_serves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let enormous = "x".repeat(atomic_file::MAX_SMALL_FILE + 1);
    for (content, reason) in [
        (None, "No such file"),
        (Some(""), "it is empty"),
        (Some(" \n"), "it is empty"),
        (Some("one\ntwo"), "it holds more than one line"),
        (Some("a\0b"), "it is not text"),
        (Some(enormous.as_str()), "larger than 65536 bytes"),
    ] {
        let _ = atomic_file::remove(&path);
        if let Some(content) = content {
            put(&path, content);
        }
        let mut fresh = Credential::new("secret ID", path.clone());
        let error = fresh.fetch().unwrap_err().to_string();
        assert!(error.starts_with(&format!("secret ID file {}: ", path.display())), "{error}");
        assert!(error.contains(reason) && error.len() < 200, "{error}");

        put(&path, "good");
        assert_eq!(fresh.fetch().unwrap().expose(), "good");
        let _ = atomic_file::remove(&path);
        if let Some(content) = content {
            put(&path, content);
        }
        assert!(!fresh.has_changed());
        assert_eq!(fresh.fetch().unwrap().expose(), "good");
        put(&path, "better");
        assert!(fresh.has_changed() && !fresh.has_changed());
        assert_eq!(fresh.last().unwrap().expose(), "better");
    }
    for (path, reason) in
        [(folder.path(), "directory"), (fifo.as_path(), "FIFO"), (Path::new("/dev/zero"), "device")]
    {
        let error = Credential::new("token", path.to_owned()).fetch().unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn the_link_or_what_it_leads_to_is_removed_and_only_what_could_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    for (removal, link_stays, file_stays) in
        [(Removal::Never, true, true), (Removal::Link, false, true), (Removal::Target, true, false)]
    {
        put(&file, "");
        let _ = atomic_file::remove(&link);
        symlink(&file, &link).unwrap();
        let keys = CredentialFile { path: link.clone(), removal, read_period: std::time::Duration::ZERO };
        let mut credential = Credential::of_file("JWT", &keys);
        assert!(credential.fetch().is_err());
        assert!(link.is_symlink() && file.exists(), "an empty file was removed");
        put(&file, "secret");
        assert_eq!(credential.fetch().unwrap().expose(), "secret");
        assert_eq!((link.is_symlink(), file.exists()), (link_stays, file_stays), "{removal:?}");
        // It is gone, and known.
        assert_eq!(credential.fetch().unwrap().expose(), "secret");
        // Put there once more: no news, and removed once more.
        let _ = atomic_file::remove(&link);
        put(&file, "secret");
        symlink(&file, &link).unwrap();
        assert!(!credential.has_changed());
        assert_eq!((link.is_symlink(), file.exists()), (link_stays, file_stays), "{removal:?}");
    }
}

#[test]
fn it_is_seen_who_else_may_read_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    for (mode, readable) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true), (0o602, false)] {
        atomic_file::write(&path, b"x", &atomic_file::Attributes::new(mode)).unwrap();
        assert_eq!(atomic_file::is_world_readable(&path), readable, "{mode:o}");
    }
    assert!(!atomic_file::is_world_readable(&folder.path().join("none")));
}

#[test]
fn news_can_be_left_for_the_login() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret-id");
    let mut credential = Credential::new("secret ID", file.clone()).removed(Links::Keep);
    assert!(!credential.has_news());
    put(&file, "one");
    assert!(credential.has_news() && !credential.has_news());
    assert!(file.exists() && credential.last().is_none());
    assert_eq!(credential.fetch().unwrap().expose(), "one");
    assert!(!file.exists());
}

#[test]
fn what_others_may_read_is_told_once() {
    let (told, _guard) = crate::told::listen();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    put(&path, "one");
    let mut file = Credential::new("secret ID", path.clone());
    file.fetch().unwrap();
    assert_eq!(told.times("can be read by every user"), 0);
    for text in ["two", "three"] {
        atomic_file::write(&path, text.as_bytes(), &atomic_file::Attributes::new(0o604)).unwrap();
        file.fetch().unwrap();
        Credential::new("secret ID", path.clone()).fetch().unwrap();
    }
    assert_eq!(told.times("WARN message=the secret ID file can be read by every user"), 1);
}

#[test]
fn news_that_cannot_be_used_are_told_once_each() {
    let (told, _guard) = crate::told::listen();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential");
    let mut file = Credential::new("secret ID", path.clone());
    for (text, times) in [("", 1), ("one\ntwo", 2), ("", 3)] {
        put(&path, text);
        for _ in 0..3 {
            assert!(!file.has_changed() && !file.has_news());
        }
        assert_eq!(told.times("new credentials cannot be used"), times, "{text:?}");
    }
    assert_eq!(told.times("it holds more than one line"), 1);
}
