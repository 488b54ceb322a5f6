//! Files and folders on disk.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::{AUTH, LISTENER, agent};

fn put(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    #[expect(clippy::disallowed_methods, reason = "a test's own file, read only after it is written")]
    File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path
}

#[test]
fn a_folder_counts_by_name_and_leftovers_do_not() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "b.json", r#"{"pid_file": "/b"}"#);
    put(folder.path(), "a.hcl", &format!("{AUTH}pid_file = \"/a\"\n"));
    for leftover in ["z.hcl~", ".#z.hcl", "#z.hcl#", "z.txt", "z"] {
        put(folder.path(), leftover, "}");
    }
    let inner = tempfile::Builder::new().suffix(".hcl").tempdir_in(folder.path()).unwrap();
    put(inner.path(), "z.hcl", "}");
    let loaded = agent().loader().load(&[folder.path().to_owned()]).unwrap();
    assert_eq!(loaded.settings.pid_file.as_deref(), Some("/b".as_ref()));
}

#[test]
fn inside_a_folder_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = put(folder.path(), "a.hcl", "vault {}\nvault {}\n");
    let failure = agent().loader().load(&[folder.path().to_owned()]).unwrap_err();
    assert_eq!(
        failure.upstream_lines()[0],
        format!(
            "error loading configuration from {}: error loading {file:?}: error parsing 'vault':one and only \
             one \"vault\" block is required",
            folder.path().display(),
        )
    );
}

#[test]
fn paths_of_the_environment_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = put(folder.path(), "1.hcl", &format!("{AUTH}pid_file = \"/first\"\n"));
    let second = put(folder.path(), "2.hcl", &format!("{LISTENER}pid_file = \"/second\"\n"));
    let variable = format!(" {} ,", first.display());
    let loaded =
        agent().environment(&[("VAULT_AGENT_CONFIG_PATH", &variable)]).loader().load(&[second]).unwrap();
    assert_eq!(loaded.settings.pid_file.as_deref(), Some("/second".as_ref()));
    assert!(loaded.settings.auto_auths.len() == 1);
}

#[test]
fn what_cannot_be_read_is_told_as_upstream_tells_it() {
    let failure = agent().loader().load(&[PathBuf::from("/nowhere/a.hcl")]).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "error loading configuration from /nowhere/a.hcl: stat /nowhere/a.hcl: no such file or directory"
    );
    let failure = agent().loader().load(&[]).unwrap_err();
    assert_eq!(failure.to_string(), "Must specify exactly at least one config path using -config");
}

#[test]
fn a_folder_without_files_is_an_empty_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let failure = agent().loader().load(&[folder.path().to_owned()]).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "error validating configuration: no auto_auth, cache, or listener block found in config"
    );
}
