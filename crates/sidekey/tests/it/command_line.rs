//! Flags, help, `check`, `version`.

use tokio::process::Command;

use crate::{put, sidekey};

async fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(sidekey()).args(arguments).output().await.unwrap();
    (
        output.status.code(),
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
    )
}

#[tokio::test]
async fn help_is_there_in_every_spelling() {
    for arguments in [
        &["-h"][..],
        &["--help"],
        &["-help"],
        &["agent", "-h"],
        &["agent", "-help"],
        &["check", "--help"],
        &["help"],
    ] {
        let (code, output) = run(arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}");
        assert!(output.contains("Usage: sidekey"), "{output}");
    }
    let (_, output) = run(&["agent", "-help"]).await;
    insta::assert_snapshot!(output);
}

#[tokio::test]
async fn mistakes_on_the_command_line_are_gos() {
    let (code, output) = run(&["agent", "-bogus"]).await;
    assert_eq!(code, Some(1));
    assert!(output.contains("flag provided but not defined: -bogus"), "{output}");
    let (code, output) = run(&["agent", "-confg=x"]).await;
    assert_eq!(code, Some(1));
    assert!(
        output.contains("flag provided but not defined: -confg") && output.contains("did you mean -config?"),
        "{output}"
    );
    let (code, output) = run(&["agent", "-config=/x", "-exit-after-auth=maybe"]).await;
    assert_eq!(code, Some(1));
    assert!(output.contains("maybe"), "{output}");
    assert_eq!(run(&[]).await.0, Some(1));
    assert_eq!(run(&["nosuch"]).await.0, Some(1));
}

#[tokio::test]
async fn version_in_every_spelling() {
    for arguments in [&["version"][..], &["-version"], &["--version"], &["-v"]] {
        assert_eq!(
            run(arguments).await,
            (Some(0), format!("Sidekey v{}\n", env!("CARGO_PKG_VERSION"))),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn check_opens_and_contacts_nothing_and_tells_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.hcl");
    let path = file.to_str().unwrap();
    put(
        &file,
        "vault { address = \"https://192.0.2.1:8200\" ca_cert = \"/nonexistent\" }\nlistener \"tcp\" { address = \"127.0.0.1:1\" tls_disable = true }\n",
    );
    let (code, output) = run(&["check", path]).await;
    assert_eq!(
        (code, output.as_str()),
        (Some(0), "ok: agent with no auto_auth, 1 listener and 0 templates\n")
    );

    put(&file, "listener \"tcp\" {\n  adress = \"127.0.0.1:1\"\n  tls_disable = true\n}\n");
    let (code, output) = run(&["check", path]).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(
        output.contains("warning") && output.contains("adress") && output.contains("did you mean `address`?"),
        "{output}"
    );
    assert_eq!(run(&["check", path, "-strict"]).await.0, Some(1));
}
