//! `sidekey template render` against a real server, and what is left when it or the agent is ended.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use testkit::server_binary;

use crate::sidekey;

/// A server with a secret, and a folder with what a login by AppRole needs.
async fn login() -> (testkit::Server, testkit::Api, tempfile::TempDir) {
    let server = testkit::Server::dev(&server_binary().unwrap()).await.unwrap();
    let root = server.root_api().unwrap();
    let post = async |path: &str, body: Value| {
        let answer = root
            .send("POST", &format!("/v1/{path}"), &[("content-type", "application/json")], &body.to_string())
            .await
            .unwrap();
        assert!(answer.status.is_success(), "{path}");
        serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()
    };
    testkit::eventually("taking secrets", || async {
        let body = r#"{"data": {"password": "hunter2"}}"#;
        let headers = [("content-type", "application/json")];
        let answer = root.send("POST", "/v1/secret/data/app", &headers, body).await.unwrap();
        answer.status.is_success().then_some(())
    })
    .await
    .unwrap();
    post(
        "sys/policies/acl/app",
        serde_json::json!({"policy": "path \"secret/*\" { capabilities = [\"read\"] }"}),
    )
    .await;
    post("sys/auth/approle", serde_json::json!({"type": "approle"})).await;
    post("auth/approle/role/app", serde_json::json!({"token_policies": "app"})).await;
    let role = root.send("GET", "/v1/auth/approle/role/app/role-id", &[], "").await.unwrap();
    let role: Value = serde_json::from_slice(&role.body).unwrap();
    let secret = post("auth/approle/role/app/secret-id", serde_json::json!({})).await;

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    crate::put(&path("role-id"), &text(&role["data"]["role_id"]));
    crate::put(&path("secret-id"), &text(&secret["data"]["secret_id"]));
    (server, root, folder)
}

/// A configuration with that login.
fn configuration(server: &testkit::Server, folder: &Path, templates: &str) -> PathBuf {
    let (path, here) = (folder.join("agent.hcl"), folder.display());
    crate::put(
        &path,
        &format!(
            r#"vault {{ address = "{}" }}
auto_auth {{ method "approle" {{ config = {{ role_id_file_path = "{here}/role-id" secret_id_file_path = "{here}/secret-id" }} }} }}
{templates}"#,
            server.address()
        ),
    );
    path
}

/// No login's token is left: the accessors are the root token's alone.
async fn assert_revoked(root: &testkit::Api) {
    let list = root.send("LIST", "/v1/auth/token/accessors", &[], "").await.unwrap();
    let list: Value = serde_json::from_slice(&list.body).unwrap();
    assert_eq!(list["data"]["keys"].as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test]
async fn templates_are_rendered_once_and_nothing_is_left_behind() {
    let (server, root, folder) = login().await;
    let path = |name: &str| folder.path().join(name);
    let here = folder.path().display();
    configuration(
        &server,
        folder.path(),
        &format!(
            r#"template {{
  contents = "{{{{ with secret \"secret/app\" }}}}{{{{ .Data.data.password }}}}\n{{{{ end }}}}"
  destination = "{here}/a.conf"
  command = "touch {here}/ran"
}}
template {{
  contents = "one\n{{{{ b64enc 1 }}}}\n"
  destination = "{here}/b.conf"
}}
"#
        ),
    );
    let config = format!("-config={here}/agent.hcl");
    let run = async |more: &[&str]| {
        let mut command = tokio::process::Command::new(sidekey());
        let output = command.args(["template", "render", &config]).args(more).output().await.unwrap();
        let all = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(all).unwrap())
    };
    let (code, output) = run(&["-template=a.conf"]).await;
    assert_eq!((code, output.as_str()), (Some(0), "hunter2\n"));
    let (code, output) = run(&["-template=a.conf", "-diff"]).await;
    assert!(code == Some(2) && output.contains("+hunter2"), "{output}");
    crate::put(&path("a.conf"), "hunter2\n");
    assert_eq!(run(&["-template=a.conf", "-diff"]).await, (Some(0), String::new()));
    let (code, output) = run(&[]).await;
    assert!(code == Some(1) && output.contains("hunter2") && output.contains("sprig_b64enc"), "{output}");
    assert!(output.contains("b.conf:2:4"), "{output}");
    let (code, output) = run(&["-template=c.conf"]).await;
    assert!(
        code == Some(1) && output.contains("a.conf") && output.contains("no template is called"),
        "{output}"
    );
    assert!(path("secret-id").exists() && !path("ran").exists() && !path("b.conf").exists());

    assert_revoked(&root).await;

    let none = format!("-token-file={here}/none");
    let (code, output) = run(&["-template=a.conf", &none]).await;
    assert!(code == Some(1) && output.contains("none: No such file or directory"), "{output}");
    crate::put(&path("token"), "not-a-token");
    let (code, output) = run(&["-template=a.conf", &format!("-token-file={here}/token")]).await;
    assert!(code == Some(1) && output.contains("permission denied"), "{output}");
}

#[tokio::test]
async fn a_difference_is_of_a_file_that_can_be_read_and_output_holds_the_text_alone() {
    let (server, _, folder) = login().await;
    let out = folder.path().join("out");
    let render = async |contents: &str, more: &[&str]| {
        let stanza = format!("template {{\n  contents = {contents:?}\n  destination = {out:?}\n}}\n");
        let config = configuration(&server, folder.path(), &stanza);
        let mut command = tokio::process::Command::new(sidekey());
        command.args(["template", "render", &format!("-config={}", config.display())]).args(more);
        let output = command.output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let empty = "{{ if false }}{{ end }}";
    // No file is something else than an empty one.
    let (code, difference, _) = render(empty, &["-diff"]).await;
    assert_eq!((code, difference), (Some(2), format!("--- /dev/null\n+++ {}\n", out.display())));
    crate::put(&out, "");
    assert_eq!(render(empty, &["-diff"]).await, (Some(0), String::new(), String::new()));
    // What cannot be compared is an error, and nothing to wait for.
    rustix::fs::unlink(&out).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &out, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let (code, difference, error) = render(empty, &["-diff"]).await;
    assert!(code == Some(1) && difference.is_empty() && error.contains("out"), "{difference}{error}");

    let printing = "{{ spew_dump 1 }}{{ with secret \"secret/app\" }}{{ .Data.data.password }}{{ end }}";
    let (code, text, aside) = render(printing, &[]).await;
    assert_eq!((code, text.as_str(), aside.as_str()), (Some(0), "hunter2", "(int) 1\n"));
}

/// Whether a process is there, and does not only wait to be asked for its status.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

/// A template whose program never ends, and where its process says its number.
fn endless(folder: &Path) -> (String, PathBuf) {
    let pid = folder.join("pid");
    let line = format!("sleep 60 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
    let text =
        format!(r#"{{{{ with secret "secret/app" }}}}{{{{ plugin "sh" "-c" {line:?} }}}}{{{{ end }}}}"#);
    let stanza =
        format!("template {{\n  contents = {text:?}\n  destination = {:?}\n}}\n", folder.join("out"));
    (stanza, pid)
}

#[tokio::test]
async fn rendering_once_that_is_ended_leaves_no_token_and_no_program() {
    let (server, root, folder) = login().await;
    let (stanza, pid) = endless(folder.path());
    let config = configuration(&server, folder.path(), &stanza);
    for signal in [Signal::TERM, Signal::INT] {
        let mut command = tokio::process::Command::new(sidekey());
        command.args(["template", "render", &format!("-config={}", config.display())]);
        let mut process = testkit::Process::start("render", command).unwrap();
        let program =
            testkit::eventually("the program runs", || async { std::fs::read_to_string(&pid).ok() });
        let program = program.await.unwrap();
        assert!(is_alive(&program));
        process.signal(signal);
        let status = process.ended().await.unwrap();
        assert!(
            status.code() == Some(1) && process.has_said("interrupted"),
            "{}",
            process.output().join("\n")
        );
        let gone =
            testkit::eventually("the program is gone", || async { (!is_alive(&program)).then_some(()) });
        gone.await.unwrap();
        assert_revoked(&root).await;
        rustix::fs::unlink(&pid).unwrap();
    }
}

#[tokio::test]
async fn a_program_under_way_ends_with_the_agent() {
    let (server, _, folder) = login().await;
    let (stanza, pid) = endless(folder.path());
    let config = configuration(&server, folder.path(), &stanza);
    let mut command = tokio::process::Command::new(sidekey());
    command.args(["agent", &format!("-config={}", config.display())]);
    let mut process = testkit::Process::start("agent", command).unwrap();
    let program = testkit::eventually("the program runs", || async { std::fs::read_to_string(&pid).ok() });
    let program = program.await.unwrap();
    assert!(process.stop().await.unwrap().success());
    let gone = testkit::eventually("the program is gone", || async { (!is_alive(&program)).then_some(()) });
    gone.await.unwrap();
}
