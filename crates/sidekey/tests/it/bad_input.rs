//! Mistakes: one clear message each, the right exit code, nothing started, nothing leaked.

use std::net::TcpListener;

use testkit::{Process, Program};
use tokio::process::Command;

use crate::scripted::{Do, Scripted};
use crate::{put, sidekey};

/// Runs a configuration to its end; gives exit code and output.
async fn run(config: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = Program::agent(sidekey(), folder.path()).config(config).start().unwrap();
    let status = agent.ended().await.unwrap();
    (status.code(), agent.output().join("\n"))
}

const SINK: &str = "sink \"file\" { config = { path = \"/dev/shm/sidekey-never\" } }";

#[tokio::test]
async fn files_and_syntax() {
    let folder = tempfile::tempdir().unwrap();
    let ended = async |arguments: &[&str]| {
        let mut command = Command::new(sidekey());
        command.args(arguments).current_dir(folder.path());
        let mut process = Process::start("sidekey", command).unwrap();
        let status = process.ended().await.unwrap();
        (status.code(), process.output().join("\n"))
    };
    let (code, output) = ended(&["agent", "-config=/nonexistent.hcl"]).await;
    assert_eq!(code, Some(1));
    assert!(output.contains("error loading configuration from /nonexistent.hcl: stat /nonexistent.hcl: no such file or directory"), "{output}");

    let (code, output) = ended(&["agent"]).await;
    assert_eq!(code, Some(1));
    assert!(output.contains("Must specify exactly at least one config path using -config"), "{output}");

    put(&folder.path().join("broken.hcl"), "vault {\n  address = http\n}\nlistener \"http\" {}\n");
    let (code, output) = ended(&["agent", "-config=broken.hcl"]).await;
    assert_eq!(code, Some(1));
    assert!(
        output
            .contains("error loading configuration from broken.hcl: At 2:13: Unknown token: 2:13 IDENT http"),
        "{output}"
    );
    assert!(output.contains("--> broken.hcl:2:13") && output.contains("^^^^"), "{output}");

    // Everything that is wrong, in one run.
    put(
        &folder.path().join("many.hcl"),
        "log_level = \"loud\"\nlistener \"http\" {}\nauto_auth { method \"aprole\" {} }\nlog_file = \"/l*\"\n",
    );
    let (code, output) = ended(&["agent", "-config=many.hcl"]).await;
    assert_eq!(code, Some(1));
    for text in [
        "unknown log level: loud",
        "unsupported listener type \"http\"",
        "unknown auth method \"aprole\"",
        "approle",
        "file name contains globbing character",
    ] {
        assert!(output.contains(text), "{text}: {output}");
    }
}

#[tokio::test]
async fn start_failures_name_the_cause() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let (code, output) =
        run(&format!("listener \"tcp\" {{ address = \"127.0.0.1:{port}\" tls_disable = true }}")).await;
    assert_eq!(code, Some(1));
    assert!(
        output.contains(&format!(
            "Error starting listener: listen tcp 127.0.0.1:{port}: bind: address already in use"
        )),
        "{output}"
    );

    let (code, output) = run("auto_auth { method \"token_file\" { config = { token_file_path = \"/x\" } }\n sink \"file\" { config = { path = \"/nonexistent/dir/token\" } } }").await;
    assert_eq!(code, Some(1));
    assert!(
        output.contains(
            "error creating file sink: error during write check: cannot open the folder /nonexistent/dir"
        ),
        "{output}"
    );

    let (code, output) = run("vault { address = \"https://localhost:1\" ca_cert = \"/nonexistent/ca.pem\" }\nlistener \"tcp\" { address = \"127.0.0.1:0\" tls_disable = true }").await;
    assert_eq!(code, Some(1));
    assert!(output.contains("cannot read /nonexistent/ca.pem"), "{output}");
}

#[tokio::test]
async fn credentials_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let role = folder.path().join("role");
    for (content, reason) in [
        (None, "No such file"),
        (Some(""), "it is empty"),
        (Some("\n \n"), "it is empty"),
        (Some("a\nb"), "more than one line"),
    ] {
        let _ = atomic_file::remove(&role);
        if let Some(content) = content {
            put(&role, content);
        }
        let (code, output) = run(&format!("vault {{ address = \"http://127.0.0.1:1\" }}\nauto_auth {{ method \"approle\" {{ exit_on_err = true\n config = {{ role_id_file_path = {role:?} }} }}\n{SINK} }}")).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains("role ID file") && output.contains(reason), "{output}");
    }
}

#[tokio::test]
async fn a_refused_login_ends_it_only_if_asked_to() {
    let scripted =
        Scripted::start(|_, _| Do::Answer(400, "{\"errors\":[\"invalid role or secret ID\"]}")).await;
    let folder = tempfile::tempdir().unwrap();
    let credentials = ("CANARY-role".to_owned(), "CANARY-secret".to_owned());
    let program = || {
        Program::agent(sidekey(), folder.path())
            .server(&scripted.address)
            .approle(&credentials, &["token"])
            .unwrap()
    };
    let mut patient = program().start().unwrap();
    patient.says("backoff=").await.unwrap();
    assert!(patient.has_said("error authenticating"));
    assert!(patient.has_said("* invalid role or secret ID"));
    assert!(patient.stop().await.unwrap().success());

    let config = std::fs::read_to_string(folder.path().join("config.hcl")).unwrap();
    let mut strict = Program::agent(sidekey(), folder.path())
        .config(&config.replace("method \"approle\" {", "method \"approle\" { exit_on_err = true "))
        .start()
        .unwrap();
    assert_eq!(strict.ended().await.unwrap().code(), Some(1));
    assert!(strict.has_said("runtime error encountered"));
    for output in [patient.output(), strict.output()] {
        assert!(!output.join("\n").contains("CANARY"), "{output:?}");
    }
}

#[tokio::test]
async fn answers_that_make_no_sense_are_no_token_and_no_crash() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"auth\":",
        b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{\"auth\":{\"client_token\":5,\"renewable\":1}}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 63\r\n\r\n{\"auth\":{\"client_token\":\"s.x\",\"lease_duration\":-5,\"renewable\":1}}",
        b"nonsense\r\n\r\n",
        b"",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let scripted = Scripted::start(move |_, _| Do::Bytes(answer)).await;
        let folder = tempfile::tempdir().unwrap();
        let program = Program::agent(sidekey(), folder.path()).server(&scripted.address);
        let mut agent = program.approle(&("r".into(), "s".into()), &["token"]).unwrap().start().unwrap();
        agent.says("error authenticating").await.unwrap();
        assert!(!folder.path().join("token").exists());
        assert!(agent.stop().await.unwrap().success());
    }
}
