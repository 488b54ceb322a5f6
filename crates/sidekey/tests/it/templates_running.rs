//! The template runner as a whole: exit codes, things in the way of files, and, below, many templates of which some fail
//! and accounts of a real database.

mod databases;
pub(crate) mod obstacles;
mod storm;

use std::path::Path;
use std::time::Duration;

use testkit::{Process, Program, eventually};
use tokio::time::sleep;

use crate::scripted::{Do, Scripted};
use crate::{Stage, put, sidekey};

/// A server with secrets `kv/s0`, `kv/s1`, …; `kv/denied` and `kv/none` cannot be had.
async fn server() -> Scripted {
    Scripted::start(|line, _| {
        let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches("/v1/");
        match path {
            "auth/approle/login" | "auth/token/renew-self" => Do::Answer(
                200,
                r#"{"auth":{"client_token":"s.token","accessor":"a","lease_duration":3600,"renewable":true}}"#,
            ),
            "auth/token/lookup-self" => Do::Answer(200, r#"{"data":{"ttl":3600}}"#),
            "kv/denied" => Do::Answer(403, r#"{"errors":["permission denied"]}"#),
            "kv/none" => Do::Answer(404, r#"{"errors":[]}"#),
            mounts if mounts.starts_with("sys/internal/ui/mounts/") => {
                Do::Answer(200, r#"{"data":{"path":"kv/","type":"kv","options":{"version":"1"}}}"#)
            }
            _ => Do::Answer(200, r#"{"data":{"value":"one"},"lease_duration":2764800}"#),
        }
    })
    .await
}

fn agent(server: &Scripted, folder: &Path) -> Program {
    let program = Program::agent(sidekey(), folder)
        .config(&format!("vault {{\n address = {:?}\n retry {{ num_retries = -1 }}\n}}", server.address));
    program.approle(&("r".into(), "s".into()), &["token"]).unwrap()
}

fn template(secret: &str, destination: &Path, keys: &str) -> String {
    format!(
        "template {{\n contents = \"{{{{ with secret \\\"kv/{secret}\\\" }}}}{{{{ .Data.value }}}}{{{{ end }}}}\"\n \
         destination = {destination:?}\n {keys}\n}}\n"
    )
}

async fn code(program: Program) -> (Option<i32>, String) {
    let mut agent: Process = program.start().unwrap();
    let status = agent.ended().await.unwrap();
    (status.code(), agent.output().join("\n"))
}

#[tokio::test]
async fn exit_codes_say_what_kind_of_thing_failed() {
    let server = server().await;
    let once = "exit_after_auth = true";
    let fatal = "exit_after_auth = true\ntemplate_config { exit_on_retry_failure = true }";
    let hurried = "exit_after_auth = true\nstartup_timeout = \"1s\"";
    for (secret, keys, global, want, said) in [
        ("s1", "command = \"true\"", once, 0, "sinks finished, exiting"),
        ("s1", "command = \"exit 3\"", once, 70, "exit status: 3"),
        (
            "s1",
            "command = \"/nonexistent\"",
            once,
            70,
            "/out\\\": fork/exec /nonexistent: no such file or directory",
        ),
        ("s1", "command = \"nonexistent\"", once, 70, "executable file not found in $PATH"),
        ("s1", "exec { command = \"sleep 60\" timeout = \"200ms\" }", once, 70, "within time limit (200ms)"),
        ("denied", "", fatal, 77, "permission denied"),
        ("none", "", fatal, 66, "no secret exists at kv/none"),
        ("s1", "error_on_missing_key = true contents = \"{{ index 1 2 }}\"", fatal, 65, "execute"),
        ("none", "", hurried, 75, "not done yet: template "),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let template =
            template(secret, &folder.path().join("out"), &keys.replace(" contents", "\n contents"));
        let (code, output) = code(agent(&server, folder.path()).config(global).config(&template)).await;
        assert!(code == Some(want) && output.contains(said), "{secret} {keys}: {code:?}\n{output}");
        if want != 0 {
            assert!(output.contains(&format!("exitCode={want}")), "{output}");
        }
    }
    // The file that cannot be written.
    let folder = tempfile::tempdir().unwrap();
    let template = template("s1", Path::new("/proc/none/out"), "");
    let (code, output) = code(agent(&server, folder.path()).config(fatal).config(&template)).await;
    assert_eq!(code, Some(74), "{output}");
    // Nothing can mend a template that cannot be parsed.
    let template = "template {\n contents = \"{{ nope }}\"\n destination = \"/proc/none\"\n}\n";
    let (code, output) = self::code(agent(&server, folder.path()).config(once).config(template)).await;
    assert_eq!(code, Some(65), "{output}");
}

#[tokio::test]
async fn what_lies_in_the_way_of_a_file_is_told_once_and_left_alone() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name);
    atomic_file::create_folders(&path("folder/inner")).unwrap();
    atomic_file::create_folders(&path("vanishing")).unwrap();
    put(&path("victim"), "precious");
    std::os::unix::fs::symlink(path("victim"), path("link")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
    let mut config = "template_config { static_secret_render_interval = \"1s\" }\n".to_owned();
    for name in ["folder", "fifo", "link", "vanishing/out"] {
        let keys = "create_dest_dirs = false\n static_secret_render_interval = \"1s\"";
        config.push_str(&template("s1", &path(name), keys));
    }
    let mut agent = agent(&server, folder.path()).config(&config).start().unwrap();
    agent.says("folder: is a directory").await.unwrap();
    agent.says("vanishing/out").await.unwrap();
    eventually("the link's place", || async {
        Some(()).filter(|()| std::fs::read_to_string(path("link")).is_ok_and(|text| text == "one"))
    })
    .await
    .unwrap();
    let log = agent.output().join("\n");
    assert!(log.contains("fifo is a FIFO, not a regular file"), "{log}");
    assert_eq!(std::fs::read_to_string(path("victim")).unwrap(), "precious");
    assert!(!path("link").is_symlink() && path("folder/inner").is_dir());
    agent.stop().await.unwrap();
}

/// A file that may not grow fails in the same place as one on a full disk, and needs no disk of the test's own.
#[tokio::test]
async fn f05_a_file_for_which_there_is_no_room_stays_as_it_was_until_there_is() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name);
    let cramped = path("cramped");
    let script = "#!/bin/sh\ntrap '' XFSZ\nulimit -S -f 8\nexec ";
    put(&cramped, &format!("{script}{} \"$@\"\n", sidekey().display()));
    assert!(std::process::Command::new("chmod").arg("0700").arg(&cramped).status().unwrap().success());
    atomic_file::create_folders(&path("files")).unwrap();
    put(&path("files/out"), "old");
    let long = "x".repeat(20_000);
    let template =
        format!("template {{\n contents = \"{long}\"\n destination = {:?}\n}}\n", path("files/out"));
    let config = format!("vault {{ address = {:?} }}", server.address);
    let program = Program::agent(&cramped, folder.path()).config(&config).config(&template);
    let mut agent = program.approle(&("r".into(), "s".into()), &["token"]).unwrap().start().unwrap();
    agent.says("file too large").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(std::fs::read_to_string(path("files/out")).unwrap(), "old");
    let pid = agent.pid().unwrap().to_string();
    let more = std::process::Command::new("prlimit").args(["--fsize=unlimited:", "--pid", &pid]).status();
    assert!(more.unwrap().success());
    sleep(Duration::from_secs(3)).await;
    assert_eq!(std::fs::read_to_string(path("files/out")).unwrap(), long, "{:?}", agent.output());
    assert_eq!(std::fs::read_dir(path("files")).unwrap().count(), 1, "something was left behind");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_command_that_prints_without_end_is_heard_and_cut() {
    let (server, folder) = (server().await, tempfile::tempdir().unwrap());
    let line = "command = \"echo value one of the secret; yes 0123456789abcdef | head -c 1000000000\"";
    let template = template("s1", &folder.path().join("out"), line);
    let started = tokio::time::Instant::now();
    let (code, output) =
        code(agent(&server, folder.path()).config("exit_after_auth = true").config(&template)).await;
    assert_eq!(code, Some(0), "{output}");
    let heard = output.lines().filter(|line| line.contains("command output")).count();
    assert!(heard <= 101 && output.contains("more bytes are not shown"), "{heard}");
    assert!(output.len() < 64 * 1024, "{} bytes of log", output.len());
    assert!(started.elapsed() < Duration::from_secs(40));
}

#[tokio::test]
async fn a_secret_looked_at_every_second_is_read_when_it_changed() {
    let stage = Stage::new().await;
    // A proxy between the agent and the server counts what is asked.
    let log = stage.path("access");
    let between = tempfile::tempdir().unwrap();
    let mut proxy = Program::proxy(sidekey(), between.path())
        .server(&stage.server.address())
        .listener("")
        .config(&format!("access_log {{ path = {log:?} }}"))
        .start()
        .unwrap();
    let line = proxy.says("Api Address 1: ").await.unwrap();
    let address = line.split("Api Address 1: ").nth(1).unwrap().trim();
    let count = |path: &str| {
        let line = format!("{path}\"");
        std::fs::read_to_string(&log).unwrap_or_default().lines().filter(|one| one.contains(&line)).count()
    };
    let template = format!(
        "template {{\n contents = \"{{{{ with secret \\\"secret/app\\\" }}}}{{{{ .Data.data.color }}}}{{{{ end }}}}\"\n destination = {:?}\n static_secret_render_interval = \"1s\"\n}}\n",
        stage.path("out")
    );
    let program = Program::agent(sidekey(), stage.folder.path()).server(address).config(&template);
    let mut agent = program.approle(&stage.credentials, &["token"]).unwrap().start().unwrap();
    eventually("the file", || async { Some(()).filter(|()| stage.read("out") == "blue") }).await.unwrap();
    let mut slowest = Duration::ZERO;
    for nth in 0..8 {
        let value = format!("color-{nth}");
        let changed = serde_json::json!({"data": {"color": value}});
        stage.root.write("secret/data/app", &changed).await.unwrap();
        let since = tokio::time::Instant::now();
        while stage.read("out") != value {
            assert!(since.elapsed() < Duration::from_secs(5), "{:?}", agent.output());
            sleep(Duration::from_millis(5)).await;
        }
        slowest = slowest.max(since.elapsed());
        sleep(Duration::from_millis(130 * nth)).await;
    }
    println!("slowest change to file: {slowest:?}");
    assert!(slowest < Duration::from_millis(1500), "{slowest:?}");
    sleep(Duration::from_secs(3)).await;
    agent.stop().await.unwrap();
    proxy.stop().await.unwrap();
    let (reads, looks) = (count("secret/data/app"), count("secret/metadata/app"));
    assert!(reads == 9 && looks >= 10, "{reads} reads, {looks} looks at the version");
}
