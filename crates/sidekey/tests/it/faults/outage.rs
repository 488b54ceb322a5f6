//! A server that is killed, and one that is sealed.

use std::time::{Duration, SystemTime};

use serde_json::json;
use testkit::{Process, Program, Server, eventually, server_binary};
use tokio::time::{Instant, sleep};

use super::load::{Load, first_after, gap, refused};
use crate::sidekey;

/// How long the server is away; the table's number.
const OUTAGE: Duration = Duration::from_secs(12);

/// A raft server, an AppRole, and an agent with a template and a listener that uses its token.
struct Scene {
    server: Server,
    folder: tempfile::TempDir,
    credentials: (String, String),
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::raft(&server_binary().unwrap(), folder.path()).await.unwrap();
        let credentials = server.approle("app", Server::EVERYTHING, 3600, 7200).await.unwrap();
        let scene = Self { server, folder, credentials };
        scene.set("blue").await;
        scene
    }

    async fn set(&self, color: &str) {
        let root = self.server.root_api().unwrap();
        root.write("secret/data/app", &json!({"data": {"color": color}})).await.unwrap();
    }

    fn agent(&self, out: &str) -> Program {
        let out = self.folder.path().join(out);
        Program::agent(sidekey(), self.folder.path())
            .server(&self.server.address())
            .approle(&self.credentials, &["token"])
            .unwrap()
            .config("api_proxy { use_auto_auth_token = true }")
            .config("template_config { static_secret_render_interval = \"1s\" }")
            .config(&format!(
                "template {{\n contents = \"{{{{ with secret \\\"secret/data/app\\\" }}}}{{{{ .Data.data.color }}}}{{{{ end }}}}\"\n destination = {out:?}\n}}"
            ))
            .listener("")
    }

    /// Content and time of the last change.
    fn file(&self, name: &str) -> Option<(String, SystemTime)> {
        let path = self.folder.path().join(name);
        let changed = std::fs::metadata(&path).ok()?.modified().ok()?;
        Some((std::fs::read_to_string(path).ok()?, changed))
    }

    /// How long it takes until a new value is in the file.
    async fn rendered(&self, name: &str, color: &str) -> Duration {
        let began = Instant::now();
        self.set(color).await;
        let is_there = async || self.file(name).filter(|(text, _)| text == color).map(|_| began.elapsed());
        eventually("the new value in the file", is_there).await.unwrap()
    }
}

async fn first_rendering(scene: &Scene, agent: &mut Process) {
    agent.says("rendered").await.unwrap();
    eventually("the file", || async { scene.file("out") }).await.unwrap();
}

/// Nothing is lost while the server is away, and all goes on as soon as it is back.
#[tokio::test]
async fn f01_a_killed_server_costs_no_request_and_no_file() {
    let mut scene = Scene::new().await;
    let (mut agent, listener) = scene.agent("out").start_listening().await.unwrap();
    first_rendering(&scene, &mut agent).await;
    let load = Load::start(&listener, None);
    sleep(Duration::from_secs(1)).await;
    let before = scene.file("out").unwrap();
    scene.server.kill().await;
    let killed = Instant::now();
    sleep(OUTAGE).await;
    assert_eq!(scene.file("out").unwrap(), before, "the file was touched while there was no server");
    scene.server.start_again().await.unwrap();
    scene.server.unseal().await.unwrap();
    let back = Instant::now();
    let rendered = scene.rendered("out", "green").await;
    sleep(Duration::from_secs(2)).await;
    let all = load.stop().await;
    let held = all.iter().filter(|seen| seen.began < back && seen.ended > killed + OUTAGE).count();
    let (proxied, gap) = (first_after(&all, back), gap(&all, killed));
    println!(
        "F01: {} requests, {held} held, 0 lost; gap {gap:.1?}; proxy {proxied:.1?} and template {rendered:.1?} after the unseal",
        all.len()
    );
    assert!(refused(&all).is_empty(), "{:?}", refused(&all));
    assert!(held >= 8, "{held}: every client had a request under way");
    assert!(gap >= OUTAGE, "{gap:?}: the server was away");
    assert!(proxied <= Duration::from_millis(1500), "{proxied:?}");
    assert!(rendered <= Duration::from_secs(3), "{rendered:?}");
    assert_eq!(agent.stop().await.unwrap().code(), Some(0));
}

/// The server's own words within five seconds while it is sealed; an agent that starts meanwhile waits.
#[tokio::test]
async fn f03_a_sealed_server_is_waited_for() {
    let scene = Scene::new().await;
    let (mut agent, listener) = scene.agent("out").start_listening().await.unwrap();
    first_rendering(&scene, &mut agent).await;
    let load = Load::start(&listener, None);
    sleep(Duration::from_secs(1)).await;
    let before = scene.file("out").unwrap();
    scene.server.seal().await.unwrap();
    let sealed = Instant::now();
    let mut late = scene.agent("late").start().unwrap();
    sleep(OUTAGE).await;
    assert_eq!(scene.file("out").unwrap(), before, "the file was touched while the server was sealed");
    assert!(scene.file("late").is_none());
    scene.server.unseal().await.unwrap();
    let back = Instant::now();
    let logged_in = async || late.has_said("token written").then(|| back.elapsed());
    let logged_in = eventually("the login", logged_in).await.unwrap();
    let rendered = scene.rendered("out", "green").await;
    sleep(Duration::from_secs(1)).await;
    let all = load.stop().await;
    let refusals = refused(&all);
    // A server that is being sealed leaves requests waiting until it is.
    let longest = refusals.iter().map(|seen| seen.ended - seen.began.max(sealed)).max().unwrap();
    let proxied = first_after(&all, back);
    println!(
        "F03: {} requests, {} answered 503, the longest after {longest:.1?}; proxy {proxied:.1?}, template {rendered:.1?}, \
         login of an agent that started meanwhile {logged_in:.1?} after the unseal",
        all.len(),
        refusals.len()
    );
    for seen in &refusals {
        assert_eq!(seen.status, Ok(503), "{seen:?}");
        assert!(seen.body.contains("sealed"), "the server's own words: {seen:?}");
        assert!(seen.ended > sealed && seen.began < back, "{seen:?}");
    }
    assert!(longest <= Duration::from_secs(6), "{longest:?}: it is handed on after five seconds");
    assert!(proxied <= Duration::from_secs(2), "{proxied:?}");
    assert!(rendered <= Duration::from_secs(3), "{rendered:?}");
    assert!(logged_in <= OUTAGE / 3 + Duration::from_millis(500), "{logged_in:?}");
    assert_eq!(agent.stop().await.unwrap().code(), Some(0));
    assert_eq!(late.stop().await.unwrap().code(), Some(0));
}
