//! The child of `exec` when the server is away and when a secret changes. Its other rows of the table (exit code, crash
//! loop, a child that ignores SIGTERM, an agent that is killed, zombies) are the tests `f18_…` of `exec.rs`.

use std::time::Duration;

use serde_json::json;
use testkit::{Process, Program, Server, eventually, server_binary};
use tokio::time::{Instant, sleep};

use crate::{Stage, sidekey};

/// How often its secret is read; the configuration says the same.
const INTERVAL: Duration = Duration::from_secs(1);

#[tokio::test]
async fn f18_an_outage_does_not_touch_the_child_and_a_change_restarts_it_soon() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::raft(&server_binary().unwrap(), folder.path()).await.unwrap();
    let credentials = server.approle("app", Server::EVERYTHING, 3600, 7200).await.unwrap();
    let root = server.root_api().unwrap();
    let set = async |color: &str| {
        root.write("secret/data/app", &json!({"data": {"color": color}})).await.unwrap();
    };
    set("blue").await;
    let text = "template_config {\n static_secret_render_interval = \"1s\"\n}\nenv_template \"COLOR\" {\n contents = \"{{ with secret \\\"secret/data/app\\\" }}{{ .Data.data.color }}{{ end }}\"\n}\n\
         exec {\n command = [\"sh\", \"-c\", \"echo $COLOR $$ >> told; while :; do touch beat; sleep 0.02; done\"]\n}\n";
    let program = Program::agent(sidekey(), folder.path()).server(&server.address()).config(text);
    let mut agent = program.approle(&credentials, &[]).unwrap().start().unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let starts = |count: usize| {
        let read = &read;
        move || async move { Some(read("told")).filter(|told| told.lines().count() == count) }
    };
    let first = eventually("the child", starts(1)).await.unwrap();
    assert!(first.starts_with("blue "), "{first}");

    server.kill().await;
    let beat = || std::fs::metadata(folder.path().join("beat")).unwrap().modified().unwrap();
    let before = beat();
    sleep(Duration::from_secs(6)).await;
    assert_eq!(read("told"), first, "started again while there was no server");
    assert_ne!(beat(), before, "it does not run any more");
    server.start_again().await.unwrap();
    server.unseal().await.unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(read("told"), first, "an outage is no change");

    let began = Instant::now();
    set("green").await;
    let both = eventually("the restart", starts(2)).await.unwrap();
    let took = began.elapsed();
    println!("F18: child untouched in an outage of 6 s; started again {took:.1?} after its secret changed");
    assert!(both.lines().nth(1).unwrap().starts_with("green "), "{both}");
    // Two seconds are those in which further changes are waited for.
    assert!(took <= INTERVAL + Duration::from_millis(2500), "{took:?}");
    assert_eq!(agent.stop().await.unwrap().code(), Some(0));
}

/// Process 1 of a container often buries nobody. What the child has left behind is dead as soon as it is asked to end,
/// and stays for ever.
#[tokio::test]
async fn f18_the_dead_whom_nobody_buries_are_not_waited_for() {
    let probe = std::process::Command::new("unshare").args(["-Urpf", "--mount-proc", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("this machine lets us be process 1 of nothing: nothing is tested here");
        return;
    }
    let stage = Stage::new().await;
    let text = "env_template \"A\" {\n contents = \"x\"\n}\nexec {\n stop_timeout = \"9s\"\n \
                command = [\"sh\", \"-c\", \"(sleep 600 &); trap 'exit 0' TERM; echo up > up; while :; do sleep 0.02; done\"]\n}";
    // Its file is written, and it is ended again.
    stage.agent(&[]).config(text).start().unwrap().kill().await;
    let _ = atomic_file::remove(&stage.path("up"));
    let mut command = tokio::process::Command::new("unshare");
    command.args(["-Urpf", "--mount-proc", "--kill-child", "sh", "-c"]);
    command.arg(
        "\"$@\" & agent=$!; (until test -e up; do sleep 0.05; done; sleep 0.2; kill $agent) & exec sleep 600",
    );
    command
        .arg("sh")
        .arg(sidekey())
        .arg("agent")
        .arg(format!("-config={}", stage.path("config.hcl").display()));
    command.current_dir(stage.folder.path());
    let mut init = Process::start("process 1", command).unwrap();
    init.says("stopping process").await.unwrap();
    let asked = Instant::now();
    init.says("exec server stopped").await.unwrap();
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}\n{}", init.output().join("\n"));
    init.kill().await;
}
