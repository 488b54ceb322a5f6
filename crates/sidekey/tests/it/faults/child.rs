//! The child of `exec` when the server is away and when a secret changes. Its other rows of the table (exit code, crash
//! loop, a child that ignores SIGTERM, an agent that is killed, zombies) are the tests `f18_…` of `exec.rs`.

use std::time::Duration;

use serde_json::json;
use testkit::{Program, Server, eventually, server_binary};
use tokio::time::{Instant, sleep};

use crate::sidekey;

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
    let text = format!(
        "template_config {{\n static_secret_render_interval = \"1s\"\n}}\nenv_template \"COLOR\" {{\n contents = \"{{{{ with secret \\\"secret/data/app\\\" }}}}{{{{ .Data.data.color }}}}{{{{ end }}}}\"\n}}\n\
         exec {{\n command = [\"sh\", \"-c\", \"echo $COLOR $$ >> told; while :; do touch beat; sleep 0.02; done\"]\n}}\n"
    );
    let program = Program::agent(sidekey(), folder.path()).server(&server.address()).config(&text);
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
